"""What tests of fixity do with preserved copies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from msgspec import structs
from sqlalchemy import update

from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.model.copy_checks import FixityRun, KeptCopy
from bagline.model.times import NEVER, earlier, later, now
from bagline.services.objects.base import Body, Target
from bagline.services.registry import tables as t
from bagline.services.registry.copy_book import CopyFilter
from bagline.services.registry.database import Database
from support.line import LineUnderTest

DISTANT = timedelta(days=100)


def long_after(line: LineUnderTest) -> KeptCopies:
    """What the line preserved; each copy was proven a hundred days ago, as it were."""
    return KeptCopies(line.services, line.settings, clock=lambda: later(now(), DISTANT))


def repairing(kept: KeptCopies, how: str) -> KeptCopies:
    fixity = structs.replace(kept.settings.fixity, repair=how)
    return replace(kept, settings=structs.replace(kept.settings, fixity=fixity))


def run(kept: KeptCopies) -> FixityRun:
    return FixityRunner(kept, sleep=lambda _: None).run()


def copies(kept: KeptCopies, name: str = "") -> list[KeptCopy]:
    """Of that file; of every one without."""
    found = [copy for total in kept.book.totals() for copy in every(kept, total.place)]
    return [copy for copy in found if copy.identifier.endswith(f"data/{name}" if name else "")]


def every(kept: KeptCopies, place: str) -> list[KeptCopy]:
    far = later(now(), timedelta(days=3650))
    found = kept.book.take(
        place, CopyFilter(), limit=10_000, now=far, asked_before=far, until=NEVER
    )
    kept.book.give_back(found, NEVER)
    return found


def put(kept: KeptCopies, copy: KeptCopy, data: bytes) -> None:
    kept.services.objects.put(Body(Target(copy.bucket, copy.uuid), data))


def name_of(copy: KeptCopy) -> str:
    return copy.identifier.rpartition("/")[2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def days_pass(database: Database) -> None:
    """Every copy was looked at two days ago, as it were, and what dead runs held has lapsed."""
    moment = now()
    past = earlier(moment, timedelta(days=2))
    copy, held = t.storage_records.c, t.copy_repairs.c
    with database.writing() as connection:
        for table, date in (
            (t.storage_records, copy.taken_until),
            (t.copy_repairs, held.held_until),
        ):
            lapsed = update(table).where(date.is_not(None)).values({date.name: past})
            connection.execute(lapsed)
        asked = update(t.storage_records).where(copy.asked_at.is_not(None))
        connection.execute(asked.values(asked_at=past))


def held_copies(kept: KeptCopies) -> int:
    """How many nobody else would be given now, whenever they were looked at."""
    book, at = kept.book, kept.clock()
    seen = later(at, timedelta(hours=23))
    free = []
    for place in {total.place for total in book.totals()}:
        free += book.take(
            place, CopyFilter(), limit=100_000, now=at, asked_before=seen, until=NEVER
        )
    book.give_back(free, NEVER)
    return sum(total.copies for total in book.totals()) - len(free)
