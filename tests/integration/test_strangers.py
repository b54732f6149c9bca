"""What somebody without a key can do to a port of ours, and somebody with one to its memory.

Over real sockets. Figures are of the server's process; a client with a key asks all the while.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
import urllib3
from prometheus_client import CollectorRegistry

from bagline.model import wire
from bagline.worker.health import HealthServer
from support.registry import ADMIN, RegistryServer, temporary_registry

MIB = 1024 * 1024
ENDS_SECONDS = 60.0
"""How long a test waits for something that must end; far more than it takes."""
POST = b"POST /admin-api/v3/files/create_batch/1 HTTP/1.1\r\nHost: registry\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"


@contextmanager
def registry(**server: object) -> Iterator[tuple[RegistryServer, dict[str, str]]]:
    """A server, and the headers of a worker's key. Its institution 1 is test.edu."""
    with temporary_registry(**server) as found:
        key = found.add_user()
        headers = {"X-Pharos-API-User": ADMIN, "X-Pharos-API-Key": key}
        made = ask(found, headers, "POST", "institutions/create",
                   wire.encode({"identifier": "test.edu", "name": "Test"}))  # fmt: skip
        assert made == 201
        yield found, headers


def ask(
    server: RegistryServer,
    headers: dict[str, str],
    method: str = "GET",
    path: str = "items",
    body: bytes | None = None,
) -> int:
    answer = urllib3.request(
        method, f"{server.url}/admin-api/v3/{path}", headers=headers, body=body,
        timeout=ENDS_SECONDS, retries=False,
    )  # fmt: skip
    return answer.status


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ENDS_SECONDS)


def with_key(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def has_ended(sock: socket.socket) -> bool:
    """Whether the other side ends the connection."""
    sock.settimeout(ENDS_SECONDS)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def watched_memory(pid: int) -> Iterator[Callable[[], int]]:
    """The largest growth of the process's memory, in bytes, so far."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    most, stop = before, threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.02):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most - before
    finally:
        stop.set()
        thread.join()


@contextmanager
def many(number: int, work: Callable[[], None]) -> Iterator[None]:
    """The work in so many threads; ended when the block is left."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(ENDS_SECONDS)
        assert not thread.is_alive()


def test_bodies_that_never_end_take_no_memory_without_a_key() -> None:
    with registry() as (server, headers):
        stop = threading.Event()

        def send() -> None:
            with suppress(OSError), connected(server.port) as sock:
                sock.sendall(POST + CHUNKED)
                for _ in range(1000):  # 64 MB
                    if stop.is_set():
                        return
                    sock.sendall(CHUNK)

        with watched_memory(server.pid) as growth, many(40, send):
            for _ in range(20):
                assert ask(server, headers) == 200
                time.sleep(0.05)
            stop.set()
        assert growth() < 60 * MIB


def test_a_stranger_with_a_short_body_reads_the_answer() -> None:
    with registry() as (server, _):
        for size in (10, 500_000):
            assert ask(server, {}, "POST", "items/create/1", b"x" * size) == 401


def test_bodies_of_one_key_take_turns() -> None:
    with registry() as (server, headers):
        body = b"[" + b'{"x": "' + b"y" * (60 * MIB) + b'"}]'
        found: list[int] = []

        def send() -> None:
            with suppress(urllib3.exceptions.HTTPError):  # who waits long may give up
                found.append(ask(server, headers, "POST", "files/create_batch/1", body))

        with watched_memory(server.pid) as growth, many(40, send):
            assert ask(server, headers) == 200
            assert ask(server, headers, "PUT", "items/update/1", b"{}") == 400
        assert set(found) <= {400, 503}
        assert found.count(400) >= 4
        assert growth() < 600 * MIB


@pytest.mark.parametrize(
    "body",
    [b"[" + b"{}," * (20 * MIB) + b"{}]", b"[" + b"[]," * (20 * MIB) + b"[]]",
     b'[{"premis_events":[' + b"{}," * (10 * MIB) + b"{}]}]",
     b'[{"checksums":[' + b"1.5," * (10 * MIB) + b"1]}]"],
    ids=["objects", "lists", "events", "numbers"],
)  # fmt: skip
def test_json_that_grows_when_it_is_read_is_refused(body: bytes) -> None:
    with registry() as (server, headers), watched_memory(server.pid) as growth:
        assert ask(server, headers, "POST", "files/create_batch/1", body) == 400
        assert growth() < 350 * MIB


def test_a_body_longer_than_its_route_takes_is_not_kept() -> None:
    with registry() as (server, headers), watched_memory(server.pid) as growth:
        with connected(server.port) as sock:
            length = b"Content-Length: 99999999999\r\n\r\n"
            sock.sendall(POST + with_key(headers) + length)
            assert sock.recv(100).startswith(b"HTTP/1.1 413")
            assert has_ended(sock)
        with connected(server.port) as sock:
            sock.sendall(POST + with_key(headers) + CHUNKED)
            with suppress(OSError):
                for _ in range(2000):  # 128 MB
                    sock.sendall(CHUNK)
            assert has_ended(sock)
        assert growth() < 250 * MIB
        assert ask(server, headers) == 200


def test_a_body_that_stops_is_not_waited_for() -> None:
    with registry(body_seconds=2) as (server, headers), connected(server.port) as sock:
        sock.sendall(POST + with_key(headers) + b"Content-Length: 1000\r\n\r\n[")
        assert sock.recv(100).startswith(b"HTTP/1.1 408")
        assert has_ended(sock)


def test_a_body_that_drips_has_an_end() -> None:
    with registry(body_seconds=2) as (server, headers), connected(server.port) as sock:
        sock.sendall(POST + with_key(headers) + b"Content-Length: 100000\r\n\r\n")
        assert ends_while_dripping(sock)


def test_a_head_that_drips_or_stops_or_never_begins_has_an_end() -> None:
    with registry(head_seconds=1) as (server, headers):
        with connected(server.port) as sock:
            assert has_ended(sock)
        with connected(server.port) as sock:
            sock.sendall(b"GET /admin-api/v3/items HTTP/1.1\r\nHost: x\r\n")
            assert has_ended(sock)
        with connected(server.port) as sock:
            sock.sendall(b"GET /admin-api/v3/items HTTP/1.1\r\nX: ")
            assert ends_while_dripping(sock)
        with connected(server.port) as sock:  # the second request of a connection, too
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            sock.sendall(b"GET ")
            assert ends_while_dripping(sock)
        assert ask(server, headers) == 200


def ends_while_dripping(sock: socket.socket) -> bool:
    deadline = time.monotonic() + ENDS_SECONDS
    while time.monotonic() < deadline:
        try:
            sock.sendall(b"a")
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_head_that_never_ends_is_refused() -> None:
    with registry() as (server, headers), watched_memory(server.pid) as growth:
        with connected(server.port) as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n")
            with suppress(OSError):
                for number in range(100_000):  # 100 MB
                    sock.sendall(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
                pytest.fail("it was all taken")
        assert growth() < 30 * MIB
        assert ask(server, headers) == 200


@pytest.mark.parametrize("allowed", [1000, 200])
def test_a_thousand_idle_connections_lock_nobody_out(allowed: int) -> None:
    with registry(connections=allowed) as (server, headers), ExitStack() as stack:
        pool = urllib3.PoolManager(maxsize=1)
        address = f"{server.url}/admin-api/v3/items"
        assert pool.request("GET", address, headers=headers, retries=False).status == 200
        with watched_memory(server.pid) as growth:
            for _ in range(1000):
                stack.enter_context(connected(server.port))
            assert ask(server, headers) == 200  # a new connection
            answer = pool.request("GET", address, headers=headers, retries=False)
            assert answer.status == 200  # and the one that had shown its key
            assert growth() < 60 * MIB
            assert len(psutil.Process(server.pid).net_connections("tcp")) <= allowed + 10


def test_junk_after_requests_and_between_them_ends_the_connection_only() -> None:
    get = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    junk = (b"\x00\xff" * 500, get * 50 + b"\x16\x03\x01junk\r\n\r\n", b"GET  HTTP/9\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            POST + CHUNKED + b"zzz\r\n", POST + b"Content-Length: -5\r\n\r\n")  # fmt: skip
    with registry() as (server, headers):
        for bytes in junk:
            with connected(server.port) as sock:
                sock.sendall(bytes)
                assert has_ended(sock)
        assert ask(server, headers) == 200
        assert server.output().count("\n") < 10


def test_who_does_not_read_the_answers_is_cut_off() -> None:
    get = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    with registry(answer_seconds=1) as (server, headers):
        with watched_memory(server.pid) as growth, connected(server.port) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with suppress(OSError):
                sock.settimeout(5)
                for _ in range(1_000):
                    sock.sendall(get * 1_000)
            assert growth() < 30 * MIB
            sock.settimeout(ENDS_SECONDS)
            assert has_ended(sock)
        assert ask(server, headers) == 200


def test_the_document_of_the_api_takes_a_key() -> None:
    with registry() as (server, headers):
        for path in ("/openapi.json", "/nothing", "/admin-api/v3/nothing", "/member-api/v3/items"):
            assert urllib3.request("GET", server.url + path, retries=False).status == 401
        found = urllib3.request("GET", server.url + "/openapi.json", headers=headers)
        assert found.status == 200


def test_beside_ping_only_the_pages_about_the_api_are_open_and_nobodys_body_is_kept() -> None:
    with registry() as (server, _):
        for method, path, body, status in (
            ("GET", "/", None, 200),
            ("HEAD", "/docs", None, 200),
            ("GET", "/docs.css", None, 200),
            ("POST", "/", None, 401),
            ("POST", "/docs", b"x", 401),
            ("GET", "/docs", b"x", 401),
            ("GET", "/ping", b"x", 401),
            ("GET", "/docs/", None, 401),
            ("GET", "/pages.css", None, 401),
        ):
            answer = urllib3.request(
                method, server.url + path, body=body, retries=False, redirect=False
            )
            assert answer.status == status, (method, path)


# -- the worker's port
@pytest.fixture
def health() -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1", 0, CollectorRegistry(), alive=list, ready=list) as server:
        yield server


def probe(server: HealthServer) -> int:
    return urllib3.request("GET", f"http://127.0.0.1:{server.port}/healthz", timeout=10).status


def test_a_thousand_idle_connections_do_not_make_a_worker_look_dead(health: HealthServer) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connected(health.port))
        assert probe(health) == 200
        assert threading.active_count() <= before + 3


def test_the_health_port_reads_no_body_and_its_heads_have_an_end(health: HealthServer) -> None:
    with watched_memory(psutil.Process().pid) as growth, connected(health.port) as sock:
        sock.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + CHUNKED)
        with suppress(OSError):
            for _ in range(1000):
                sock.sendall(CHUNK)
        assert has_ended(sock)
        assert growth() < 30 * MIB
    with connected(health.port) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        assert ends_while_dripping(sock)


def test_metrics_are_gathered_once_for_all_who_ask_at_once() -> None:
    gathered: list[float] = []

    class Slow:
        def collect(self) -> Iterator[object]:
            gathered.append(time.monotonic())
            time.sleep(0.2)
            yield from ()

    numbers = CollectorRegistry()
    numbers.register(Slow())  # type: ignore[arg-type]
    gathered.clear()
    with HealthServer("127.0.0.1", 0, numbers, alive=list, ready=list) as server:
        address = f"http://127.0.0.1:{server.port}/metrics"

        def look() -> None:
            assert urllib3.request("GET", address, timeout=ENDS_SECONDS).status == 200

        with many(20, look):
            pass
    assert len(gathered) < 10
