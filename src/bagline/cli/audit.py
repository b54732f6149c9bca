"""`bagline audit`: who did what, when, from where and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from bagline.cli import guesses
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    complain,
    local_time,
    out,
    safe,
    standing_settings,
)
from bagline.cli.depositors import known_institution
from bagline.cli.spreadsheet import write_csv
from bagline.config import Settings
from bagline.errors import Misconfigured, Refused, WrongCall
from bagline.model.act import Act
from bagline.problems import shown
from bagline.services.registry.base import Missing
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.listing import ACTS, MOST_PER_PAGE, BadQuery, parse
from bagline.wiring import build_catalogue, build_client, open_database, open_registry

Query = list[tuple[str, str]]
Ask = Callable[[Query], list[Act]]
CHANGES = 2
"""So many fields that an act changed are shown in the table."""
TOLD_FIRST = ("status", "state", "stage", "role", "enabled")
SHOWN_VALUE = 40


def audit(
    who: Annotated[str, typer.Option(help="Only acts of this e-mail address, or name@host.")] = "",
    act: Annotated[str, typer.Option(help="Only this act, such as cancel.")] = "",
    subject: Annotated[
        str,
        typer.Option(help='Only upon this, such as "work item 7"; ending in *: what begins so.'),
    ] = "",
    institution: Annotated[
        str, typer.Option(help="Only of this institution.", autocompletion=guesses.institutions)
    ] = "",
    since: Annotated[str, typer.Option(help="From this time on (UTC).")] = "",
    until: Annotated[str, typer.Option(help="Before this time (UTC).")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many, newest first.")] = 50,
    json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Who did what, newest first: acts of people by the API and by commands. Nothing changes this
    record."""
    if json and as_csv:
        raise WrongCall("--json or --csv: one of them")
    settings = standing_settings(data_dir, config)
    query = [
        (f"{name}{comparison}", value)
        for name, comparison, value in (
            ("who", "", who),
            ("act", "", act),
            ("subject", "__starts_with" if subject.endswith("*") else "", subject.rstrip("*")),
            ("at", "__gteq", since),
            ("at", "__lt", until),
        )
        if value
    ]
    _check(query)
    if institution:
        query.append(("institution_id", str(_institution_id(settings, institution))))
    found = list(_newest(_asking(settings), query, limit))
    if json:
        print(msgspec.json.encode(found).decode())
    elif as_csv:
        _write_csv(found)
    else:
        _show(found)
    if len(found) == limit and not json:
        complain(f"Note: the newest {limit:,} only; --limit shows more.")


def _check(query: Query) -> None:
    try:
        parse(ACTS, query)
    except BadQuery as fault:
        sentence = str(fault).replace("at__gteq", "--since").replace("at__lt", "--until")
        raise Misconfigured(sentence) from None


def _institution_id(settings: Settings, identifier: str) -> int:
    with open_registry(settings) as registry:
        return known_institution(registry, identifier).id


def _asking(settings: Settings) -> Ask:
    """How one page of acts is asked for: by the API where one is named, else of the database."""
    if settings.registry.url:
        client = build_client(settings)

        def over_api(query: Query) -> list[Act]:
            try:
                answer = client.ask("GET", "acts", query=query)
            except Missing:
                raise Refused(f"the Registry at {client.where} keeps no acts") from None
            return [record_in(row, Act) for row in answer.get("results") or []]

        return over_api
    catalogue = build_catalogue(open_database(settings))
    return lambda query: catalogue.page(ACTS, parse(ACTS, query))[0]


def _newest(ask: Ask, query: Query, limit: int) -> Iterator[Act]:
    """Page by page; what is added meanwhile moves nothing."""
    older: Query = []
    while limit > 0:
        some = min(limit, MOST_PER_PAGE)
        page = ask([*query, *older, ("sort", "id__desc"), ("per_page", str(some))])
        yield from page
        if len(page) < some:
            return
        limit -= some
        older = [("id__lt", str(page[-1].id))]


def _show(acts: list[Act]) -> None:
    if not acts:
        out.print("No acts.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("At", "Who", "From", "Act", "Subject", "Changed", "Reason"):
        table.add_column(heading)
    for act in acts:
        cells = (act.who, act.origin, act.act, act.subject, _changed(act), act.reason)
        table.add_row(local_time(act.at), *map(safe, cells))
    out.print(table)


def _changed(act: Act) -> str:
    """What is another than before, in a few words."""
    if act.before is None or act.after is None:
        return "" if act.before is act.after else ("new" if act.before is None else "gone")
    was, now = act.before, act.after
    names = [name for name in now if was.get(name) != now[name] and name != "updated_at"]
    names.sort(key=lambda name: name not in TOLD_FIRST)
    told = [f"{name}: {_value(was, name)} → {_value(now, name)}" for name in names[:CHANGES]]
    more = [f"and {len(names) - CHANGES} more"] if len(names) > CHANGES else []
    return ", ".join(told + more)


def _value(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "–" if value in (None, "") else shown(str(value), SHOWN_VALUE)


def _write_csv(acts: list[Act]) -> None:
    names = Act.__struct_fields__
    write_csv(names, ([getattr(act, name) for name in names] for act in acts))
