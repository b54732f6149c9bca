"""What one pass over a bag found, and what judging it needs to know: facts, no verdict.

`check` keeps an Inventory in columns in memory, the line in records in Redis; `judge` asks
both the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bagline.bagit.alike import Alike
from bagline.bagit.digests import KNOWN_LENGTHS, judged
from bagline.bagit.paths import Role
from bagline.model.ingest import SOURCE_MANIFEST, SOURCE_TAG_MANIFEST, Tag
from bagline.problems import ProblemLog, shown

TAR = "application/tar"

LONGEST_KEPT = 4_096
"""Characters of a listed path that is kept as it is; of a longer one its ends are."""

Listing = tuple[str, str, str]
"""A manifest line about a file: (algorithm, hex digest, SOURCE_MANIFEST or
SOURCE_TAG_MANIFEST)."""

Repeat = tuple[str, str, bool]
"""More than one line of a file in manifests of one kind: (algorithm, source, whether their
digests differ)."""


@dataclass(slots=True, kw_only=True)
class BagFacts:
    """What there is to know of a bag as a whole.

    `manifests` and `tag_manifests` are algorithms as their files' names give them, in any case;
    `calculated` those of which `files` tells digests; `files` and the payload's counts are those
    of the tar; `tag_files` the paths of tag files that are there; `special_entries` path → kind
    of what was skipped in the tar. `bag_name` and `top_directory`: "" when not to be compared.
    """

    version: str
    encoding: str
    manifests: Sequence[str]
    tag_manifests: Sequence[str]
    tags: Sequence[Tag]
    calculated: Collection[str] = frozenset(KNOWN_LENGTHS)
    has_fetch_txt: bool = False
    files: int = 0
    payload_files: int = 0
    payload_bytes: int = 0
    tag_files: Collection[str] = ()
    serialization: str = TAR
    special_entries: Mapping[str, str] = field(default_factory=dict)
    bag_name: str = ""
    top_directory: str = ""
    must_list: dict[str, list[str]] = field(init=False)
    """By source, the algorithms whose manifests must each list what they are about."""

    def __post_init__(self) -> None:
        self.must_list = {
            SOURCE_MANIFEST: judged(self.manifests),
            SOURCE_TAG_MANIFEST: judged(self.tag_manifests),
        }


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that the tar holds or a manifest lists.

    `calculated`: algorithm → lower-case hex, empty when the tar lacks the file. `listed`:
    its manifest lines; of several of one kind those with a wrong digest count.
    """

    path: str
    role: Role
    calculated: Mapping[str, str]
    listed: Sequence[Listing]
    repeated: Sequence[Repeat] = ()


class Inventory(Protocol):
    """What one pass found. Nothing is taken out of it: it may be judged again."""

    @property
    def facts(self) -> BagFacts:
        """Counts and `tag_files` are complete once `files` has ended."""
        ...

    @property
    def log(self) -> ProblemLog:
        """What reading the tar, its tag files and its manifests found wrong."""
        ...

    @property
    def names(self) -> Alike:
        """Of all files that the tar holds. Complete once `files` has ended."""
        ...

    def files(self) -> Iterator[FileFacts]:
        """Files in tar order, then those that are only listed. May leave out files of which
        no rule has anything to say."""
        ...

    def paths(self) -> Iterator[str]:
        """The paths of all files that the tar holds."""
        ...


def repeats(listed: Sequence[Listing]) -> list[Repeat]:
    """Which of these lines of a file are more than one of a kind."""
    if len(listed) < 2:
        return []
    digests: dict[tuple[str, str], list[str]] = {}
    for algorithm, digest, source in listed:
        digests.setdefault((algorithm.lower(), source), []).append(digest.lower())
    return [
        (algorithm, source, len(set(found)) > 1)
        for (algorithm, source), found in digests.items()
        if len(found) > 1
    ]


def kept_path(path: str) -> str:
    """The path of a file that is only listed, no longer than somebody can want to see it."""
    return path if len(path) <= LONGEST_KEPT else shown(path, LONGEST_KEPT)
