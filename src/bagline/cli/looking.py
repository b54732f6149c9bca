"""What the commands share that show what is preserved: whom they ask, and how pages go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import typer
from rich.table import Table

from bagline.cli.common import complain, out, safe, settings_for
from bagline.cli.spreadsheet import write_csv
from bagline.config import Settings
from bagline.errors import Refused, WrongCall
from bagline.model.holdings import MOST_AT_ONCE, PAGE
from bagline.model.registry import STATE_ACTIVE, STATE_DELETED
from bagline.problems import shown
from bagline.registry_wiring import build_client, open_registry
from bagline.services.registry.base import Missing, Registry

STATES = {"active": STATE_ACTIVE, "deleted": STATE_DELETED, "all": ""}
NAME_CHARACTERS = 2_000
"""Of names and titles, which are looked for, and so shown whole where that can be."""

AsCsv = Annotated[bool, typer.Option("--csv", help="For a spreadsheet: all, unless --limit.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help=f"So many at most [default: {PAGE}; --csv: all].")
]
All = Annotated[bool, typer.Option("--all", help="All of them, page by page.")]
After = Annotated[str, typer.Option(help="Go on behind this one, which a page ended with.")]
OfInstitution = Annotated[str, typer.Option("--institution", help="Only of this institution.")]
State = Annotated[str, typer.Option(help=f"Only these: {', '.join(STATES)}.")]
Api = Annotated[
    str,
    typer.Option(
        "--api",
        envvar="BAGLINE_API_URL",
        help="Ask this Registry's API as --user, with that person's own key.",
    ),
]
ApiUserName = Annotated[
    str, typer.Option("--user", envvar="BAGLINE_API_USER", help="Your e-mail address, there.")
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="BAGLINE_API_KEY_FILE",
        help="A file with your key; else BAGLINE_API_KEY, else you are asked for it.",
    ),
]
R = TypeVar("R", bound=msgspec.Struct)


@contextmanager
def looking(
    data_dir: Path | None, config: Path | None, api: str, user: str, key_file: Path | None
) -> Iterator[Registry]:
    """The Registry: its API with a person's own key where `api` is given, else as the settings
    say. A key that may not ask for all asks for its institution's."""
    if api:
        from bagline.cli.deletions import speaking
        from bagline.services.registry.http.over_http import HttpRegistry

        with speaking(api, user, key_file) as client:
            yield HttpRegistry(client)
        return
    settings = settings_for(data_dir, config)
    if settings.registry.url:
        with _over_api(settings) as registry:
            yield registry
        return
    with open_registry(settings) as registry:
        yield registry


@contextmanager
def _over_api(settings: Settings) -> Iterator[Registry]:
    from bagline.services.registry.http.over_http import HttpRegistry

    client = build_client(settings)
    try:
        client.ask("GET", "info")
    except Missing:
        pass  # another's
    except Refused:
        client.close()
        client = build_client(settings, api="member-api")
    registry = HttpRegistry(client)
    try:
        yield registry
    finally:
        registry.close()


@dataclass
class Walk(Generic[R]):
    """Records page by page, `limit` at most (None: all). `ask` is given what they go on behind and
    how many; `mark` tells what follows a record. `next_after`, when it has been walked: what to go
    on behind, "" where there is no more."""

    ask: Callable[[str, int], Sequence[R]]
    mark: Callable[[R], str]
    after: str
    limit: int | None
    next_after: str = field(default="", init=False)

    def __iter__(self) -> Iterator[R]:
        after, left = self.after, self.limit
        while True:
            size = MOST_AT_ONCE if left is None else min(left + 1, MOST_AT_ONCE)
            page = self.ask(after, size)
            for record in page if left is None else page[:left]:
                after = self.mark(record)
                yield record
            if left is not None and len(page) > left:
                self.next_after = after
                return
            if len(page) < size:
                return
            left = None if left is None else left - len(page)


@dataclass(frozen=True)
class Shape:
    """How people want a list: `--limit`, `--all`, `--json`, `--csv`. Raises Misconfigured for what
    goes together with nothing."""

    limit: int | None
    is_all: bool
    as_json: bool
    as_csv: bool

    def __post_init__(self) -> None:
        if self.as_json and self.as_csv:
            raise WrongCall("--json or --csv: one of them")
        if self.is_all and self.limit:
            raise WrongCall("--all or --limit: one of them")

    @property
    def most(self) -> int | None:
        """How many are wanted; None: all."""
        wants_all = self.is_all or (self.as_csv and not self.limit)
        return None if wants_all else self.limit or PAGE


Column = tuple[str, str, Callable[[Any], str]]
"""A heading, how it stands (`left`, `right`, or `name`, which may be broken), a record's cell."""


def print_list(
    noun: str,
    walk: Walk[Any],
    shape: Shape,
    columns: Sequence[Column],
    cells: Callable[[Any], dict[str, object]],
    names: Sequence[str],
) -> bool:
    """The list as it is wanted, in bounded memory; whether there was anything. `cells`: a record as
    a row of CSV, by the `names` of its columns."""
    found = iter(walk)
    first = next(found, None)
    records = _again(first, found)
    if shape.as_json:
        _print_json(noun, records, walk)
    elif shape.as_csv:
        rows = (cells(record) for record in records)
        write_csv(names, ([row.get(name) for name in names] for row in rows))
    elif first is not None:
        _print_table(records, columns)
    if walk.next_after and not shape.as_json:
        behind = _quoted(walk.next_after)
        complain(f"Note: there are more. --all shows them, or go on with --after {behind}")
    return first is not None


def _again(first: R | None, others: Iterator[R]) -> Iterator[R]:
    if first is not None:
        yield first
        yield from others


def _print_json(noun: str, records: Iterator[Any], walk: Walk[Any]) -> None:
    """One document, written as the records come."""
    write = sys.stdout.write
    write(f'{{"{noun}":[')
    for place, record in enumerate(records):
        write(f"{',' if place else ''}{msgspec.json.encode(record).decode()}")
    write(f'],"next":{msgspec.json.encode(walk.next_after).decode()}}}\n')


def _print_table(records: Iterator[Any], columns: Sequence[Column]) -> None:
    """Tables of a thousand rows each, of which only the first has a heading."""
    is_first = True
    while some := list(islice(records, MOST_AT_ONCE)):
        table = Table(box=None, pad_edge=False, show_header=is_first)
        for heading, stands, _ in columns:
            is_name = stands == "name"
            table.add_column(
                heading,
                justify="right" if stands == "right" else "left",
                no_wrap=not is_name,
                overflow="fold",
            )
        for record in some:
            table.add_row(*(cell(record) for _, _, cell in columns))
        out.print(table)
        is_first = False


def _quoted(text: str) -> str:
    """As a shell takes it for one word: what drives a terminal in the form that bash, zsh and fish
    read back."""
    import shlex

    if shown(text, len(text)) == text:
        return shlex.quote(text)
    within = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{shown(within, len(within))}'"


def known_state(state: str) -> str:
    """The state's letter, "" for any. Raises typer.BadParameter."""
    if state.lower() not in STATES:
        raise typer.BadParameter(f"there is no state {shown(state)!r}; use {', '.join(STATES)}")
    return STATES[state.lower()]


def state_word(state: str) -> str:
    return "[red]deleted[/]" if state == STATE_DELETED else "active"


def name_text(text: str) -> str:
    return safe(text, NAME_CHARACTERS)
