"""`bagline items` and `bagline show ID`: what is on the line, and all about one item."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bagline.cli import guesses
from bagline.cli.choices import moment_of, one_of
from bagline.cli.common import (
    AsJson,
    ConfigFile,
    DataDir,
    counted,
    cut_at_word,
    labelled,
    local_time,
    out,
    safe,
    settings_for,
    size_text,
    styled_status,
    warn_of_shortage,
)
from bagline.cli.depositors import known_institution
from bagline.errors import Unknown
from bagline.model.ingest import tar_key
from bagline.model.times import Timestamp, to_datetime
from bagline.model.workitem import NOTE_CHARACTERS, STAGES, STATUS_SUCCESS, STATUSES, WorkItem
from bagline.problems import Problem
from bagline.registry_wiring import open_registry
from bagline.services.registry.base import Registry, WorkItemFilter

WATCH_SECONDS = 2.0
WIDE = 120
"""Columns from which on the table has room for notes."""
LISTED_NOTE = 160
"""Characters of a note in the list; `show` has all of it."""


def _stage(text: str) -> str:
    return one_of(text, STAGES, "stage") if text else ""


def _statuses(texts: list[str] | None) -> list[str]:
    return [one_of(text, STATUSES, "status") for text in texts or []]


def _since(text: str) -> str:
    return moment_of(text) if text else ""


def items(
    bag: Annotated[str, typer.Option(help="Only this bag, with or without .tar.")] = "",
    institution: Annotated[
        str, typer.Option(help="Only of this institution.", autocompletion=guesses.institutions)
    ] = "",
    stage: Annotated[
        str,
        typer.Option(help="Only at this stage.", callback=_stage, autocompletion=guesses.stages),
    ] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="Only of this status (repeat for more).",
            callback=_statuses,
            autocompletion=guesses.statuses,
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            help="Only what was worked on since: 2026-01-31, 2026-01-31T12:00, 12h, 3d.",
            callback=_since,
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show them anew every two seconds, until Ctrl-C.")
    ] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Work items, newest first."""
    if watch and json:
        raise typer.BadParameter("--watch is for people: leave out --json")
    settings = settings_for(data_dir, config)
    warn_of_shortage(settings)
    wanted = WorkItemFilter(
        name=tar_key(bag) if bag else None, stage=stage or None, statuses=status or None
    )
    is_filtered = bool(bag or institution or stage or status or since)
    with open_registry(settings) as registry:
        if institution:
            whose = known_institution(registry, institution)
            wanted = replace(wanted, institution_id=whose.id)
        while True:
            found = _found(registry, wanted, Timestamp(since), limit)
            if json:
                print(msgspec.json.encode(found).decode())
                return
            names = {i.id: i.identifier for i in registry.institutions()}
            if watch:
                out.clear()
            _list(found, names, is_filtered=is_filtered)
            if not watch:
                return
            time.sleep(WATCH_SECONDS)


def _found(
    registry: Registry, wanted: WorkItemFilter, since: Timestamp, limit: int
) -> list[WorkItem]:
    found = registry.work_items(wanted, limit=limit)
    if not since:
        return found
    first = to_datetime(since)
    return [item for item in found if to_datetime(item.date_processed) >= first]


def _list(found: list[WorkItem], names: Mapping[int, str], *, is_filtered: bool) -> None:
    if not found and is_filtered:
        out.print("No work items are like that. `bagline items` lists all.")
        return
    if not found:
        out.print("No work items. `bagline ingest BAG.tar` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Institution", overflow="fold")
    table.add_column("Bag", overflow="fold")
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Stage", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    has_room = out.width >= WIDE
    if has_room:
        table.add_column("Note")
    for item in found:
        cells = (
            str(item.id),
            safe(names.get(item.institution_id, "?")),
            safe(item.name),
            size_text(item.size),
            item.stage,
            styled_status(item.status),
        )
        note = safe(cut_at_word(item.note, LISTED_NOTE))
        table.add_row(*cells, *([note] if has_room else []))
    out.print(table)
    if not has_room:
        _show_notes([item for item in found if item.note and item.status != STATUS_SUCCESS])


def _show_notes(found: list[WorkItem]) -> None:
    """Below the table, where it has no room for them."""
    rows = labelled()
    for item in found:
        rows.add_row(str(item.id), safe(cut_at_word(item.note, LISTED_NOTE)))
    if found:
        out.print()
        out.print(rows)


def show_item(registry: Registry, item_id: int, *, json: bool) -> None:
    """One work item: where it is, every problem of its bag, what was preserved. Raises Unknown."""
    item = registry.work_item(item_id)
    if item is None:
        raise Unknown(f"There is no work item {item_id}; `bagline items` lists them.")
    problems = registry.problems(item_id)
    report = registry.report(item_id)
    if json:
        document = {"item": item, "problems": problems, "report": report}
        print(msgspec.json.encode(document).decode())
        return
    _show_item(item)
    show_problems(problems)
    if report:
        show_report(report)


def _show_item(item: WorkItem) -> None:
    out.print(f"[bold]Work item {item.id}[/]  {safe(item.name)}  {styled_status(item.status)}")
    rows = labelled()
    for label, value in (
        ("Stage", item.stage),
        ("Note", item.note),
        ("Outcome", item.outcome),
        ("Worker", f"{item.node} (pid {item.pid})" if item.node else "none"),
        ("Bag", f"s3://{item.bucket}/{item.name}, {size_text(item.size)}, ETag {item.etag}"),
        ("Object", item.object_identifier),
        ("Taken", local_time(item.date_processed)),
        ("Changed", local_time(item.updated_at)),
    ):
        if value:
            rows.add_row(f"  {label}", safe(value, NOTE_CHARACTERS))
    out.print(rows)
    if item.needs_admin_review:
        out.print("  [bold red]An operator must look at this item.[/]")


def show_problems(problems: list[Problem], *, to: Console = out) -> None:
    """Every problem: code, place, and what to do."""
    for problem in problems:
        style = "red" if problem.severity == "error" else "yellow"
        subject = f"{safe(problem.subject)}: " if problem.subject else ""
        message = safe(problem.message, NOTE_CHARACTERS)
        to.print(f"  [{style}]{problem.code}[/]  {subject}{message}")


def show_report(report: Mapping[str, Any]) -> None:
    """What was preserved where, in which formats, verified how; or what was restored."""
    if "restored_to" in report:
        size = size_text(float(str(report["bytes"])))
        place = safe(report["restored_to"])
        out.print(f"  Restored {report['files']} files, {size}, to {place}")
        return
    _show_what_came(report)
    if report.get("copies_stored_anew"):
        out.print(
            f"  [yellow]{report['copies_stored_anew']} of their copies were missing or damaged, "
            "and were stored anew from this bag[/]"
        )
    _show_counts("Formats", report.get("formats"))
    _show_counts("Copies", report.get("copies"))
    _show_counts("Digests that matched the bag's manifests", report.get("digests_matched"))
    _show_counts("Copies verified by", report.get("copies_verified"))


def _show_what_came(report: Mapping[str, Any]) -> None:
    where = f"{safe(report['object'])} ({safe(report['storage_option'])})"
    came, unchanged = int(report["files"]), int(report.get("unchanged_files") or 0)
    before = report.get("preserved_before")
    since = f", on {local_time(before)}" if before else ""
    if came or not unchanged:
        size = size_text(float(report["bytes"]))
        out.print(f"  Preserved {counted(came, 'file')}, {size}, as {where}{_kinds(report)}")
        if unchanged:
            out.print(f"  {counted(unchanged, 'file')} unchanged, preserved before{since}")
    else:
        out.print(
            f"  Unchanged: all {counted(unchanged, 'file')} of {where} were preserved before{since}"
        )
    others = int(report.get("bag_files") or 0) - came - unchanged
    if others > 0:
        out.print(
            f"  {counted(others, 'other file')} of the bag (bagit.txt, manifests) made anew "
            "when it is restored"
        )
    if lacking := int(report.get("lacking_files") or 0):
        out.print(
            f"  The version before has {counted(lacking, 'file')} that this bag lacks; what is "
            "preserved stays:"
        )
        names = list(report.get("lacking") or [])
        for name in names:
            out.print(f"    {safe(name)}")
        if lacking > len(names):
            out.print(f"    and {lacking - len(names):,} more")


def _kinds(report: Mapping[str, Any]) -> str:
    """What the files that came are: of a first version payload and the bag's own, of a later one
    new and changed ones."""
    came = int(report["files"])
    if report.get("is_reingest") and "changed_files" in report:
        changed = int(report["changed_files"])
        return f": {came - changed:,} new, {changed:,} changed"
    if "payload_files" not in report:
        return ""
    payload = int(report["payload_files"])
    return f": {payload:,} payload, {came - payload:,} of the bag's own"


def _show_counts(heading: str, counts: object) -> None:
    if not isinstance(counts, dict) or not counts:
        return
    out.print(f"  {heading}")
    for name, count in counts.items():
        out.print(f"    {count:>8}  {safe(name)}")
