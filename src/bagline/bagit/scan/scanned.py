"""Records of a scan: a file, where the scan stands, and what waits to be settled."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bagline.bagit.digests import Digests, as_hex
from bagline.bagit.hashing import Pending
from bagline.bagit.paths import Role
from bagline.bagit.tar import Member
from bagline.model.ingest import TarSpan
from bagline.model.times import Timestamp
from bagline.problems import Problem


class ScannedFile(Struct, frozen=True, gc=False):
    """One file of the bag, read whole.

    `path` is below the top directory, UTF-8 with surrogateescape; `size` the expanded
    bytes; `raw_digests` the four of DIGEST_ALGORITHMS joined; `span` where its bytes lie
    in the tar (a hard link has all three of its target, and `is_linked`).
    """

    path: str
    role: Role
    size: int
    modified: Timestamp
    raw_digests: Digests
    span: TarSpan
    is_linked: bool = False

    @property
    def digests(self) -> dict[str, str]:
        """The same in lower hex, by algorithm."""
        return as_hex(self.raw_digests)


class ScanCheckpoint(Struct, frozen=True, kw_only=True):
    """Where a scan stood after the last file it yielded; small, and goes through JSON.

    Resume with chunks that begin at byte `next_offset` and with the files yielded until
    then (BagScan's `known`). Bytes-valued fields are raw names (base64 in JSON).
    """

    next_offset: int = 0
    members: int = 0
    files: int = 0
    file_members: int = 0
    sparse_bytes: int = 0
    link_bytes: int = 0
    names_bytes: int = 0
    tag_files: int = 0
    manifests: int = 0
    stretches: int = 0
    top_directory: bytes = b""
    pax_globals: dict[str, bytes] = {}
    problems: list[Problem] = []
    problem_counts: dict[str, int] = {}
    special: list[tuple[bytes, str]] = []
    empty_directories: list[bytes] = []


class Entry(Struct, frozen=True, gc=False):
    """A member that was read and waits for its turn to be settled, in tar order.

    `path` is "" when it is no file or directory of the bag; then only its notes count. The second
    half says how things stood when the member had been read.
    """

    member: Member
    path: str
    role: Role
    pending: Pending | None
    special: str
    notes: list[Problem]

    pax_globals: Mapping[str, bytes]
    members: int
    file_members: int
    sparse_bytes: int
    top: str
    weight: int
    """About how many bytes of memory it holds while it waits."""
