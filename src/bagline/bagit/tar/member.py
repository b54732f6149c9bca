"""Members of a tar: their kinds, their places, and the limits they are held to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from bagline.bagit.tar.header import BLOCK, Stretch
from bagline.units import KIB, MIB


class MemberKind(StrEnum):
    """What kind of entry stands in the tar; the value is how people call it."""

    FILE = "file"
    DIRECTORY = "directory"
    HARD_LINK = "hard link"
    SYMLINK = "symbolic link"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "named pipe (FIFO)"
    LABEL = "volume label"
    UNKNOWN = "entry of an unknown type"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tar may ask for before it is refused. Sizes in bytes."""

    pax_bytes: int = MIB
    pax_global_bytes: int = 4 * KIB
    name_bytes: int = 64 * KIB
    members: int = 10_000_000
    sparse_stretches: int = 100_000
    sparse_stretches_in_all: int = 300_000
    names_bytes: int = 4 * 1024 * MIB
    tag_files: int = 100_000
    manifests: int = 1_000
    expanded_factor: int = 10
    expanded_bytes: int = 1024**4

    def expanded(self, tar_bytes: int) -> int:
        """How many bytes sparse files and hard links of such a tar may expand to."""
        return max(self.expanded_factor * tar_bytes, self.expanded_bytes)


LIMITS = Limits()


class Member(Struct, gc=False):
    """One entry of a tar. Offsets and sizes in bytes, `mtime` in nanoseconds since 1970.

    `size` is the expanded size; `stored` bytes lie in the tar from `data_offset`.
    `header_offset` is that of the first header that belongs to the entry (a PAX or
    long-name header); the next entry begins at `end_offset`. Names are UTF-8 with
    surrogateescape, as they stand in the tar. `stretches`: see model.ingest.TarSpan.
    `link` of a file: it is a hard link to that one, and the tar has its bytes all the same.
    """

    name: str
    kind: MemberKind
    size: int
    mtime: int
    header_offset: int
    data_offset: int
    stored: int
    link: str
    is_sparse: bool
    stretches: tuple[Stretch, ...]

    @property
    def end_offset(self) -> int:
        return self.data_offset + self.stored + -self.stored % BLOCK
