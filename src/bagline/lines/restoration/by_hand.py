"""Restored at once, to where a person is: a tar, a directory, a stream, or some files alone.

No work item, no worker, no bucket: the same bytes from the same copies, proven the same way. What
is not whole stands under a name that ends in `.part`.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, cast

from bagline.bagit.check import CheckReport, check_bag
from bagline.bagit.profiles import ProfileAt
from bagline.bagit.writing import Layout
from bagline.errors import Gone, Misconfigured, NoRoom, Unreachable
from bagline.lines.restoration.held_copies import HeldCopies, WrongCopy
from bagline.lines.restoration.kept_object import LARGE_BYTES, KeptFile, KeptObject, kept_file
from bagline.lines.restoration.laying_out import algorithms_of, check_unchanged, laid_out
from bagline.lines.restoration.tar_bytes import TarBytes
from bagline.model.registry import STATE_ACTIVE
from bagline.model.times import now
from bagline.problems import Problem, shown
from bagline.units import MIB

PART = ".part"
SPARE_BYTES = 64 * 1024 * 1024


class Bytes(Protocol):
    """Where a stream goes: a pipe, a file."""

    def write(self, data: bytes, /) -> object: ...


@dataclass
class HandRestoration:
    """Of one object. Each method may be called once; all raise BagRejected where a file has no
    good copy, Unreachable, Refused, ListChanged, and OSError of the place it is written to.

    `problems`: what is to be told afterwards.
    """

    kept: KeptObject
    problems: list[Problem] = field(default_factory=list)

    def to_tar(self, path: Path) -> Layout:
        """A tar of that name, there when it is whole. Where a copy proves wrong, its file is
        written anew from the next one. Raises Misconfigured where something has that name."""
        _check_free(path)
        layout, tar, copies = self._laid_out()
        _check_room(path.absolute().parent, layout.size)
        part = path.with_name(path.name + PART)
        with _gone_unless_whole(part):
            with part.open("wb") as out:
                _written(out, tar, self._moved)
                out.flush()
                os.fsync(out.fileno())
            check_unchanged(self.kept, layout)
            part.replace(path)
        self.problems += copies.problems()
        return layout

    def to_stream(self, out: Bytes) -> Layout:
        """What was given cannot be taken back: a large file that proves wrong, or whose copy
        breaks off, ends the stream (Unreachable), without the end mark that a whole tar has."""
        layout, tar, copies = self._laid_out()
        try:
            with closing(tar.chunks(0)) as chunks:
                for _, data in _held_back(chunks, layout):
                    if not data:  # all but the end has gone by
                        check_unchanged(self.kept, layout)
                    out.write(data)
                    self._moved(len(data))
        except WrongCopy as wrong:
            told = "; ".join(problem.message for problem in copies.problems())
            raise Unreachable(
                f"the stream ends here, within {shown(wrong.file.path)}: {wrong.why}. Restore to "
                f"a file instead of `-`, which takes the next copy. {told}".rstrip()
            ) from None
        self.problems += copies.problems()
        return layout

    def to_directory(self, folder: Path) -> Layout:
        """The bag unpacked, as `folder/<its name>`, there when it is whole."""
        layout, tar, copies = self._laid_out()
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, layout.size)
        place = folder / layout.bag.name
        _check_free(place)
        part = folder / (layout.bag.name + PART)
        while True:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                with _gone_unless_whole(part), closing(tar.chunks(0)) as chunks:
                    source = _Readable(chunks, self._moved)
                    with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as archive:
                        _unpack(archive, part)
                    source.drain()
                break
            except WrongCopy:  # known as bad now
                self.kept.progress.at(files=0, bytes=0)
        check_unchanged(self.kept, layout)
        (part / layout.bag.name).rename(place)
        part.rmdir()
        self.problems += copies.problems()
        return layout

    def to_nowhere(self, profile_at: ProfileAt = lambda _: None) -> CheckReport:
        """The whole bag made, judged as `check` judges it, and let go. Where a copy proves wrong
        it is begun anew, with the next one."""
        layout, tar, copies = self._laid_out()
        while True:
            try:
                with closing(tar.chunks(0)) as chunks:
                    report = check_bag(
                        self._passing(chunks),
                        layout.size,
                        bag_name=layout.bag.name,
                        profile_at=profile_at,
                    )
                break
            except WrongCopy:  # known as bad now
                self.kept.progress.at(files=0, bytes=0)
        check_unchanged(self.kept, layout)
        self.problems += copies.problems()
        return report

    def _passing(self, chunks: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
        for _, data in chunks:
            self.kept.pause_point()
            self._moved(len(data))
            yield data

    def files(self, paths: Sequence[str], folder: Path) -> int:
        """Some files, at their paths in the bag; returns their bytes. Raises Gone for a path that
        the object has not."""
        copies = HeldCopies(self.kept, ())
        names = {f"{self.kept.object.identifier}/{path}": path for path in paths}
        found = self.kept.services.registry.files(list(names), with_events=False)
        missing = [
            path
            for name, path in names.items()
            if name not in found or found[name].state != STATE_ACTIVE
        ]
        if missing:
            told = ", ".join(shown(path) for path in missing[:5])
            raise Gone(f"{self.kept.object.identifier} has no file {told}")
        files = [kept_file(self.kept.object, found[name]) for name in names]
        size = sum(file.size for file in files)
        self.kept.progress.expect(files=len(files), bytes=size)
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, size)
        places = {file.path: _inside(folder, file.path) for file in files}
        for file in files:
            self._file(file, copies, places[file.path], _part_of(places[file.path], places))
        self.problems += copies.problems()
        return size

    def _file(self, file: KeptFile, copies: HeldCopies, place: Path, part: Path) -> None:
        _check_free(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with _gone_unless_whole(part), part.open("wb") as out:
                    some = (
                        copies.streamed(file) if file.size > LARGE_BYTES else copies.whole([file])
                    )
                    for data in some:
                        out.write(data)
                break
            except WrongCopy:
                continue
        part.replace(place)
        self.kept.progress.add(files=1, bytes=file.size)

    def _laid_out(self) -> tuple[Layout, TarBytes, HeldCopies]:
        form = self.kept.form()
        copies = HeldCopies(self.kept, algorithms_of(form))
        layout, told = laid_out(self.kept, form, copies, now())
        self.problems += told
        self.kept.progress.expect(files=layout.files, bytes=layout.size)
        return layout, TarBytes(layout, copies), copies

    def _moved(self, size: int) -> None:
        self.kept.progress.add(bytes=size)


@contextmanager
def _gone_unless_whole(part: Path) -> Iterator[None]:
    """What is not whole, takes room, and nobody can go on with."""
    try:
        yield
    except BaseException:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
        raise


def _written(out: IO[bytes], tar: TarBytes, moved: Callable[[int], None]) -> None:
    offset = 0
    while True:
        try:
            with closing(tar.chunks(offset)) as chunks:
                for at, data in chunks:
                    if at != out.tell():
                        out.seek(at)
                    out.write(data)
                    moved(len(data))
            return
        except WrongCopy as wrong:
            offset = wrong.offset


def _held_back(chunks: Iterator[tuple[int, bytes]], layout: Layout) -> Iterator[tuple[int, bytes]]:
    """An empty chunk before what only a whole tar ends with."""
    for at, data in chunks:
        if at + len(data) > layout.end:
            cut = max(layout.end - at, 0)
            if cut:
                yield at, data[:cut]
            if at <= layout.end:
                yield at + cut, b""
            data, at = data[cut:], at + cut
        yield at, data


class _Readable:
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[tuple[int, bytes]], moved: Callable[[int], None]) -> None:
        self._chunks, self._moved = chunks, moved
        self._held = memoryview(b"")

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0:
            if not self._held:
                data = next(self._chunks, (0, b""))[1]
                if not data:
                    break
                self._moved(len(data))
                self._held = memoryview(data)
            parts.append(self._held[:size])
            self._held = self._held[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def drain(self) -> None:
        """What stands behind the end mark."""
        for _, data in self._chunks:
            self._moved(len(data))


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """The bag's files and directories, which is all that its tar has. Raises Misconfigured for a
    path that leads elsewhere, FileExistsError where the file system takes two names for one."""
    for member in archive:
        place = _inside(folder, member.name)
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        body = archive.extractfile(member)
        assert body is not None
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            shutil.copyfileobj(body, out, MIB)
        os.utime(place, (member.mtime, member.mtime))


def _inside(folder: Path, path: str) -> Path:
    """Raises Misconfigured for a path that leads elsewhere."""
    place = (folder / path).absolute()
    if ".." in Path(path).parts or not place.is_relative_to(folder.absolute()):
        raise Misconfigured(f"{shown(path)} leads out of the directory: restore its object instead")
    return place


def _part_of(place: Path, places: Mapping[str, Path]) -> Path:
    """Its name until it is whole: no other file's."""
    part = place.with_name(place.name + PART)
    while part in places.values():
        part = part.with_name(part.name + PART)
    return part


def _check_free(place: Path) -> None:
    if place.exists():
        raise Misconfigured(f"{place} is there already: name another place, or move it away")


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise NoRoom(f"{size:,} bytes are needed in {folder}, and {free:,} are free there")
