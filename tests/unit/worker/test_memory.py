"""What large bodies took is given back, whatever the process did before."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROBE = """
import psutil
from bagline.worker.memory import hold_little
assert hold_little()
MIB = 1024 * 1024
for size in (30, 8, 16):
    held = [bytearray(size * MIB) for _ in range(4)]
    pinned = bytearray(100_000)
    del held
print(psutil.Process().memory_info().rss // MIB)
"""

MANY_THREADS = """
import re, threading
from pathlib import Path
from bagline.worker.memory import ARENAS, give_back, hold_little
assert hold_little()
together = threading.Barrier(17)
held = {}
def hold(number):
    together.wait()
    held[number] = [bytearray(90_000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=hold, args=(number,)) for number in range(16)]
for thread in threads: thread.start()
together.wait(); together.wait()
for thread in threads: thread.join()
# Each further arena is a mapping that begins at a multiple of 64 MiB.
anywhere = r"^([0-9a-f]+)-\\S+ rw.p 00000000 00:00 0 *$"
maps = re.findall(anywhere, Path("/proc/self/maps").read_text(), re.M)
assert len([at for at in maps if int(at, 16) % (64 << 20) == 0]) < ARENAS + 1, maps
def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous"))
before = anonymous()
pins = [bytearray(100_000) for _ in range(3)]
held.clear()
give_back()
print((before - anonymous()) // 1024)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the bounds are glibc's")


@glibc
def test_large_blocks_go_back_to_the_system() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=30
    )
    assert int(ended.stdout) < 60


@glibc
def test_many_threads_share_few_arenas_and_what_is_free_goes_back() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MANY_THREADS],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 100, "of 137 MiB"
