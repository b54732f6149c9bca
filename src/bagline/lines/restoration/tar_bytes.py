"""The bytes of a restored tar, in order: small files many at once, large ones as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from bagline.bagit.writing import BagFile, FileBytes, Generated, Layout, Segment, segments
from bagline.lines.restoration.held_copies import HeldCopies, WrongCopy
from bagline.lines.restoration.kept_object import LARGE_BYTES, KeptFile
from bagline.units import MIB

GROUP_BYTES = 8 * MIB
GROUP_FILES = 256
"""Of small files that are asked for at once."""


class TarBytes:
    """Of one bag. Use from one thread; it reads ahead on another."""

    def __init__(self, layout: Layout, copies: HeldCopies) -> None:
        self._layout = layout
        self._copies = copies
        self._reading: Future[list[bytes]] | None = None
        """The last that was begun ahead."""

    def chunks(self, offset: int) -> Generator[tuple[int, bytes]]:
        """Each with its place in the tar, from `Layout.mark(offset)` on without a gap. Close it
        when no more is wanted. Raises WrongCopy (see HeldCopies.streamed), ListChanged, and what
        HeldCopies raise."""
        parts = segments(self._layout, self._copies.kept.pages_from, self._digest_of, offset=offset)
        with ThreadPoolExecutor(1, thread_name_prefix="restore-ahead") as pool:
            ahead: deque[tuple[Sequence[Segment], Future[list[bytes]] | None]] = deque()
            groups = _groups(parts)
            try:
                for group in groups:
                    files = _small_files(group)
                    reading = pool.submit(self._copies.whole, files) if files else None
                    self._reading = reading or self._reading
                    ahead.append((group, reading))
                    if len(ahead) > 1 or reading is None:
                        while len(ahead) > (0 if reading is None else 1):
                            yield from self._given(*ahead.popleft())
                while ahead:
                    yield from self._given(*ahead.popleft())
            finally:
                for _, reading in ahead:
                    if reading is not None:
                        reading.cancel()

    def _given(
        self, group: Sequence[Segment], reading: Future[list[bytes]] | None
    ) -> Iterator[tuple[int, bytes]]:
        bodies = iter(reading.result() if reading is not None else ())
        for segment in group:
            if isinstance(segment, Generated):
                yield segment.offset, segment.data
            elif segment.length <= LARGE_BYTES:
                yield segment.offset, next(bodies)
            else:
                yield from self._streamed(segment)

    def _streamed(self, segment: FileBytes) -> Iterator[tuple[int, bytes]]:
        assert isinstance(segment.file, KeptFile)
        at = segment.offset
        try:
            for chunk in self._copies.streamed(segment.file):
                yield at, chunk
                at += len(chunk)
        except WrongCopy as wrong:
            wrong.offset = segment.offset
            raise

    def _digest_of(self, file: BagFile, algorithm: str) -> str:
        """One that the Registry lacks: calculated when the file went by, else by reading it."""
        assert isinstance(file, KeptFile)
        if self._reading is not None:
            self._reading.result()
        if algorithm not in self._copies.calculated.get(file.path, {}):
            self._digest_again(file)
        return self._copies.calculated[file.path][algorithm]

    def _digest_again(self, file: KeptFile) -> None:
        if file.size <= LARGE_BYTES:
            self._copies.whole([file])
            return
        while file.path not in self._copies.calculated:
            with suppress(WrongCopy):  # the next copy is asked then
                for _ in self._copies.streamed(file):
                    self._copies.kept.pause_point()


def _small_files(group: Sequence[Segment]) -> list[KeptFile]:
    return [
        segment.file
        for segment in group
        if isinstance(segment, FileBytes)
        and segment.length <= LARGE_BYTES
        and isinstance(segment.file, KeptFile)
    ]


def _groups(parts: Iterator[Segment]) -> Iterator[list[Segment]]:
    """Runs of small segments; a large file is a group of its own."""
    group: list[Segment] = []
    held = files = 0
    for segment in parts:
        is_file = isinstance(segment, FileBytes)
        if is_file and segment.length > LARGE_BYTES:
            if group:
                yield group
                group, held, files = [], 0, 0
            yield [segment]
            continue
        group.append(segment)
        held += segment.length
        files += is_file
        if held >= GROUP_BYTES or files >= GROUP_FILES:
            yield group
            group, held, files = [], 0, 0
    if group:
        yield group
