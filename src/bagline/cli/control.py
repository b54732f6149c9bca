"""`bagline requeue ID` and `bagline cancel ID`: what an operator does to one item."""

from __future__ import annotations

from typing import Annotated

import typer

from bagline.app import App
from bagline.cli import guesses
from bagline.cli.choices import folded
from bagline.cli.common import (
    ConfigFile,
    DataDir,
    complain,
    err,
    settings_for,
)
from bagline.cli.exits import NOT_ALLOWED, OUR_FAULT
from bagline.cli.operating_user import Reason, acting_here
from bagline.config import Settings
from bagline.errors import Misconfigured, Refused, Unknown
from bagline.model.workitem import (
    OUTCOME_CHANGING,
    STAGES,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.services.registry.base import Conflict, Registry
from bagline.wiring import LINES, open_registry
from bagline.worker.line import Line, Step

CANCEL_TRIES = 10
FORCED_BACK = "forced back"
"""The act of taking an item to its first stage that could only go forward."""

ItemId = Annotated[int, typer.Argument(metavar="ID", autocompletion=guesses.item_ids)]


def requeue(
    item_id: ItemId,
    stage: Annotated[
        str,
        typer.Option(
            help="Go on from this stage; default: where it stopped.",
            autocompletion=guesses.stages,
        ),
    ] = "",
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Put an item back on the line: where it stopped, or at an earlier stage.

    An item whose bag was rejected or cancelled begins at the first stage again: its
    working records were cleaned away.
    """
    settings = settings_for(data_dir, config)
    with open_registry(settings) as registry, acting_here("requeue", reason):
        item = _known(registry, item_id)
        if item.status == STATUS_SUCCESS:
            complain(f"Work item {item_id} is done: there is nothing left to do.")
            raise typer.Exit(NOT_ALLOWED)
        if LINES.must_go_forward(item, registry):
            stage = stage or item.stage
            item.outcome = OUTCOME_CHANGING  # also from an earlier stage
        step = _step_for(_line_of(item), item, stage)
        item.stage = step.work_stage
        item.status = STATUS_PENDING
        item.retry = True
        item.needs_admin_review = False
        item.node, item.pid = "", 0
        item.note = f"Requeued at {step.work_stage} by an operator"
        try:
            registry.save_work_item(item)
        except Conflict as fault:
            raise Refused(str(fault)) from None
    _publish(item_id, step, settings)
    err.print(f"Work item {item_id} goes on at {step.work_stage}.")


def cancel(
    item_id: ItemId,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also where preserved copies were changed already: only if the bag is lost.",
        ),
    ] = False,
    reason: Reason = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Call an item off: nothing of it is recorded, the depositor's tar stays.

    A worker that is busy with it stops at its next safe place. A re-ingest that has begun to
    change preserved copies is refused: it can only go forward.
    """
    settings = settings_for(data_dir, config)
    with open_registry(settings) as registry:
        line = _line_of(_known(registry, item_id))
        for _ in range(CANCEL_TRIES):
            if _cancelled(registry, line, item_id, force=force, reason=reason):
                break
        else:
            complain(f"Work item {item_id} changes too fast to be cancelled: try again.")
            raise typer.Exit(OUR_FAULT)
    if line.cleanup is None:
        err.print(f"Work item {item_id} is cancelled.")
        return
    _publish(item_id, line.cleanup, settings)
    err.print(f"Work item {item_id} is cancelled; its clean-up is on the line.")


def _cancelled(registry: Registry, line: Line, item_id: int, *, force: bool, reason: str) -> bool:
    """Whether it was; not when a worker changed the item between the look and the write."""
    item = _known(registry, item_id)
    if item.is_completed:
        complain(f"Work item {item_id} is {item.status} already.")
        raise typer.Exit(NOT_ALLOWED)
    if line.must_go_forward(item, registry):
        if not force or not line.may_be_forced_back:
            complain(
                f"Work item {item_id} is not cancelled. {line.only_forward(item)}. "
                f"If it waits for an operator: bagline requeue {item_id}"
            )
            raise typer.Exit(NOT_ALLOWED)
        item.stage, item.status, item.outcome = line.first.work_stage, STATUS_SUSPENDED, ""
        with acting_here(FORCED_BACK, reason):
            item = registry.save_work_item(item, unless_changed=True)
    item.status = STATUS_CANCELLED
    item.retry = False
    item.needs_admin_review = False
    item.note = "Cancelled by an operator"
    item.outcome = line.words.cancelled
    with acting_here("cancel", reason):
        return registry.save_work_item(item, unless_changed=True).note == item.note


def _known(registry: Registry, item_id: int) -> WorkItem:
    item = registry.work_item(item_id)
    if item is None:
        raise Unknown(f"There is no work item {item_id}; `bagline items` lists them.")
    return item


def _line_of(item: WorkItem) -> Line:
    line = LINES.of(item)
    if line is None:
        raise Misconfigured(f"work item {item.id} is a {item.action}, for which there is no line")
    return line


def _step_for(line: Line, item: WorkItem, stage: str) -> Step:
    if not stage:
        begins_anew = item.status in (STATUS_FAILED, STATUS_CANCELLED)
        step = line.first if begins_anew else line.by_work_stage(item.stage)
    else:
        spelled = {folded(each): each for each in STAGES}
        step = line.by_work_stage(spelled.get(folded(stage), stage)) or line.by_name(stage)
    if step is None:
        known = ", ".join(s.work_stage for s in line)
        raise Misconfigured(f"there is no stage {stage or item.stage!r}; there are: {known}")
    return step


def _publish(item_id: int, step: Step, settings: Settings) -> None:
    """Tell the queue, if it runs; otherwise the reconciler does at the next start."""
    with App.open_running(settings) as app:
        if app is not None:
            app.services.queue.publish(step.topic, item_id)
