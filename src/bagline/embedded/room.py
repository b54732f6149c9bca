"""Whether the disk under the data directory has room for a bag."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from bagline.errors import Refused
from bagline.units import MIB

LEAST_FREE_BYTES = 16 * MIB
LEAST_FREE_SHARE = 90
"""A little more than the hundredth at which SeaweedFS stops."""
TIDYING_BYTES = 512 * MIB
"""SeaweedFS gives the space of deleted objects back only while a volume (256 MiB) fits twice."""
ROOM_FACTOR = 4
"""A bag lies in receiving, in staging and in two preservation buckets of one disk."""


class Usage(NamedTuple):
    total: int
    free: int


def _usage(data_dir: Path) -> Usage:
    place = data_dir.absolute()
    while not place.exists():
        place = place.parent
    total, _, free = shutil.disk_usage(place)
    return Usage(total, free)


def free_bytes(data_dir: Path) -> int:
    """Bytes free on the disk that holds, or will hold, the data directory."""
    return _usage(data_dir).free


def shortage(data_dir: Path, *others: Path) -> str:
    """What to say while a disk of the data directory, or of `others`, is all but full; "" while
    there is room. Parts of the data directory may lie on disks of their own.

    SeaweedFS writes nothing while less than a hundredth of its disk is free.
    """
    engines = data_dir / "engines"
    for place in (data_dir, engines / "valkey", engines / "seaweedfs" / "data", *others):
        usage = _usage(place)
        least = min(LEAST_FREE_BYTES, usage.total // 20)
        if usage.free < max(least, usage.total // LEAST_FREE_SHARE):
            return (
                f"the disk of {place} is full ({usage.free / MIB:,.1f} MiB of "
                f"{usage.total / MIB:,.0f} are free): free some space. Items wait, nothing is "
                "lost, and all goes on by itself"
            )
    return ""


def check_room(data_dir: Path, bag_bytes: int) -> None:
    """Raises Refused, with the remedy, unless four times the bag's size is free, and what the
    store needs besides."""
    usage = _usage(data_dir)
    free = usage.free
    needed = ROOM_FACTOR * bag_bytes + max(
        usage.total // LEAST_FREE_SHARE, min(TIDYING_BYTES, usage.total // 8)
    )
    if free < needed:
        raise Refused(
            f"a bag of {bag_bytes:,} bytes needs {needed:,} bytes free under {data_dir} "
            "(receiving, staging, two copies, and what the store needs to tidy up), and "
            f"{free:,} are. Free some space, or "
            "choose a data directory on a larger disk (--data-dir)."
        )
