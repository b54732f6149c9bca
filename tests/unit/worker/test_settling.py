"""What each outcome makes of a work item."""

from __future__ import annotations

import pytest

from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.worker.line import RetryPolicy
from bagline.worker.settlement import hand_back, settle
from bagline.worker.stage import Cancel, Done, Halt, Later, Reject, Retry

PREFETCH = INGEST_LINE.first
CLEANUP = INGEST_LINE.cleanup


def an_item() -> WorkItem:
    return WorkItem(id=7, name="maps.tar", stage="Receive", status="Started", node="host", pid=9)


def problems(count: int) -> list[Problem]:
    return [
        Problem(code="BAG007", severity="error", subject=f"data/{n}", message=f"data/{n} is gone.")
        for n in range(count)
    ]


def test_done_moves_the_item_to_the_next_stage() -> None:
    item = an_item()
    settlement = settle(item, PREFETCH, INGEST_LINE, Done(), 1)
    assert settlement.topic == "ingest02_bag_validation"
    assert (item.stage, item.status, item.retry) == ("Validate", "Pending", True)
    assert (item.node, item.pid) == ("", 0)
    assert item.note == "Finished pre-fetch metadata gathering"


def test_done_at_the_last_stage_is_success() -> None:
    item = an_item()
    settlement = settle(item, CLEANUP, INGEST_LINE, Done(), 1)
    assert settlement.topic == ""
    assert (item.status, item.retry) == ("Success", False)
    assert item.outcome == "Ingest complete"


def test_what_takes_long_waits_without_patience() -> None:
    for attempt in (1, 1000):
        item = an_item()
        outcome = Later(14_400.0, "3 of 5 files are back.")
        settlement = settle(item, PREFETCH, INGEST_LINE, outcome, attempt)
        assert (settlement.again, settlement.delay) == (True, 14_400.0)
        assert (item.stage, item.status, item.retry) == ("Receive", "Pending", True)
        assert (item.node, item.pid, item.note) == ("", 0, "3 of 5 files are back.")


def test_a_passing_fault_waits_longer_each_time() -> None:
    delays = []
    for attempt in (1, 2, 3):
        item = an_item()
        settlement = settle(item, PREFETCH, INGEST_LINE, Retry("S3 is away"), attempt)
        assert settlement.again
        assert item.status == "Pending"
        assert "S3 is away" in item.note
        delays.append(settlement.delay)
    assert delays == sorted(set(delays))
    assert RetryPolicy(5, 1.0, 60.0).delay(1000) == 60.0


def test_patience_used_up_keeps_everything_and_calls_an_operator() -> None:
    item = an_item()
    attempts = PREFETCH.retry.attempts
    settlement = settle(item, PREFETCH, INGEST_LINE, Retry("S3 is away"), attempts)
    assert settlement.topic == ""
    assert not settlement.again
    assert (item.status, item.retry, item.needs_admin_review) == ("Suspended", False, True)
    assert "bagline requeue 7" in item.note


def test_a_rejected_bag_fails_with_the_first_five_problems_and_the_count() -> None:
    item = an_item()
    settlement = settle(item, PREFETCH, INGEST_LINE, Reject(problems(7)), 1)
    assert settlement.topic == "ingest09_cleanup"
    assert (item.status, item.retry, item.stage) == ("Failed", False, "Receive")
    assert "7 problems" in item.note
    assert "data/4 is gone" in item.note
    assert "data/5 is gone" not in item.note
    assert "2 more" in item.note


def test_a_cancelled_item_is_cleaned_up() -> None:
    item = an_item()
    settlement = settle(item, PREFETCH, INGEST_LINE, Cancel("a newer bag came"), 1)
    assert settlement.topic == "ingest09_cleanup"
    assert (item.status, item.retry) == ("Cancelled", False)
    assert "a newer bag came" in item.note


def test_a_halt_says_what_the_operator_must_do() -> None:
    item = an_item()
    settle(item, PREFETCH, INGEST_LINE, Halt("the bucket staging is missing"), 1)
    assert (item.status, item.needs_admin_review) == ("Suspended", True)
    assert "the bucket staging is missing" in item.note


def test_a_worker_that_stops_hands_its_item_back() -> None:
    item = an_item()
    hand_back(item, "worker-3")
    assert (item.status, item.node, item.pid, item.retry) == ("Pending", "", 0, True)
    assert "worker-3" in item.note


@pytest.mark.parametrize("step", list(INGEST_LINE), ids=lambda step: step.name)
def test_every_step_leads_to_the_one_after_it(step) -> None:  # type: ignore[no-untyped-def]
    after = INGEST_LINE.after(step)
    if step is CLEANUP:
        assert after is None
    else:
        assert after is not None
        assert after.topic > step.topic
