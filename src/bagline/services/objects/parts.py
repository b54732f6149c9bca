"""An object that is put in parts, over hours and by more than one worker: its upload, its parts.

What a worker sent stays at the store when it dies: the next one asks which parts stand there
(`Objects.uploaded_parts`), and sends the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bagline.services.objects.base import Target
from bagline.services.objects.checksums import composite_md5

LEAST_PART_BYTES = 5 * 1024**2
"""Of every part but the last."""
MOST_PARTS = 10_000
MOST_PART_BYTES = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished upload. `id` is the store's name of it, and no secret."""

    target: Target
    id: str


class UploadedPart(NamedTuple):
    """A part that stands at the store. `etag` is the MD5 (hex) of its bytes on most stores."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class PartBody:
    """The bytes of a part: `size` of them, from the first one each time `open` is called."""

    size: int
    open: Callable[[], Iterator[bytes]]


def whole_etag(parts: Mapping[int, UploadedPart]) -> str:
    """The ETag of the object that is made of these parts, as most stores tell it."""
    return composite_md5([parts[number].etag for number in sorted(parts)])
