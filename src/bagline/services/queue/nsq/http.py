"""What NSQ is asked over HTTP: publishing, depths, and where nsqd is. Thread-safe."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import structlog
import urllib3
from urllib3 import exceptions

from bagline.errors import BaglineError, Refused, Unreachable
from bagline.services.queue.nsq.options import Address, NsqOptions, channel_of

log = structlog.get_logger(__name__)

TIMEOUT = urllib3.Timeout(connect=3.0, read=10.0)
ROUNDS = 2
"""Each address is tried so often: a kept connection may be dead without its server being so."""
HEADERS = {"Content-Type": "text/html"}
"""As the other producers on these topics say (contract A)."""
SHOWN = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """An nsqd as nsqlookupd knows it."""

    tcp: Address
    http: str
    tombstones: frozenset[str] = frozenset()
    """Topics that an operator took away from it for a while."""


class NsqHttp:
    def __init__(self, options: NsqOptions) -> None:
        self._options = options
        self._pool = urllib3.PoolManager(
            timeout=TIMEOUT, retries=False, maxsize=16, ssl_context=options.tls
        )
        self._lock = threading.Lock()
        self._first = 0

    def publish(self, topic: str, item_ids: Sequence[int], *, delay: float) -> None:
        """At the first nsqd that takes them. A time-out may have published: at least once."""
        arguments: dict[str, str | int] = {"topic": topic}
        if len(item_ids) > 1:
            self._publish("/mpub", arguments, "\n".join(map(str, item_ids)))
            return
        if delay > 0:
            arguments["defer"] = round(min(delay, self._options.longest_delay) * 1_000)
        self._publish("/pub", arguments, str(item_ids[0]))

    def announce(self, topic: str, text: str) -> None:
        """The same of a text, as it is."""
        self._publish("/pub", {"topic": topic}, text)

    def _publish(self, path: str, arguments: dict[str, str | int], body: str) -> None:
        target = f"{path}?{urlencode(arguments)}"

        def ask(base: str) -> bytes:
            return self._ask("POST", base + target, body)

        if not self._options.http:
            self._at_any(self._in_turn(self._known()), ask)
            return
        try:
            self._at_any(self._in_turn(self._options.http), ask)
        except Unreachable:
            # A restart of the one that is named must not lose what follows a stage that is done.
            others = self._others()
            if not others:
                raise
            self._at_any(others, ask)

    def _known(self) -> tuple[str, ...]:
        found = tuple(node.http for node in self.nodes())
        if not found:
            raise Unreachable("nsqlookupd knows no nsqd: start one, or set queue.nsqd_http")
        return found

    def _others(self) -> list[str]:
        """The nsqd that nsqlookupd knows, and no setting names; none where it cannot be asked."""
        if not self._options.lookupd:
            return []
        try:
            known = [node.http for node in self.nodes()]
        except (Unreachable, Refused):
            return []
        return [base for base in known if base not in self._options.http]

    def _in_turn(self, bases: Sequence[str]) -> list[str]:
        """The one that answered last comes first."""
        first = self._first % len(bases)
        return [*bases[first:], *bases[:first]]

    def _at_any(self, bases: Sequence[str], ask: Callable[[str], T]) -> T:
        fault: BaglineError | None = None
        for _ in range(ROUNDS):
            for base in bases:
                try:
                    return ask(base)
                except Unreachable as error:
                    fault = error
                    with self._lock:
                        self._first += 1
        raise fault or Unreachable("no address of NSQ is known")

    def nodes(self) -> list[Node]:
        """Every nsqd that any nsqlookupd knows. Raises Unreachable when none answers."""
        found: dict[Address, Node] = {}
        faults: list[BaglineError] = []
        for base in self._options.lookupd:
            try:
                for node in _nodes(base, _json(base, self._ask("GET", base + "/nodes"))):
                    found[node.tcp] = node
            except (Unreachable, Refused) as fault:
                faults.append(fault)
        if faults and len(faults) == len(self._options.lookupd):
            raise faults[0]
        return list(found.values())

    def producers(self, topic: str) -> list[Node]:
        """The nsqd to receive the topic from: also those that do not have it yet, so that
        its first message meets a worker."""
        return [node for node in self.nodes() if topic not in node.tombstones]

    def stats(self, topics: Iterable[str]) -> dict[str, tuple[int, int, int]]:
        """Due, delayed and in flight of each topic, over every nsqd that answers."""
        sums = {topic: [0, 0, 0] for topic in topics}
        bases = dict.fromkeys(self._options.http)
        if self._options.lookupd:
            bases |= dict.fromkeys(node.http for node in self.nodes())
        faults: list[BaglineError] = []
        for base in bases:
            try:
                answer = _json(base, self._ask("GET", base + "/stats?format=json"))
            except Unreachable as fault:
                log.warning("nsqd_away", nsqd=base, reason=str(fault))
                faults.append(fault)
                continue
            entries = answer.get("topics")
            for entry in entries if isinstance(entries, list) else []:
                with suppress(AttributeError, TypeError, ValueError):  # what nobody can read
                    _add(sums, entry)
        if faults and len(faults) == len(bases):
            raise faults[0]
        return {topic: (due, delayed, held) for topic, (due, delayed, held) in sums.items()}

    def _ask(self, method: str, url: str, body: str = "") -> bytes:
        """The body of a 200."""
        where = urlsplit(url).netloc.rpartition("@")[2]
        try:
            answer = self._pool.request(
                method, url, body=body.encode() if body else None, headers=HEADERS, redirect=False
            )
        except exceptions.SSLError as error:
            raise Refused(f"NSQ at {where}: TLS does not hold ({error})") from None
        except exceptions.LocationValueError:
            raise Refused(f"NSQ cannot be at {where!r}: mend the address in the settings") from None
        except (exceptions.HTTPError, OSError, ssl.SSLError) as error:
            kind = type(error).__name__
            raise Unreachable(f"NSQ at {where} does not answer ({kind})") from None
        if answer.status == 200:
            return answer.data
        text = answer.data[:SHOWN].decode("utf-8", "replace").strip()
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(f"NSQ at {where} answers {answer.status}: {text}")
        raise Refused(f"NSQ at {where} refuses with {answer.status}: {text}")

    def close(self) -> None:
        self._pool.clear()


def _json(base: str, answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{base} does not answer as NSQ does: is the address right?")
    data = found.get("data", found)  # before NSQ 1.0 there was an envelope
    return data if isinstance(data, dict) else {}


def _nodes(base: str, answer: dict[str, Any]) -> Iterable[Node]:
    producers = answer.get("producers")
    for producer in producers if isinstance(producers, list) else []:
        try:
            host = str(producer.get("broadcast_address") or producer["address"])
            tcp = Address(host, int(producer["tcp_port"]))
            http = f"http://{Address(host, int(producer['http_port']))}"
            marks = zip(
                producer.get("topics") or [], producer.get("tombstones") or [], strict=False
            )
            yield Node(tcp, http, frozenset(topic for topic, is_away in marks if is_away))
        except (AttributeError, KeyError, TypeError, ValueError):
            log.warning("nsqlookupd_answer_unusable", nsqlookupd=base)


def _add(sums: dict[str, list[int]], entry: dict[str, Any]) -> None:
    topic = entry.get("topic_name", "")
    if topic not in sums:
        return
    sums[topic][0] += int(entry.get("depth", 0))  # not yet handed to the channel
    for channel in entry.get("channels") or []:
        if channel.get("channel_name") == channel_of(topic):
            sums[topic][0] += int(channel.get("depth", 0))
            sums[topic][1] += int(channel.get("deferred_count", 0))
            sums[topic][2] += int(channel.get("in_flight_count", 0))
