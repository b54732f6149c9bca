"""A stage that is asked to begin anew does so, whatever becomes of the attempts before it has."""

from __future__ import annotations

import pytest

from bagline.errors import Unreachable
from bagline.lines.ingest.reingest import ReingestManager
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from support.bags import valid_bag
from support.line import LineUnderTest

TOPIC = "ingest03_reingest_check"


def at_staging_once_more(line: LineUnderTest) -> WorkItem:
    """A re-ingest that has passed the reingest check, and is put back there."""
    first = line.deposit("letters.tar", valid_bag("letters").tar())
    line.run(first)
    item = line.deposit("letters.tar", valid_bag("letters").payload("more.txt").tar())
    before = [step.name for step in line.app.ingest_line][:3]
    with line.working(only=tuple(before)):
        line.until(lambda: line.item(item.id).stage == "Copy To Staging", "it", item=item.id)
    item = line.item(item.id)
    item.stage, item.status = "Reingest Check", "Pending"
    return line.services.registry.save_work_item(item)


def test_a_fault_before_it_has_begun_anew_does_not_make_it_forget_to(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = at_staging_once_more(line)
    run, asked = ReingestManager.run, []

    def away_at_first(self, job):  # type: ignore[no-untyped-def]
        asked.append(job.is_rerun)
        if len(asked) == 1:
            raise Unreachable("the Registry is away")
        return run(self, job)

    monkeypatch.setattr(ReingestManager, "run", away_at_first)
    line.services.queue.publish(TOPIC, item.id)
    with line.working(only=("reingest-manager",)):
        line.until(lambda: line.item(item.id).stage == "Copy To Staging", "it", item=item.id)
    assert asked == [True, True]
    result = line.services.state.load_result(item_subject(item.id), TOPIC)
    assert result is not None
    assert result.errors is None
