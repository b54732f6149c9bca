"""A small disk, to fill for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024


class SmallDisk:
    """A file system of a few MiB, mounted at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.place).free

    def fill(self) -> None:
        """To the last byte; what others free meanwhile, too."""
        with (self.place / "filler").open("ab", buffering=0) as filler:
            for block in (MIB, 4096, 1):
                try:
                    while True:
                        filler.write(bytes(block))
                except OSError:
                    continue

    def empty(self) -> None:
        """What `fill` took is free again."""
        (self.place / "filler").unlink()


def mounting_fails() -> str:
    """Why nothing can be mounted here; "" where it can."""
    if not sys.platform.startswith("linux"):
        return "file systems are mounted on Linux only, in these tests"
    if os.getuid() != 0:
        return "only root may mount a small file system; `sudo make test` runs this too"
    return ""


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[SmallDisk]:
    """Skips, with the reason, where nothing may be mounted; with CI=true that fails."""
    why = mounting_fails()
    place.mkdir(parents=True, exist_ok=True)
    if not why:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(place)]
        ended = subprocess.run(mount, capture_output=True, text=True, check=False)
        why = ended.stderr.strip()
    if why:
        if os.environ.get("CI"):
            pytest.fail(f"the tests of a full disk must run here: {why}")
        pytest.skip(why)
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
