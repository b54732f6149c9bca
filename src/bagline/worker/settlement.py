"""What an outcome makes of the WorkItem: status, stage, note, and where it goes next.

Statuses tell whose turn it is. Failed: the bag's fault, the depositor's turn. Cancelled:
overtaken, or called off. Suspended: ours, everything is kept, an operator's turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bagline.model.workitem import (
    NOTE_CHARACTERS as NOTE_CHARACTERS,
)
from bagline.model.workitem import (
    OUTCOME_CHANGING,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    ProcessingError,
    WorkItem,
)
from bagline.problems import ERROR, Problem
from bagline.worker.line import Line, Step
from bagline.worker.stage import Cancel, Done, Halt, Later, Outcome, Reject, Retry

NOTE_PROBLEMS = 5
FULL_DELAY_SECONDS = 10.0
"""While a disk is full."""


class Announcement(NamedTuple):
    """What a topic hears that is not told the subject's number."""

    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to do once the record is saved: publish the subject to `topic` (or not), and to those
    of `tell`. `again`: hand the same delivery back, due after `delay`, instead of finishing it."""

    topic: str = ""
    again: bool = False
    delay: float = 0.0
    tell: tuple[str | Announcement, ...] = ()


def settle(item: WorkItem, step: Step, line: Line, outcome: Outcome, attempt: int) -> Settlement:
    """Write the outcome into the item (not yet saved) and say what follows."""
    item.node = ""
    item.pid = 0
    match outcome:
        case Done(remark=remark):
            return _done(item, step, line, remark)
        case Retry(reason, uses_patience):
            return _retry(item, step, reason, attempt if uses_patience else 0)
        case Later(delay, note):
            item.status = STATUS_PENDING
            item.note = _bounded(note)
            return Settlement(again=True, delay=delay)
        case Reject(problems):
            item.status = STATUS_FAILED
            item.retry = False
            item.needs_admin_review = False
            item.note = problems_note(line.words.rejected_note, problems)
            item.outcome = line.words.rejected
            return after_verdict(line)
        case Cancel(reason):
            item.status = STATUS_CANCELLED
            item.retry = False
            item.note = _bounded(f"Cancelled: {reason}.")
            item.outcome = line.words.cancelled
            return after_verdict(line)
        case Halt(reason, requeue_at):
            return _halt(item, reason, requeue_at)


def after_verdict(line: Line) -> Settlement:
    """What follows for an item that was rejected or cancelled: its traces are taken away."""
    return Settlement(topic=line.cleanup.topic if line.cleanup else "")


def errors_of(item: WorkItem, step: Step, outcome: Outcome) -> list[ProcessingError] | None:
    """What the WorkResult keeps of an outcome that is no success; None of the others."""
    match outcome:
        case Retry(reason) | Cancel(reason) | Halt(reason):
            messages = [reason]
        case Reject(problems):
            found = [problem for problem in problems if problem.severity == ERROR]
            messages = [problem.message for problem in found[:NOTE_PROBLEMS]]
        case Done() | Later():
            return None
    return [
        ProcessingError(
            identifier=item.object_identifier or item.name,
            is_fatal=not isinstance(outcome, Retry),
            message=message,
            source=step.name,
            work_item_id=item.id,
        )
        for message in messages
    ]


def hand_back(item: WorkItem, host: str) -> None:
    """The worker is stopping: the item waits for another one, with nothing lost."""
    item.node = ""
    item.pid = 0
    item.status = STATUS_PENDING
    item.note = f"Handed back: the worker on {host} was asked to stop. Waiting for another worker."


def send_forward(item: WorkItem, line: Line) -> Settlement:
    """Of an item that was ended where it must not end. One that a person cancelled goes on by
    itself; one that failed waits for an operator."""
    step, reason = line.by_work_stage(item.stage), line.only_forward(item)
    if item.status != STATUS_CANCELLED or step is None:
        return _halt(item, f"{reason}. It had failed: {item.note}")
    item.status = STATUS_PENDING
    item.retry = True
    item.note = _bounded(f"Not cancelled. {reason}, and does.")
    item.outcome = OUTCOME_CHANGING
    return Settlement(topic=step.topic)


def _done(item: WorkItem, step: Step, line: Line, remark: str) -> Settlement:
    after = line.after(step)
    item.note = _bounded(f"{step.done_note} {remark}".strip())
    item.needs_admin_review = False
    if after is None:
        item.status = STATUS_SUCCESS
        item.retry = False
        item.outcome = line.words.complete or item.outcome
        return Settlement()
    item.stage = after.work_stage
    item.status = STATUS_PENDING
    item.retry = True
    return Settlement(topic=after.topic)


def spared(outcome: Outcome, shortage: str) -> Outcome:
    """The outcome; while this machine's disk is full (`shortage` says so), that is why."""
    if not isinstance(outcome, Retry) or not outcome.uses_patience or not shortage:
        return outcome
    return Retry(f"{shortage} ({outcome.reason})", uses_patience=False)


def _retry(item: WorkItem, step: Step, reason: str, attempt: int) -> Settlement:
    """`attempt` 0: one that is not counted."""
    if not attempt:
        item.status = STATUS_PENDING
        item.note = _bounded(f"{reason}. Will try again in {FULL_DELAY_SECONDS:.0f} s.")
        return Settlement(again=True, delay=FULL_DELAY_SECONDS)
    if attempt >= step.retry.attempts:
        return _halt(item, f"{reason}. Failed {attempt} times; interim data is kept")
    delay = step.retry.delay(attempt)
    item.status = STATUS_PENDING
    item.note = _bounded(
        f"{reason}. Will try again in {delay:.0f} s (attempt {attempt} of {step.retry.attempts})."
    )
    return Settlement(again=True, delay=delay)


def _halt(item: WorkItem, reason: str, requeue_at: str = "") -> Settlement:
    item.status = STATUS_SUSPENDED
    item.retry = False
    item.needs_admin_review = True
    if item.outcome != OUTCOME_CHANGING:
        item.outcome = "Waiting for an operator"
    command = f"bagline requeue {item.id}"
    if requeue_at:
        command += f' --stage "{requeue_at}"' if " " in requeue_at else f" --stage {requeue_at}"
    remedy = f" Everything is kept. When the cause is mended: {command}"
    item.note = _bounded(reason.rstrip("."), NOTE_CHARACTERS - len(remedy) - 1) + "." + remedy
    return Settlement()


def problems_note(before: str, problems: Sequence[Problem]) -> str:
    """The first five errors and the count; the Registry keeps all of them."""
    errors = [problem for problem in problems if problem.severity == ERROR]
    lines = [f"{problem.code} {problem.message}" for problem in errors[:NOTE_PROBLEMS]]
    rest = len(errors) - len(lines)
    if rest > 0:
        lines.append(f"… and {rest} more: bagline show lists them all.")
    count = f"{len(errors)} problem{'' if len(errors) == 1 else 's'}"
    return _bounded(f"{before}, {count}. " + " | ".join(lines))


def _bounded(note: str, most: int = NOTE_CHARACTERS) -> str:
    return note if len(note) <= most else note[: most - 1] + "…"
