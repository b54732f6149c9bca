"""nsqd and nsqlookupd for tests, as they are run in a fleet, with limits of seconds."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.tools import Server, free_port, tool


class Nsqd(Server):
    """One nsqd; `flags` are its own, such as `msg_timeout="2s"`."""

    def __init__(self, folder: Path, *, lookupd: Lookupd | None = None, **flags: str) -> None:
        self.tcp_port, self.http_port = free_port(), free_port()
        self.tcp = f"127.0.0.1:{self.tcp_port}"
        self.http = f"127.0.0.1:{self.http_port}"
        argv = [
            tool("nsqd"),
            f"-tcp-address={self.tcp}",
            f"-http-address={self.http}",
            "-broadcast-address=127.0.0.1",
            f"-data-path={folder}",
            *(f"-{name.replace('_', '-')}={value}" for name, value in flags.items()),
        ]
        if lookupd is not None:
            argv += [f"-lookupd-tcp-address={lookupd.tcp}"]
        super().__init__(argv, folder, lambda: answers(f"http://{self.http}/ping"))

    def publish(self, topic: str, body: bytes) -> None:
        """As any other producer would, whatever the body."""
        url = f"http://{self.http}/pub?topic={topic}"
        urllib.request.urlopen(urllib.request.Request(url, body), timeout=5).close()

    def prepare(self, topics: Iterable[str]) -> None:
        """Make the workers' channels, and restart: nsqd notices only after 5 s that a channel
        is new, and minds delays and time-outs from then; at a start it knows its channels."""
        for topic in topics:
            self._post(f"topic/create?topic={topic}")
            self._post(f"channel/create?topic={topic}&channel={topic}_worker_chan")
        self.stop()
        self.start()

    def _post(self, target: str) -> None:
        """A POST without a body."""
        request = urllib.request.Request(f"http://{self.http}/{target}", b"")
        urllib.request.urlopen(request, timeout=5).close()

    def channel(self, topic: str) -> dict[str, int]:
        """What nsqd counts at the workers' channel; empty while there is none."""
        url = f"http://{self.http}/stats?format=json&topic={topic}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            told = json.load(answer)
        for entry in told["topics"] or []:
            for channel in entry["channels"] or []:
                if channel["channel_name"] == f"{topic}_worker_chan":
                    return dict(channel)
        return {}


class Lookupd(Server):
    def __init__(self, folder: Path) -> None:
        tcp, http = free_port(), free_port()
        self.tcp, self.http = f"127.0.0.1:{tcp}", f"127.0.0.1:{http}"
        argv = [
            tool("nsqlookupd"),
            f"-tcp-address={self.tcp}",
            f"-http-address={self.http}",
            "-broadcast-address=127.0.0.1",
        ]
        super().__init__(argv, folder, lambda: answers(f"http://{self.http}/ping"))


def answers(url: str) -> bool:
    """Whether a server answers 200 there."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def nsqd_running(folder: Path, *, lookupd: Lookupd | None = None, **flags: str) -> Iterator[Nsqd]:
    """One nsqd, stopped at the end."""
    with _running(lambda: Nsqd(folder, lookupd=lookupd, **flags)) as nsqd:
        assert isinstance(nsqd, Nsqd)
        yield nsqd


@contextmanager
def lookupd_running(folder: Path) -> Iterator[Lookupd]:
    with _running(lambda: Lookupd(folder)) as lookupd:
        assert isinstance(lookupd, Lookupd)
        yield lookupd


@contextmanager
def _running(make: Callable[[], Server]) -> Iterator[Server]:
    server = make()
    server.start()
    try:
        yield server
    finally:
        server.stop()
