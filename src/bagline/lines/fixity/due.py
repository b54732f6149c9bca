"""What is due: which places are read from, and how much of each now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.model.copy_checks import FixityRun, PlaceTotals
from bagline.model.storage import StorageTarget, is_archive
from bagline.model.times import NEVER, Timestamp, earlier, is_set, later
from bagline.services.registry.copy_book import AHEAD

REQUEST_BYTES = 256 * 1024
"""What a request costs, as so many bytes: reading small objects goes by their number."""
MARGIN = 0.9
"""Of `fixity.days`: in so much of them every copy's turn comes, so that an outage of days makes
none overdue."""
COUNTED_FOR = timedelta(hours=20)
"""All copies are counted anew after so long."""
LOOKED_AGAIN = timedelta(days=1)
"""What was found bad is looked at again after so long."""
MOST_RUNS = 10_000


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
class DueCopies:
    kept: KeptCopies
    _whole: dict[str, int] = field(default_factory=dict)
    _counted_at: Timestamp = NEVER

    def places(self, *, with_archives: bool = False) -> dict[str, StorageTarget]:
        """Those of this installation that are read from, with the names that records of all ages
        give them."""
        archives = with_archives or self.kept.settings.fixity.archives
        found: dict[str, StorageTarget] = {}
        for option in self.kept.settings.storage_options:
            if not archives and is_archive(option.name):
                continue
            for target in option.targets:
                for name in (target.url(""), f"https://{target.host}/{target.bucket}/"):
                    found[name.removesuffix("/")] = target
        return found

    def allowance(self) -> Allowance:
        """What a run may take now so that all copies have their turn in time, and every day is
        like the other; more where some are overdue. Once a day it goes through all copies."""
        settings, book, now = self.kept.settings.fixity, self.kept.book, self.kept.clock()
        whole = self._counted(now)
        spent = self._spent(now)
        days = max(1, int(settings.days * MARGIN))
        late = book.overdue(
            earlier(now, timedelta(days=settings.days)),
            now=now,
            asked_before=earlier(now, LOOKED_AGAIN),
        )
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

    def within_the_day(self, run: FixityRun, budget: Allowance) -> Allowance:
        """What is left of it where the day's bytes are bounded, for a run whose record says what
        it reserves: those that began before it have their part first."""
        most, now = self.kept.settings.fixity.bytes_a_day, self.kept.clock()
        if not most or not run.reserved:
            return budget
        left = max(most - self._spent(now, before=run), 0)
        if run.reserved <= left:
            return budget
        cost = {place: some * left // run.reserved for place, some in (budget.cost or {}).items()}
        return replace(budget, cost=cost)

    def _spent(self, now: Timestamp, before: FixityRun | None = None) -> int:
        """What runs of the last day read; where its bytes are bounded, what those that go on may
        still read, too."""
        spent = 0
        for run in self.kept.book.runs(since=earlier(now, timedelta(days=1)), limit=MOST_RUNS):
            if run.began_at > later(now, AHEAD) or (before is not None and run.id >= before.id):
                continue
            read = run.bytes + run.requests * REQUEST_BYTES
            goes_on = self.kept.settings.fixity.bytes_a_day and not is_set(run.ended_at)
            spent += max(read, run.reserved) if goes_on else read
        return spent

    def unread_places(self, totals: Sequence[PlaceTotals]) -> dict[str, int]:
        """How many of the copies stand in places that no setting names: nobody looks at them."""
        known = self.places(with_archives=True)
        found: dict[str, int] = defaultdict(int)
        for total in totals:
            if total.place not in known:
                found[total.place] += total.copies
        return dict(found)

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
