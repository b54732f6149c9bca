"""`bagline audit`, and what each command by a person's hand leaves in it."""

from __future__ import annotations

import csv
import io
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bagline.config import load_settings
from bagline.model.copy_checks import MISSING, CopyCheck
from bagline.model.times import now
from bagline.model.workitem import OUTCOME_CHANGING, STATUS_STARTED, STATUS_SUSPENDED
from bagline.services.registry.acts import Person, acting
from bagline.services.registry.sql import SqlRegistry
from bagline.wiring import open_database
from support.bags import BagBuilder
from support.commands import Bagline
from support.registry import ADMIN, temporary_registry
from support.registry_records import an_item, save_institution

HOSTILE = "=cmd|' /C calc'!A0,\u202e\x7f\"<b>[red]"
ME = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


class Desk:
    """An operator's, with a Registry's database beside it."""

    def __init__(self, folder: Path) -> None:
        self.bagline = Bagline(folder)
        self.registry = SqlRegistry(open_database(load_settings(data_dir=folder, environ={})))
        self.ours = save_institution(self.registry)

    def does(self, *argv: object, code: int = 0) -> str:
        ended = self.bagline.run(*argv)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    def acts(self, *argv: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.bagline.json("audit", *argv)
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path / "data")
    yield found
    found.registry.close()


def test_an_auditor_asks_who_cancelled_an_item(desk: Desk) -> None:
    for name in ("a.tar", "b.tar"):
        desk.registry.save_work_item(an_item(desk.ours, name))
    desk.does("cancel", 1, "--reason", "the depositor sent a newer one")
    desk.does("requeue", 1)
    desk.does("cancel", 2)
    desk.does("cancel", 2, code=5)
    desk.does("requeue", 7, code=4)
    (act,) = desk.acts("--subject", "work item 1", "--act", "cancel")
    assert (act["who"], act["role"]) == (ME, "operator")
    assert act["origin"] == f"command line, {socket.gethostname()}"
    assert act["reason"] == "the depositor sent a newer one"
    assert (act["before"]["status"], act["after"]["status"]) == ("Pending", "Cancelled")
    assert act["institution_id"] == desk.ours.id
    assert [(a["act"], a["subject"]) for a in desk.acts()] == [
        ("cancel", "work item 2"),
        ("requeue", "work item 1"),
        ("cancel", "work item 1"),
    ]
    table = desk.does("audit", "--subject", "work item 1")
    assert "status: Cancelled → Pending" in table
    assert "the depositor sent a newer one" in table


def test_what_was_forced_back_is_told_before_it_is_cancelled(desk: Desk) -> None:
    item = an_item(desk.ours, stage="Store", status=STATUS_SUSPENDED)
    item.outcome = OUTCOME_CHANGING
    desk.registry.save_work_item(item)
    desk.does("cancel", 1, code=5)
    assert desk.acts() == []
    desk.does("cancel", 1, "--force", "--reason", "lost")
    assert [(act["act"], act["after"]["status"], act["reason"]) for act in desk.acts()] == [
        ("cancel", "Cancelled", "lost"),
        ("forced back", "Suspended", "lost"),
    ]


def test_users_and_keys(desk: Desk) -> None:
    who = "ann@test.edu"
    add = ("registry", "user", "add", who, "--institution", "test.edu", "--role")
    keys = [desk.does(*add, "inst_user", "--reason", "new").strip()]
    keys.append(desk.does(*add, "institutional_admin").strip())
    keys.append(desk.does("registry", "key", "new", who).strip())
    desk.does("registry", "key", "revoke", who, 2, "--reason", "left on a bus")
    desk.does("registry", "key", "revoke", who, 2, code=4)
    desk.does("registry", "user", "disable", who)
    desk.does("registry", "user", "disable", "nobody@test.edu", code=4)
    desk.does("registry", "user", "add", "x@test.edu", "--role", "inst_user", code=1)
    acts = desk.acts("--subject", f"user {who}")
    assert [act["act"] for act in reversed(acts)] == [
        "user added", "user changed", "key made", "key revoked", "user disabled",
    ]  # fmt: skip
    assert acts[-1]["after"]["role"] == "institutional_user"
    assert acts[1]["reason"] == "left on a bus"
    assert [key for key in keys if key in desk.does("audit", "--json")] == []
    assert "institutional_admin" in desk.does("registry", "user", "list")


def test_filters_and_pages(desk: Desk) -> None:
    ann = Person("ann@test.edu", "admin", "API, 10.1.2.3")
    for number in range(7):
        with acting(ann, "item added", clock=lambda n=number: f"2026-01-0{n + 1}T12:00:00Z"):  # type: ignore[misc]
            desk.registry.save_work_item(an_item(desk.ours, f"{number}.tar"))
    desk.does("cancel", 1)

    def ids(*argv: object) -> list[int]:
        return [act["id"] for act in desk.acts(*argv)]

    assert ids() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert ids("--limit", 3) == [8, 7, 6]
    assert ids("--who", "ann@test.edu", "--limit", 2) == [7, 6]
    assert ids("--who", ME) == [8]
    assert ids("--subject", "work item 1") == [8, 1]
    assert ids("--subject", "work item*", "--limit", 1) == [8]
    assert ids("--since", "2026-01-03", "--until", "2026-01-05T12:00:00Z") == [4, 3]
    assert ids("--institution", "test.edu", "--act", "item added", "--until", "2026-01-02") == [1]
    desk.does("audit", "--since", "yesterday", code=1)
    desk.does("audit", "--institution", "nowhere.edu", code=4)
    desk.does("audit", "--json", "--csv", code=2)
    shown = desk.bagline.run("audit", "--limit", 3)
    assert "newest 3 only" in shown.stderr
    assert "No acts." in desk.does("audit", "--act", "nothing")


def test_hostile_names_and_reasons(desk: Desk) -> None:
    item = an_item(desk.ours)
    item.note = HOSTILE
    with acting(Person(HOSTILE, HOSTILE, HOSTILE, HOSTILE), "=1+1"):
        desk.registry.save_work_item(item)
    rows = list(csv.reader(io.StringIO(desk.does("audit", "--csv"))))
    assert rows[0][:4] == ["id", "at", "who", "role"]
    (row,) = rows[1:]
    assert len(row) == len(rows[0])
    assert [cell for cell in row if cell.lstrip()[:1] in ("=", "+", "-", "@")] == []
    assert row[rows[0].index("act")] == "'=1+1"
    for told in (*row, *desk.does("audit").splitlines()):
        assert told.isprintable(), told
    assert "[red]" in desk.does("audit")


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "x" * 2001, os.fsdecode(b"\xff")])
def test_a_reason_that_cannot_be_kept_is_refused_before_anything_is_done(
    desk: Desk, reason: str
) -> None:
    desk.registry.save_work_item(an_item(desk.ours))
    desk.does("cancel", 1, "--reason", reason, code=2)
    found = desk.registry.work_item(1)
    assert found is not None
    assert found.status == "Pending"
    assert desk.acts() == []


def test_over_an_api_the_server_keeps_it_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_registry() as server:
        monkeypatch.setenv("BAGLINE_REGISTRY_URL", server.url)
        monkeypatch.setenv("BAGLINE_REGISTRY_USER", ADMIN)
        monkeypatch.setenv("BAGLINE_REGISTRY_KEY", server.add_user())
        registry = SqlRegistry(server.database())
        item = an_item(save_institution(registry), status=STATUS_STARTED)
        registry.save_work_item(item)
        bagline = Bagline(tmp_path / "operator")
        for command in ("cancel", "requeue"):
            ended = bagline.run(command, 1, "--reason", f"{command}: „schön“")
            assert ended.returncode == 0, ended.stderr
        acts = bagline.json("audit", "--institution", "test.edu")
        assert [(act["act"], act["who"], act["origin"], act["reason"]) for act in acts] == [
            (word, ADMIN, "API, 127.0.0.1", f"{word}: „schön“") for word in ("requeue", "cancel")
        ]
        assert bagline.json("audit", "--limit", 1) == acts[:1]
        monkeypatch.setenv("BAGLINE_REGISTRY_USER", "w@test.edu")
        monkeypatch.setenv("BAGLINE_REGISTRY_KEY", server.add_user("w@test.edu", "worker"))
        ended = bagline.run("audit")
        assert (ended.returncode, "403" in ended.stderr) == (5, True)
        registry.close()


def test_what_is_ingested_restored_and_repaired_by_hand(tmp_path: Path) -> None:
    bagline = Bagline(tmp_path / "data")
    bag = BagBuilder("bag").payload("a", b"x" * 100).write(tmp_path / "bag.tar")
    try:
        assert bagline.run("ingest", bag, "--reason", "a trial").returncode == 0
        restored = bagline.run("restore", "test.edu/bag", "-o", "s3://", "--reason", "a reader")
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert bagline.run("spot", "run").returncode == 0
        registry = SqlRegistry(open_database(load_settings(data_dir=bagline.data_dir, environ={})))
        file = registry.files(["test.edu/bag/data/a"])["test.edu/bag/data/a"]
        copy = registry.copies.of_file(file.id)[0]
        registry.copies.save([CopyCheck(copy=copy, asked_at=now(), outcome=MISSING)])
        registry.close()
        assert bagline.run("fixity", "repair", "--all", "--reason", "found bad").returncode == 0
        acts = list(reversed(bagline.json("audit")))
        assert [(act["act"], act["subject"], act["reason"]) for act in acts] == [
            ("ingest", "work item 1", "a trial"),
            ("restoration asked", "work item 2", "a reader"),
            ("spot test", "spot test 1", ""),
            ("copy repaired", f"copy {copy.url}", "found bad"),
        ]
        assert {act["who"] for act in acts} == {ME}
        assert {act["institution_id"] for act in acts} == {1}
    finally:
        bagline.run("down")
