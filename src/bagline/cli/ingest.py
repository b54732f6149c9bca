"""`bagline ingest BAG.tar…`: bags in with one command; proven copies out, or every Problem."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bagline.app import App, line_processes
from bagline.cli import guesses
from bagline.cli.common import (
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
from bagline.cli.depositors import whose_bags
from bagline.cli.exits import DONE, OUR_FAULT, REJECTED
from bagline.cli.items import show_problems, show_report
from bagline.cli.journey import Journey
from bagline.cli.operating_user import Reason, acting_here
from bagline.cli.tellers import Bars, JsonLines, Teller, tell
from bagline.cli.watching import STOPPING, CtrlC, watch
from bagline.config import Settings
from bagline.embedded import check_room
from bagline.errors import Unknown, Unreachable, WrongCall
from bagline.lines.ingest.line import INGEST_LINE
from bagline.logs import configure_logs
from bagline.model.ingest import tar_key
from bagline.model.workitem import (
    NOTE_CHARACTERS,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.wiring import LOCAL_PROVIDER, make_data_dir
from bagline.worker.processes import WorkerProcesses, WorkersRunElsewhere, line_runner

NOT_YET = "Stopping: no bag is on the line yet. To begin again: the same command."
BETWEEN = (
    "Stopping: bags that are uploaded stay on the line. To go on: the same command again, which "
    "uploads the others."
)
FULL_SECONDS = 2.0
"""Between looks at a full disk."""
HEALING_SECONDS = 90.0
"""How long after a full disk the store may still stumble."""


def ingest(
    bags: Annotated[list[Path], typer.Argument(metavar="BAG.tar…", help="Tarred BagIt bags.")],
    institution: Annotated[
        str,
        typer.Option(
            help="Whose bags they are. [default: the setting institution, or the only one]",
            autocompletion=guesses.institutions,
        ),
    ] = "",
    reason: Reason = "",
    json: AsJson = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Take bags through the whole line, and say what was preserved where, or what is wrong.

    Starts the engines of this machine unless they run.
    """
    configure_logs(level="error")
    _check_files(bags)
    settings = settings_for(data_dir, config)
    depositor = whose_bags(settings, institution)
    close_data_directory(settings, config)
    if settings.is_embedded:
        check_room(settings.data_dir, sum(bag.stat().st_size for bag in bags))
    if settings.is_embedded:
        make_data_dir(settings)
    teller: Teller = JsonLines() if json else Bars()
    journeys = [Journey(tar_key(bag.name), bag.stat().st_size, INGEST_LINE) for bag in bags]
    with ExitStack() as stack:
        ctrl_c = stack.enter_context(CtrlC())
        ctrl_c.says = NOT_YET
        telling = stack.enter_context(ExitStack())
        telling.enter_context(teller)
        teller.show(journeys)
        # They take as long to start as the engines do, and wait for these.
        # One for each bag, as one bag is in one stage at a time.
        count = min(settings.work.processes, len(bags))
        workers = started(stack, line_processes(settings, config, processes=count))
        app = stack.enter_context(App.open(settings))
        if workers is not None:
            stack.enter_context(app.running_line(workers))
        reader_runs = workers is None
        with acting_here("ingest", reason):
            ctrl_c.says = BETWEEN
            items = _uploaded(app, depositor, bags, journeys, teller, reader_runs=reader_runs)
            ctrl_c.says = STOPPING

        def is_served() -> bool:
            if workers is not None:
                return not workers.keep_dying or bool(app.shortage())
            return line_runner(settings.data_dir) is not None

        ended = watch(app, items, is_served, journeys=journeys, teller=teller)
        telling.close()
        code = _report(app, ended, as_json=json)
    raise typer.Exit(code)


def _uploaded(
    app: App,
    institution: str,
    bags: list[Path],
    journeys: list[Journey],
    teller: Teller,
    *,
    reader_runs: bool,
) -> list[WorkItem]:
    """Their work items, in the order of the bags."""
    items = []
    for bag, journey in zip(bags, journeys, strict=True):

        def sent(count: int, journey: Journey = journey) -> None:
            journey.sent(count)
            teller.show(journeys)

        items.append(_when_there_is_room(app, institution, bag, reader_runs, sent))
    return items


def started(stack: ExitStack, workers: WorkerProcesses) -> WorkerProcesses | None:
    """The workers, stopped with the stack; None where others run the line."""
    try:
        return stack.enter_context(workers)
    except WorkersRunElsewhere:
        err.print("The line is running already; the bags join it.")
        return None


def _check_files(bags: list[Path]) -> None:
    """Raises Unknown for what is no file, Misconfigured for twice the same name."""
    for bag in bags:
        if not bag.is_file():
            raise Unknown(f"{bag} is not a file; give the path of a tarred bag")
    names = [tar_key(bag.name) for bag in bags]
    for name in names:
        if names.count(name) > 1:
            raise WrongCall(
                f"two of the bags are called {name}; the later would replace the earlier "
                "in the receiving bucket: ingest them one after the other"
            )


def _when_there_is_room(
    app: App, institution: str, bag: Path, reader_runs: bool, sent: Callable[[int], object]
) -> WorkItem:
    """`App.ingest`, again and again while this machine's disk is full, and a while longer: the
    store is started anew then."""
    full_at: float | None = None
    while True:
        try:
            return app.ingest(bag, institution, reader_runs=reader_runs, sent=sent)
        except Unreachable:
            why = app.shortage()
            if why:
                if full_at is None:
                    err.print(f"{safe(bag.name)} waits: {safe(why, NOTE_CHARACTERS)}.")
                full_at = time.monotonic()
            elif full_at is None or time.monotonic() - full_at > HEALING_SECONDS:
                raise
            time.sleep(FULL_SECONDS)


def _report(app: App, items: list[WorkItem], *, as_json: bool) -> int:
    registry = app.services.registry
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
                _say_where(app.settings, report)
            elif item.status != STATUS_FAILED:
                out.print(f"  {safe(item.note, NOTE_CHARACTERS)}")
            show_problems(problems)
            if item.status == STATUS_FAILED:
                out.print("  Ingest stopped; nothing was stored. Mend the bag and ingest it again.")
    if as_json:
        tell("end", bags=documents)
    statuses = {item.status for item in items}
    if statuses <= {STATUS_SUCCESS}:
        return DONE
    if statuses <= {STATUS_SUCCESS, STATUS_FAILED}:
        return REJECTED
    if STATUS_CANCELLED not in statuses:
        complain("An operator must look at the items that are not finished: bagline items")
    return OUR_FAULT


def _say_where(settings: Settings, report: dict[str, object]) -> None:
    copies = report.get("copies")
    if not isinstance(copies, dict) or not settings.is_embedded:
        return
    if len([name for name in copies if name.startswith(LOCAL_PROVIDER)]) > 1:
        out.print(
            f"  [yellow]Note[/] The copies are in different buckets of one store, on one disk "
            f"({safe(settings.data_dir)}): a try-out of the line, no protection against its loss."
        )
