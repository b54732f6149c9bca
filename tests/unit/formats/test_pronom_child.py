"""The judging process: it may die alone, and is there only while it is wanted."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from bagline.formats.pronom import PronomIdentifier, Sample

SELECT_KNOWS = 1_024
GIF = Sample("a.gif", b"GIF89a" + bytes(20) + b";")


def judging() -> list[psutil.Process]:
    """This process's children that judge."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):  # it ended meanwhile
            if any("pronom_child" in word for word in process.cmdline()):
                found.append(process)
    return found


def wait_until_none_judges() -> None:
    for _ in range(600):
        if not judging():
            return
        time.sleep(0.05)
    raise AssertionError("the child stayed")


@pytest.fixture
def identifier() -> Iterator[PronomIdentifier]:
    made = PronomIdentifier(idle_seconds=0.1)
    yield made
    made.close()


def test_it_is_let_go_when_it_idles_and_started_again(identifier: PronomIdentifier) -> None:
    for _ in range(2):
        (verdict,) = identifier.identify_many([GIF])
        assert verdict.puids == ("fmt/4",)
        wait_until_none_judges()


def test_one_that_nobody_asked_is_let_go_too(identifier: PronomIdentifier) -> None:
    identifier.warm_up()
    wait_until_none_judges()


def test_one_that_died_is_replaced() -> None:
    identifier = PronomIdentifier()
    try:
        identifier.identify_many([GIF])
        (child,) = judging()
        os.kill(child.pid, signal.SIGKILL)
        (verdict,) = identifier.identify_many([GIF])
        assert verdict.puids == ("fmt/4",)
    finally:
        identifier.close()
    assert judging() == []


def test_it_answers_where_more_files_are_open_than_select_knows(
    identifier: PronomIdentifier,
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, most[1]), most[1]))
    open_files = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while open_files[-1] <= SELECT_KNOWS:
            open_files.append(os.dup(open_files[0]))
        (verdict,) = identifier.identify_many([GIF])
        assert verdict.puids == ("fmt/4",)
    finally:
        for each in open_files:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
