"""How often: failed sign-ins by address, requests by key. Memory is bounded; clocks are passed in.

No limit here can lock anybody else out: failures count against an address, and only other
failures feel them; requests count against the key that makes them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address

WINDOW_SECONDS = 60.0
ADDRESSES = 10_000
"""How many addresses are remembered; the one that failed longest ago is forgotten first."""

Clock = Callable[[], float]


class Failures:
    """Failed sign-ins of the last minute, by address (IPv6: by /64, which one client has)."""

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def note(self, address: str) -> int:
        """Count one more; how many there are now in this minute."""
        place, moment = _network(address), self._clock()
        began, count = self._windows.pop(place, (moment, 0))
        if moment - began >= WINDOW_SECONDS:
            began, count = moment, 0
        self._windows[place] = (began, count + 1)
        if len(self._windows) > ADDRESSES:
            self._windows.popitem(last=False)
        return count + 1

    def is_too_many(self, count: int) -> bool:
        return count > self._most


class Pace:
    """A bucket a key: `a_second` requests flow in, ten seconds' worth at most."""

    SECONDS_KEPT = 10.0

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable, a_second: float) -> bool:
        """Whether this request may go on now. `a_second` 0: always."""
        if a_second <= 0:
            return True
        most = max(a_second * self.SECONDS_KEPT, 1.0)
        moment = self._clock()
        left, seen = self._buckets.get(key, (most, moment))
        left = min(most, left + (moment - seen) * a_second)
        may = left >= 1.0
        self._buckets[key] = (left - may, moment)
        return may


class Turns:
    """How many requests of a key are in work at once; the others wait for their turn."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, asyncio.Semaphore] = {}

    def of(self, key: Hashable, most: int) -> asyncio.Semaphore:
        return self._turns.setdefault(key, asyncio.Semaphore(most))


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
