"""What large bodies took is given back, whatever the process did before."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROBE = """
import psutil
from bagline.worker.memory import return_large_blocks
assert return_large_blocks()
MIB = 1024 * 1024
for size in (30, 8, 16):
    held = [bytearray(size * MIB) for _ in range(4)]
    pinned = bytearray(100_000)
    del held
print(psutil.Process().memory_info().rss // MIB)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the bound is glibc's")
def test_large_blocks_go_back_to_the_system() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=30
    )
    assert int(ended.stdout) < 60
