"""docs/add-a-line.md, run as it stands: two steps about something that is no work item."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bagline.app import App
from bagline.errors import Unreachable
from bagline.model.subject import Subject, item_subject
from bagline.wiring import LINES
from bagline.worker.claim import Claim
from bagline.worker.records import StepContext
from bagline.worker.stage import Done, Run, Skip
from support.bags import valid_bag
from support.line import LineUnderTest

PAGE = Path(__file__).parents[2] / "docs/add-a-line.md"
FIRST = "inventory01_bucket"


@pytest.fixture
def page() -> dict[str, Any]:
    """Both modules of the page: the second imports what it uses of the first."""
    stages, line = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "stages"}
    exec(compile(stages, str(PAGE), "exec"), names)
    table = {"__name__": "line", **{n: names[n] for n in ("CheckBucket", "WriteList")}}
    exec(compile(line, str(PAGE), "exec"), table)
    return names | table


@pytest.fixture
def both(line: LineUnderTest, page: dict[str, Any]) -> LineUnderTest:
    """The line under test, with the page's line beside it."""
    line.app = App(line.settings, line.services, [*LINES, page["INVENTORY"]])
    line.institution.restore_bucket = f"{line.institution.receiving_bucket}-restore"
    line.services.registry.save_institution(line.institution)
    return line


def test_it_works_beside_the_ingest_line(both: LineUnderTest) -> None:
    line, institution = both, both.institution
    (ended,) = line.run(line.deposit("letters.tar", valid_bag("letters").tar()))
    assert ended.status == "Success"
    line.services.queue.publish(FIRST, institution.id)
    with line.working():
        line.until(lambda: "objects.txt" in listed(line), "the list")
    body = line.services.objects.read(institution.restore_bucket, "objects.txt")
    assert body == b"test.edu/letters\n"
    lasting = {key.rpartition(":")[2] for key in line.redis_keys() if "institution" in key}
    assert lasting <= {"results", "progress"}  # which go by themselves


def listed(line: LineUnderTest) -> list[str]:
    try:
        return line.keys(line.institution.restore_bucket)
    except Exception:  # there is no such bucket yet
        return []


def test_a_lease_on_an_item_is_none_on_an_institution_of_the_same_number(
    both: LineUnderTest,
) -> None:
    line, number = both, both.institution.id
    state = line.services.state
    lease = state.take_lease(item_subject(number), owner="another", seconds=60)
    assert lease is not None
    line.services.queue.publish(FIRST, number)
    with line.working():
        line.until(lambda: "objects.txt" in listed(line), "the list")
    about = Subject("institution", number)
    first = state.take_lease(about, owner="one", seconds=60)
    assert first is not None
    assert state.take_lease(about, owner="two", seconds=60) is None
    assert state.lease_owner(item_subject(number)) == "another"
    assert state.break_leases(lambda owner: owner == "one") == [about]
    state.check_lease(lease)


def test_what_passes_is_tried_again_and_what_does_not_is_told(
    both: LineUnderTest, page: dict[str, Any]
) -> None:
    line, tries = both, []

    def fails(stage: Any, job: Any) -> Any:
        tries.append(job.subject)
        raise Unreachable("the store is away")

    page["CheckBucket"].run = fails
    line.services.queue.publish(FIRST, line.institution.id)
    about = Subject("institution", line.institution.id)
    with line.working():
        line.until(lambda: len(tries) >= 2, "a second try", seconds=60)
        result = line.services.state.load_result(about, FIRST)
        assert result is not None
        assert 1 <= result.attempt <= 3
    assert set(tries) == {about}


def test_a_halt_is_told_and_nothing_is_left(
    both: LineUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    line = both
    line.institution.restore_bucket = ""
    line.services.registry.save_institution(line.institution)
    line.services.queue.publish(FIRST, line.institution.id)
    with line.working():
        line.until(lambda: "subject_given_up" in capsys.readouterr().out, "the word of it")
    assert "institution" not in str([k for k in line.redis_keys() if "progress" not in k])


def test_a_message_that_comes_back_after_it_was_done_does_nothing(
    both: LineUnderTest, page: dict[str, Any]
) -> None:
    """A queue may hand out again what nobody could acknowledge in time."""
    line, context = both, StepContext(services=both.services, settings=both.settings)
    records = page["INVENTORY"].records(page["INVENTORY"].first, context)
    about = Subject("institution", line.institution.id)
    state = line.services.state
    taken = state.take(about, owner="one", seconds=60, topic=FIRST)
    assert taken is not None

    class Again:
        attempts, number, topic = 2, line.institution.id, FIRST

    claim = Claim(state, taken, Again(), record=line.institution)  # type: ignore[arg-type]
    claim.result = records.last_result(claim.taken)
    assert isinstance(records.decide(claim), Run)
    records.begin(claim, None)
    assert records.end(claim, Done(), None).topic == "inventory02_list"
    stored = state.load_result(about, FIRST)
    assert stored is not None
    claim.result = stored
    assert isinstance(records.decide(claim), Skip)
    assert claim.result.attempt == 0  # what is asked for anew has patience of its own
    Again.attempts = 1  # a new message
    assert isinstance(records.decide(claim), Run)


def test_more_messages_than_one_has_attempts_are_all_done(both: LineUnderTest) -> None:
    line, number = both, both.institution.id
    about = Subject("institution", number)
    with line.working():
        for _ in range(10):
            line.services.queue.publish(FIRST, number)
            line.until(lambda: line.services.queue.is_queued(FIRST, number) is False, "its end")
    result = line.services.state.load_result(about, FIRST)
    assert result is not None
    assert (result.attempt, result.errors) == (0, None)
