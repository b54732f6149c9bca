"""Whether a delivered item is to be worked on at all (contract A's skip rules, mended).

Looked at while the lease is held, on the item as the Registry has it now.
"""

from __future__ import annotations

from dataclasses import dataclass

from bagline.config import Settings
from bagline.errors import Gone
from bagline.model.times import Timestamp, is_set, to_datetime
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.lines.ingest.line import Line, Step
from bagline.problems import BAG_DELETED, BAG_NAME_UNUSABLE
from bagline.services.bundle import Services
from bagline.services.registry.base import WorkItemFilter
from bagline.worker.stage import Cancel, Outcome, Reject

ALIVE = (STATUS_PENDING, STATUS_STARTED)


@dataclass(frozen=True, slots=True)
class Run:
    """Work on it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do here, now or later; the delivery is done with."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet; the delivery goes back for `delay` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class SendForward:
    """Somebody ended it where it must not end: nothing of it is cleaned away, it goes on."""


Decision = Run | Skip | Wait | SendForward | Outcome

OWN_NODE = "bagline:"
"""Before the host's name in `node`, where other workers than Bagline's are on the line."""


def is_discard(step: Step, item: WorkItem) -> bool:
    """Whether this is the clean-up after a rejection or a cancellation."""
    return step.cleans_up and item.status in (STATUS_FAILED, STATUS_CANCELLED)


def skip_reason(step: Step, item: WorkItem) -> str:
    """Why the item does not belong to this step; "" when it does."""
    if is_discard(step, item):
        return ""
    if item.status not in ALIVE or not item.retry:
        return f"the item is {item.status}"
    if item.stage != step.work_stage:
        return f"the item is at {item.stage}"
    return ""


def is_held_elsewhere(item: WorkItem, seconds: float, now: Timestamp) -> bool:
    """Whether a worker that is not Bagline's, and so has no lease, holds the item: its name
    stands in the item, and the stage began less than `seconds` ago."""
    if not item.node or item.node.startswith(OWN_NODE) or item.status != STATUS_STARTED:
        return False
    if not is_set(item.stage_started_at):
        return False
    age = to_datetime(now) - to_datetime(item.stage_started_at)
    return age.total_seconds() < seconds


def decide(
    line: Line, step: Step, item: WorkItem, services: Services, settings: Settings, now: Timestamp
) -> Decision:
    """What to do with an item whose lease is held. Raises what the services raise."""
    reason = skip_reason(step, item)
    if reason:
        return Skip(reason)
    if settings.work.coexist and is_held_elsewhere(item, settings.work.foreign_owner_seconds, now):
        return Wait(settings.work.busy_delay_seconds, f"{item.node} says it works on it")
    if is_discard(step, item):
        return SendForward() if line.must_go_forward(item, services.registry) else Run()
    if step.cancel_if_newer or step.waits_for_earlier_bag:
        found = _against_others(line, step, item, services, settings)
        if found is not None:
            return found
    if step.reads_received:
        return _against_received(item, services)
    return Run()


def _against_others(
    line: Line, step: Step, item: WorkItem, services: Services, settings: Settings
) -> Decision | None:
    """Other items for a bag of this name: newer ones cancel this one, earlier ones go first."""
    wanted = WorkItemFilter(
        institution_id=item.institution_id,
        name=item.name,
        action=item.action,
        statuses=[*ALIVE, STATUS_SUSPENDED],
    )
    for other in services.registry.work_items(wanted, limit=20):
        if other.id == item.id:
            continue
        is_newer = (other.date_processed, other.id) > (item.date_processed, item.id)
        if other.status == STATUS_SUSPENDED:
            if is_newer or not line.must_go_forward(other, services.registry):
                continue
        elif is_newer and step.cancel_if_newer and other.etag != item.etag:
            return Cancel(f"a newer version of the bag is work item {other.id}")
        is_due = other.retry or other.status == STATUS_SUSPENDED
        if not is_newer and step.waits_for_earlier_bag and is_due:
            return Wait(
                settings.work.earlier_bag_delay_seconds,
                f"an earlier version of the bag is still in work (item {other.id})",
            )
    return None


def _against_received(item: WorkItem, services: Services) -> Decision:
    """The bag must still be there, and still be the version the item is about."""
    try:
        received = services.objects.head(item.bucket, item.name)
    except Gone:
        return Reject([BAG_DELETED.about(item.name)])
    except ValueError as fault:  # no client can ask for such a key
        return Reject([BAG_NAME_UNUSABLE.about(item.name, reason=fault)])
    if item.etag and received.etag != item.etag:
        return Cancel("a newer version of the bag took its place in the receiving bucket")
    return Run()
