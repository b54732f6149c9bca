"""`bagline ingest BAG.tar…`: bags in with one command; proven copies out, or every Problem."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bagline.cli.common import (
    EXIT_DONE,
    EXIT_OUR_FAULT,
    EXIT_REJECTED,
    AsJson,
    ConfigFile,
    DataDir,
    close_data_directory,
    complain,
    err,
    out,
    safe,
    settings_for,
    styled_status,
)
from bagline.cli.items import show_problems, show_report
from bagline.cli.up import running_line
from bagline.cli.watching import watch
from bagline.config import Settings
from bagline.embedded import check_room
from bagline.errors import Misconfigured, Refused, Unreachable
from bagline.logs import configure_logs
from bagline.model.registry import Institution
from bagline.model.workitem import (
    ACTION_INGEST,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.objects.base import Target
from bagline.services.registry.base import WorkItemFilter
from bagline.units import MIB
from bagline.wiring import LOCAL_PROVIDER, House, open_house
from bagline.worker.processes import WorkerProcesses, WorkersRunElsewhere, line_runner
from bagline.worker.settlement import NOTE_CHARACTERS

READ_BYTES = 8 * MIB
FULL_SECONDS = 2.0
"""Between looks at a full disk."""
HEALING_SECONDS = 90.0
"""How long after a full disk the store may still stumble."""
READER_SECONDS = 15.0
"""How long the bucket reader may take to find a bag."""


def ingest(
    bags: Annotated[list[Path], typer.Argument(metavar="BAG.tar…", help="Tarred BagIt bags.")],
    institution: Annotated[str, typer.Option(help="Whose bags they are.")] = "test.edu",
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Take bags through the whole line, and say what was preserved where, or what is wrong.

    Starts the engines of this machine unless they run. Exit code 0: all ingested; 2: a
    bag was rejected; 1: our fault.
    """
    configure_logs(level="error")
    _check_files(bags)
    settings = settings_for(data_dir, config)
    close_data_directory(settings, config)
    with ExitStack() as stack:
        house = stack.enter_context(open_house(settings))
        if settings.is_embedded:
            check_room(settings.data_dir, sum(bag.stat().st_size for bag in bags))
        depositor = house.ensure_institution(institution)
        workers: WorkerProcesses | None = None
        try:
            workers = stack.enter_context(running_line(house, settings, config))
        except WorkersRunElsewhere:
            err.print("The line is running already; the bags join it.")
        reader_runs = workers is None
        items = [_when_there_is_room(house, depositor, bag, reader_runs) for bag in bags]

        def is_served() -> bool:
            if workers is not None:
                return not workers.keep_dying or bool(house.shortage())
            return line_runner(settings.data_dir) is not None

        ended = watch(house, items, is_served, quiet=json)
        code = _report(house, ended, as_json=json)
    raise typer.Exit(code)


def _check_files(bags: list[Path]) -> None:
    """Raises Misconfigured for what is no file, or twice the same name."""
    for bag in bags:
        if not bag.is_file():
            raise Misconfigured(f"{bag} is not a file; give the path of a tarred bag")
    names = [bag.name for bag in bags]
    for name in names:
        if names.count(name) > 1:
            raise Misconfigured(
                f"two of the bags are called {name}; the later would replace the earlier "
                "in the receiving bucket: ingest them one after the other"
            )


def _when_there_is_room(
    house: House, depositor: Institution, bag: Path, reader_runs: bool
) -> WorkItem:
    """`deposit`, again and again while this machine's disk is full, and a while longer: the store
    is started anew then."""
    full_at: float | None = None
    while True:
        try:
            return deposit(house, depositor, bag, reader_runs=reader_runs)
        except Unreachable:
            why = house.shortage()
            if why:
                if full_at is None:
                    err.print(f"{safe(bag.name)} waits: {safe(why, NOTE_CHARACTERS)}.")
                full_at = time.monotonic()
            elif full_at is None or time.monotonic() - full_at > HEALING_SECONDS:
                raise
            time.sleep(FULL_SECONDS)


def deposit(
    house: House, depositor: Institution, bag: Path, *, reader_runs: bool = False
) -> WorkItem:
    """Put the bag where depositors put theirs, and its work item on the line.

    Where a bucket reader runs beside us (`reader_runs`), making the item is its part,
    unless it would pass the bag over: then it was asked for by name, and is made here. An older
    version that is being stored is waited for. Raises Refused where that one waits for an operator.
    """
    key = bag.name if bag.name.endswith(".tar") else f"{bag.name}.tar"
    target = Target(bucket=depositor.receiving_bucket, key=key, content_type="application/x-tar")
    house.services.objects.put_stream(target, _chunks(bag), size=bag.stat().st_size, sha256="")
    received = house.services.objects.head(depositor.receiving_bucket, key)
    wanted = WorkItemFilter(
        institution_id=depositor.id, name=key, etag=received.etag, action=ACTION_INGEST
    )
    reader = house.bucket_reader()
    waits_for_reader = reader_runs and not reader.is_known(depositor, received)
    deadline = time.monotonic() + READER_SECONDS
    while True:
        for item in house.services.registry.work_items(wanted, limit=1):
            if not item.is_completed:
                return item  # the reader's, or that of an earlier run that was interrupted
        if not waits_for_reader or time.monotonic() > deadline:
            item = reader.make_item(depositor, received)
            if item.etag == received.etag:
                return item
            _check_older(item)
        time.sleep(0.1)


def _check_older(item: WorkItem) -> None:
    if item.status == STATUS_SUSPENDED:
        raise Refused(
            f"an older version of {item.name} (work item {item.id}) has begun to be stored, and "
            f"waits for an operator (bagline show {item.id}): end it, then ingest this one again"
        )


def _chunks(bag: Path) -> Iterator[bytes]:
    with bag.open("rb") as source:
        while chunk := source.read(READ_BYTES):
            yield chunk


def _report(house: House, items: list[WorkItem], *, as_json: bool) -> int:
    registry = house.services.registry
    documents = []
    for item in items:
        problems = registry.problems(item.id)
        report = registry.report(item.id) if item.status == STATUS_SUCCESS else None
        documents.append(
            {
                "bag": item.name,
                "work_item": item.id,
                "status": item.status,
                "stage": item.stage,
                "note": item.note,
                "problems": problems,
                "report": report,
            }
        )
        if not as_json:
            out.print(f"[bold]{safe(item.name)}[/]  {styled_status(item.status)}")
            if report:
                show_report(report)
                _say_where(house.settings, report)
            elif item.status != STATUS_FAILED:
                out.print(f"  {safe(item.note, NOTE_CHARACTERS)}")
            show_problems(problems)
            if item.status == STATUS_FAILED:
                out.print("  Ingest stopped; nothing was stored. Mend the bag and ingest it again.")
    if as_json:
        print(msgspec.json.encode({"bags": documents}).decode())
    statuses = {item.status for item in items}
    if statuses <= {STATUS_SUCCESS}:
        return EXIT_DONE
    if statuses <= {STATUS_SUCCESS, STATUS_FAILED}:
        return EXIT_REJECTED
    if STATUS_CANCELLED not in statuses:
        complain("An operator must look at the items that are not finished: bagline items")
    return EXIT_OUR_FAULT


def _say_where(settings: Settings, report: dict[str, object]) -> None:
    copies = report.get("copies")
    if not isinstance(copies, dict) or not settings.is_embedded:
        return
    if len([name for name in copies if name.startswith(LOCAL_PROVIDER)]) > 1:
        out.print(
            f"  [yellow]Note[/] The copies are in different buckets of one store, on one disk "
            f"({safe(settings.data_dir)}): a try-out of the line, no protection against its loss."
        )
