"""Preserved files read back: from the best copy, from the next where one is bad, proven on the way.

The copies of a file are asked in the order of their buckets' restore priority (contract J2). One
that is missing, of another size, or of other bytes is bad: it is remembered, never asked again, and
told of at the end. A store that does not answer, or breaks off, makes no bad copy: its bucket is
asked last from then on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bagline.bagit.digests import PREFERRED, Hash, new_hash
from bagline.bagit.writing import BagFile
from bagline.errors import (
    BaglineError,
    BagRejected,
    Gone,
    Refused,
    Replaced,
    Unreachable,
    Unreadable,
)
from bagline.lines.restoration.copy_notes import CopyNotes
from bagline.lines.restoration.kept_object import LARGE_BYTES, KeptFile, KeptObject
from bagline.model.storage import StorageTarget
from bagline.problems import BAD_COPY, NO_DIGEST_KEPT, NO_GOOD_COPY, Problem
from bagline.services.objects.base import Piece

TOLD_FILES = 1_000
"""So many files with bad copies are told of, one by one."""
CALCULATED_FILES = 50_000
"""Of so many files the digests that the Registry lacks are remembered."""


FROZEN = "it lies in an archive: have it thawed first (bagline restore OBJECT -o s3://)"


class _Frozen(Exception):
    """It lies in an archive, and was not brought back."""


class WrongCopy(Exception):
    """The bytes that were given of `file` are wrong, which its last one showed, or no more of them
    come. Another copy is the best now: whoever took the bytes begins the file again."""

    def __init__(self, file: BagFile, why: str) -> None:
        super().__init__(file.path)
        self.file = file
        self.why = why
        self.offset = 0
        """Where the file's bytes begin in the tar, once that is known."""


@dataclass
class HeldCopies:
    """The copies of one object's files. Not for two threads.

    `algorithms`: those that are calculated of every file. `bad`: (URL, why) by identifier.
    """

    kept: KeptObject
    algorithms: Sequence[str]
    bad: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    calculated: dict[str, dict[str, str]] = field(default_factory=dict)
    """By path: digests that the Registry lacks."""
    unproven: list[str] = field(default_factory=list)
    """Paths of which the Registry has no digest at all."""
    silent: set[StorageTarget] = field(default_factory=set)
    """Buckets that are asked last: their store did not answer, or broke off, or so many of their
    copies are bad that no list of them is kept."""
    untold: int = 0
    """Bad copies that are not among `bad`."""
    frozen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """URLs by identifier: copies that lie in an archive. Nothing is wrong with them."""
    lost: set[str] = field(default_factory=set)
    """Identifiers of which it was said that no copy is left."""
    notes: CopyNotes = field(init=False)

    def __post_init__(self) -> None:
        self.notes = CopyNotes(self.kept.services.registry)

    # -- which

    def copies(self, file: KeptFile) -> list[tuple[StorageTarget, str]]:
        """Bucket and URL of each copy that is not known as bad, the best first."""
        known = {url for url, _ in self.bad.get(file.identifier, ())}
        known |= set(self.frozen.get(file.identifier, ()))
        found = [
            (target, url)
            for url in file.urls
            if url not in known
            and (target := self.kept.settings.target_at(url, file.uuid)) is not None
        ]
        order = [t for option in self.kept.settings.storage_options for t in option.targets]
        return sorted(found, key=lambda copy: self._rank(copy[0], order))

    def _rank(self, target: StorageTarget, order: Sequence[StorageTarget]) -> tuple[bool, int, int]:
        return target in self.silent, target.restore_priority, order.index(target)

    def no_good_copy(self, file: KeptFile) -> BagRejected:
        """What to raise where none is left."""
        self.lost.add(file.identifier)
        told = [f"{url}: {why}" for url, why in self.bad.get(file.identifier, ())]
        told += [f"{url}: {FROZEN}" for url in self.frozen.get(file.identifier, ())]
        told += [
            f"{url}: in no bucket of this installation"
            for url in file.urls
            if self.kept.settings.target_at(url, file.uuid) is None
        ]
        copies = "; ".join(told) or (
            "all of them are bad" if file.urls else "the Registry has none on record"
        )
        return BagRejected([NO_GOOD_COPY.about(file.identifier, copies=copies)])

    def problems(self) -> list[Problem]:
        """What an operator must be told: of bad copies, and of files that nothing proves."""
        self.notes.tell()
        told = [
            BAD_COPY.about(identifier, copies="; ".join(f"{url}: {why}" for url, why in copies))
            for identifier, copies in self.bad.items()
            if identifier not in self.lost  # that is said otherwise
        ]
        if self.untold:
            told.append(BAD_COPY.about(f"{self.untold} more files", copies="not listed"))
        return told + [NO_DIGEST_KEPT.about(path) for path in sorted(set(self.unproven))]

    # -- read

    def whole(self, files: Sequence[KeptFile]) -> list[bytes]:
        """The bytes of small files, in their order, each proven. Raises BagRejected where one has
        no good copy, Unreachable where the stores that may have one do not answer."""
        bodies: dict[str, bytes] = {file.uuid: b"" for file in files if not file.size}
        for file in files:
            if not file.size:
                self._learn(file, _hex(self._hashes(file)))
        waiting = [file for file in files if file.size]
        groups: dict[StorageTarget, list[KeptFile]] = defaultdict(list)
        for file in waiting:
            copies = self.copies(file)
            if not copies:
                raise self.no_good_copy(file)
            groups[copies[0][0]].append(file)
        for target, some in groups.items():
            store = self.kept.services.store_of(target)
            try:
                read = store.read_many(target.bucket, [Piece(f.uuid, 0, f.size) for f in some])
            except BaglineError:
                continue  # one by one, below, which tells of which it was
            for file, body in zip(some, read, strict=True):
                if self._is_right(file, target, body):
                    bodies[file.uuid] = body
        self.kept.progress.moved()
        return [bodies[file.uuid] if file.uuid in bodies else self._one(file) for file in files]

    def _is_right(self, file: KeptFile, target: StorageTarget, body: bytes) -> bool:
        hashes = self._hashes(file)
        for each in hashes.values():
            each.update(memoryview(body))
        return self._accept(file, target, len(body), hashes)

    def _one(self, file: KeptFile) -> bytes:
        fault: BaglineError | None = None
        for target, url in self.copies(file):
            try:
                body = self._read(file, target)
            except (Gone, Replaced, Unreadable) as lost:
                self._mark(file, url, str(lost), lost)
            except _Frozen:
                self.frozen[file.identifier].append(url)
            except (Unreachable, Refused) as passing:
                fault = passing
                self.silent.add(target)
            else:
                if self._is_right(file, target, body):
                    return body
        raise fault or self.no_good_copy(file)

    def _read(self, file: KeptFile, target: StorageTarget) -> bytes:
        """Raises Replaced for a copy of another size, however large it is, and _Frozen."""
        store = self.kept.services.store_of(target)
        found = store.head(target.bucket, file.uuid)
        if found.size != file.size:
            raise Replaced(f"it has {found.size} bytes, not {file.size}")
        if found.is_archived:
            raise _Frozen
        return store.read(target.bucket, file.uuid, length=file.size, etag=found.etag)

    def streamed(self, file: KeptFile) -> Iterator[bytes]:
        """The bytes of a large file, from its first one. The last ones come only when all of them
        are proven: WrongCopy instead, where they are not."""
        copies = self.copies(file)
        if not copies:
            raise self.no_good_copy(file)
        fault: BaglineError | None = None
        for target, url in copies:
            is_given = False
            store = self.kept.services.store_of(target)
            try:
                found = store.head(target.bucket, file.uuid)
                if found.size != file.size:
                    self._mark(file, url, f"it has {found.size} bytes, not {file.size}")
                    continue
                if found.is_archived:
                    self.frozen[file.identifier].append(url)
                    continue
                chunks = store.stream(target.bucket, file.uuid, length=file.size, etag=found.etag)
                for chunk in self._proven(file, target, url, chunks):
                    is_given = True
                    yield chunk
                return
            except Gone as lost:
                self._mark(file, url, str(lost), lost)
            except (Unreachable, Refused) as passing:
                fault = passing
                self.silent.add(target)
                if is_given:
                    break
        if is_given and self.copies(file)[0][0] not in self.silent:
            raise WrongCopy(file, str(fault)) from fault
        raise fault or self.no_good_copy(file)

    def _proven(
        self,
        file: KeptFile,
        target: StorageTarget,
        url: str,
        chunks: Iterator[bytes],
    ) -> Iterator[bytes]:
        """What was given before a fault is no beginning of another copy's bytes for certain."""
        hashes = self._hashes(file)
        held, count = b"", 0
        try:
            for chunk in chunks:
                if held:
                    yield held
                held = chunk
                count += len(chunk)
                for each in hashes.values():
                    each.update(memoryview(chunk))
                self.kept.progress.moved()
        except (Gone, Replaced, Unreadable) as lost:
            self._mark(file, url, str(lost), lost)
            raise WrongCopy(file, str(lost)) from lost
        if not self._accept(file, target, count, hashes):
            raise WrongCopy(file, "a copy of it is not what was preserved")
        yield held

    # -- is it right

    def _hashes(self, file: KeptFile) -> dict[str, Hash]:
        """Those that manifests need, and one at least that the Registry knows."""
        names = list(self.algorithms)
        if not any(name in file.digests for name in names):
            names += [name for name in PREFERRED if name in file.digests][:1]
        return {name: new_hash(name) for name in names}

    def _accept(
        self, file: KeptFile, target: StorageTarget, size: int, hashes: Mapping[str, Hash]
    ) -> bool:
        """Whether it is what the Registry knows; else the copy is bad."""
        digests = _hex(hashes)
        wrong = [
            f"its {name} is not the one on record"
            for name, digest in digests.items()
            if file.digests.get(name, digest) != digest
        ]
        if size != file.size:
            wrong = [f"it has {size} bytes, not {file.size}"]
        url = next((url for found, url in self.copies(file) if found == target), "")
        if wrong:
            self._mark(file, url, wrong[0])
            return False
        self.notes.right(file, url, digests)
        self._learn(file, digests)
        return True

    def _learn(self, file: KeptFile, digests: Mapping[str, str]) -> None:
        lacking = {name: digests[name] for name in self.algorithms if name not in file.digests}
        if lacking:
            if len(self.calculated) >= CALCULATED_FILES:
                self.calculated.clear()  # they are calculated again when they are asked for
            self.calculated[file.path] = lacking
        if not file.digests and len(self.unproven) < TOLD_FILES:
            self.unproven.append(file.path)

    def _mark(self, file: KeptFile, url: str, why: str, fault: BaglineError | None = None) -> None:
        """Raises Unreachable where an ingest is changing the object: then nothing is known."""
        self.kept.check_idle()
        self.notes.bad(file, url, why, fault)
        is_told = len(self.bad) < TOLD_FILES or file.identifier in self.bad
        if is_told or file.size > LARGE_BYTES:  # there are not many of these
            self.bad[file.identifier].append((url, why))
            return
        self.untold += 1
        if target := self.kept.settings.target_at(url, file.uuid):
            self.silent.add(target)


def _hex(hashes: Mapping[str, Hash]) -> dict[str, str]:
    return {name: each.digest().hex() for name, each in hashes.items()}
