"""Orphans: keys in preservation buckets that no record names. Found, never deleted.

What an ingest has stored and not yet recorded looks like one: only keys count that are older than
every open work item. A page of a bucket is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from bagline.config import Settings
from bagline.errors import Gone, Refused
from bagline.model.storage import StorageTarget
from bagline.model.times import Clock, Timestamp, earlier, is_set, now, to_datetime
from bagline.services.bundle import Services
from bagline.services.objects.base import ObjectInfo
from bagline.services.objects.names import PROBES, check_key
from bagline.services.registry.named_keys import NamedKeys

PAGE_KEYS = 1_000
MARGIN = timedelta(hours=1)
"""The store's clock may be so far behind ours."""


@dataclass(frozen=True)
class KeptBucket:
    """A preservation bucket, and how URLs of its copies begin."""

    target: StorageTarget
    places: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"{self.target.provider}, bucket {self.target.bucket}"


@dataclass(frozen=True)
class Orphans:
    """Not for two threads."""

    services: Services
    settings: Settings
    clock: Clock = now

    def buckets(self) -> list[KeptBucket]:
        """Each of this installation once, whatever storage options name it."""
        found: dict[tuple[str, str, str], list[StorageTarget]] = {}
        for option in self.settings.storage_options:
            for target in option.targets:
                where = (target.provider, target.bucket, target.region)
                found.setdefault(where, []).append(target)
        return [
            KeptBucket(some[0], tuple(dict.fromkeys(p for each in some for p in each.places)))
            for _, some in sorted(found.items())
        ]

    def looked_at_before(self) -> Timestamp:
        """Keys that were written later are passed over: an hour before the oldest open work item,
        or before now."""
        oldest = self._named_keys().oldest_open()
        moments = [self.clock(), *([oldest] if is_set(oldest) else [])]
        return earlier(min(moments, key=to_datetime), MARGIN)

    def of_bucket(self, bucket: KeptBucket, before: Timestamp) -> Iterator[ObjectInfo]:
        """In the store's order. Raises Unreachable or Refused in the middle, too: what was given
        until then holds."""
        store, target = self.services.store_of(bucket.target), bucket.target
        book, moment = self._named_keys(), to_datetime(before)
        rest = iter(store.list(target.bucket))
        while page := list(islice(rest, PAGE_KEYS)):
            old = [
                found
                for found in page
                if to_datetime(found.last_modified) < moment and not found.key.startswith(PROBES)
            ]
            named = book.named(bucket.places, [found.key for found in old]) if old else set()
            yield from self._still_standing(
                bucket.target, [found for found in old if found.key not in named]
            )

    def _still_standing(
        self, target: StorageTarget, found: Sequence[ObjectInfo]
    ) -> Iterable[ObjectInfo]:
        """Without those that a deletion took away, with their records, since they were listed."""
        askable = [each.key for each in found if _names_one_object(each.key)]
        store = self.services.store_of(target)
        answers = store.head_many(target.bucket, askable) if askable else []
        gone = {
            key for key, answer in zip(askable, answers, strict=True) if isinstance(answer, Gone)
        }
        return [each for each in found if each.key not in gone]

    def _named_keys(self) -> NamedKeys:
        book = self.services.registry.named_keys
        if book is None:
            raise Refused(
                "only the Registry's own database tells which keys its records name: look for "
                "orphans where database_url names it"
            )
        return book


def _names_one_object(key: str) -> bool:
    """No record of ours names another one."""
    try:
        check_key(key)
    except ValueError:
        return False
    return True
