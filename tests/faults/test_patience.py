"""Patience counts the attempts that got no further: by faults, and by workers that died."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bagline.app import App
from bagline.errors import Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.model.ingest import IngestFile
from bagline.model.workitem import STATUS_SUSPENDED, WorkItem, WorkResult
from bagline.worker.line import Line, RetryPolicy, Step
from bagline.worker.reach import Reach
from bagline.worker.stage import Done, Outcome, Stage
from support.bags import BagBuilder
from support.line import LineUnderTest

STEP = "staging-uploader"
ATTEMPTS = 3
STAGED = "Format Identification"


class Died(BaseException):
    """What a kill looks like from inside: nothing runs after it."""


def nothing(_: int) -> None:
    return


class Marking(Stage):
    """Marks file by file. `before` and `after` each mark it calls what it is given, with how
    many marks came first."""

    name = "marking"

    def __init__(
        self,
        *,
        before: Callable[[int], None] = nothing,
        after: Callable[[int], None] = nothing,
        again: bool = False,
    ) -> None:
        self._before, self._after = before, after
        self._again = again
        self.runs = 0

    def run(self, job: IngestJob) -> Outcome:
        self.runs += 1
        marked = 0
        for batch in job.iter_files():
            for entry in batch:
                if self._again or not entry.file.is_staged:
                    self._before(marked)
                    self._mark(job, entry.file)
                    self._after(marked)
                marked += 1
                job.progress.add(files=1)
        return Done()

    def _mark(self, job: IngestJob, file: IngestFile) -> None:
        file.copied_to_staging_at = job.clock()
        job.commit(files=[file])


def with_stage(line: LineUnderTest, stage: Stage) -> tuple[Line, Step]:
    """The line, with that stage in staging's place, and less patience."""
    patience = RetryPolicy(attempts=ATTEMPTS, first_delay=0.01, longest_delay=0.01)
    steps = [
        replace(step, stage=lambda: stage, retry=patience) if step.name == STEP else step
        for step in INGEST_LINE.rows
    ]
    changed = IngestLine(steps)
    line.app = App(line.settings, line.services, [changed])
    step = changed.by_name(STEP)
    assert step is not None
    return changed, step


def at_staging(line: LineUnderTest) -> WorkItem:
    bag = BagBuilder()
    for number in range(3 * ATTEMPTS):
        bag.payload(f"{number}.txt", b"%d\n" % number)
    item = line.deposit("bag.tar", bag.tar())
    with line.working(only=("pre-fetch", "validator", "reingest-manager")):
        line.until(lambda: line.item(item.id).stage == "Copy To Staging", "it", item=item.id)
    return item


def die_again_and_again(line: LineUnderTest, item: WorkItem, step: Step, stage: Stage) -> WorkItem:
    """Workers take the item and are killed, until one of them comes to an end with it."""
    for _ in range(50):
        subscription = line.services.queue.subscribe(step.topic, owner="a worker")
        delivery = subscription.receive(2.0)
        assert delivery is not None
        try:
            line.app.worker([step]).handle(step, stage, delivery)
        except Died:
            line.app.reconciler().reap(lambda _: True)
            continue
        break
    return line.item(item.id)


def fail(_: int) -> None:
    raise Unreachable("the store does not answer")


def die(_: int) -> None:
    raise Died


def test_a_stage_that_moves_on_may_fail_more_often_than_its_patience(line: LineUnderTest) -> None:
    item = at_staging(line)
    stage = Marking(after=fail)
    changed, _ = with_stage(line, stage)
    with line.working(changed, only=(STEP,)):
        line.until(lambda: line.item(item.id).stage == STAGED, "the end", item=item.id)
    assert stage.runs > 3 * ATTEMPTS


def test_a_stage_that_moves_on_may_be_killed_more_often_than_its_patience(
    line: LineUnderTest,
) -> None:
    item = at_staging(line)
    stage = Marking(after=die)
    _, step = with_stage(line, stage)
    assert die_again_and_again(line, item, step, stage).stage == STAGED
    assert stage.runs > 3 * ATTEMPTS


@pytest.mark.parametrize("again", [False, True], ids=["skips what it did", "does all again"])
def test_a_bag_that_kills_its_workers_at_one_place_is_suspended(
    line: LineUnderTest, again: bool
) -> None:
    """Also where the stage saves the same work each time before it gets there."""
    item = at_staging(line)

    def poison(marked: int) -> None:
        if marked == 4:
            raise Died

    stage = Marking(before=poison, again=again)
    _, step = with_stage(line, stage)
    suspended = die_again_and_again(line, item, step, stage)
    assert suspended.status == STATUS_SUSPENDED
    assert "without getting any further" in suspended.note
    assert stage.runs == ATTEMPTS


def test_a_bag_that_fails_at_one_place_is_suspended(line: LineUnderTest) -> None:
    item = at_staging(line)

    def stumble(marked: int) -> None:
        if marked >= 4:
            raise Unreachable("the store does not answer")

    stage = Marking(before=stumble, again=True)
    changed, _ = with_stage(line, stage)
    with line.working(changed, only=(STEP,)):
        line.until(lambda: line.item(item.id).status == STATUS_SUSPENDED, "it", item=item.id)
    assert stage.runs == ATTEMPTS
    assert "the store does not answer" in line.item(item.id).note


def test_only_what_no_attempt_had_saved_counts() -> None:
    reach = Reach(WorkResult(operation="topic", attempt=5), files=10)
    assert reach.advance(10).tally == {}
    assert reach.advance(10).result is None
    step = reach.advance(12)
    assert step.tally == {"reach: topic": 2}
    assert step.result is not None
    assert (step.result.attempt, reach.result.attempt) == (1, 5)  # until it is saved
    reach.saved(step)
    assert (reach.files, reach.result.attempt) == (12, 1)
    assert reach.advance(12).tally == {}


def test_a_stage_that_is_done_all_over_again_begins_at_nothing() -> None:
    reach = Reach(WorkResult(operation="topic", attempt=1), files=10)
    assert reach.forget() == {"reach: topic": -10}
    assert reach.advance(3).tally == {"reach: topic": 3}
