"""A process that is asked to stop hears it, however often it is asked."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import signal
from bagline.worker.stopping import stop_on_signals
stop = stop_on_signals()
with stop._cond:  # as where a signal interrupts the setting of the event
    signal.raise_signal(signal.SIGTERM)
assert stop.wait(20)
"""


def test_a_signal_that_comes_while_another_is_heard_does_not_hold_the_process_up() -> None:
    ended = subprocess.run([sys.executable, "-c", CHILD], timeout=30, check=False)
    assert ended.returncode == 0
