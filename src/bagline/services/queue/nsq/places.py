"""Who may send: the places of one reader, shared out over its connections as RDY counts.

nsqd takes RDY as the most that may be in flight on a connection. What is in hand takes up a
place whatever became of its connection, so that a reader never holds more than it may. With
fewer places than connections a place moves on: soon from a connection that has nothing,
after a while from one that always has something.
"""

from __future__ import annotations

import asyncio
import time

from bagline.services.queue.nsq.connection import NsqdConnection

FIRST_DWELL, LONGEST_DWELL = 0.05, 0.25
"""Seconds that a place stays with a connection that sends nothing; doubles while all rest."""
TURN_SECONDS = 1.0
"""So long a place stays with one that sends."""


class Places:
    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._connections: list[NsqdConnection] = []
        self._turn = 0
        self._turn_began = time.monotonic()
        self._dwell = FIRST_DWELL
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return self._taken >= self._count

    def come(self, connection: NsqdConnection) -> None:
        """One connection more."""
        self._connections.append(connection)
        self._share()

    def go(self, connection: NsqdConnection) -> None:
        """One less; what it had sent still takes up places."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._share()

    def take(self, connection: NsqdConnection) -> None:
        """A message of that connection is in hand."""
        self._taken += 1
        self._dwell = FIRST_DWELL
        place = self._connections.index(connection) if connection in self._connections else 0
        if place != self._turn:
            self._turn, self._turn_began = place, time.monotonic()
        self._share()

    def give_back(self) -> None:
        """One less is in hand."""
        self._taken -= 1
        if time.monotonic() - self._turn_began > TURN_SECONDS:
            self._next_turn()
        self._share()

    def close(self) -> None:
        """No connection may send any more."""
        self._is_closed = True
        self._share()

    def _next_turn(self) -> None:
        self._turn = (self._turn + 1) % max(1, len(self._connections))
        self._turn_began = time.monotonic()

    def _share(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        free = 0 if self._is_closed else max(0, self._count - self._taken)
        number = len(self._connections)
        if not number:
            return
        each, rest = divmod(free, number)
        for index, connection in enumerate(self._connections):
            share = each + ((index - self._turn) % number < rest)
            if share:
                connection.ready(connection.in_flight + share)
            elif number > 1 or connection.rdy > connection.in_flight or self._is_closed:
                connection.ready(0)  # if not, nsqd has sent all that it may
        if free and not each:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._dwell, self._move_on)

    def _move_on(self) -> None:
        self._timer = None
        self._dwell = min(2 * self._dwell, LONGEST_DWELL)
        self._next_turn()
        self._share()
