"""Many requests at once: so many at a time, all tried, the gravest fault raised."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Generic, TypeVar

from bagline.services.objects.classify import gravest
from bagline.services.objects.places import carried

A = TypeVar("A")
B = TypeVar("B")

WIDTH = 128
"""Requests that one connection carries at once at the most."""
LANE_ITEMS = 8
"""A thread does so many of a batch before others have their turn."""


class Fan:
    """A pool of threads. What runs in it may not wait for more work in it, `limited` apart."""

    def __init__(self, name: str, width: int = WIDTH) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix=name)

    def submit(self, work: Callable[..., B], *arguments: Any) -> Future[B]:
        return self._pool.submit(carried(work), *arguments)

    def limited(
        self, work: Callable[[A], B], items: Iterable[A], places: threading.Semaphore
    ) -> list[Future[B]]:
        """Start `work` on each, taking a place for it and giving it back at its end.

        Items are taken as places come free. Where the iterable raises, what it gave before
        goes on, and the error stands in a future of its own at the end.
        """
        futures: list[Future[B]] = []

        def one(item: A) -> B:
            try:
                return work(item)
            finally:
                places.release()

        try:
            for item in items:
                places.acquire()
                futures.append(self.submit(one, item))
        except BaseException as error:  # noqa: BLE001 (the caller's iterable; raised by `gathered`)
            failed: Future[B] = Future()
            failed.set_exception(error)
            futures.append(failed)
        return futures

    def many(self, work: Callable[[A], B], items: Iterable[A], in_flight: int) -> list[B]:
        """`work` on each, so many at a time, results in order of `items`.

        All are tried; then the gravest fault is raised.
        """
        if not isinstance(items, Sequence):
            return gathered(self.limited(work, items, threading.Semaphore(max(1, in_flight))))
        batch = _Batch(work, items)
        lanes = [self._lane(batch) for _ in range(min(max(1, in_flight), len(items)))]
        for lane in lanes:
            lane.wait()
        if batch.faults:
            raise gravest(batch.faults)
        return batch.results

    def _lane(self, batch: _Batch[A, B]) -> threading.Event:
        """One of those that work on the batch, until it is done; behind what others want of the
        pool after each few items."""
        over, do = threading.Event(), carried(batch.do)

        def queue_up() -> None:
            self._pool.submit(do, LANE_ITEMS).add_done_callback(go_on)

        def go_on(some: Future[bool]) -> None:
            try:
                if some.result():
                    queue_up()
                    return
            except BaseException as fault:  # noqa: BLE001 (the pool closes; raised by `many`)
                batch.faults.append(fault)
            over.set()

        queue_up()
        return over

    def each(self, work: Callable[[A], B], items: Iterable[A], in_flight: int) -> Iterator[B]:
        """The same, each result as soon as it is there, in any order.

        When it is closed, what is under way comes to its end, and nothing more begins.
        """
        rest, running = iter(items), set[Future[B]]()
        faults: list[BaseException] = []
        try:
            while True:
                more = islice(rest, max(1, in_flight) - len(running))
                running |= {self.submit(work, item) for item in more}
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    if (fault := future.exception()) is not None:
                        faults.append(fault)
                    else:
                        yield future.result()
        finally:
            wait(running)
        if faults:
            raise gravest(faults)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Batch(Generic[A, B]):
    """Items that many threads work on, each taking the next."""

    def __init__(self, work: Callable[[A], B], items: Sequence[A]) -> None:
        self._work = work
        self._items = items
        self._next = itertools.count().__next__  # atomic
        self.results: list[Any] = [None] * len(items)
        self.faults: list[BaseException] = []

    def do(self, most: int) -> bool:
        """The next items, up to so many; whether there may be more."""
        for _ in range(most):
            index = self._next()
            if index >= len(self._items):
                return False
            try:
                self.results[index] = self._work(self._items[index])
            except BaseException as fault:  # noqa: BLE001 (raised by `many`)
                self.faults.append(fault)
        return True


def gathered(futures: Sequence[Future[B]]) -> list[B]:
    """The results in order, when all are done. Raises the gravest fault among them."""
    faults = [fault for future in futures if (fault := future.exception()) is not None]
    if faults:
        raise gravest(faults)
    return [future.result() for future in futures]
