"""Months of fixity with a clock that is moved: every copy in time, every day like the other.

The Registry is a real one; the store answers at once that every copy is sound, for what is tried
here is when it is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bagline.config import Settings
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.model.registry import Checksum, GenericFile, RegistryStorageRecord
from bagline.model.storage import DEFAULT_OPTIONS, StorageTarget
from bagline.model.times import Timestamp, earlier, later
from bagline.services.bundle import Services
from bagline.services.objects.base import Check, Objects, Proof, ProofMethod
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.sql import SqlRegistry
from support.registry_records import MOMENT, save_institution, save_object

DAYS = 90
DAY = timedelta(days=1)


class SoundStore:
    """Every copy is as it should be."""

    def verify_many(self, bucket: str, checks: Sequence[Check]) -> list[Proof]:
        how = ProofMethod.READ_BACK
        return [Proof(bucket, c.key, c.size, "e", c.sha256, how) for c in checks]


@dataclass(frozen=True)
class SoundCopies(KeptCopies):
    store: SoundStore = field(default_factory=SoundStore)

    def store_of(self, target: StorageTarget) -> Objects:
        return cast("Objects", self.store)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    database = Database(sqlite_url(tmp_path / "registry.db"))
    database.migrate()
    registry = SqlRegistry(database)
    yield registry
    registry.close()


def preserved(registry: SqlRegistry, settings: Settings, count: int, at: Timestamp) -> None:
    """So many files, of some size or other, each with two copies proven then."""
    institution = registry.institution("test.edu") or save_institution(registry)
    kept = registry.intellectual_object("test.edu/bag") or save_object(registry, institution)
    files = []
    for number in range(count):
        uuid = f"00000000-0000-5000-8000-{number:012d}"
        copies = [
            RegistryStorageRecord(url=t.url(uuid), proven_by="read back", proven_at=at)
            for t in settings.storage_option("Standard").targets
        ]
        files.append(
            GenericFile(
                identifier=f"test.edu/bag/data/{number}",
                institution_id=institution.id,
                intellectual_object_id=kept.id,
                size=number * 7919 % 4_000_000,
                uuid=uuid,
                checksums=[Checksum(algorithm="sha256", digest="d" * 64, datetime=at)],
                storage_records=copies,
            )
        )
    for start in range(0, count, 1000):
        registry.create_files(files[start : start + 1000])


def days_of(
    registry: SqlRegistry, settings: Settings, days: int, *, off: range = range(0)
) -> tuple[list[int], Counter[int]]:
    """What each day read, and the longest that a copy of each age waited. No run on days `off`."""
    moment = MOMENT
    services = cast("Services", _Services(registry))
    runner = FixityRunner(
        SoundCopies(services, settings, clock=lambda: moment), sleep=lambda _: None
    )
    read, late = [], Counter[int]()
    for day in range(1, days + 1):
        moment = later(MOMENT, day * DAY)
        overdue = registry.copies.overdue(earlier(moment, DAYS * DAY), now=moment)
        late[day] = sum(copies for copies, _ in overdue.values())
        if day in off:
            read.append(0)
            continue
        allowance = runner.due()
        record = runner.run(budget=allowance)
        read.append(record.bytes + 256 * 1024 * record.requests)
    return read, late


@dataclass
class _Services:
    registry: SqlRegistry

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody asks for {name} where every copy is sound")


@pytest.mark.parametrize(
    "files", [600, pytest.param(10_000, marks=pytest.mark.long)], ids=["600", "10,000"]
)
def test_every_copy_in_ninety_days_and_every_day_like_the_other(
    registry: SqlRegistry, files: int
) -> None:
    """All of one night: they do not come due in one night."""
    settings = Settings(storage_options=DEFAULT_OPTIONS[:1])
    preserved(registry, settings, files, MOMENT)
    read, late = days_of(registry, settings, 120)
    assert max(late.values()) == 0
    mean = sum(read) / len(read)
    assert max(abs(day - mean) for day in read) < 0.2 * mean
    assert mean * DAYS > sum(total.bytes for total in registry.copies.totals())


def test_what_an_outage_left_is_caught_up_with(registry: SqlRegistry) -> None:
    settings = Settings(storage_options=DEFAULT_OPTIONS[:1])
    preserved(registry, settings, 500, MOMENT)
    _, late = days_of(registry, settings, 140, off=range(20, 60))
    assert max(late[day] for day in range(1, 90)) == 0
    assert late[140] == 0
