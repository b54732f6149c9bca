"""`bagline items` and `bagline show ID`: what is on the line, and all about one item."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bagline.cli.common import (
    EXIT_OUR_FAULT,
    AsJson,
    ConfigFile,
    DataDir,
    complain,
    out,
    safe,
    settings_for,
    size_text,
    styled_status,
    warn_of_shortage,
)
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.services.registry.base import WorkItemFilter
from bagline.wiring import open_registry
from bagline.worker.settlement import NOTE_CHARACTERS


def items(
    status: Annotated[
        list[str] | None, typer.Option(help="Only these statuses (repeat for more).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Work items, newest first."""
    settings = settings_for(data_dir, config)
    warn_of_shortage(settings)
    with open_registry(settings) as registry:
        found = registry.work_items(WorkItemFilter(statuses=status), limit=limit)
        names = {i.id: i.identifier for i in registry.institutions()}
    if json:
        print(msgspec.json.encode(found).decode())
        return
    if not found:
        out.print("No work items. `bagline ingest BAG.tar` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "Institution", "Bag", "Size", "Stage", "Status", "Note"):
        table.add_column(heading, justify="right" if heading in {"ID", "Size"} else "left")
    for item in found:
        table.add_row(
            str(item.id),
            safe(names.get(item.institution_id, "?")),
            safe(item.name),
            size_text(item.size),
            item.stage,
            styled_status(item.status),
            safe(item.note[:100]),
        )
    out.print(table)


def show(
    item_id: Annotated[int, typer.Argument(metavar="ID")],
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """One work item: where it is, every problem of its bag, what was preserved."""
    settings = settings_for(data_dir, config)
    warn_of_shortage(settings)
    with open_registry(settings) as registry:
        item = registry.work_item(item_id)
        problems = registry.problems(item_id)
        report = registry.report(item_id)
    if item is None:
        complain(f"There is no work item {item_id}; `bagline items` lists them.")
        raise typer.Exit(EXIT_OUR_FAULT)
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
    for label, value in (
        ("Stage", item.stage),
        ("Note", item.note),
        ("Outcome", item.outcome),
        ("Worker", f"{item.node} (pid {item.pid})" if item.node else "none"),
        ("Bag", f"s3://{item.bucket}/{item.name}, {size_text(item.size)}, ETag {item.etag}"),
        ("Object", item.object_identifier),
        ("Taken", item.date_processed),
        ("Changed", item.updated_at),
    ):
        if value:
            out.print(f"  {label:<8} {safe(value, NOTE_CHARACTERS)}")
    if item.needs_admin_review:
        out.print("  [bold red]An operator must look at this item.[/]")


def show_problems(problems: list[Problem], *, to: Console = out) -> None:
    """Every problem: code, place, and what to do."""
    for problem in problems:
        style = "red" if problem.severity == "error" else "yellow"
        subject = f"{safe(problem.subject)}: " if problem.subject else ""
        message = safe(problem.message, NOTE_CHARACTERS)
        to.print(f"  [{style}]{problem.code}[/]  {subject}{message}")


def show_report(report: dict[str, object]) -> None:
    """What was preserved where, in which formats, verified how; or what was restored."""
    if "restored_to" in report:
        size = size_text(float(str(report["bytes"])))
        place = safe(report["restored_to"])
        out.print(f"  Restored {report['files']} files, {size}, to {place}")
        return
    where = f"{safe(report['object'])} ({safe(report['storage_option'])})"
    unchanged = report.get("unchanged_files")
    if report["files"] or not unchanged:
        size = size_text(float(str(report["bytes"])))
        out.print(f"  Preserved {report['files']} files, {size}, as {where}")
    if unchanged:
        out.print(f"  {unchanged} files of {where} were preserved already, and are unchanged")
    if report.get("copies_stored_anew"):
        out.print(
            f"  [yellow]{report['copies_stored_anew']} of their copies were missing or damaged, "
            "and were stored anew from this bag[/]"
        )
    _show_counts("Formats", report.get("formats"))
    _show_counts("Copies", report.get("copies"))
    _show_counts("Digests that matched the bag's manifests", report.get("digests_matched"))
    _show_counts("Copies verified by", report.get("copies_verified"))


def _show_counts(heading: str, counts: object) -> None:
    if not isinstance(counts, dict) or not counts:
        return
    out.print(f"  {heading}")
    for name, count in counts.items():
        out.print(f"    {count:>8}  {safe(name)}")
