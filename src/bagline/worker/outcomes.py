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
    LeaseLost,
    NoRoom,
    ProofFailed,
    Unreachable,
)
from bagline.worker.claim import Claim
from bagline.worker.line import Line, Step
from bagline.worker.stage import Cancel, Halt, Outcome, Reject, Retry

log = structlog.get_logger(__name__)


def outcome_of(line: Line, step: Step, claim: Claim, act: Callable[[], Outcome]) -> Outcome | None:
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
    except NoRoom as fault:
        return Retry(str(fault), uses_patience=False)
    except (Unreachable, ProofFailed) as fault:
        return Retry(str(fault))
    except BrokenState as fault:
        return Halt(str(fault), requeue_at=fault.requeue_at)
    except BaglineError as fault:
        return line.outcome_of(step, claim.record, fault)
    except Exception as fault:  # noqa: BLE001 (the subject must not be lost to a fault of ours)
        about = claim.lease.subject.logged
        log.error("stage_fault", item=about, stage=step.name, trace=traceback.format_exc())
        return Retry(f"unexpected fault in Bagline ({type(fault).__name__}: {fault})")
