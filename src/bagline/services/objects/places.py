"""For whom requests are made, so that a store's places can be shared out fairly."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

WAIT_SECONDS = 10.0

_ASKING_FOR: ContextVar[object] = ContextVar("bagline_asking_for", default=None)


@contextmanager
def asking_for(subject: object) -> Iterator[None]:
    """Requests made in the block, in threads that it starts by `carried` too, are for this one."""
    before = _ASKING_FOR.set(subject)
    try:
        yield
    finally:
        _ASKING_FOR.reset(before)


def carried(work: Callable[P, R]) -> Callable[P, R]:
    """The work, to be done in another thread, for whom it is done here; as often as is wanted, but
    not twice at once."""
    context = copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.run(work, *args, **kwargs)

    return run


@contextmanager
def waited_for(places: threading.Semaphore, moved: Callable[[], object]) -> Iterator[None]:
    """One of the places; while others have them, `moved` is called: to wait for a turn behind
    files of any size is not to hang."""
    while not places.acquire(timeout=WAIT_SECONDS):
        moved()
    try:
        yield
    finally:
        places.release()


class FairPlaces:
    """Who waits for a place, and who has how many. Not thread-safe: its owner locks.

    The next free place goes to whoever has fewest, and of that one's requests to the first: a bag
    with thousands of requests leaves one with a few its share.
    """

    def __init__(self) -> None:
        self._held: Counter[object] = Counter()
        self._waiting: dict[object, deque[threading.Event]] = {}

    @property
    def is_anybody_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self) -> object:
        """A place is free: the caller's. Returns who it is for; that is given to `leave`."""
        who = _ASKING_FOR.get()
        self._held[who] += 1
        return who

    def queue_up(self) -> tuple[object, threading.Event]:
        """None is free: the event is set when the caller has one."""
        who, turn = _ASKING_FOR.get(), threading.Event()
        self._waiting.setdefault(who, deque()).append(turn)
        return who, turn

    def next(self) -> None:
        """A place is free, and somebody waits: it is given away."""
        who = min(self._waiting, key=self._held.__getitem__)
        waiting = self._waiting.pop(who)
        turn = waiting.popleft()
        if waiting:
            self._waiting[who] = waiting  # behind the others that have as few
        self._held[who] += 1
        turn.set()

    def leave(self, who: object) -> None:
        """A place is given back."""
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
