"""What is NSQ's own: several nsqd, restarts, limits of time, other producers, AUTH, TLS."""

from __future__ import annotations

import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog

from bagline.errors import Refused, ServiceFault, Unreachable
from bagline.services.queue.base import Delivery, Subscription
from bagline.services.queue.nsq.options import nsq_options
from bagline.services.queue.nsq.queue import NsqQueue
from support.engines import closed_port, fresh_id, fresh_name
from support.nsq import Lookupd, Nsqd, lookupd_running, nsqd_running
from support.tools import tool

pytestmark = pytest.mark.engines


@pytest.fixture
def topic() -> str:
    return fresh_name("topic")


@contextmanager
def queue_at(*nsqds: Nsqd, lookupd: Lookupd | None = None, **options: object) -> Iterator[NsqQueue]:
    """By nsqlookupd where there is one, else by address; `options` as in `nsq_options`."""
    where: dict[str, object] = {"http": ",".join(nsqd.http for nsqd in nsqds)}
    if lookupd is None:
        where["tcp"] = ",".join(nsqd.tcp for nsqd in nsqds)
    else:
        where["lookupd"] = lookupd.http
    queue = NsqQueue(nsq_options(**where | options))  # type: ignore[arg-type]
    try:
        yield queue
    finally:
        queue.close()


def take(subscription: Subscription, seconds: float = 10.0) -> Delivery:
    """The next delivery, through the faults of an nsqd that is on its way."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            delivery = subscription.receive(0.2)
        except Unreachable:
            continue
        if delivery is not None:
            return delivery
    raise AssertionError(f"nothing came within {seconds} s")


def fault_of(subscription: Subscription, seconds: float = 10.0) -> ServiceFault:
    """What `receive` raises in the end; deliveries before are let lie."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            subscription.receive(0.2)
        except ServiceFault as fault:
            return fault
    raise AssertionError(f"no fault within {seconds} s")


def until(ask: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


# -- several nsqd
def test_one_place_serves_several_nsqd_in_turn(tmp_path: Path, topic: str) -> None:
    items = list(range(1, 41))
    with (
        lookupd_running(tmp_path / "lookupd") as lookupd,
        nsqd_running(tmp_path / "a", lookupd=lookupd) as a,
        nsqd_running(tmp_path / "b", lookupd=lookupd) as b,
        queue_at(a, lookupd=lookupd) as queue,
    ):
        for item in items:
            (a if item % 2 else b).publish(topic, str(item).encode())
        subscription = queue.subscribe(topic, owner="host/1", in_flight=1)
        got = []
        for _ in items:
            delivery = take(subscription)
            held = sum(nsqd.channel(topic).get("in_flight_count", 0) for nsqd in (a, b))
            assert held == 1
            got.append(delivery.number)
            delivery.ack()
        assert sorted(got) == items
        assert queue.depth([topic])[0].due == 0


def test_no_more_is_in_flight_than_there_are_places(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a") as a,
        nsqd_running(tmp_path / "b") as b,
        queue_at(a, b) as queue,
    ):
        for nsqd in (a, b):
            for _ in range(20):
                nsqd.publish(topic, str(fresh_id()).encode())
        subscription = queue.subscribe(topic, owner="host/1", in_flight=4)
        for _ in range(10):
            held = [take(subscription) for _ in range(4)]
            assert subscription.receive(0.05) is None
            assert sum(nsqd.channel(topic)["in_flight_count"] for nsqd in (a, b)) == 4
            for delivery in held:
                delivery.ack()


def test_publishing_goes_to_the_nsqd_that_answers(tmp_path: Path, topic: str) -> None:
    with nsqd_running(tmp_path / "b") as b:
        where = f"127.0.0.1:{closed_port()},{b.http}"
        queue = NsqQueue(nsq_options(tcp=b.tcp, http=where))
        queue.publish(topic, 1)
        queue.publish(topic, 2)
        queue.publish_many(topic, [3, 4])
        assert queue.depth([topic])[0].due == 4
        queue.close()


def test_without_addresses_it_publishes_where_nsqlookupd_knows_an_nsqd(
    tmp_path: Path, topic: str
) -> None:
    with lookupd_running(tmp_path / "lookupd") as lookupd:
        queue = NsqQueue(nsq_options(lookupd=lookupd.http))
        with pytest.raises(Unreachable, match="knows no nsqd"):
            queue.publish(topic, 1)
        with nsqd_running(tmp_path / "a", lookupd=lookupd):
            until(lambda: queue._http.nodes(), "nsqd to register")
            queue.publish(topic, 7)
            assert take(queue.subscribe(topic, owner="host/1")).number == 7
            queue.close()


def test_while_the_named_nsqd_is_away_it_publishes_at_another_one(
    tmp_path: Path, topic: str
) -> None:
    with lookupd_running(tmp_path / "lookupd") as lookupd:
        named = f"127.0.0.1:{closed_port()}"
        queue = NsqQueue(nsq_options(lookupd=lookupd.http, http=named))
        with pytest.raises(Unreachable, match=named):
            queue.publish(topic, 1)
        with nsqd_running(tmp_path / "b", lookupd=lookupd) as b:
            until(lambda: queue._http.nodes(), "nsqd to register")
            queue.publish(topic, 7)
            assert take(queue.subscribe(topic, owner="host/1")).number == 7
            assert b.channel(topic)["message_count"] == 1
            queue.close()


# -- restarts
@pytest.mark.parametrize("by_lookupd", [True, False])
def test_a_restarted_nsqd_is_found_again(tmp_path: Path, topic: str, by_lookupd: bool) -> None:
    with (
        lookupd_running(tmp_path / "lookupd") as lookupd,
        nsqd_running(tmp_path / "a", lookupd=lookupd) as nsqd,
        queue_at(nsqd, lookupd=lookupd if by_lookupd else None) as queue,
    ):
        queue.publish(topic, 1)
        subscription = queue.subscribe(topic, owner="host/1")
        held = take(subscription)
        nsqd.stop()
        with pytest.raises(Unreachable):
            queue.publish(topic, 2)
        nsqd.start()
        held.ack()  # its connection is gone, and with it the right to end it
        queue.publish(topic, 2)
        got = set()
        for _ in range(2):  # within seconds, not at the next poll
            delivery = take(subscription, seconds=20)
            got.add((delivery.number, delivery.attempts > 1))
            delivery.ack()
        assert got == {(1, True), (2, False)}


def test_a_killed_nsqd_is_found_again_with_what_it_had_on_disk(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a", mem_queue_size="0", sync_every="1") as nsqd,
        queue_at(nsqd) as queue,
    ):
        for item in (1, 2, 3):
            queue.publish(topic, item)
        subscription = queue.subscribe(topic, owner="host/1")
        held = take(subscription)
        # What is on its way from the topic to its channel is in no file.
        until(lambda: nsqd.channel(topic).get("backend_depth") == 2, "the others to be on disk")
        nsqd.kill()
        assert isinstance(fault_of(subscription), Unreachable)
        held.requeue(0)
        nsqd.start()
        got: set[int] = set()
        while not {2, 3} <= got:  # 1 was in flight: lost with nsqd, or handed out again
            delivery = take(subscription, seconds=6)
            got.add(delivery.number)
            delivery.ack()


def test_connections_outlive_nsqlookupd(tmp_path: Path, topic: str) -> None:
    with (
        lookupd_running(tmp_path / "lookupd") as lookupd,
        nsqd_running(tmp_path / "a", lookupd=lookupd) as nsqd,
        queue_at(nsqd, lookupd=lookupd) as queue,
    ):
        queue.publish(topic, 1)
        subscription = queue.subscribe(topic, owner="host/1")
        take(subscription).ack()
        lookupd.kill()
        queue.publish(topic, 2)
        take(subscription).ack()
        with pytest.raises(Unreachable):  # one that begins now has nowhere to look
            queue.subscribe(topic + "x", owner="host/1").receive(1)


# -- limits of time
def test_a_message_outlasts_both_limits_of_nsqd(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a", msg_timeout="900ms", max_msg_timeout="3s") as nsqd,
        queue_at(nsqd, keep_seconds=2) as queue,
    ):
        nsqd.prepare([topic])
        queue.publish(topic, 7)
        held = take(queue.subscribe(topic, owner="host/1"))
        other = queue.subscribe(topic, owner="host/2")
        began = time.monotonic()
        while time.monotonic() < began + 2.3:  # by touches alone, far beyond msg_timeout
            held.extend()
            assert other.receive(0.1) is None
        again = take(other)  # put back before max_msg_timeout: the lease is what counts now
        assert (again.number, again.attempts) == (7, 2)
        assert nsqd.channel(topic)["timeout_count"] == 0
        held.extend()
        held.ack()
        again.requeue(0)
        take(other).ack()
        until(lambda: queue.depth([topic])[0].in_flight == 0, "the end of the message")
        assert queue.depth([topic])[0].due == 0


def test_a_longest_time_below_the_usual_one_shortens_nothing(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a", msg_timeout="3s", max_msg_timeout="1s") as nsqd,
        queue_at(nsqd, keep_seconds=9) as queue,
    ):
        nsqd.prepare([topic])
        queue.publish(topic, 7)
        held = take(queue.subscribe(topic, owner="host/1"))
        other = queue.subscribe(topic, owner="host/2")
        assert other.receive(1.5) is None
        held.ack()
        until(lambda: queue.depth([topic])[0].in_flight == 0, "the end of the message")
        assert nsqd.channel(topic)["timeout_count"] == 0


def test_the_place_of_a_message_that_timed_out_stays_taken(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a", msg_timeout="600ms") as nsqd,
        queue_at(nsqd, keep_seconds=0.1) as queue,
    ):
        nsqd.prepare([topic])
        queue.publish(topic, 7)
        subscription = queue.subscribe(topic, owner="host/1")
        held = take(subscription)  # and never extended
        assert subscription.receive(2) is None
        channel = nsqd.channel(topic)
        assert channel["timeout_count"] == 1
        assert channel["requeue_count"] <= 1  # not to and fro
        held.ack()
        again = take(subscription, seconds=2)
        assert again.attempts <= 3
        again.ack()
        until(lambda: nsqd.channel(topic)["in_flight_count"] == 0, "the end of the message")


def test_delays_are_shortened_to_what_nsqd_takes(tmp_path: Path, topic: str) -> None:
    with (
        nsqd_running(tmp_path / "a", max_req_timeout="1s") as nsqd,
        queue_at(nsqd, longest_delay=1) as queue,
    ):
        nsqd.prepare([topic])
        subscription = queue.subscribe(topic, owner="host/1")
        queue.publish(topic, 7, delay=3_600)
        began = time.monotonic()
        take(subscription).requeue(3_600)
        take(subscription).ack()
        assert 1.8 < time.monotonic() - began < 8
        nsqd_takes_less = NsqQueue(nsq_options(tcp=nsqd.tcp, http=nsqd.http))
        with pytest.raises(Refused, match="INVALID_DEFER"):
            nsqd_takes_less.publish(topic, 7, delay=60)


# -- what others send
def test_what_is_no_id_is_finished_and_said_and_harms_nobody(tmp_path: Path, topic: str) -> None:
    poison = [b"abc", b"-3", b"0", b"1e5", b"\xff\xfe\x00", b"9" * 100, b"7 8", b"x" * 500_000]
    with nsqd_running(tmp_path / "a") as nsqd, queue_at(nsqd) as queue:
        with structlog.testing.capture_logs() as logged:
            for body in [*poison, b" 42 \n"]:
                nsqd.publish(topic, body)
            subscription = queue.subscribe(topic, owner="host/1")
            delivery = take(subscription)
            assert delivery.number == 42
            delivery.ack()
            assert subscription.receive(0.3) is None
        told = [event for event in logged if event["event"] == "message_unreadable"]
        assert len(told) == len(poison)
        assert max(len(event["body"]) for event in told) < 500
        channel = nsqd.channel(topic)
        assert (channel["depth"], channel["in_flight_count"], channel["requeue_count"]) == (0, 0, 0)


# -- who may
class Gatekeeper(BaseHTTPRequestHandler):
    """As nsqd asks one: everything to those who know the secret."""

    def do_GET(self) -> None:
        secret = parse_qs(urlsplit(self.path).query).get("secret", [""])[0]
        body = (
            b'{"ttl": 60, "identity": "bagline", "authorizations": [{"permissions": '
            b'["subscribe", "publish"], "topic": ".*", "channels": [".*"]}]}'
        )
        self.send_response(200 if secret == "open-sesame" else 403)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Redirecting(Gatekeeper):
    """Sends everybody to `elsewhere`."""

    elsewhere = ""

    def do_POST(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"http://{self.elsewhere}{self.path}")
        self.end_headers()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("secret", "says"),
    [("open-sesame", ""), ("open-barley", "refuses our secret"), ("", "queue.auth_secret")],
)
def test_nsqd_wants_the_right_secret(tmp_path: Path, topic: str, secret: str, says: str) -> None:
    with (
        serving(Gatekeeper) as gate,
        nsqd_running(tmp_path / "a", auth_http_address=gate) as nsqd,
        queue_at(nsqd, auth_secret=secret) as queue,
        structlog.testing.capture_logs() as logged,
    ):
        queue.publish(topic, 7)
        subscription = queue.subscribe(topic, owner="host/1")
        if not says:
            take(subscription).ack()
            return
        fault = fault_of(subscription)
        assert isinstance(fault, Refused)
        assert says in str(fault)
        shown = f"{fault} {queue!r} {queue._options!r} {logged}"
        assert not secret or secret not in shown


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subject = ["-subj", "/CN=nsqd", "-addext", "subjectAltName=IP:127.0.0.1"]
    openssl = tool("openssl", get="install it from your system's packages")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *subject], check=True, capture_output=True)
    return cert, key


def test_tls_holds_or_nothing_is_said(
    tmp_path: Path, topic: str, certificate: tuple[str, str]
) -> None:
    cert, key = certificate
    https = f"127.0.0.1:{closed_port()}"
    secure = {"tls_cert": cert, "tls_key": key, "tls_required": "tcp-https", "https_address": https}
    with nsqd_running(tmp_path / "a", **secure) as nsqd:
        trusting = nsq_options(tcp=nsqd.tcp, http=f"https://{https}", tls=True, tls_ca=cert)
        queue = NsqQueue(trusting)
        queue.publish(topic, 7)
        take(queue.subscribe(topic, owner="host/1")).ack()
        queue.close()
        stranger = NsqQueue(nsq_options(tcp=nsqd.tcp, http=f"https://{https}", tls=True))
        with pytest.raises(Refused, match="TLS"):
            stranger.publish(topic, 7)
        with pytest.raises(Refused, match="TLS"):
            stranger.subscribe(topic, owner="host/1").receive(1)
        stranger.close()


def test_an_nsqd_without_tls_never_hears_the_secret(
    tmp_path: Path, topic: str, certificate: tuple[str, str]
) -> None:
    heard: list[str] = []

    class Listening(Gatekeeper):
        def do_GET(self) -> None:
            heard.append(self.path)
            super().do_GET()

    with (
        serving(Listening) as gate,
        nsqd_running(tmp_path / "a", auth_http_address=gate) as nsqd,
        queue_at(nsqd, auth_secret="open-sesame", tls=True) as queue,
        pytest.raises(Refused, match="no TLS"),
    ):
        queue.subscribe(topic, owner="host/1").receive(1)
    assert heard == []


def test_what_is_said_before_tls_is_not_taken_for_said_within_it(topic: str) -> None:
    """Somebody in between adds an answer in plain text to nsqd's own."""

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            for body in (b'{"tls_v1": true}', b"OK"):
                self.request.sendall(struct.pack(">II", len(body) + 4, 0) + body)
            self.request.recv(65_536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}"
        queue = NsqQueue(nsq_options(tcp=where, http=where, tls=True))
        with pytest.raises(Refused, match="TLS"):
            queue.subscribe(topic, owner="host/1").receive(2)
        queue.close()
        server.shutdown()


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">II", 6, 0) + b"[]",
     struct.pack(">II", 27, 0) + b'{"msg_timeout":{"a":1}}',
     struct.pack(">II", 6, 0) + b"OK", b""],
)  # fmt: skip
def test_what_is_no_nsqd_is_unreachable(topic: str, said: bytes) -> None:
    class Other(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}"
        queue = NsqQueue(nsq_options(tcp=where, http=where))
        subscription = queue.subscribe(topic, owner="host/1")
        assert isinstance(fault_of(subscription), Unreachable)
        queue.close()
        server.shutdown()


MESSAGE = struct.pack(">qH16s", 0, 1, b"0123456789abcdef") + b"7"


def test_a_message_before_the_place_in_line_is_nobodys(topic: str) -> None:
    """Somebody in between sends one beside nsqd's answer, before TLS could hold."""

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(struct.pack(">II", len(MESSAGE) + 4, 2) + MESSAGE)
            self.request.recv(65_536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}"
        queue = NsqQueue(nsq_options(tcp=where, http=where, tls=True))
        with pytest.raises(Refused, match="before it was asked"):
            queue.subscribe(topic, owner="host/1").receive(2)
        queue.close()
        server.shutdown()


@pytest.mark.parametrize("field", ["msg_timeout", "max_msg_timeout", "max_rdy_count"])
def test_limits_that_nobody_can_keep_end_the_connection(topic: str, field: str) -> None:
    class Odd(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            body = b'{"%s": -1}' % field.encode()
            self.request.sendall(struct.pack(">II", len(body) + 4, 0) + body)
            self.request.recv(65_536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}"
        queue = NsqQueue(nsq_options(tcp=where, http=where))
        assert "limits" in str(fault_of(queue.subscribe(topic, owner="host/1")))
        queue.close()
        server.shutdown()


def test_an_address_that_is_none_keeps_nobody_from_the_others(tmp_path: Path, topic: str) -> None:
    with nsqd_running(tmp_path / "a") as nsqd:
        tcp = f"nsqd..example:4150,{nsqd.tcp}"
        queue = NsqQueue(nsq_options(tcp=tcp, http=nsqd.http))
        queue.publish(topic, 7)
        delivery = take(queue.subscribe(topic, owner="host/1"))
        assert delivery.number == 7
        delivery.ack()
        queue.close()


# -- who does not answer
def test_a_dead_port_is_unreachable(topic: str) -> None:
    where = f"127.0.0.1:{closed_port()}"
    for options in (
        nsq_options(tcp=where, http=where, auth_secret="hidden-word"),
        nsq_options(lookupd=where, http=where, auth_secret="hidden-word"),
    ):
        queue = NsqQueue(options)
        for ask in (
            lambda queue=queue: queue.publish(topic, 1),
            lambda queue=queue: queue.depth([topic]),
            lambda queue=queue: queue.subscribe(topic, owner="a").receive(1),
        ):
            with pytest.raises(Unreachable) as caught:
                ask()
            assert "hidden-word" not in f"{caught.value} {queue!r} {queue.__dict__}"
        queue.close()


def test_a_redirect_is_not_followed(tmp_path: Path, topic: str) -> None:
    with nsqd_running(tmp_path / "a") as nsqd, serving(Redirecting) as elsewhere:
        Redirecting.elsewhere = nsqd.http
        queue = NsqQueue(nsq_options(tcp=nsqd.tcp, http=elsewhere))
        with pytest.raises(Refused, match="307"):
            queue.publish(topic, 7)
        assert nsqd.channel(topic) == {}


def test_what_is_in_hand_at_the_close_goes_back_at_once(tmp_path: Path, topic: str) -> None:
    with nsqd_running(tmp_path / "a") as nsqd, queue_at(nsqd) as queue:
        for item in (1, 2, 3):
            queue.publish(topic, item)
        leaving = NsqQueue(nsq_options(tcp=nsqd.tcp, http=nsqd.http))
        subscription = leaving.subscribe(topic, owner="host/1", in_flight=3)
        take(subscription).ack()
        kept = take(subscription)  # and one that nobody took
        leaving.close()
        kept.ack()
        kept.extend()
        assert subscription.receive(0.1) is None
        staying = queue.subscribe(topic, owner="host/2")
        got = []
        for _ in range(2):
            delivery = take(staying, seconds=3)
            got.append(delivery.number)
            delivery.ack()
        assert len(set(got)) == 2
        assert kept.number in got
        until(lambda: nsqd.channel(topic)["client_count"] == 1, "one client to be left")
