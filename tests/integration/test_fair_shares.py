"""A bag of very many requests does not keep a small one waiting, however slow the store is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bagline.model.workitem import STAGE_COPY_TO_STAGING, STAGE_FORMAT_IDENTIFICATION
from bagline.services.objects.throttle import Throttle
from bagline.services.objects.writing import Writer
from support.bags import BagBuilder
from support.line import LineUnderTest

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

REQUESTS_AT_ONCE = 4
ANSWER_SECONDS = 0.02
MANY, FEW = 2_000, 8


def a_bag(name: str, files: int) -> bytes:
    bag = BagBuilder(name)
    for number in range(files):
        bag.payload(f"{number:04d}.txt", b"%d" % number)
    return bag.tar()


def test_a_small_bag_passes_a_large_one_in_the_same_stage(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Writer.put

    def slow_put(writer: Writer, *args: Any) -> Any:
        time.sleep(ANSWER_SECONDS)
        return put(writer, *args)

    large = line.deposit("large.tar", a_bag("large", MANY))
    small = line.deposit("small.tar", a_bag("small", FEW))
    with line.working(only=("pre-fetch", "validator", "reingest-manager")):
        for item in (large, small):
            line.until(lambda n=item.id: line.item(n).stage == STAGE_COPY_TO_STAGING, "staging")
    objects: Any = line.services.objects
    monkeypatch.setattr(objects, "_throttle", Throttle(most=REQUESTS_AT_ONCE))
    monkeypatch.setattr(Writer, "put", slow_put)
    with line.working(only=("staging-uploader",)):
        line.until(lambda: len(line.staged(large.id)) > 50, "the large one to be under way")
        line.until(
            lambda: line.item(small.id).stage == STAGE_FORMAT_IDENTIFICATION, "the small one"
        )
        # The large one needs its two thousand requests of 20 ms, four at a time.
        assert line.item(large.id).stage == STAGE_COPY_TO_STAGING
