"""Ctrl-C ends the wait for a bag, whatever the process is just doing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bagline.cli.watching import watch
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.workitem import WorkItem


def test_ctrl_c_ends_the_wait_though_a_library_swallowed_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = []

    class Registry:
        def work_item(self, item_id: int) -> WorkItem:
            asked.append(item_id)
            if len(asked) == 1:
                with suppress(BaseException):  # as what tells of a fault in a clean-up does
                    os.kill(os.getpid(), signal.SIGINT)
            return WorkItem(id=item_id, status="Success" if len(asked) > 5 else "Started")

    state = SimpleNamespace(load_progress=lambda _: {})
    services = SimpleNamespace(registry=Registry(), state=state)
    lines = SimpleNamespace(of=lambda _: INGEST_LINE)
    app: Any = SimpleNamespace(services=services, lines=lines, shortage=lambda: "")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        watch(app, [WorkItem(id=1, name="bag.tar")], lambda: True)
    assert asked == [1]
    assert "To go on: the same command again" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
