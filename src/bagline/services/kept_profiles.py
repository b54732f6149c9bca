"""Profiles at addresses that the settings list: fetched from there alone, and kept in files."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

import structlog

from bagline.errors import BaglineError, Misconfigured, Refused, Unreachable
from bagline.units import MIB

log = structlog.get_logger("bagline.profiles")

MOST_BYTES = 1 * MIB
"""Longest body that is taken; the check of what it holds has its own limit."""
REDIRECTS = 3
PASSED_ON = (301, 302, 303, 307, 308)
RETRY_SECONDS = 60.0
"""After a failure the kept profile serves so long, or the same fault is told, before the network
is tried again."""


class _Kept(NamedTuple):
    text: bytes
    at: float


class KeptProfiles:
    """The profiles at `urls`, in files in `folder`. Thread-safe.

    `check` raises Misconfigured for what is no profile: such a thing is never kept. A kept one is
    asked for anew after `refresh_seconds`, and serves on where that fails; nothing takes longer
    than `fetch_seconds`. Only https, and http where it is allowed; a redirect is followed to
    another of `urls` alone.
    """

    def __init__(
        self,
        folder: Path,
        urls: Sequence[str],
        *,
        check: Callable[[bytes], object],
        fetch_seconds: float,
        refresh_seconds: float,
        allow_http: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises Misconfigured for addresses that are none."""
        self._folder = folder
        self._urls = frozenset(urls)
        self._check = check
        self._fetch_seconds = fetch_seconds
        self._refresh_seconds = refresh_seconds
        self._schemes = ("https", "http") if allow_http else ("https",)
        for parts in map(urlsplit, self._urls):
            if parts.scheme not in self._schemes or not parts.hostname or "@" in parts.netloc:
                raise Misconfigured(
                    "profiles.urls: each is an https:// address, without a user and a password"
                )
        self._clock = clock
        self._held: dict[str, _Kept] = {}
        self._not_before: dict[str, float] = {}
        self._faults: dict[str, BaglineError] = {}
        self._locks = {url: threading.Lock() for url in self._urls}  # nobody waits for another's

    def text(self, url: str) -> bytes | None:
        """The profile at the address; None where it is none of the listed ones.

        Where none is kept, raises Unreachable (try again), Refused (the address answers no) or
        Misconfigured (what stands there is no profile).
        """
        if url not in self._urls:
            return None
        with self._locks[url]:
            kept, now = self._kept(url), self._clock()
            is_fresh = kept is not None and 0 <= now - kept.at < self._refresh_seconds
            if kept is not None and (is_fresh or now < self._not_before.get(url, now)):
                return kept.text
            if now < self._not_before.get(url, now):
                raise self._faults[url]
            try:
                text = self._fetched(url)
            except BaglineError as fault:
                self._not_before[url] = now + RETRY_SECONDS
                self._faults[url] = fault
                if kept is None:
                    raise
                log.warning("profile_not_refreshed", url=url, reason=str(fault))
                return kept.text
            self._keep(url, _Kept(text, now))
            return text

    # What is kept

    def _place(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"

    def _kept(self, url: str) -> _Kept | None:
        held = self._held.get(url)
        if held is not None:
            return held
        try:
            with self._place(url).open("rb") as file:
                text, at = file.read(MOST_BYTES + 1), os.fstat(file.fileno()).st_mtime
            self._check(text)
        except (OSError, Misconfigured):
            return None
        self._held[url] = _Kept(text, at)
        return self._held[url]

    def _keep(self, url: str, kept: _Kept) -> None:
        """In memory, and in a file for the next process, where that can be."""
        self._held[url] = kept
        try:
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(kept.text)
                os.utime(name, (kept.at, kept.at))
                os.replace(name, self._place(url))
            except BaseException:
                os.unlink(name)
                raise
        except OSError as fault:
            log.warning("profile_not_kept", url=url, reason=str(fault))

    # The network

    def _fetched(self, url: str) -> bytes:
        """On a thread of its own, whose connection is cut when time is up: a server can drip."""
        asking = _Asking(self._fetch_seconds)
        with ThreadPoolExecutor(1, thread_name_prefix="profile-fetch") as pool:
            answer = pool.submit(self._followed, url, asking)
            try:
                text = answer.result(timeout=self._fetch_seconds)
            except TimeoutError:
                asking.cut()
                raise Unreachable(
                    f"{_at(url)} does not come in {self._fetch_seconds:g} s"
                ) from None
        try:
            self._check(text)
        except Misconfigured as fault:
            raise Misconfigured(f"{_at(url)}: {fault}") from None
        return text

    def _followed(self, url: str, asking: _Asking) -> bytes:
        place = url
        for _ in range(REDIRECTS + 1):
            try:
                status, target, body = asking.get(place)
            except (OSError, http.client.HTTPException, ValueError) as fault:
                raise Unreachable(f"{_at(place)} cannot be fetched: {fault!r}") from None
            if not target:
                return _body(status, body, place)
            place = urljoin(place, target)
            if place not in self._urls:
                raise Refused(
                    f"{_at(url)} is elsewhere, at {place}: list that address in profiles.urls, too"
                )
        raise Refused(f"{_at(url)} is passed on more than {REDIRECTS} times")


class _Asking:
    """Requests one after another, which another thread may end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._is_cut = False

    def get(self, url: str) -> tuple[int, str, bytes]:
        """Status, where it is passed on to ("": nowhere), and at most MOST_BYTES and one of the
        body."""
        parts = urlsplit(url)
        make = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = make(parts.netloc, timeout=self._seconds)
        try:
            connection.connect()
            self._socket = connection.sock
            if self._is_cut:
                raise TimeoutError("time is up")
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            connection.request("GET", urlunsplit(("", "", *parts[2:4], "")) or "/", headers=headers)
            with connection.getresponse() as answer:
                target = answer.getheader("Location", "") if answer.status in PASSED_ON else ""
                body = b"" if target else answer.read(MOST_BYTES + 1)
                if answer.length and len(body) <= MOST_BYTES and not target:
                    raise http.client.IncompleteRead(body, answer.length)
                return answer.status, target, body
        finally:
            connection.close()

    def cut(self) -> None:
        """From now on whatever it does fails."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _body(status: int, body: bytes, url: str) -> bytes:
    if status >= 500 or status == 429:
        raise Unreachable(f"{_at(url)} cannot be fetched: the server answers {status}")
    if status != 200:
        raise Refused(
            f"{_at(url)} cannot be fetched: the server answers {status}. Take the address "
            "out of profiles.urls, or ask who publishes it"
        )
    if len(body) > MOST_BYTES:
        raise Refused(f"{_at(url)} has more than {MOST_BYTES:,} bytes")
    return body


def _at(url: str) -> str:
    return f"the profile at {url}"
