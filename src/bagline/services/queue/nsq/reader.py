"""A place in line at one topic, over every nsqd that has it. Only on the loop's thread."""

from __future__ import annotations

import asyncio
import random
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from bagline.errors import BaglineError, Unreachable
from bagline.services.queue.nsq.addresses import Places
from bagline.services.queue.nsq.delivery import NsqDelivery
from bagline.services.queue.nsq.frames import Message
from bagline.services.queue.nsq.http import NsqHttp
from bagline.services.queue.nsq.loop import Loop
from bagline.services.queue.nsq.nsqd import NsqdConnection
from bagline.services.queue.nsq.options import Address, NsqOptions

log = structlog.get_logger(__name__)

POLL_SECONDS = 15.0
"""Between looks at nsqlookupd while all is well,"""
LOOK_SECONDS = 1.0
"""and while there is no connection."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Before an address is tried again; doubles."""
LONGEST_ID = 19
BODY_SHOWN = 80


@dataclass(slots=True)
class Peer:
    """An nsqd that is wanted."""

    connection: NsqdConnection | None = None
    pause: float = FIRST_PAUSE
    try_at: float = 0.0


class NsqReader:
    """`on_delivery` is called with each item; at most `in_flight` are in hand."""

    def __init__(
        self,
        loop: Loop,
        http: NsqHttp,
        options: NsqOptions,
        topic: str,
        in_flight: int,
        on_delivery: Callable[[NsqDelivery], None],
    ) -> None:
        self.fault: BaglineError | None = None
        """Why there is no connection; None where there is one, or nothing is to connect to."""
        self._thread = loop
        self._http = http
        self._options = options
        self._topic = topic
        self._on_delivery = on_delivery
        self._peers: dict[Address, Peer] = {address: Peer() for address in options.tcp}
        self._in_hand: set[NsqDelivery] = set()
        self._places = Places(in_flight)
        self._wake = asyncio.Event()
        self._is_leaving = False
        self._all_ended = asyncio.Event()
        self.is_over = False
        """Left, and every connection closed."""
        self._look_at = 0.0
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    # -- who is there
    async def _watch(self) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                await self._discover()
                for address, peer in list(self._peers.items()):
                    await self._tend_safely(address, peer)
                pause = self._pause()
            except Exception:  # noqa: BLE001 (without a watcher nobody connects again)
                log.error("nsq_fault", trace=traceback.format_exc())
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _tend_safely(self, address: Address, peer: Peer) -> None:
        """What is wrong with one keeps nobody from the others."""
        try:
            await self._tend(address, peer)
        except Exception as fault:  # noqa: BLE001 (an address may be anything)
            unreachable = Unreachable(f"nsqd at {address} cannot be spoken with: {fault}")
            self._failed(address, peer, unreachable)

    async def _tend(self, address: Address, peer: Peer) -> None:
        if peer.connection is None:
            if time.monotonic() >= peer.try_at:
                await self._connect(address, peer)
        elif peer.connection.is_silent:
            log.warning("nsqd_silent", nsqd=str(address), topic=self._topic)
            peer.connection.close()

    def _pause(self) -> float:
        """Seconds until there is something to do, if nothing wakes us before."""
        due = [peer.try_at for peer in self._peers.values() if peer.connection is None]
        if self._options.lookupd:
            due.append(self._look_at)
        now = time.monotonic()
        return min(POLL_SECONDS, max(0.02, min(due, default=now + POLL_SECONDS) - now))

    async def _discover(self) -> None:
        if not self._options.lookupd or time.monotonic() < self._look_at:
            return
        loop = asyncio.get_running_loop()
        try:
            nodes = await loop.run_in_executor(None, self._http.producers, self._topic)
            self._learn({node.tcp for node in nodes})
        except BaglineError as fault:
            self._note(fault)
        is_well = any(True for _ in self._ready())
        pause = POLL_SECONDS * random.uniform(0.8, 1.2) if is_well else LOOK_SECONDS
        self._look_at = time.monotonic() + pause

    def _learn(self, known: set[Address]) -> None:
        for address in known:
            self._peers.setdefault(address, Peer())
        for address, peer in list(self._peers.items()):
            if peer.connection is None and address not in known | set(self._options.tcp):
                del self._peers[address]  # nsqlookupd has forgotten it, so do we
        if not self._peers:
            self.fault = None  # nobody has published to the topic yet

    def _note(self, fault: BaglineError) -> None:
        if not any(True for _ in self._ready()):
            self.fault = fault

    async def _connect(self, address: Address, peer: Peer) -> None:
        try:
            resolved = await self._resolve(address)
        except OSError as error:
            self._failed(address, peer, Unreachable(f"nsqd at {address}: {error.strerror}"))
            return
        if self._is_leaving:
            return
        peer.connection = NsqdConnection(
            address,
            resolved,
            self._topic,
            self._options,
            on_ready=self._ready_now,
            on_message=self._take,
            on_closed=self._closed,
        )
        peer.connection.connect()

    @staticmethod
    async def _resolve(address: Address) -> str:
        """The IP address, without holding up the loop."""
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
        return str(found[0][4][0])

    def _ready_now(self, connection: NsqdConnection) -> None:
        log.info("nsqd_connected", nsqd=str(connection.address), topic=self._topic)
        self.fault = None
        self._peers[connection.address].pause = FIRST_PAUSE
        self._places.come(connection)

    def _closed(self, connection: NsqdConnection) -> None:
        for delivery in list(self._in_hand):
            if delivery.connection is connection:
                delivery.lose()  # nsqd hands it to another worker; the lease says wait
        self._places.go(connection)
        peer = self._peers.get(connection.address)
        if peer is not None and peer.connection is connection:
            peer.connection = None
            self._failed(connection.address, peer, connection.fault)
        self._look_at = min(self._look_at, time.monotonic() + LOOK_SECONDS)
        self._wake.set()

    def _failed(self, address: Address, peer: Peer, fault: BaglineError | None) -> None:
        peer.try_at = time.monotonic() + peer.pause * random.uniform(0.8, 1.2)
        peer.pause = min(peer.pause * 2, LONGEST_PAUSE)
        if fault is not None and not self._is_leaving:
            log.warning("nsqd_away", nsqd=str(address), topic=self._topic, reason=str(fault))
            self._note(fault)

    def _ready(self) -> Iterable[NsqdConnection]:
        for peer in self._peers.values():
            if peer.connection is not None and peer.connection.is_ready:
                yield peer.connection

    # -- what comes
    def _take(self, connection: NsqdConnection, message: Message) -> None:
        item_id = item_of(message.body)
        if item_id is None:
            log.error(
                "message_unreadable",
                topic=self._topic,
                length=len(message.body),
                body=repr(message.body[:BODY_SHOWN]),
            )
            connection.finish(message)
            return
        if self._is_leaving or self._places.is_full:
            # Its place was given away while it was on its way, or is held by a message that
            # nsqd has timed out. No more until there is one, or it would come straight back.
            connection.ready(0)
            connection.requeue(message, 0)
            return
        delivery = NsqDelivery(
            self._thread,
            connection,
            message,
            topic=self._topic,
            number=item_id,
            keep_seconds=self._options.keep_seconds,
            on_end=self._ended,
        )
        self._in_hand.add(delivery)
        self._places.take(connection)
        self._on_delivery(delivery)

    def _ended(self, delivery: NsqDelivery) -> None:
        if delivery in self._in_hand:
            self._in_hand.remove(delivery)
            self._places.give_back()
        if self._is_leaving and not self._in_hand:
            self._wake_leaver()

    # -- the end
    def take_leave(self) -> None:
        """Take no more; what is in hand can still be ended, and is kept until then."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._watcher.cancel()
        self._places.close()
        self._wake_leaver()
        self._leaver = asyncio.get_running_loop().create_task(self._leave_when_ended())

    def _wake_leaver(self) -> None:
        if not self._in_hand:
            self._all_ended.set()

    async def _leave_when_ended(self) -> None:
        await self._all_ended.wait()
        await self._disconnect()

    async def leave(self) -> None:
        """Now: what is still in hand goes back first (nsqd would wait for its time-out)."""
        self.take_leave()
        self._leaver.cancel()
        for delivery in list(self._in_hand):
            delivery.release()
        await self._disconnect()

    async def _disconnect(self) -> None:
        connections = [p.connection for p in self._peers.values() if p.connection is not None]
        await asyncio.gather(*(connection.leave() for connection in connections))
        self.is_over = True


def item_of(body: bytes) -> int | None:
    """The id that a message's body is, space around it trimmed; None where it is none."""
    text = body.strip() if len(body) <= 4 * LONGEST_ID else b""
    if not text.isdigit() or len(text) > LONGEST_ID:
        return None
    found = int(text)
    return found if 0 < found < 2**63 else None
