"""The seam of alerts: whom fixity's failures are told, and what they have read.

Kept by the Registry where it is ours. Methods may raise Unreachable or Refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bagline.model.alert import Alert, FixityFailures
from bagline.model.times import Timestamp


class Alerts(ABC):
    @abstractmethod
    def tell_of_failed_fixity(self, now: Timestamp) -> list[FixityFailures]:
        """Make an alert for the active administrators of each institution of which fixity checks
        failed, and one of all institutions for the active system administrators (contract J4).
        Returns what they tell of, by institution; [] where nothing failed, and then there is no
        alert.

        Told of are the failed checks that no alert has told of: each once, also one that is
        recorded late. On the first day of all, those since the day before began (UTC).

        Raises Conflict where it was asked before on that day (UTC), whatever came of it. All in
        one step: where it raises anything, nobody was told of anything, and it may be repeated;
        of many who ask at once one gets an answer.
        """

    @abstractmethod
    def find(
        self, alert_id: int, user_id: int, *, own: int | None = None, reader: int | None = None
    ) -> Alert:
        """The alert as it stands with that person. `own`: the institution that the asker is held
        to, `reader`: the user whose alone may be seen; None: any. Raises the seam's Missing."""

    @abstractmethod
    def was_read(self, alert_id: int, user_id: int, now: Timestamp) -> Timestamp:
        """The person has seen it: since when. May be repeated."""
