"""Relays: windows of one object become many small objects, in a pipeline.

While the bodies of some windows are put, the next ones are read; windows come out in
order, each when every one of its bodies is proven. Bodies are put in order of windows,
and all windows in hand fit into the budget of bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from bagline.errors import ProofFailed
from bagline.services.objects.base import Body, Budget, Objects, Proof, Relay, RelayPart
from bagline.services.objects.classify import gravest
from bagline.services.objects.fan import Fan
from bagline.services.objects.places import carried

READ_AHEAD = 2
"""So many windows are read while those before them are put."""

Read = Callable[[Relay], bytes]
Put = Callable[[RelayPart, Body], Proof]


def reads_of(objects: Objects) -> Read:
    """How a window is read from that store."""
    return lambda relay: objects.read(
        relay.source_bucket,
        relay.source_key,
        start=relay.start,
        length=relay.length,
        etag=relay.etag,
    )


class _Flow:
    """One window on its way: read in a thread of the fan, then put in many."""

    def __init__(self, relay: Relay, reading: Future[bytes] | None) -> None:
        self.relay = relay
        self._reading = reading
        self._proofs: dict[int, Proof] = {}
        self._faults: list[BaseException] = []
        self._left = len(relay.parts)
        self._lock = threading.Lock()
        self._over = threading.Event()
        if not relay.parts:
            self._over.set()

    def bodies(self) -> Iterator[tuple[int, RelayPart, Body]]:
        """Numbered. Waits until the window is read. Raises what reading raised."""
        data = memoryview(self._reading.result() if self._reading else b"")
        self._reading = None  # the window is let go with the last body
        if data.nbytes != self.relay.length:
            raise ProofFailed(f"a window of {self.relay.length} bytes came with {data.nbytes}")
        for number, part in enumerate(self.relay.parts):
            body = data[part.offset : part.offset + part.length]
            yield number, part, Body(part.target, body, part.sha256)

    def proven(self, number: int, proof: Proof) -> None:
        self._proofs[number] = proof
        self._one_less()

    def failed(self, fault: BaseException) -> None:
        self._faults.append(fault)
        self._one_less()

    def unread(self, fault: BaseException) -> None:
        """None of it can be put."""
        self._faults.append(fault)
        self._over.set()

    def _one_less(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self._over.set()

    def proofs(self) -> list[Proof]:
        """In order of parts. Waits for all of it. Raises the gravest fault."""
        self._over.wait()
        if self._faults:
            raise gravest(self._faults)
        return [proof for _, proof in sorted(self._proofs.items())]

    def settle(self) -> None:
        """Waits until it is not being read any more."""
        if reading := self._reading:
            wait([reading])


class _Putters:
    """Threads that take one body after another, in order of windows, and put them."""

    def __init__(self, put: Put, windows: int, puts_in_flight: int) -> None:
        self._put = put
        self._windows = threading.Semaphore(windows)
        self._pool = ThreadPoolExecutor(puts_in_flight, thread_name_prefix="objects-relay")
        self._idle_places = puts_in_flight
        self._waiting: SimpleQueue[_Flow | None] = SimpleQueue()
        self._next = self._bodies()
        self._taking = threading.Lock()
        self._closed = False

    def add(self, flow: _Flow) -> None:
        """Put it when its turn comes."""
        self._waiting.put(flow)
        more = min(self._idle_places, len(flow.relay.parts))
        for _ in range(more):
            self._pool.submit(carried(self._work))
        self._idle_places -= more

    def next_window(self) -> None:
        """A window is done with: one more may be put."""
        self._windows.release()

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._closed = True
        self._waiting.put(None)
        self._windows.release()
        self._pool.shutdown()

    def _bodies(self) -> Iterator[tuple[_Flow, int, RelayPart, Body]]:
        while (flow := self._waiting.get()) is not None:
            self._windows.acquire()
            if self._closed:
                return
            try:
                for number, part, body in flow.bodies():
                    yield flow, number, part, body
            except BaseException as fault:  # noqa: BLE001 (raised where the window's turn comes)
                flow.unread(fault)

    def _work(self) -> None:
        while True:
            with self._taking:
                taken = None if self._closed else next(self._next, None)
            if taken is None:
                return
            flow, number, part, body = taken
            try:
                flow.proven(number, self._put(part, body))
            except BaseException as fault:  # noqa: BLE001 (raised where the window's turn comes)
                flow.failed(fault)
            del taken, flow, body  # a thread that waits must not hold its last window


def relayed(
    relays: Iterable[Relay],
    *,
    read: Read,
    put: Put,
    fan: Fan,
    windows: int,
    puts_in_flight: int,
    budget: Budget,
) -> Generator[list[Proof]]:
    """The proofs of each window, in order. Nothing runs on after it ends or raises."""
    flows: deque[_Flow] = deque()
    held = 0
    putters = _Putters(put, windows, puts_in_flight)
    try:
        for relay in relays:
            while flows and (len(flows) >= windows + READ_AHEAD or held + relay.length > budget()):
                yield flows[0].proofs()
                held -= flows.popleft().relay.length
                putters.next_window()
            flow = _Flow(relay, fan.submit(read, relay) if relay.length else None)
            flows.append(flow)
            putters.add(flow)
            held += relay.length
        while flows:
            yield flows[0].proofs()
            flows.popleft()
            putters.next_window()
    finally:
        putters.close()
        for flow in flows:
            flow.settle()
