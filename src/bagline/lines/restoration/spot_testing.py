"""Spot tests: every so many days one object of each institution, chosen at random, is restored to
nowhere: made whole, judged by `check`, every file compared with the Registry. That what went in
comes out is then known before somebody needs it.

A test belongs to one process at a time; one whose process died is begun again by the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bagline.config import Settings
from bagline.errors import BaglineError, BagRejected, Draining, Refused
from bagline.lines.restoration.by_hand import HandRestoration
from bagline.lines.restoration.kept_object import KeptObject
from bagline.lines.restoration.requesting import restorable
from bagline.model.registry import STATE_ACTIVE, Institution, IntellectualObject
from bagline.model.storage import ARCHIVES
from bagline.model.times import Clock, from_datetime, now, to_datetime
from bagline.problems import has_errors
from bagline.services.bundle import Services
from bagline.services.registry.spot_tests import (
    FAILED,
    LEFT_ALONE,
    NONE_FITS,
    SOUND,
    SpotTest,
    SpotTests,
)
from bagline.worker.progress import Progress

log = structlog.get_logger(__name__)

HELD = timedelta(minutes=15)
"""A test is held so much longer with every sign of life: a dead process's is free after it."""
RENEWED_SECONDS = 60.0
CANDIDATES, ROUNDS = 20, 20
"""Chosen at random, so many at a time and so often; the first of them that fits is taken."""


@dataclass
class SpotTester:
    services: Services
    settings: Settings
    clock: Clock = now
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def _book(self) -> SpotTests:
        """Raises Refused where another's Registry keeps the institutions."""
        found = self.services.registry.spot_tests
        if found is None:
            raise Refused(
                "only the Registry's own database keeps spot tests: run the spot-tester where "
                "database_url names it"
            )
        return found

    def watch(self) -> None:
        """Look every so often whose turn it is, until it is to stop. Raises what the Registry
        raises, and Refused where it keeps none."""
        _ = self._book
        while not self.stop.wait(self.settings.spot.look_hours * 3600):
            self.look()

    def look(self, *, days: int | None = None) -> list[SpotTest]:
        """Test for every institution whose turn it is (`days` 0: for every one); what came of it.
        What one test meets keeps no other from being done."""
        if days is None:
            days = self.settings.spot.days
            if not days:
                return []
        done = []
        for institution in self.services.registry.institutions():
            if self.stop.is_set():
                break
            if institution.state == STATE_ACTIVE:
                test = self.test(institution, days=days)
                done += [test] if test is not None else []
        return done

    def test(self, institution: Institution, *, days: int) -> SpotTest | None:
        """One test, or None where it is not this institution's turn, or somebody else's."""
        moment = to_datetime(self.clock())
        test = self._book.begin(
            institution.id,
            now=from_datetime(moment),
            unless_since=from_datetime(moment - timedelta(days=days)),
            until=from_datetime(moment + HELD),
        )
        if test is None:
            return None
        try:
            self._run(test)
        except Draining:
            test.outcome = LEFT_ALONE
        except BaglineError as fault:
            test.outcome = LEFT_ALONE
            log.warning("spot_test_left", object=test.object_identifier, reason=str(fault))
        test.ended_at = self.clock()
        self._book.save(test)
        _tell(test)
        return test

    def _run(self, test: SpotTest) -> None:
        chosen = next(self._fitting(test.institution_id), None)
        if chosen is None:
            test.outcome = NONE_FITS
            return
        test.object_identifier = chosen.identifier
        self._book.save(test)
        keep = _Renewed(self, test)
        kept = KeptObject(
            chosen, self.services, self.settings, Progress("spot test"), keep.pause_point
        )
        restoration = HandRestoration(kept)
        try:
            report = restoration.to_nowhere(self.services.profile_at)
        except BagRejected as rejected:
            test.outcome, test.problems = FAILED, [*restoration.problems, *rejected.problems]
            return
        test.files, test.bytes = report.files, report.bytes
        test.problems = [*restoration.problems, *report.problems]
        test.outcome = FAILED if has_errors(report.problems) else SOUND

    def _fitting(self, institution_id: int) -> Iterator[IntellectualObject]:
        """Objects that may be chosen; none that lies in an archive, is too large, or is being
        changed."""
        most = self.settings.spot.max_bytes
        for _ in range(ROUNDS):
            chosen = self._book.candidates(institution_id, not_of=ARCHIVES, limit=CANDIDATES)
            for found in chosen:
                if not found.file_count or (most and found.size > most):
                    continue
                try:
                    yield restorable(self.services.registry, found.identifier)
                except BaglineError:
                    continue
            if len(chosen) < CANDIDATES:  # there are no more
                return


@dataclass
class _Renewed:
    """Keeps the test this process's while its bytes come."""

    tester: SpotTester
    test: SpotTest
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._renewed_at = self.monotonic()

    def pause_point(self) -> None:
        if self.tester.stop.is_set():
            raise Draining("the spot test was asked to stop")
        if self.monotonic() - self._renewed_at > RENEWED_SECONDS:
            self._renewed_at = self.monotonic()
            self.test.held_until = from_datetime(to_datetime(self.tester.clock()) + HELD)
            self.tester._book.save(self.test)


def _tell(test: SpotTest) -> None:
    told = {"test": test.id, "object": test.object_identifier, "outcome": test.outcome}
    if test.outcome == FAILED:
        log.error("spot_test_failed", **told, problems=[p.message for p in test.problems[:10]])
    elif test.problems:
        log.warning("spot_test_ended", **told, problems=[p.message for p in test.problems[:10]])
    else:
        log.info("spot_test_ended", **told)
