"""How far a bag is: one share from the first byte to the last, honest rates, a line an event."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bagline.cli.journey import Journey, share_of_all
from bagline.cli.tellers import JsonLines, left_text, what_of
from bagline.lines.ingest.line import INGEST_LINE
from bagline.units import MIB
from bagline.worker.progress import Progress, ProgressReport


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_journey(clock: Clock, name: str = "bag.tar", size: int = 100 * MIB) -> Journey:
    return Journey(name, size, INGEST_LINE, clock=clock)


def shares(journey: Journey) -> Iterator[float]:
    """After each step of a whole way."""
    for _ in range(10):
        journey.sent(journey.size // 10)
        yield journey.share
    for step in INGEST_LINE:
        journey.come_to(step.work_stage)
        yield journey.share
        for tenth in range(1, 11):
            done = journey.size // 10 * tenth
            name = step.stage().name
            journey.at(ProgressReport(stage=name, bytes=done, of_bytes=journey.size))
            yield journey.share
    journey.end("Success")
    yield journey.share


def test_the_share_goes_up_from_the_first_byte_to_the_end(clock: Clock) -> None:
    seen = list(shares(a_journey(clock)))
    assert seen[0] > 0
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert 0.15 < seen[9] < 0.25  # the upload is a fifth of the moving of bytes


def test_an_earlier_stages_last_word_is_passed_over(clock: Clock) -> None:
    journey = a_journey(clock)
    journey.come_to("Copy To Staging")
    journey.at(ProgressReport(stage="pre-fetch", bytes=journey.size, of_bytes=journey.size))
    assert (journey.stage, journey.report.bytes) == ("staging", 0)
    assert what_of(journey) == "staging, 0 B of 100.0 MiB"


def test_a_rate_is_of_the_last_seconds_or_there_is_none(clock: Clock) -> None:
    journey = a_journey(clock)
    for second in range(1, 5):
        clock.now = second
        journey.sent(10 * MIB)
    assert journey.rate == pytest.approx(10 * MIB)
    clock.now = 60
    assert journey.rate == 0
    assert "/s" not in what_of(journey)


def test_time_left_is_that_of_the_whole_way(clock: Clock) -> None:
    journey = a_journey(clock)
    assert journey.seconds_left is None
    clock.now = 10
    journey.sent(journey.size)
    assert journey.seconds_left == pytest.approx(10 * (1 - journey.share) / journey.share)
    assert (left_text(130), left_text(3_725), left_text(None)) == ("2:10 left", "1:02:05 left", "")


def test_all_bags_count_by_their_bytes(clock: Clock) -> None:
    small, large = a_journey(clock, "a", 1), a_journey(clock, "b", 99)
    small.end("Success")
    assert share_of_all([small, large]) == pytest.approx(0.01)


def test_what_a_store_has_copied_counts_before_the_file_is_done(clock: Clock) -> None:
    said: list[ProgressReport] = []
    progress = Progress("staging", lambda raw: said.append(report_in(raw)), clock)
    progress.expect(files=1, bytes=100)
    for at in (1, 2, 3):
        clock.now = at
        progress.partly("bucket/uuid", 40, 100)
    assert [report.bytes for report in said] == [40, 80, 100]  # never more than there is
    progress.settled(["bucket/uuid"])
    clock.now = 4
    progress.add(files=1, bytes=100)
    assert (said[-1].bytes, said[-1].files) == (100, 1)


def report_in(raw: bytes) -> ProgressReport:
    return ProgressReport(**json.loads(raw))


def test_a_line_an_event_and_progress_at_most_every_five_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    journey, lines = a_journey(clock), JsonLines(clock)
    for second in range(12):
        clock.now = second
        journey.sent(MIB)
        lines.show([journey])
    journey.number = 7
    journey.come_to("Receive")
    lines.show([journey])
    journey.end("Success")
    lines.show([journey])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in told] == [
        "start", "stage", "progress", "progress", "stage", "stage",
    ]  # fmt: skip
    assert told[0]["bags"] == [{"bag": "bag.tar", "bytes": 100 * MIB}]
    assert told[2]["bytes"] == 6 * MIB
    assert [event.get("stage") for event in told[-2:]] == ["pre-fetch", "Success"]
    assert all(event["at"].endswith("Z") for event in told)
