"""Who holds a lease or a delivery: a name that says whether its process still lives."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path

import psutil

SEPARATOR = "/"
CLOCK_SLACK_SECONDS = 3.0


def this_process() -> str:
    """`host/boot/pid/started`: unique to this process on this host since it booted."""
    pid = os.getpid()
    return SEPARATOR.join((_host(), _boot(), str(pid), _started(pid)))


def is_dead(owner: str) -> bool:
    """Whether that process was of this host, and is no more.

    A process of another host, or one we cannot ask about, counts as alive: its lease
    runs out by itself.
    """
    parts = owner.split(SEPARATOR)
    if len(parts) != 4 or parts[0] != _host():
        return False
    _, boot, pid, started = parts
    if boot != _boot():
        return True
    return not pid.isdigit() or not _is_same_moment(_started(int(pid)), started)


def _host() -> str:
    return socket.gethostname().replace(SEPARATOR, "-").replace("|", "-")


@functools.cache
def _boot() -> str:
    """Tells this boot, or container, from an earlier one of the same name."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        text += os.readlink("/proc/self/ns/pid")
    except OSError:
        text = str(int(psutil.boot_time()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_same_moment(one: str, other: str) -> bool:
    """Within seconds: the boot time that start times are reckoned from may be adjusted."""
    try:
        return abs(float(one) - float(other)) < CLOCK_SLACK_SECONDS
    except ValueError:
        return False


def _started(pid: int) -> str:
    """When the process began, to the hundredth of a second; "" when there is none."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return ""
