"""Where NSQ is, and how to speak to it. Holds secrets: shows none."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from bagline.errors import Misconfigured

CHANNEL_SUFFIX = "_worker_chan"
HEARTBEAT_SECONDS = 10


def channel_of(topic: str) -> str:
    """The channel that every worker of the topic shares, of whatever make it is."""
    return topic + CHANNEL_SUFFIX


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is a name or an IP address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NsqOptions:
    """Times are in seconds. At least one of the lookupds or the TCP addresses is given."""

    lookupd: tuple[str, ...] = ()
    """Base URLs."""
    tcp: tuple[Address, ...] = ()
    http: tuple[str, ...] = ()
    """Base URLs to publish at. Without any, those that nsqlookupd knows."""
    tls: ssl.SSLContext | None = None
    auth_secret: str = field(default="", repr=False)
    longest_delay: float = 3600.0
    """nsqd's --max-req-timeout: it refuses to publish with a longer delay."""
    keep_seconds: float = 60.0
    """How long a message is kept (touched) for a worker that says nothing more about it."""


def nsq_options(
    *,
    lookupd: str = "",
    tcp: str = "",
    http: str = "",
    tls: bool = False,
    tls_ca: str = "",
    tls_cert: str = "",
    tls_key: str = "",
    auth_secret: str = "",
    longest_delay: float = 3600.0,
    keep_seconds: float = 60.0,
) -> NsqOptions:
    """From settings: lists are `host:port`, separated by commas, for HTTP with or without
    a scheme; files are PEM. Raises Misconfigured."""
    found = NsqOptions(
        lookupd=_urls(lookupd),
        tcp=tuple(_address(one) for one in _items(tcp)),
        http=_urls(http),
        tls=_tls_context(tls_ca, tls_cert, tls_key) if tls else None,
        auth_secret=auth_secret,
        longest_delay=longest_delay,
        keep_seconds=keep_seconds,
    )
    if not found.lookupd and not found.tcp:
        raise Misconfigured(
            "the queue is NSQ, and nothing says where it is: set queue.nsqlookupd "
            "(BAGLINE_QUEUE_NSQLOOKUPD, host:4161), or queue.nsqd_tcp and queue.nsqd_http"
        )
    if not found.lookupd and not found.http:
        raise Misconfigured(
            "queue.nsqd_http is missing (BAGLINE_QUEUE_NSQD_HTTP, host:4151): without "
            "nsqlookupd nobody else says where to publish"
        )
    return found


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _urls(text: str) -> tuple[str, ...]:
    return tuple((item if "://" in item else f"http://{item}").rstrip("/") for item in _items(text))


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if "://" in text or not host or not port.isascii() or not port.isdigit():
        raise Misconfigured(f"queue.nsqd_tcp has {text!r}: it must be host:port, without a scheme")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _tls_context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if cert:
            context.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as fault:
        raise Misconfigured(
            f"a TLS file of the queue (queue.tls_ca, tls_cert, tls_key) cannot be used: {fault}"
        ) from None
    return context
