"""One TCP connection to one nsqd: pynsq's, with what it lacks. Only on the loop's thread.

pynsq frames the bytes, identifies, authenticates, and answers heartbeats. Here are time
limits, TLS by an SSLContext that must hold, and an end that nsqd acknowledges (CLS).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from nsq import event, protocol
from nsq.conn import AsyncConn
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from bagline.errors import BaglineError, Refused, Unreachable
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
SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
FLUSH_MILLISECONDS = 25
"""The least that nsqd takes; it holds messages back no longer."""
USER_AGENT = "bagline"
SHOWN = 200

LATE = (b"E_FIN_FAILED", b"E_REQ_FAILED", b"E_TOUCH_FAILED")
"""The message was no longer ours. Harmless: the lease decides."""
NO_ENTRY = (b"E_AUTH", b"E_UNAUTHORIZED")


class _Traces(logging.Handler):
    """Of pynsq's own lines only the faults, as an event; the rest is logged by this package."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            log.error("nsq_fault", trace=self.format(record))


logging.getLogger("nsq").addHandler(_Traces())
logging.getLogger("nsq").propagate = False


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What nsqd answers to IDENTIFY, in seconds."""

    message: float = 60.0
    """A message that is not touched for so long is somebody else's."""
    longest: float = 900.0
    """Since its delivery; no touch keeps it longer."""
    ready: int = 2500


class NsqdConnection(AsyncConn):  # type: ignore[misc]  # untyped
    """`on_ready`, `on_message` and `on_closed` are called with the connection, the second
    also with pynsq's message; `on_closed` once, whatever ends it."""

    def __init__(
        self,
        address: Address,
        resolved: str,
        topic: str,
        options: NsqOptions,
        *,
        on_ready: Callable[[NsqdConnection], None],
        on_message: Callable[[NsqdConnection, Any], None],
        on_closed: Callable[[NsqdConnection], None],
    ) -> None:
        self.stream: Any
        self.socket: Any
        super().__init__(
            resolved,
            address.port,
            heartbeat_interval=HEARTBEAT_SECONDS,
            tls_v1=options.tls is not None,
            auth_secret=options.auth_secret or None,
            output_buffer_timeout=FLUSH_MILLISECONDS,
            user_agent=USER_AGENT,
        )
        self.address = address
        self.limits = MessageLimits()
        self.fault: BaglineError | None = None
        """Why it ended, where that is known."""
        self.is_ready = False
        self._topic = topic
        self._tls = options.tls
        self._on_ready, self._on_message, self._on_closed = on_ready, on_message, on_closed
        self._loop = asyncio.get_running_loop()
        self._overdue = self._loop.call_later(CONNECT_SECONDS, self._give_up)
        self._has_ended = False
        self._is_leaving = False
        self._goodbye: asyncio.Future[None] = self._loop.create_future()
        self.on(event.IDENTIFY_RESPONSE, self._identified)
        self.on(event.READY, self._subscribe)
        self.on(event.MESSAGE, self._arrived)
        self.on(event.ERROR, self._failed)
        self.on(event.CLOSE, self._closed)

    @property
    def is_silent(self) -> bool:
        """Whether nsqd misses its heartbeats."""
        return bool(time.time() - self.last_recv_timestamp > SILENT_SECONDS)

    # -- the way up
    def _connect_callback(self, fut: Any) -> None:
        if fut.exception() is None:  # if not, the stream closes, which is told
            super()._connect_callback(fut)

    def _identified(self, data: dict[str, Any], **_: object) -> None:
        self.limits = MessageLimits(
            message=float(data.get("msg_timeout") or 60_000) / 1_000,
            longest=float(data.get("max_msg_timeout") or 900_000) / 1_000,
            ready=int(data.get("max_rdy_count") or 1),
        )
        if self._tls is not None and not data.get("tls_v1"):
            self._end(Refused(f"nsqd at {self.address} speaks no TLS, and queue.tls is set"))
        if data.get("auth_required") and not self.auth_secret:
            self._end(
                Refused(
                    f"nsqd at {self.address} wants a secret: set queue.auth_secret "
                    "(BAGLINE_QUEUE_AUTH_SECRET)"
                )
            )

    def upgrade_to_tls(self, options: object = None) -> None:  # noqa: ARG002
        """In place of pynsq's: certificates and host name are checked by our context."""
        stream: IOStream = self.stream
        self.stream = None
        future = stream.start_tls(
            server_side=False, ssl_options=self._tls, server_hostname=self.address.host
        )
        IOLoop.current().add_future(future, self._upgraded)

    def _upgraded(self, future: Any) -> None:
        error = future.exception()
        if error is not None:
            self._end(Refused(f"TLS with nsqd at {self.address} does not hold: {error}"))
            return
        self.stream = future.result()
        self.socket = self.stream.socket
        self._start_read()

    def _subscribe(self, **_: object) -> None:
        if self._has_ended or self.fault is not None:
            return
        self.on(event.RESPONSE, self._answered)
        self.send(protocol.subscribe(self._topic, channel_of(self._topic)))

    def _arrived(self, message: Any, **_: object) -> None:
        self._on_message(self, message)

    def _answered(self, data: bytes, **_: object) -> None:
        if data == b"OK" and not self.is_ready:
            self._overdue.cancel()
            self.is_ready = True
            self._on_ready(self)
        elif data == b"CLOSE_WAIT" and not self._goodbye.done():
            self._goodbye.set_result(None)

    # -- the way down
    def _failed(self, error: Any, **_: object) -> None:
        """An error frame of nsqd, or a fault of the connection as pynsq tells it."""
        text = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
        if text.startswith(LATE):
            return
        shown = f" ({text[:SHOWN].decode('utf-8', 'replace')})" if text else ""
        if text.startswith(NO_ENTRY):
            self._end(Refused(f"nsqd at {self.address} refuses our secret{shown}"))
        elif text and not self.is_ready:
            self._end(Refused(f"nsqd at {self.address} refuses {self._topic}{shown}"))
        else:
            self._end(Unreachable(f"nsqd at {self.address} broke off{shown}"))

    def _give_up(self) -> None:
        self._end(
            Unreachable(f"nsqd at {self.address} gave no place within {CONNECT_SECONDS:.0f} s")
        )

    def _end(self, fault: BaglineError) -> None:
        self.fault = self.fault or fault
        self.close()

    def close(self) -> None:
        """At once. May be repeated, and at any time."""
        if self.stream is not None:
            self.stream.close()
        elif self.socket is not None:  # TLS is being agreed on
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        else:
            self._closed()

    def _closed(self, **_: object) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.is_ready = False
        self._overdue.cancel()
        if not self._goodbye.done():
            self._goodbye.set_result(None)
        if self.fault is None:
            self.fault = Unreachable(f"nsqd at {self.address} does not answer")
        self._on_closed(self)

    def ready(self, count: int) -> None:
        """Let nsqd have at most so many messages in flight with us."""
        if self.is_ready:
            self.send_rdy(min(count, self.limits.ready))

    async def leave(self) -> None:
        """Close when nsqd has read all that was sent (it answers to CLS), or soon."""
        if self.is_ready:
            with suppress(OSError, TimeoutError):
                if not self._is_leaving:
                    self._is_leaving = True
                    self.send(b"CLS\n")  # nsqd takes a second one for a mistake
                await asyncio.wait_for(asyncio.shield(self._goodbye), CLOSE_SECONDS)
        self.close()

    # -- messages: nothing happens where the connection is gone, or the message has ended
    def finish(self, message: Any) -> None:
        """FIN."""
        if self.is_ready and not message.has_responded():
            message.finish()

    def requeue(self, message: Any, delay: float) -> None:
        """REQ, due after `delay` seconds; nsqd shortens it to its --max-req-timeout."""
        if self.is_ready and not message.has_responded():
            message.requeue(backoff=False, time_ms=max(0, round(delay * 1_000)))

    def touch(self, message: Any) -> None:
        """TOUCH: another `limits.message` from now."""
        if self.is_ready and not message.has_responded():
            message.touch()
