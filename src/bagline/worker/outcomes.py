"""What a stage raised, as an outcome: by what the one who raised it says can be done."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import structlog

from bagline.errors import (
    BaglineError,
    BagRejected,
    BrokenState,
    CalledOff,
    Draining,
    Gone,
    LeaseLost,
    NoRoom,
    ProofFailed,
    Replaced,
    Unreachable,
)
from bagline.model.workitem import WorkItem
from bagline.lines.ingest.line import Step
from bagline.problems import BAG_DELETED
from bagline.worker.stage import Cancel, Halt, Outcome, Reject, Retry

log = structlog.get_logger(__name__)


def outcome_of(step: Step, item: WorkItem, act: Callable[[], Outcome]) -> Outcome | None:
    """The outcome of `act`, whatever it raised; None when it was asked to stop.

    LeaseLost passes: then nothing may be written, not even an outcome.
    """
    try:
        return act()
    except Draining:
        return None
    except LeaseLost:
        raise
    except BagRejected as fault:
        return Reject(fault.problems)
    except CalledOff as fault:
        return Cancel(str(fault))
    except Replaced:
        return Cancel("the bag was replaced in the receiving bucket")
    except Gone as fault:
        # Stages that read the tar deal with their other objects by themselves.
        return Reject([BAG_DELETED.about(item.name)]) if step.reads_received else Halt(str(fault))
    except NoRoom as fault:
        return Retry(str(fault), uses_patience=False)
    except (Unreachable, ProofFailed) as fault:
        return Retry(str(fault))
    except BrokenState as fault:
        return Halt(str(fault), requeue_at=fault.requeue_at)
    except BaglineError as fault:
        return Halt(str(fault))
    except Exception as fault:  # noqa: BLE001 (the item must not be lost to a fault of ours)
        log.error("stage_fault", item=item.id, stage=step.name, trace=traceback.format_exc())
        return Retry(f"unexpected fault in Bagline ({type(fault).__name__}: {fault})")
