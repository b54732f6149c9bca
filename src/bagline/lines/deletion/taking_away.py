"""FileCopies of preserved files are taken away for good: every version of each key, in every bucket
that a record names, and each key is asked for again.

Whatever hinders that is found before the first byte goes: a record that names no bucket of this
installation, an object lock, a legal hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from bagline.config import Settings
from bagline.errors import BaglineError, Refused, Unreachable
from bagline.model.storage import StorageTarget
from bagline.problems import shown
from bagline.services.bundle import Services
from bagline.services.objects.guards import BucketGuard

NAMED = 5
"""So many hindrances are named one by one."""


class FileCopies(Struct, frozen=True, kw_only=True):
    """Where the copies of one file are, by its records."""

    identifier: str
    uuid: str
    urls: Sequence[str]


@dataclass
class TakingAway:
    """Not for two threads."""

    services: Services
    settings: Settings
    _guards: dict[StorageTarget, BucketGuard] = field(default_factory=dict)

    def hindrances(self, files: Iterable[Sequence[FileCopies]]) -> list[str]:
        """Why not every copy of these files (in batches) can go, in sentences: at most NAMED, and
        how many more there are. Asks the stores; changes nothing."""
        told = Hindrances()
        for batch in files:
            keys = self._by_bucket(batch, told)
            for target, uuids in keys.items():
                if self._guard(target).has_lock:
                    self._look_for_locks(target, uuids, told)
        return told.sentences()

    def take(self, files: Sequence[FileCopies]) -> list[FileCopies]:
        """Take every copy of them away; returns those of which none stands, anywhere. What a store
        would not do is raised then: Unreachable, or Refused with the reason."""
        told, faults = Hindrances(), list[BaglineError]()
        standing: set[str] = set()
        for target, uuids in self._by_bucket(files, told).items():
            store = self.services.store_of(target)
            answers = store.delete_for_good(target.bucket, uuids)
            tried = [uuid for uuid, fault in zip(uuids, answers, strict=True) if fault is None]
            for uuid, fault in zip(uuids, answers, strict=True):
                if fault is None:
                    continue
                standing.add(uuid)
                faults.append(fault)
            remain = store.remain_many(target.bucket, tried)
            for uuid, answer in zip(tried, remain, strict=True):
                if not isinstance(answer, bool):
                    standing.add(uuid)
                    faults.append(answer)
                elif answer:
                    standing.add(uuid)
                    faults.append(
                        Unreachable(f"{target.bucket}/{uuid} still stands after its deletion")
                    )
        self._unfinished = (told, faults)
        return [
            file
            for file in files
            if file.uuid not in standing
            and all(self._target(url, file.uuid) is not None for url in file.urls)
        ]

    def check(self) -> None:
        """Raise what the last `take` left to be said."""
        told, faults = self._unfinished
        refusals = [str(fault) for fault in faults if not isinstance(fault, Unreachable)]
        if told.sentences() or refusals:
            raise Refused("; ".join([*told.sentences(), *list(dict.fromkeys(refusals))[:NAMED]]))
        if faults:
            raise faults[0]

    _unfinished: tuple[Hindrances, list[BaglineError]] = field(
        default_factory=lambda: (Hindrances(), [])
    )

    def _by_bucket(
        self, files: Sequence[FileCopies], told: Hindrances
    ) -> dict[StorageTarget, list[str]]:
        found: dict[StorageTarget, list[str]] = defaultdict(list)
        for file in files:
            for url in file.urls:
                target = self._target(url, file.uuid)
                if target is None:
                    told.add(
                        f"{shown(url)}, a copy of {shown(file.identifier)}, is not where a bucket "
                        f"of this installation would have it (under {shown(file.uuid)}): name its "
                        "bucket in [[storage_options]], or mend its record"
                    )
                elif file.uuid not in found[target]:
                    found[target].append(file.uuid)
        return found

    def _target(self, url: str, uuid: str) -> StorageTarget | None:
        return self.settings.target_at(url, uuid)

    def _guard(self, target: StorageTarget) -> BucketGuard:
        if target not in self._guards:
            self._guards[target] = self.services.store_of(target).guard(target.bucket)
        return self._guards[target]

    def _look_for_locks(
        self, target: StorageTarget, uuids: Sequence[str], told: Hindrances
    ) -> None:
        locks = self.services.store_of(target).locks_many(target.bucket, uuids)
        for uuid, lock in zip(uuids, locks, strict=True):
            if isinstance(lock, BaglineError):
                raise lock
            if lock is not None:
                told.add(f"{target.bucket}/{uuid} is locked {lock.words}")


@dataclass
class Hindrances:
    """Sentences, of which the first few are kept."""

    kept: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, sentence: str) -> None:
        if sentence in self.kept:
            return
        if len(self.kept) < NAMED:
            self.kept.append(sentence)
        else:
            self.more += 1

    def sentences(self) -> list[str]:
        return [*self.kept, *([f"and {self.more:,} more"] if self.more else [])]
