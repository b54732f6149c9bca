"""A run of fixity: the copies that have waited longest, place by place, within a budget.

What is left when it ends, dies or is stopped is simply still the oldest: the next run goes on.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bagline.errors import BaglineError, Draining, Misconfigured, Refused
from bagline.lines.fixity.copy_checking import CopyChecker
from bagline.lines.fixity.due import LOOKED_AGAIN, REQUEST_BYTES, Allowance, DueCopies
from bagline.lines.fixity.fixity_events import fixity_event
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import CopyRepair, LeftAlone, Unrepairable
from bagline.model.copy_checks import (
    ARCHIVED,
    BAD,
    PROVEN,
    UNANSWERED,
    CopyCheck,
    FixityRun,
    KeptCopy,
)
from bagline.model.premis import PremisEvent
from bagline.model.storage import StorageTarget
from bagline.model.times import Timestamp, earlier, later
from bagline.services.registry.base import Conflict
from bagline.services.registry.copy_book import CopyFilter
from bagline.units import MIB

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Copies that are taken, and saved, in one step."""
ABREAST = 2
"""Threads a place: while one asks the Registry, the other reads."""
AT_ONCE_BYTES = 256 * MIB
"""What these may cost that are looked at before what was found is saved; one copy at least."""
LEASE = timedelta(minutes=30)
"""Copies that a run took and neither saved nor gave back are free again after so long: those of a
run that died, and those of which nothing can be said while their object is changed."""
WAIT_SECONDS = 30.0
"""No longer without a sign of life."""
FIRST_SECONDS = 60.0
"""From the start of a worker to its first look."""
SILENT_SECONDS = 30.0
MOST_SILENCES = 3
"""So often in a row a store may not answer before a run leaves its place to the next one."""


@dataclass
class FixityRunner:
    kept: KeptCopies
    stop: threading.Event = field(default_factory=threading.Event)
    sleep: Callable[[float], object] | None = None
    """None: until it is to stop, if that is sooner."""

    def __post_init__(self) -> None:
        self.due_copies = DueCopies(self.kept)

    def watch(self) -> None:
        """A run of what is due every so often, until it is to stop; once a day (UTC) people are
        told of what failed. Raises what the Registry raises, and Refused where it keeps no
        copies."""
        _ = self.kept.book
        pause = self.kept.settings.fixity.look_hours * 3600
        wait = min(pause, FIRST_SECONDS)
        while not self.stop.wait(wait):
            wait = pause
            allowance = self.due()
            try:
                if allowance.whole:
                    self.run(budget=allowance)
            finally:  # a place that cannot be looked at keeps nobody from hearing of the others
                self.tell()

    def tell(self) -> None:
        """Alerts of every failed check that none has told of, whoever made it, unless there were
        alerts today. Raises what the Registry raises."""
        alerts = self.kept.services.registry.alerts
        if alerts is None:
            return
        try:
            told = alerts.tell_of_failed_fixity(self.kept.clock())
        except Conflict:
            return
        for each in told:
            log.warning(
                "fixity_alert",
                institution=each.institution_id,
                failures=each.failures,
                reason=each.error,
            )

    def repairer(self) -> CopyRepair:
        """Puts single copies right."""
        return CopyRepair(self.kept, CopyChecker(self.kept))

    def run(
        self,
        wanted: CopyFilter = CopyFilter(),  # noqa: B008 (frozen)
        budget: Allowance = Allowance(),  # noqa: B008 (frozen)
        *,
        bucket: str = "",
    ) -> FixityRun:
        """Look at copies (in one bucket, where it is named) until the budget is spent, or no copy
        is left that waits. Returns what came of it, as it is recorded. Raises Unreachable where
        the Registry does not answer."""
        book = self.kept.book
        record = book.save_run(FixityRun(began_at=self.kept.clock(), reserved=budget.whole))
        budget = self.due_copies.within_the_day(record, budget)
        work = _Work(self, record, wanted, budget)
        places = {
            name: target for name, target in self.places().items() if bucket in ("", target.bucket)
        }
        threads = max(1, len(places)) * ABREAST
        with ThreadPoolExecutor(threads, thread_name_prefix="fixity") as pool:
            futures = [
                pool.submit(work.place, name, target)
                for _ in range(ABREAST)
                for name, target in places.items()
            ]
        record.ended_at = self.kept.clock()
        book.save_run(record)
        for future in futures:
            future.result()
        return record

    def places(self) -> dict[str, StorageTarget]:
        """Those of this installation that are read from, by the names records give them."""
        return self.due_copies.places()

    def due(self) -> Allowance:
        """What a run may take now."""
        return self.due_copies.allowance()


@dataclass
class TakenCopies:
    """Copies that nobody else looks at. `until` tells whose they are, too."""

    kept: KeptCopies
    stop: threading.Event
    until: Timestamp
    copies: list[KeptCopy] = field(default_factory=list)
    _renewed_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pause_point(self) -> None:
        """Between requests, by any thread. Raises Draining."""
        if self.stop.is_set():
            raise Draining("fixity was asked to stop")
        self.go_on()

    def go_on(self) -> None:
        """They stay taken, however long it takes."""
        with self._lock:
            if time.monotonic() - self._renewed_at < LEASE.total_seconds() / 4:
                return
            until = later(self.kept.clock(), LEASE)
            self.kept.book.keep(self.copies, self.until, until)
            self.until, self._renewed_at = until, time.monotonic()

    def give_back(self) -> None:
        if self.copies:
            self.kept.book.give_back(self.copies, self.until)


@dataclass
class _Work:
    """One run, in threads: ABREAST a place. What it counts is under a lock."""

    runner: FixityRunner
    record: FixityRun
    wanted: CopyFilter
    budget: Allowance
    lock: threading.Lock = field(default_factory=threading.Lock)
    spent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    silences: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """In a row, whichever of the place's threads met them. Both by place."""
    taken: int = 0
    began: float = field(default_factory=time.monotonic)

    taking: threading.Lock = field(default_factory=threading.Lock)
    """Held where the number of copies is bounded, so that none is taken that may not be."""

    def __post_init__(self) -> None:
        self.kept = self.runner.kept

    def place(self, name: str, target: StorageTarget) -> None:
        while self._goes_on(name) and (taken := self._take(name)).copies:
            try:
                self._look(name, target, taken)
            except Draining:
                return
            except Misconfigured:  # nothing but an operator ends that
                raise
            except BaglineError as fault:
                with self.lock:
                    self.silences[name] += 1
                log.warning("fixity_store_silent", place=name, reason=str(fault))
                if self.silences[name] < MOST_SILENCES:
                    self._wait(SILENT_SECONDS)
            else:
                with self.lock:
                    self.silences[name] = 0

    def _goes_on(self, name: str) -> bool:
        is_silent = self.silences[name] >= MOST_SILENCES
        return not self.runner.stop.is_set() and not is_silent and self._has_budget(name)

    def _take(self, name: str) -> TakenCopies:
        if not self.budget.copies:
            return self._taken(name, AT_ONCE)
        with self.taking:
            taken = self._taken(name, min(AT_ONCE, self.budget.copies - self.taken))
            self.taken += len(taken.copies)
        return taken

    def _taken(self, name: str, limit: int) -> TakenCopies:
        now = self.kept.clock()
        taken = TakenCopies(self.kept, self.runner.stop, later(now, LEASE))
        if limit > 0:
            taken.copies = self.kept.book.take(
                name,
                self.wanted,
                limit=limit,
                now=now,
                asked_before=earlier(now, LOOKED_AGAIN),
                until=taken.until,
            )
        return taken

    def _look(self, name: str, target: StorageTarget, taken: TakenCopies) -> None:
        checker = CopyChecker(self.kept, taken.pause_point)
        try:
            while some := self._within_budget(name, taken.copies):
                found = checker.look_at(target, some)
                taken.copies = taken.copies[len(some) :]
                self._save(target, some, found, checker)
                if found and all(check.outcome == UNANSWERED for check in found):
                    raise Refused(found[0].detail)  # what was asked waits; others have their turn
                self._keep_to_rate(taken)
                taken.pause_point()
        except BaglineError as fault:
            if not isinstance(fault, Draining):
                with self.lock:
                    self.record.unanswered += len(taken.copies)
            raise
        finally:
            taken.give_back()

    def _save(
        self,
        target: StorageTarget,
        asked: Sequence[KeptCopy],
        found: Sequence[CopyCheck],
        checker: CopyChecker,
    ) -> None:
        events = [event for check in found if (event := self._event(check)) is not None]
        unsaid = {copy.id for copy in asked} - {check.copy.id for check in found}
        outcomes = [check.outcome for check in found]
        bad = [check for check in found if check.outcome in BAD]
        with self.lock:
            record = self.record
            record.asked += len(asked)
            record.requests += len(asked)
            read = sum(c.copy.size for c in found if c.outcome not in (ARCHIVED, UNANSWERED))
            record.bytes += read
            self._count_cost(target, read, len(asked))
            record.proven += outcomes.count(PROVEN)
            record.bad += len(bad)
            record.unanswered += outcomes.count(UNANSWERED)
            record.passed_over += len(unsaid) + outcomes.count(ARCHIVED)
            self.kept.book.save(found, events, record)
        for check in found:
            if check.outcome == UNANSWERED:
                log.warning("copy_unanswered", url=check.copy.url, reason=check.detail)
        for check in bad:
            self._bad(check, checker)

    def _count_cost(self, target: StorageTarget, size: int, requests: int) -> None:
        settings = self.kept.settings.fixity
        if (price := settings.prices.get(target.provider)) is not None:
            self.record.cost += price.of(bytes=size, requests=requests)
            self.record.currency = settings.currency

    def _bad(self, check: CopyCheck, checker: CopyChecker) -> None:
        copy = check.copy
        log.error(
            "copy_bad", url=copy.url, file=copy.identifier, what=check.outcome, reason=check.detail
        )
        if self.kept.settings.fixity.repair != "auto":
            return
        try:
            mended, event = CopyRepair(self.kept, checker).repair(copy)
        except LeftAlone as later_:
            log.warning("copy_left_alone", url=copy.url, reason=str(later_))
        except Unrepairable:  # that was said
            pass
        except Draining:
            raise
        except BaglineError as fault:
            log.error("copy_not_repaired", url=copy.url, reason=str(fault))
        else:
            self.kept.book.save([mended], [event] if event else [])
            log.warning("copy_repaired", url=copy.url, file=copy.identifier)
            with self.lock:
                self.record.repaired += 1

    def _event(self, check: CopyCheck) -> PremisEvent | None:
        """What the Registry's list of events gets: of all looks, or of those that found something
        else than the one before."""
        if check.outcome in (ARCHIVED, UNANSWERED):
            return None
        if self.kept.settings.fixity.events != "all":
            was, is_now = check.copy.outcome if check.copy.was_told else "", check.outcome
            if was == is_now or (is_now == PROVEN and was not in BAD):
                return None
        return fixity_event(check, is_older=self.kept.settings.work.older_event_wording)

    def _within_budget(self, name: str, left: Sequence[KeptCopy]) -> list[KeptCopy]:
        """The next to be looked at, and counted as looked at."""
        with self.lock:
            allowed = min(AT_ONCE_BYTES, self._left_of_budget(name))
            some = _first(left, allowed) if allowed > 0 else []
            self.spent[name] += sum(copy.size + REQUEST_BYTES for copy in some)
        return some

    def _left_of_budget(self, name: str) -> int:
        """As a cost; AT_ONCE_BYTES where there is no bound."""
        if self.budget.cost is None:
            return AT_ONCE_BYTES
        return self.budget.cost.get(name, 0) - self.spent[name]

    def _has_budget(self, name: str) -> bool:
        with self.lock:
            if self.budget.copies and self.taken >= self.budget.copies:
                return False
            return self._left_of_budget(name) > 0

    def _keep_to_rate(self, taken: TakenCopies) -> None:
        rate = self.budget.bytes_a_second
        while rate and not self.runner.stop.is_set():
            with self.lock:
                ahead = self.record.bytes / rate - (time.monotonic() - self.began)
            if ahead <= 0:
                return
            taken.go_on()
            self._wait(min(ahead, WAIT_SECONDS))
            if self.runner.sleep is not None:  # time is moved, not waited for
                return

    def _wait(self, seconds: float) -> None:
        (self.runner.sleep or self.runner.stop.wait)(seconds)


def _first(copies: Sequence[KeptCopy], most: int) -> list[KeptCopy]:
    """As many as cost so much; one at least."""
    some: list[KeptCopy] = []
    cost = 0
    for copy in copies:
        cost += copy.size + REQUEST_BYTES
        if some and cost > most:
            break
        some.append(copy)
    return some
