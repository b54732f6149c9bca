"""Who did what, from where, and who tried: in the log and in numbers. And that no limit locks
anybody else out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from bagline.model import wire
from support.registry import ADMIN, WORKERS, RegistryServer, temporary_registry
from support.tools import free_port

MOMENT = "2026-01-02T03:04:05Z"
SECONDS = 20.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryServer]:
    monkeypatch.setenv("BAGLINE_HEALTH_PORT", str(free_port()))
    with temporary_registry(failures_a_minute=5, member_requests_a_second=1) as server:
        yield server


def ask(
    server: RegistryServer, user: str, key: str, method: str = "GET", path: str = "items",
    body: Any = None, base: str = "admin-api", **headers: str,
) -> tuple[int, bytes]:  # fmt: skip
    answer = urllib3.request(
        method,
        f"{server.url}/{base}/v3/{path}",
        body=wire.encode(body) if body is not None else None,
        headers={"X-Pharos-API-User": user, "X-Pharos-API-Key": key, **headers},
        retries=False,
        timeout=SECONDS,
    )
    return answer.status, answer.data


def lines(server: RegistryServer, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.output().splitlines()]
    return [line for line in found if line["event"] == event]


def until_logged(server: RegistryServer, event: str, count: int) -> None:
    """A request's line is written when its answer is out."""
    deadline = time.monotonic() + SECONDS
    while len(lines(server, event)) < count:
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.01)


def numbers(name: str) -> dict[tuple[str, ...], float]:
    """Label values → value, from the server's own port for numbers."""
    port = os.environ["BAGLINE_HEALTH_PORT"]
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_every_write_leaves_a_trace_of_who_did_it(server: RegistryServer) -> None:
    admin, worker = server.add_user(), server.add_user(WORKERS, "worker")
    for name in ("test.edu", "other.edu"):
        made = {"identifier": name, "name": name, "receiving_bucket": f"receiving.{name}"}
        assert ask(server, ADMIN, admin, "POST", "institutions/create", made)[0] == 201
    item = {
        "institution_id": 1, "name": "a\nb\x1b[31m.tar", "bucket": "receiving.test.edu",
        "etag": "e" * 32, "bag_date": MOMENT, "date_processed": MOMENT, "user": WORKERS,
    }  # fmt: skip
    status, answer = ask(server, WORKERS, worker, "POST", "items/create/1", item)
    assert status == 201
    saved = json.loads(answer) | {"note": "secret of a bag"}
    assert ask(server, WORKERS, worker, "PUT", "items/update/1", saved)[0] == 200
    assert ask(server, WORKERS, worker, path="items?name=secret&note=x")[0] == 200
    objects = {"identifier": "test.edu/bag", "institution_id": 1, "title": "secret"}
    assert ask(server, WORKERS, worker, "POST", "objects/create/1", objects)[0] == 201
    files = [
        {"identifier": f"test.edu/bag/data/{n}", "institution_id": 1, "file_format": "text/plain",
         "intellectual_object_id": 1, "uuid": f"00000000-0000-5000-8000-{n:012d}"}
        for n in range(3)
    ]  # fmt: skip
    assert ask(server, WORKERS, worker, "POST", "files/create_batch/1", files)[0] == 201
    assert ask(server, WORKERS, worker, "POST", "institutions/create", {})[0] == 403
    until_logged(server, "request", 8)
    found = [
        (line["user"], line["method"], line["route"].removeprefix("/admin-api/v3/"),
         line["status"], line.get("row"))
        for line in lines(server, "request")
    ]  # fmt: skip
    assert found == [
        (ADMIN, "POST", "institutions/create", 201, "1"),
        (ADMIN, "POST", "institutions/create", 201, "2"),
        (WORKERS, "POST", "items/create/{institution_id}", 201, "1"),
        (WORKERS, "PUT", "items/update/{id}", 200, "1"),
        (WORKERS, "GET", "items", 200, None),
        (WORKERS, "POST", "objects/create/{institution_id}", 201, "1"),
        (WORKERS, "POST", "files/create_batch/{institution_id}", 201, "1..3 (3)"),
        (WORKERS, "POST", "institutions/create", 403, None),
    ]
    every = lines(server, "request")
    assert all(line["address"] == "127.0.0.1" and line["seconds"] >= 0 for line in every)
    assert {line["role"] for line in every} == {"admin", "worker"}
    for secret in (admin, worker, "secret", "\x1b"):
        assert secret not in server.output()


def test_failures_are_logged_and_counted_and_a_flood_is_no_flood_of_lines(
    server: RegistryServer,
) -> None:
    key = server.add_user()
    hostile = "x\x1b]0;y\x07@z.org".encode("unicode_escape").decode() + "é" * 300
    statuses = [ask(server, hostile, f"guess {number}")[0] for number in range(40)]
    assert statuses == [401] * 5 + [429] * 35
    found = lines(server, "sign_in_failed")
    assert [line["failures"] for line in found] == [*range(1, 11), 16, 32]
    assert all(len(line["claimed"]) <= 120 for line in found)
    assert found[0]["address"] == "127.0.0.1"
    assert "guess" not in server.output()
    assert numbers("bagline_registry_sign_in_failures_total") == {
        ("wrong",): 5.0,
        ("too-many",): 35.0,
    }
    # The same address, far above its limit, with a right key: an old one and a brand-new one.
    assert ask(server, ADMIN, key)[0] == 200
    new = server.add_user(WORKERS, "worker")
    assert ask(server, WORKERS, new)[0] == 200
    # Guesses with somebody's address lock out nobody.
    for number in range(20):
        assert ask(server, ADMIN, f"guess {number}")[0] == 429
    assert ask(server, ADMIN, key)[0] == 200


def test_a_proxys_word_is_not_taken_unless_it_is_trusted(server: RegistryServer) -> None:
    server.add_user()
    for number in range(7):
        address = {"X-Forwarded-For": f"198.51.100.{number}"}
        status, _ = ask(server, ADMIN, "wrong", **address)
        assert status == (401 if number < 5 else 429)
    assert {line["address"] for line in lines(server, "sign_in_failed")} == {"127.0.0.1"}


def test_a_members_pace_is_its_own(server: RegistryServer) -> None:
    admin = server.add_user()
    made = {"identifier": "test.edu", "name": "t"}
    assert ask(server, ADMIN, admin, "POST", "institutions/create", made)[0] == 201
    keys = {
        email: server.add_user(email, "institutional_user", 1)
        for email in ("a@test.edu", "b@test.edu")
    }

    def statuses(email: str, count: int) -> list[int]:
        return [ask(server, email, keys[email], base="member-api")[0] for _ in range(count)]

    assert 429 in statuses("a@test.edu", 60)
    assert statuses("b@test.edu", 1) == [200]
    assert [ask(server, ADMIN, admin)[0] for _ in range(30)] == [200] * 30
    deadline = time.monotonic() + SECONDS
    while statuses("a@test.edu", 1) != [200]:
        assert time.monotonic() < deadline


def test_probes_are_answered_without_a_key_and_not_logged(server: RegistryServer) -> None:
    for path in ("/ping", "/openapi.json", "/%0d%0a%1b[31m", "/admin-api/v3/items?key=secret"):
        urllib3.request("GET", server.url + path, retries=False)
    assert lines(server, "request") == []
    assert "secret" not in server.output()
    assert "\x1b" not in server.output()


def test_a_key_that_is_revoked_opens_nothing_at_once(server: RegistryServer) -> None:
    key = server.add_user()
    assert ask(server, ADMIN, key)[0] == 200
    new = server.add_user()
    assert ask(server, ADMIN, key)[0] == 401
    assert ask(server, ADMIN, new)[0] == 200
