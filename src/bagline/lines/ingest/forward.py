"""From Store on an item of a known object only goes forward: its copies hold bytes whose digests
the Registry learns later (docs/decisions/only-forward.md)."""

from __future__ import annotations

from bagline.model.ingest import object_identifier
from bagline.model.workitem import (
    ACTION_INGEST,
    OUTCOME_CHANGING,
    STAGE_RECEIVE,
    STATUS_SUCCESS,
    WorkItem,
)
from bagline.services.registry.base import Registry
from bagline.worker.settlement import problems_note
from bagline.worker.stage import Cancel, Halt, Outcome, Reject

ONLY_FORWARD = (
    "This ingest has begun to change preserved copies of an object that the Registry knows. Called "
    "off here it would leave new bytes under the digests of the old ones, so it can only go forward"
)


def must_go_forward(item: WorkItem, registry: Registry, *, has_stored: bool) -> bool:
    """`has_stored`: the item's stage is one that changes copies, or comes after it."""
    if item.status == STATUS_SUCCESS:
        return False
    if item.outcome == OUTCOME_CHANGING:
        return True
    if item.action != ACTION_INGEST or not has_stored:
        return False
    institution = registry.institution(item.institution_id)
    return institution is not None and (
        registry.intellectual_object(object_identifier(institution.identifier, item.name))
        is not None
    )


def kept_going(item: WorkItem, outcome: Outcome, rejected_note: str) -> Outcome:
    """What a verdict becomes for an item that can only go forward."""
    match outcome:
        case Reject(problems):
            reason = problems_note(rejected_note, problems)
        case Cancel(reason):
            pass
        case _:
            return outcome
    return Halt(
        f"{reason.rstrip('.')}. {ONLY_FORWARD}: put the bag with the ETag {item.etag} back into "
        f"the receiving bucket, or, where that is gone, `bagline cancel {item.id} --force` and "
        "send its newest version again, which mends what it holds",
        requeue_at=STAGE_RECEIVE,
    )
