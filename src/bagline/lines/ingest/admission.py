"""Whether a bag is to be worked on now: against other uploads of it, and against what lies in
the receiving bucket (contract A, mended)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from bagline.errors import BaglineError, Gone, Replaced
from bagline.model.workitem import STATUS_SUSPENDED, WorkItem
from bagline.problems import BAG_DELETED, BAG_NAME_UNUSABLE
from bagline.worker.records import StepContext
from bagline.worker.stage import Cancel, Decision, Halt, Outcome, Reject, Run, Wait

log = structlog.get_logger(__name__)

REPLACED = "a newer version of the bag took its place in the receiving bucket"


def admit(
    item: WorkItem,
    others: Sequence[WorkItem],
    context: StepContext,
    *,
    cancel_if_newer: bool,
    waits_for_earlier_bag: bool,
    reads_received: bool,
    waits_for_deletion: bool,
    must_go_forward: Callable[[WorkItem], bool],
) -> Decision:
    """`others`: open items for a bag of this name. Looked at while the lease is held. Raises what
    the services raise."""
    for other in others:
        found = _against(item, other, cancel_if_newer, waits_for_earlier_bag, must_go_forward)
        if isinstance(found, str):
            return Wait(context.settings.work.earlier_bag_delay_seconds, found)
        if found is not None:
            return found
    if waits_for_deletion:
        # One that begins later finds this item open, and waits for it.
        begun = context.services.registry.begun_deletion(item.institution_id, item.name)
        if begun is not None:
            return Wait(
                context.settings.work.earlier_bag_delay_seconds,
                f"files of the object are being deleted (item {begun.id})",
            )
    return _against_received(item, context) if reads_received else Run()


def _against(
    item: WorkItem,
    other: WorkItem,
    cancel_if_newer: bool,
    waits_for_earlier_bag: bool,
    must_go_forward: Callable[[WorkItem], bool],
) -> Cancel | str | None:
    """Newer ones cancel this one; for earlier ones it waits, and the text says why."""
    is_newer = (other.date_processed, other.id) > (item.date_processed, item.id)
    if other.status == STATUS_SUSPENDED:
        if is_newer or not must_go_forward(other):
            return None
    elif is_newer and cancel_if_newer and other.etag != item.etag:
        return Cancel(f"a newer version of the bag is work item {other.id}")
    is_due = other.retry or other.status == STATUS_SUSPENDED
    if not is_newer and waits_for_earlier_bag and is_due:
        return f"an earlier version of the bag is still in work (item {other.id})"
    return None


def _against_received(item: WorkItem, context: StepContext) -> Decision:
    """The bag must still be there, and still be the version the item is about."""
    try:
        received = context.services.objects.head(item.bucket, item.name)
    except Gone as fault:
        return outcome_of(item, fault, reads_received=True)
    except ValueError as fault:  # no client can ask for such a key
        return Reject([BAG_NAME_UNUSABLE.about(item.name, reason=fault)])
    if item.etag and received.etag != item.etag:
        return Cancel(REPLACED)
    return Run(received)


def outcome_of(item: WorkItem, fault: BaglineError, *, reads_received: bool) -> Outcome:
    """Of what a look at the received bag, or the stage that reads it, raised."""
    match fault:
        case Replaced():
            return Cancel("the bag was replaced in the receiving bucket while it was being read")
        case Gone() if reads_received:
            # Stages that read the tar deal with their other objects by themselves.
            return Reject([BAG_DELETED.about(item.name)])
        case _:
            return Halt(str(fault))
