"""Whether the disk under the data directory has room for a bag."""

from __future__ import annotations

import shutil
from pathlib import Path

from bagline.errors import Refused

ROOM_FACTOR = 4
"""A bag lies in receiving, in staging and in two preservation buckets of one disk."""


def free_bytes(data_dir: Path) -> int:
    """Bytes free on the disk that holds, or will hold, the data directory."""
    place = data_dir.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_room(data_dir: Path, bag_bytes: int) -> None:
    """Raises Refused, with the remedy, unless four times the bag's size is free."""
    needed, free = ROOM_FACTOR * bag_bytes, free_bytes(data_dir)
    if free < needed:
        raise Refused(
            f"a bag of {bag_bytes:,} bytes needs {needed:,} bytes free under {data_dir} "
            f"(receiving, staging and two copies), and {free:,} are. Free some space, or "
            "choose a data directory on a larger disk (--data-dir)."
        )
