"""What a process is asked by signals: to stop, and to show what it is doing."""

from __future__ import annotations

import faulthandler
import signal
import socket
import sys
import threading

from bagline.duty import Duty

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. SIGUSR1 prints every thread's stack to standard
    error, and changes nothing else. Call it on the main thread, once a process.

    Python runs a signal's handler on the main thread only, between two of its steps. A signal
    that comes just before that thread goes to sleep, or on another thread, does not wake it. So
    a thread of its own reads the numbers that the interpreter writes when a signal arrives. The
    handlers do nothing: the next signal interrupts them, and an event that is being set by one
    cannot be set by another on the same thread.
    """
    stop = threading.Event()
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    Duty("signals", lambda: _listen(reading, writing, stop)).start()
    if sys.__stderr__ is not None:
        faulthandler.register(signal.SIGUSR1, file=sys.__stderr__, all_threads=True)
    return stop


def _listen(
    reading: socket.socket,
    writing: socket.socket,  # noqa: ARG001 (kept open)
    stop: threading.Event,
) -> None:
    while numbers := reading.recv(64):
        if any(number in STOP_SIGNALS for number in numbers):
            stop.set()
