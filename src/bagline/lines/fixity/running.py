"""A run of fixity: the copies that have waited longest, place by place, within a budget.

What is left when it ends, dies or is stopped is simply still the oldest: the next run goes on.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bagline.errors import BaglineError, Draining, Refused, Unreachable
from bagline.lines.fixity.copy_checking import CopyChecker
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.repairing import CopyRepair, LeftAlone, Unrepairable
from bagline.model.copy_checks import ARCHIVED, BAD, PROVEN, CopyCheck, FixityRun, KeptCopy
from bagline.model.event_wording import OLDER
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent, our_agent
from bagline.model.storage import StorageTarget
from bagline.model.times import NEVER, Timestamp, earlier, is_set, later
from bagline.services.registry.base import Conflict
from bagline.services.registry.copy_book import AHEAD, CopyFilter
from bagline.units import MIB

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Copies that are taken, and saved, in one step."""
ABREAST = 2
"""Threads a place: while one asks the Registry, the other reads."""
AT_ONCE_BYTES = 256 * MIB
"""What these may cost that are looked at before what was found is saved; one copy at least."""
REQUEST_BYTES = 256 * 1024
"""What a request costs, as so many bytes: reading small objects goes by their number."""
MARGIN = 0.9
"""Of `fixity.days`: in so much of them every copy's turn comes, so that an outage of days makes
none overdue."""
LEASE = timedelta(minutes=30)
"""Copies that a run took and neither saved nor gave back are free again after so long: those of a
run that died, and those of which nothing can be said while their object is changed."""
LOOKED_AGAIN = timedelta(days=1)
"""What was found bad is looked at again after so long."""
COUNTED_FOR = timedelta(hours=20)
"""All copies are counted anew after so long."""
SILENT_SECONDS = 30.0
MOST_SILENCES = 3
"""So often in a row a store may not answer before a run leaves its place to the next one."""


@dataclass(frozen=True)
class Allowance:
    """What a run may take. `copies`, `bytes_a_second` (of all places together): 0 is any number."""

    cost: Mapping[str, int] | None = None
    """By place, so that none waits for another: bytes, and REQUEST_BYTES for each copy. None: any
    number."""
    copies: int = 0
    bytes_a_second: float = 0.0

    @property
    def whole(self) -> int:
        return sum((self.cost or {}).values())


@dataclass
class FixityRunner:
    kept: KeptCopies
    stop: threading.Event = field(default_factory=threading.Event)
    sleep: Callable[[float], object] | None = None
    """None: until it is to stop, if that is sooner."""
    _whole: dict[str, int] = field(default_factory=dict)
    _counted_at: Timestamp = NEVER

    def watch(self) -> None:
        """A run of what is due every so often, until it is to stop; once a day (UTC) people are
        told of what failed. Raises what the Registry raises, and Refused where it keeps no
        copies."""
        _ = self.kept.book
        while not self.stop.wait(self.kept.settings.fixity.look_hours * 3600):
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
        budget: Allowance = Allowance(),
        *,
        bucket: str = "",
    ) -> FixityRun:
        """Look at copies (in one bucket, where it is named) until the budget is spent, or no copy
        is left that waits. Returns what came of it, as it is recorded. Raises Unreachable where
        the Registry does not answer."""
        book = self.kept.book
        record = book.save_run(FixityRun(began_at=self.kept.clock()))
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
        """Those of this installation that are read from, with the names that records of all ages
        give them."""
        archives = self.kept.settings.fixity.archives
        found: dict[str, StorageTarget] = {}
        for option in self.kept.settings.storage_options:
            if not archives and option.name.startswith("Glacier"):
                continue
            for target in option.targets:
                for name in (target.url(""), f"https://{target.host}/{target.bucket}/"):
                    found[name.removesuffix("/")] = target
        return found

    def due(self) -> Allowance:
        """What a run may take now so that all copies have their turn in time, and every day is
        like the other; more where some are overdue. Once a day it goes through all copies."""
        settings, book, now = self.kept.settings.fixity, self.kept.book, self.kept.clock()
        whole = self._counted(now)
        spent = sum(
            run.bytes + run.requests * REQUEST_BYTES
            for run in book.runs(since=earlier(now, timedelta(days=1)))
            if run.began_at <= later(now, AHEAD)
        )
        days = max(1, int(settings.days * MARGIN))
        late = book.overdue(earlier(now, timedelta(days=settings.days)), now=now)
        total = max(1, sum(whole.values()))
        cost = {}
        for place, all_of_it in whole.items():
            copies, size = late.get(place, (0, 0))
            share = -(-all_of_it // days) - spent * all_of_it // total
            cost[place] = max(share, size + copies * REQUEST_BYTES, 0)
        wanted = sum(cost.values())
        if settings.bytes_a_day and wanted > (left := max(settings.bytes_a_day - spent, 0)):
            cost = {place: some * left // wanted for place, some in cost.items()}
        return Allowance(cost=cost, bytes_a_second=settings.bytes_a_second)

    def _counted(self, now: Timestamp) -> dict[str, int]:
        """What a look at every copy costs, by place."""
        at = self._counted_at
        if not is_set(at) or not earlier(now, COUNTED_FOR) < at <= later(now, AHEAD):
            names = self.places()
            self._whole = defaultdict(int)
            for total in self.kept.book.totals():
                if total.place in names:
                    self._whole[total.place] += total.bytes + total.copies * REQUEST_BYTES
            self._counted_at = now
        return self._whole


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

    def __post_init__(self) -> None:
        self.kept = self.runner.kept
        self.checker = CopyChecker(self.kept, self._pause_point)
        self.repairer = CopyRepair(self.kept, self.checker)

    def _pause_point(self) -> None:
        if self.runner.stop.is_set():
            raise Draining("fixity was asked to stop")

    def place(self, name: str, target: StorageTarget) -> None:
        while self._goes_on(name) and (copies := self._take(name)):
            try:
                self._look(name, target, copies)
            except Draining:
                return
            except (Unreachable, Refused) as fault:
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

    def _take(self, name: str) -> list[KeptCopy]:
        now = self.kept.clock()
        limit = AT_ONCE
        with self.lock:
            if self.budget.copies:
                limit = min(limit, self.budget.copies - self.taken)
            self.taken += limit
        found = self.kept.book.take(
            name,
            self.wanted,
            limit=limit,
            now=now,
            asked_before=earlier(now, LOOKED_AGAIN),
            until=later(now, LEASE),
        )
        with self.lock:
            self.taken -= limit - len(found)
        return found

    def _look(self, name: str, target: StorageTarget, copies: Sequence[KeptCopy]) -> None:
        left = list(copies)
        try:
            while some := self._within_budget(name, left):
                self._save(target, some, self.checker.look_at(target, some))
                left = left[len(some) :]
                self._pause_point()
        finally:
            if left:
                self.kept.book.give_back(left)

    def _save(
        self, target: StorageTarget, asked: Sequence[KeptCopy], found: Sequence[CopyCheck]
    ) -> None:
        events = [event for check in found if (event := self._event(check)) is not None]
        unsaid = {copy.id for copy in asked} - {check.copy.id for check in found}
        outcomes = [check.outcome for check in found]
        bad = [check for check in found if check.outcome in BAD]
        with self.lock:
            record = self.record
            record.asked += len(asked)
            record.requests += len(asked)
            read = sum(check.copy.size for check in found if check.outcome != ARCHIVED)
            record.bytes += read
            self._count_cost(target, read, len(asked))
            record.proven += outcomes.count(PROVEN)
            record.bad += len(bad)
            record.passed_over += len(unsaid) + outcomes.count(ARCHIVED)
            self.kept.book.save(found, events, record)
        for check in bad:
            self._bad(check)
        self._keep_to_rate()

    def _count_cost(self, target: StorageTarget, size: int, requests: int) -> None:
        settings = self.kept.settings.fixity
        if (price := settings.prices.get(target.provider)) is not None:
            self.record.cost += price.of(bytes=size, requests=requests)
            self.record.currency = settings.currency

    def _bad(self, check: CopyCheck) -> None:
        copy = check.copy
        log.error(
            "copy_bad", url=copy.url, file=copy.identifier, what=check.outcome, reason=check.detail
        )
        if self.kept.settings.fixity.repair != "auto":
            return
        try:
            mended, event = self.repairer.repair(copy)
        except LeftAlone as later_:
            log.warning("copy_left_alone", url=copy.url, reason=str(later_))
        except Unrepairable as lost:
            log.critical("copy_unrepairable", url=copy.url, file=copy.identifier, reason=str(lost))
        except Draining:
            raise
        except BaglineError as fault:
            log.error("copy_not_repaired", url=copy.url, reason=str(fault))
        else:
            self.kept.book.save([mended], [event])
            log.warning("copy_repaired", url=copy.url, file=copy.identifier)
            with self.lock:
                self.record.repaired += 1

    def _event(self, check: CopyCheck) -> PremisEvent | None:
        """What the Registry's list of events gets: of all looks, or of those that found something
        else than the one before."""
        was_bad = check.copy.outcome in BAD
        if check.outcome == ARCHIVED:
            return None
        if check.outcome == PROVEN and not was_bad and self.kept.settings.fixity.events != "all":
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

    def _keep_to_rate(self) -> None:
        rate = self.budget.bytes_a_second
        if rate:
            with self.lock:
                ahead = self.record.bytes / rate - (time.monotonic() - self.began)
            if ahead > 0:
                self._wait(ahead)

    def _wait(self, seconds: float) -> None:
        (self.runner.sleep or self.runner.stop.wait)(seconds)


def fixity_event(check: CopyCheck, *, is_older: bool = False) -> PremisEvent:
    """The event of one look (contract J1, J4): `Failed`, not `Failure`, is what the Registry's
    alerts look for. `outcome_information` names the copy."""
    copy, is_proven = check.copy, check.outcome == PROVEN
    tool = OLDER.digest_tool("sha256") if is_older else None
    sha256 = copy.digests.get("sha256", "")
    said = f"{copy.url}: " + ("Fixity matches" if is_proven else f"{check.outcome}: {check.detail}")
    if is_older and is_proven:
        said = f"Fixity matches at {copy.url}: {sha256}"
    return PremisEvent(
        identifier=named_uuid("fixity check", copy.url, check.asked_at),
        event_type="fixity check",
        date_time=check.asked_at,
        detail="Fixity check against registered hash",
        object=tool.object if tool else "Bagline fixity, SHA-256 of OpenSSL",
        agent=tool.agent if tool else our_agent(),
        outcome="Success" if is_proven else "Failed",
        outcome_detail=f"sha256:{sha256}",
        outcome_information=said,
        institution_id=copy.institution_id,
        intellectual_object_id=copy.object_id,
        generic_file_id=copy.file_id,
        generic_file_identifier=copy.identifier,
    )


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
