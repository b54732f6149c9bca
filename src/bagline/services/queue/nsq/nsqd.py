"""One TCP connection to one nsqd. Only on the loop's thread.

It has time limits, TLS by an SSLContext that must hold, and an end that nsqd acknowledges (CLS).
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from bagline.errors import BaglineError, Refused, Unreachable
from bagline.services.queue.nsq import frames
from bagline.services.queue.nsq.frames import FrameBuffer, FrameKind, Malformed, Message
from bagline.services.queue.nsq.options import (
    HEARTBEAT_SECONDS,
    Address,
    NsqOptions,
    channel_of,
)

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
"""From the first packet to the place in line: TCP, IDENTIFY, TLS, AUTH and SUB."""
CLOSE_SECONDS = 1.0
LEAST_TIMEOUT = 0.1
"""Seconds: with a shorter time-out for messages none could be kept."""
SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
FLUSH_MILLISECONDS = 25
"""The least that nsqd takes; it holds messages back no longer."""
USER_AGENT = "bagline"
SHOWN = 200

LATE = (b"E_FIN_FAILED", b"E_REQ_FAILED", b"E_TOUCH_FAILED")
"""The message was no longer ours. Harmless: the lease decides."""
NO_ENTRY = (b"E_AUTH", b"E_UNAUTHORIZED")


@dataclass(frozen=True, slots=True)
class NsqdLimits:
    """What nsqd answers to IDENTIFY, in seconds."""

    message: float = 60.0
    """A message that is not touched for so long is somebody else's."""
    longest: float = 900.0
    """Since its delivery; no touch keeps it longer."""
    ready: int = 2500


class NsqdConnection(asyncio.Protocol):
    """`on_ready`, `on_message` and `on_closed` are called with the connection, the second
    also with the message; `on_closed` once, whatever ends it."""

    def __init__(
        self,
        address: Address,
        resolved: str,
        topic: str,
        options: NsqOptions,
        *,
        on_ready: Callable[[NsqdConnection], None],
        on_message: Callable[[NsqdConnection, Message], None],
        on_closed: Callable[[NsqdConnection], None],
    ) -> None:
        self.address = address
        self.limits = NsqdLimits()
        self.fault: BaglineError | None = None
        """Why it ended, where that is known."""
        self.is_ready = False
        self.in_flight = 0
        """Messages that came and have not ended."""
        self.rdy = 0
        """The most that nsqd may have in flight here, as it was told last."""
        self._resolved = resolved
        self._topic = topic
        self._options = options
        self._on_ready, self._on_message, self._on_closed = on_ready, on_message, on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._buffer = FrameBuffer()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        """Responses on the way up; None when the connection is lost there."""
        self._heard_at = time.monotonic()
        self._has_ended = False
        self._is_leaving = False
        self._goodbye: asyncio.Future[None] = self._loop.create_future()
        self._coming: asyncio.Task[None] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nsqd misses its heartbeats."""
        return time.monotonic() - self._heard_at > SILENT_SECONDS

    # -- the way up
    def connect(self) -> None:
        """Begin to; how it goes is told by the callbacks."""
        self._coming = self._loop.create_task(self._come())

    async def _come(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._take_place()
        except BaglineError as fault:
            self._end(fault)
        except TimeoutError:
            self._end(
                Unreachable(f"nsqd at {self.address} gave no place within {CONNECT_SECONDS:.0f} s")
            )
        except ssl.SSLError as error:
            self._end(Refused(f"TLS with nsqd at {self.address} does not hold: {error}"))
        except (OSError, ValueError):
            self._end(Unreachable(f"nsqd at {self.address} does not answer"))
        except Exception:  # noqa: BLE001 (nobody waits for this task; the reader tries again)
            log.error("nsq_fault", trace=traceback.format_exc())
            self._end(Unreachable(f"nsqd at {self.address} answers what nobody can read"))
        else:
            self.is_ready = not self._has_ended
            if self.is_ready:
                self._on_ready(self)

    async def _take_place(self) -> None:
        """TCP, IDENTIFY, TLS, AUTH, SUB. Raises what keeps it from one."""
        await self._loop.create_connection(lambda: self, self._resolved, self.address.port)
        found = self._identified(await self._asked(frames.MAGIC + self._introduction()))
        if self._options.tls is not None:
            await self._secure(self._options.tls)
        if found.get("auth_required"):
            await self._asked(frames.auth(self._options.auth_secret))
        await self._asked(frames.subscribe(self._topic, channel_of(self._topic)))

    def _introduction(self) -> bytes:
        host = socket.gethostname()
        return frames.identify(
            {
                "client_id": host.partition(".")[0],
                "hostname": host,
                "user_agent": USER_AGENT,
                "feature_negotiation": True,
                "heartbeat_interval": HEARTBEAT_SECONDS * 1_000,
                "output_buffer_timeout": FLUSH_MILLISECONDS,
                "tls_v1": self._options.tls is not None,
            }
        )

    def _identified(self, answer: bytes) -> dict[str, Any]:
        data = json.loads(answer)
        if not isinstance(data, dict):
            raise Unreachable(f"nsqd at {self.address} does not say what it can do")
        self.limits = limits = NsqdLimits(
            message=float(data.get("msg_timeout") or 60_000) / 1_000,
            longest=float(data.get("max_msg_timeout") or 900_000) / 1_000,
            ready=int(data.get("max_rdy_count") or 1),
        )
        usable = all(LEAST_TIMEOUT <= s < math.inf for s in (limits.message, limits.longest))
        if not usable or limits.ready < 1:
            raise Unreachable(f"nsqd at {self.address} says limits that nobody can keep")
        if self._options.tls is not None and not data.get("tls_v1"):
            raise Refused(f"nsqd at {self.address} speaks no TLS, and queue.tls is set")
        if data.get("auth_required") and not self._options.auth_secret:
            raise Refused(
                f"nsqd at {self.address} wants a secret: set queue.auth_secret "
                "(BAGLINE_QUEUE_AUTH_SECRET)"
            )
        return data

    async def _secure(self, context: ssl.SSLContext) -> None:
        if self._buffer or not self._answers.empty():  # said in plain text by whoever sits between
            raise Refused(f"TLS with nsqd at {self.address} does not hold: it speaks before it")
        self._transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=self.address.host
        )
        await self._answer()

    async def _asked(self, command: bytes) -> bytes:
        self._transport.write(command)
        return await self._answer()

    async def _answer(self) -> bytes:
        answer = await self._answers.get()
        if answer is None:
            raise ConnectionError
        return answer

    # -- what comes
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        try:
            for kind, body in self._buffer.feed(data):
                if self.fault is not None:
                    return
                self._arrived(kind, body)
        except Malformed as fault:
            self._end(Unreachable(f"nsqd at {self.address}: {fault}"))

    def _arrived(self, kind: FrameKind, body: bytes) -> None:
        if kind is FrameKind.MESSAGE:
            if not self.is_ready:  # before TLS, AUTH and SUB it is of whoever sits between
                self._end(Refused(f"nsqd at {self.address} sends messages before it was asked"))
                return
            self.in_flight += 1
            self._on_message(self, frames.message_of(body))
        elif kind is FrameKind.ERROR:
            self._failed(body)
        elif body == frames.HEARTBEAT:
            self._transport.write(frames.NOP)
        elif not self.is_ready:
            self._answers.put_nowait(body)
        elif body == b"CLOSE_WAIT" and not self._goodbye.done():
            self._goodbye.set_result(None)

    def _failed(self, text: bytes) -> None:
        """An error frame."""
        if text.startswith(LATE):
            return
        shown = f" ({text[:SHOWN].decode('utf-8', 'replace')})"
        if text.startswith(NO_ENTRY):
            self._end(Refused(f"nsqd at {self.address} refuses our secret{shown}"))
        elif not self.is_ready:
            self._end(Refused(f"nsqd at {self.address} refuses {self._topic}{shown}"))
        else:
            self._end(Unreachable(f"nsqd at {self.address} broke off{shown}"))

    # -- the way down
    def _end(self, fault: BaglineError) -> None:
        self.fault = self.fault or fault
        self.close()

    def close(self) -> None:
        """At once. May be repeated, and at any time."""
        if self._coming is not None and self._coming is not asyncio.current_task(self._loop):
            self._coming.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._loop.call_soon(self._closed)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self._coming is None or self._coming.done():
            self._closed()
        else:
            self._answers.put_nowait(None)  # who is on the way up says what it was

    def _closed(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.is_ready = False
        if not self._goodbye.done():
            self._goodbye.set_result(None)
        if self.fault is None:
            self.fault = Unreachable(f"nsqd at {self.address} does not answer")
        self._on_closed(self)

    async def leave(self) -> None:
        """Close when nsqd has read all that was sent (it answers to CLS), or soon."""
        if self.is_ready:
            with suppress(TimeoutError):
                if not self._is_leaving:
                    self._is_leaving = True
                    self._transport.write(frames.CLOSE)  # a second one is a mistake to nsqd
                await asyncio.wait_for(asyncio.shield(self._goodbye), CLOSE_SECONDS)
        self.close()

    # -- messages: nothing happens where the connection is gone, or the message has ended
    def ready(self, count: int) -> None:
        """Let nsqd have at most so many messages in flight with us."""
        count = min(count, self.limits.ready)
        if self.is_ready and count != self.rdy:
            self.rdy = count
            self._transport.write(frames.ready(count))

    def finish(self, message: Message) -> None:
        """FIN."""
        self._end_message(message, frames.finish(message))

    def requeue(self, message: Message, delay: float) -> None:
        """REQ, due after `delay` seconds; nsqd shortens it to its --max-req-timeout."""
        self._end_message(message, frames.requeue(message, max(0, round(delay * 1_000))))

    def touch(self, message: Message) -> None:
        """TOUCH: another `limits.message` from now."""
        if self.is_ready and not message.has_ended:
            self._transport.write(frames.touch(message))

    def _end_message(self, message: Message, command: bytes) -> None:
        if self.is_ready and not message.has_ended:
            message.has_ended = True
            self.in_flight -= 1
            self._transport.write(command)
