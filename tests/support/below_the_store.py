"""Objects harmed where a store keeps them, without its knowledge."""

from __future__ import annotations

from pathlib import Path

MARK_BYTES = 4096
"""By so many first bytes a body is found in a volume."""
AT = 1000
"""Which of its bytes is changed."""


def flip_in_volumes(folder: Path, bucket: str, body: bytes) -> int:
    """Change one bit in each place where SeaweedFS' volumes of the bucket hold the body: how
    many."""
    flipped = 0
    for volume in folder.rglob(f"{bucket}_*.dat"):
        at = volume.read_bytes().find(body[:MARK_BYTES])
        if at >= 0:
            with volume.open("r+b") as file:
                file.seek(at + AT)
                file.write(bytes([body[AT] ^ 1]))
            flipped += 1
    return flipped


def write_in_place(path: Path, data: bytes | None) -> None:
    """Of a store that keeps objects as files: other bytes, and what it remembers of them stays;
    None: the file goes."""
    if data is None:
        path.unlink()
        return
    with path.open("r+b") as file:
        file.truncate(len(data))
        file.write(data)
