"""`bagline requeue ID` and `bagline cancel ID`: what an operator does to one item."""

from __future__ import annotations

from typing import Annotated

import typer

from bagline.cli.common import (
    EXIT_OUR_FAULT,
    ConfigFile,
    DataDir,
    complain,
    err,
    settings_for,
)
from bagline.config import Settings
from bagline.errors import Misconfigured
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.pipeline import INGEST_LINE, Step
from bagline.services.registry.base import Registry
from bagline.wiring import open_registry, open_running

ItemId = Annotated[int, typer.Argument(metavar="ID")]


def requeue(
    item_id: ItemId,
    stage: Annotated[
        str, typer.Option(help="Go on from this stage; default: where it stopped.")
    ] = "",
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Put an item back on the line: where it stopped, or at an earlier stage.

    An item whose bag was rejected or cancelled begins at the first stage again: its
    working records were cleaned away.
    """
    settings = settings_for(data_dir, config)
    with open_registry(settings) as registry:
        item = _known(registry, item_id)
        if item.status == STATUS_SUCCESS:
            complain(f"Work item {item_id} was ingested; there is nothing left to do.")
            raise typer.Exit(EXIT_OUR_FAULT)
        step = _step_for(item, stage)
        item.stage = step.work_stage
        item.status = STATUS_PENDING
        item.retry = True
        item.needs_admin_review = False
        item.node, item.pid = "", 0
        item.note = f"Requeued at {step.work_stage} by an operator"
        registry.save_work_item(item)
    _publish(item_id, step, settings)
    err.print(f"Work item {item_id} goes on at {step.work_stage}.")


def cancel(item_id: ItemId, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Call an item off: nothing of it is preserved, the depositor's tar stays.

    A worker that is busy with it stops at its next safe place.
    """
    settings = settings_for(data_dir, config)
    with open_registry(settings) as registry:
        item = _known(registry, item_id)
        if item.is_completed:
            complain(f"Work item {item_id} is {item.status} already.")
            raise typer.Exit(EXIT_OUR_FAULT)
        item.status = STATUS_CANCELLED
        item.retry = False
        item.needs_admin_review = False
        item.note = "Cancelled by an operator"
        item.outcome = "Ingest cancelled"
        registry.save_work_item(item)
    _publish(item_id, INGEST_LINE.cleanup, settings)
    err.print(f"Work item {item_id} is cancelled; what it left in staging is cleaned up.")


def _known(registry: Registry, item_id: int) -> WorkItem:
    item = registry.work_item(item_id)
    if item is None:
        complain(f"There is no work item {item_id}; `bagline items` lists them.")
        raise typer.Exit(EXIT_OUR_FAULT)
    return item


def _step_for(item: WorkItem, stage: str) -> Step:
    if not stage:
        begins_anew = item.status in (STATUS_FAILED, STATUS_CANCELLED)
        wanted = INGEST_LINE.first.work_stage if begins_anew else item.stage
        step = INGEST_LINE.by_work_stage(wanted)
    else:
        step = INGEST_LINE.by_work_stage(stage) or INGEST_LINE.by_name(stage)
    if step is None:
        known = ", ".join(s.work_stage for s in INGEST_LINE)
        raise Misconfigured(f"there is no stage {stage or item.stage!r}; there are: {known}")
    return step


def _publish(item_id: int, step: Step, settings: Settings) -> None:
    """Tell the queue, if it runs; otherwise the reconciler does at the next start."""
    with open_running(settings) as house:
        if house is not None:
            house.services.queue.publish(step.topic, item_id)
