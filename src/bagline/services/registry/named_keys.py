"""The seam of what the records name in preservation buckets: the rest there is nobody's.

Kept by the Registry where it is ours. Methods may raise Unreachable or Refused, change nothing, and
may be repeated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bagline.model.times import Timestamp


class NamedKeys(ABC):
    @abstractmethod
    def oldest_open(self) -> Timestamp:
        """When the oldest work item that is open now came to be; NEVER where none is open."""

    @abstractmethod
    def named(self, places: Sequence[str], keys: Sequence[str]) -> set[str]:
        """Those of the keys (at most 1,000) that a record names at one of the places (`url` up to
        the key): of an active file, a deleted one, or one whose deletion has begun."""
