"""`bagline fixity`: every preserved copy read again: what is due, what was found and mended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from bagline.app import App
from bagline.cli import guesses
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    err,
    local_time,
    out,
    safe,
    size_text,
    standing_settings,
)
from bagline.cli.exits import OUR_FAULT
from bagline.cli.operating_user import Reason, acting_here
from bagline.errors import BaglineError, Gone
from bagline.lines.fixity.due import REQUEST_BYTES, Allowance, DueCopies
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import Unrepairable
from bagline.lines.fixity.running import FixityRunner
from bagline.logs import configure_logs
from bagline.model.copy_checks import FixityRun, KeptCopy, PlaceTotals
from bagline.model.times import NEVER, earlier, is_set, now
from bagline.problems import shown
from bagline.services.registry.copy_book import CopyFilter
from bagline.wiring import build_services, looking_settings
from bagline.worker.stopping import stop_on_signals

SHOWN_BAD = 100
REPAIRED = "repaired a copy from another one"

fixity = typer.Typer(
    name="fixity",
    help="Every preserved copy, read again and compared with its digest.",
    no_args_is_help=True,
)
Institution = Annotated[
    str,
    typer.Option(help="Only copies of this institution.", autocompletion=guesses.institutions),
]
Option = Annotated[str, typer.Option("--option", help="Only copies of this storage option.")]


@fixity.command()
def status(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """What was proven when, what is overdue, and the copies that are bad."""
    configure_logs(level="critical")
    with _looking(data_dir, config) as app:
        book = _kept(app).book
        days = app.settings.fixity.days
        at = now()
        late = book.overdue(earlier(at, timedelta(days=days)), now=at).values()
        overdue, size = sum(copies for copies, _ in late), sum(size for _, size in late)
        totals, bad, runs = book.totals(), book.bad(limit=SHOWN_BAD), book.runs(limit=5)
        unread = DueCopies(_kept(app)).unread_places(totals)
    all_bad = _count_bad(totals)
    if json:
        told = {
            "days": days,
            "overdue": {"copies": overdue, "bytes": size},
            "places": totals,
            "bad": bad,
            "bad_copies": all_bad,
            "unread": unread,
            "runs": runs,
        }
        print(msgspec.json.encode(told).decode())
        raise typer.Exit(OUR_FAULT if bad or unread else 0)
    table = Table(box=None, pad_edge=False)
    for heading in ("Place", "Copies", "Size", "Never proven", "Bad", "Longest unproven since"):
        table.add_column(heading, justify="left" if heading == "Place" else "right")
    for place, some in _by_place(totals).items():
        oldest = min((t.oldest for t in some if is_set(t.oldest)), default="")
        table.add_row(
            safe(place),
            f"{sum(t.copies for t in some):,}",
            size_text(sum(t.bytes for t in some)),
            f"{sum(t.unproven for t in some):,}",
            f"{sum(t.bad for t in some):,}",
            local_time(oldest, seconds=False),
        )
    out.print(table)
    out.print(f"Overdue (unproven for {days} days): {overdue:,} copies, {size_text(size)}")
    for run in runs:
        ended = local_time(run.ended_at) if is_set(run.ended_at) else "not ended"
        out.print(
            f"Run {run.id}, {local_time(run.began_at)} to {ended}: {run.asked:,} asked, "
            f"{run.proven:,} proven, {run.bad:,} bad, {run.repaired:,} repaired, "
            f"{size_text(run.bytes)}{_cost_of(run)}"
        )
    for copy in bad:
        out.print(f"[red]{copy.outcome}[/red] {safe(copy.url)}")
        out.print(f"  {safe(copy.identifier)}: {safe(copy.detail)}")
    if all_bad > len(bad):
        out.print(f"and {all_bad - len(bad):,} more")
    _tell_unread(unread)
    raise typer.Exit(OUR_FAULT if bad or unread else 0)


@fixity.command()
def plan(json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """What one look at every copy reads, and what a day's share is."""
    configure_logs(level="critical")
    with _looking(data_dir, config) as app:
        runner = FixityRunner(_kept(app))
        totals, read = _kept(app).book.totals(), runner.places()
        share = runner.due().whole
    settings = app.settings.fixity
    rows = [
        _Planned(
            place=place,
            requests=(copies := sum(t.copies for t in some)),
            bytes=(size := sum(t.bytes for t in some)),
            is_read=place in read,
            cost=(
                price.of(bytes=size, requests=copies)
                if place in read and (price := settings.prices.get(read[place].provider))
                else None
            ),
        )
        for place, some in _by_place(totals).items()
    ]
    if json:
        told = {"places": rows, "share_now": share, "currency": settings.currency}
        print(msgspec.json.encode(told).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Place", "Requests", "Bytes read", "Costs", "Looked at"):
        table.add_column(heading, justify="right" if heading[0] in "RBC" else "left")
    for row in rows:
        table.add_row(
            safe(row.place),
            f"{row.requests:,}",
            size_text(row.bytes),
            "no price" if row.cost is None else f"{row.cost:,.2f} {safe(settings.currency)}",
            "yes" if row.is_read else "no",
        )
    out.print(table)
    days = app.settings.fixity.days
    out.print(f"Every copy within {days} days: now {size_text(share)} are due, where a request")
    out.print(f"counts as {size_text(REQUEST_BYTES)}.")


@fixity.command()
def run(
    institution: Institution = "",
    option: Option = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every copy that nobody looked at for a day.")
    ] = False,
    bucket: Annotated[str, typer.Option(help="Copies in this preservation bucket alone.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="So many copies; 0: any number.")] = 0,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Look at what is due now; with filters or --all, at all of it. SIGTERM and Ctrl-C end it: it
    saves what it found, and gives back the rest."""
    configure_logs(level="warning")
    stop = stop_on_signals()
    with App.open(standing_settings(data_dir, config)) as app:
        if option:
            app.settings.storage_option(option)  # there is one of that name
        wanted = CopyFilter(
            _institution_id(app, institution),
            option or None,
            bad_asked_before=now() if everything else NEVER,
        )
        runner = FixityRunner(_kept(app), stop)
        if bucket and all(target.bucket != bucket for target in runner.places().values()):
            raise Gone(f"no storage option that is looked at has a bucket {shown(bucket)}")
        is_whole = everything or bool(institution or option or bucket or limit)
        rate = app.settings.fixity.bytes_a_second
        allowance = Allowance(copies=limit, bytes_a_second=rate) if is_whole else runner.due()
        if is_whole or allowance.whole:
            record = runner.run(wanted, allowance, bucket=bucket)
        else:
            err.print("Nothing is due. `--all` looks at every copy.")
            record = FixityRun()
        totals = runner.kept.book.totals()
        bad, unread = _count_bad(totals), runner.due_copies.unread_places(totals)
    if json:
        print(msgspec.json.encode(record).decode())
    else:
        out.print(
            f"{record.asked:,} copies asked, {record.proven:,} proven, {record.bad:,} bad, "
            f"{record.repaired:,} repaired, {record.unanswered:,} without an answer, "
            f"{record.passed_over:,} passed over, {size_text(record.bytes)} read{_cost_of(record)}"
        )
    _tell_unread(unread)
    if bad:
        err.print(f"Bad copies: {bad:,}. `bagline fixity status` names them.")
    if stop.is_set():
        err.print("Asked to stop. What was not looked at is the next run's.")
    raise typer.Exit(OUR_FAULT if bad or unread or record.unanswered else 0)


@fixity.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="FILE", help="A file's identifier.")],
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Each copy of a file: where, when it was proven, how, and what was found last."""
    configure_logs(level="critical")
    with _looking(data_dir, config) as app:
        found = _copies_of(app, identifier)
    if json:
        print(msgspec.json.encode(found).decode())
        return
    for copy in found:
        proven = f"proven {local_time(copy.proven_at)} ({copy.proven_by})"
        out.print(safe(copy.url))
        out.print(f"  {proven if is_set(copy.proven_at) else 'never proven'}")
        if copy.outcome:
            out.print(
                f"  looked at {local_time(copy.asked_at)}: {copy.outcome} {safe(copy.detail)}"
            )


@fixity.command()
def repair(
    identifiers: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="Files, by identifier.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every bad copy.")] = False,
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Put bad copies right from good ones; each is proven where it stands."""
    configure_logs(level="critical")
    failed = 0
    with App.open(standing_settings(data_dir, config)) as app:
        book, repairer = _kept(app).book, FixityRunner(_kept(app)).repairer()
        chosen = [c for name in identifiers or [] for c in _copies_of(app, name)]
        if not chosen and not everything:
            err.print("Nothing to repair: name files, or give --all for every bad copy.")
        elif everything and not book.bad(limit=1):
            out.print("No copy is bad.")
        while chosen or (everything and (chosen := book.bad(offset=failed))):
            copy = chosen.pop(0)
            try:
                check, event = repairer.repair(copy)
            except Unrepairable as lost:
                failed += 1
                err.print(f"{safe(copy.url)}: cannot be repaired")
                for each in lost.told:
                    err.print(f"  {safe(each)}")
            except BaglineError as fault:
                failed += 1
                err.print(f"{safe(copy.url)}: {safe(fault)}")
            else:
                with acting_here("copy repaired", reason):
                    book.save([check], [event] if event else [])
                is_new = event is not None and event.event_type == "replication"
                out.print(f"{safe(copy.url)}: {REPAIRED if is_new else 'is sound'}")
    raise typer.Exit(OUR_FAULT if failed else 0)


def _count_bad(totals: list[PlaceTotals]) -> int:
    return sum(total.bad for total in totals)


def _tell_unread(places: dict[str, int]) -> None:
    for place, copies in places.items():
        err.print(
            f"{safe(place)}: nobody looks at what is there (copies: {copies:,}), for no storage "
            "option names it. Name the bucket in [[storage_options]]."
        )


class _Planned(msgspec.Struct, kw_only=True):
    """A look at every copy of a place. `cost` None: no price is known."""

    place: str
    requests: int
    bytes: int
    is_read: bool
    cost: float | None


def _cost_of(run: FixityRun) -> str:
    return f", {run.cost:,.2f} {safe(run.currency)}" if run.currency else ""


@contextmanager
def _looking(data_dir: Path | None, config: Path | None) -> Iterator[App]:
    """Of this, only the Registry is asked: no engine is started for it."""
    settings = looking_settings(standing_settings(data_dir, config))
    with App(settings, build_services(settings)) as app:
        yield app


def _kept(app: App) -> KeptCopies:
    return KeptCopies(app.services, app.settings)


def _by_place(totals: list[PlaceTotals]) -> dict[str, list[PlaceTotals]]:
    found: dict[str, list[PlaceTotals]] = defaultdict(list)
    for total in totals:
        found[total.place].append(total)
    return found


def _institution_id(app: App, name: str) -> int | None:
    if not name:
        return None
    known = app.services.registry.institution(name)
    if known is None:
        raise Gone(f"the Registry has no institution {name}")
    return known.id


def _copies_of(app: App, identifier: str) -> list[KeptCopy]:
    kept = _kept(app)
    known = app.services.registry.files([identifier], with_events=False).get(identifier)
    found = kept.book.of_file(known.id) if known is not None else []
    if not found:
        raise Gone(f"the Registry has no active file {identifier}")
    return found
