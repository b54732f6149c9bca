"""`bagline deletions`: two people at their own terminals, and what each is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.cli.common import write_whole
from bagline.errors import Misconfigured, Refused
from bagline.model.registry import Institution, IntellectualObject
from bagline.services.registry.sql import SqlRegistry
from support.registry import RegistryServer, temporary_registry
from support.registry_records import a_file

ANN, BOB = "ann@test.edu", "bob@test.edu"
HOSTILE = "test.edu/\x1b[31mred"


class People:
    def __init__(self, server: RegistryServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.registry = SqlRegistry(server.database())
        own = self.registry.save_institution(Institution(identifier="test.edu", name="Test"))
        for number, name in enumerate(("letters", "maps", HOSTILE.partition("/")[2])):
            kept = self.registry.save_intellectual_object(
                IntellectualObject(
                    identifier=f"test.edu/{name}",
                    bag_name=name,
                    institution_id=own.id,
                    title="A bag",
                    etag="e" * 32,
                )
            )
            file = a_file(kept, "data/a")
            file.uuid = f"77777777-0000-5000-8000-{number:012d}"
            file.premis_events = []
            self.registry.create_files([file])
        self.keys = {
            email: server.add_user(email, "institutional_admin", own.id) for email in (ANN, BOB)
        }

    def run(
        self, who: str, *argv: object, text: str = "", key: str = ""
    ) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {
            "BAGLINE_API_URL": self.server.url,
            "BAGLINE_API_USER": who,
            "BAGLINE_API_KEY": key or self.keys.get(who, ""),
        }
        return subprocess.run(
            [sys.executable, "-m", "bagline", "deletions", *map(str, argv)],
            input=text,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with temporary_registry() as server:
        yield People(server, tmp_path_factory.mktemp("people"))


def test_one_asks_another_looks_and_agrees_and_it_is_recalled(people: People) -> None:
    asked = people.run(ANN, "request", "test.edu/letters", "--reason", "Withdrawn", "--json")
    assert asked.returncode == 0, asked.stderr
    number = json.loads(asked.stdout)["id"]
    own = people.run(ANN, "approve", number, "--yes")
    assert own.returncode == 5
    assert "Somebody else must approve it" in own.stderr
    no = people.run(BOB, "approve", number, text="n\n")
    assert no.returncode == 1
    assert "test.edu/letters" in no.stdout
    assert "Withdrawn" in no.stdout
    assert "Nothing was approved." in no.stderr
    agreed = people.run(BOB, "approve", number, text="y\n")
    assert agreed.returncode == 0, agreed.stderr
    assert f"bagline deletions refuse {number}" in agreed.stderr
    shown = people.run(ANN, "show", number)
    assert "Approved" in shown.stdout
    assert "Pending at Requested" in shown.stdout
    recalled = people.run(ANN, "refuse", number, "--reason", "A slip")
    assert recalled.returncode == 0
    assert "is recalled" in recalled.stderr
    listed = people.run(BOB, "list")
    assert "Rejected" in listed.stdout
    again = people.run(ANN, "refuse", number, "--reason", "A slip")
    assert again.returncode == 5


def test_many_are_asked_for_at_once_and_names_are_inert(people: People) -> None:
    names = f"test.edu/maps/data/a\n\n{HOSTILE}\n"
    asked = people.run(ANN, "request", "--from", "-", "--reason", "Both", text=names)
    assert asked.returncode == 0, asked.stderr
    assert "1 object" in asked.stdout
    assert "1 file" in asked.stdout
    assert "\x1b" not in asked.stdout


@pytest.mark.parametrize(
    ("argv", "said", "code"),
    [
        (("request", "--reason", "x"), "Name objects or files", 2),
        (("request", "test.edu/letters"), "--reason", 2),
        (("request", "letters", "--reason", "x"), "institution/bag", 2),
        (("request", "test.edu/none", "--reason", "x"), "there is no object", 5),
        (("show", "4711"), "404", 4),
        (("certificate", "4711"), "404", 4),
    ],
)
def test_what_makes_no_sense_is_said(
    people: People, argv: tuple[str, ...], said: str, code: int
) -> None:
    found = people.run(ANN, *argv)
    assert found.returncode == code
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_all_that_is_wrong_with_a_long_list_is_told(people: People) -> None:
    names = [f"test.edu/there-is-no-such-bag-{number}" for number in range(60)]
    asked = people.run(ANN, "request", "--from", "-", "--reason", "All", text="\n".join(names))
    assert asked.returncode == 5
    assert all(f"{name!r}" in asked.stderr for name in names)


def test_who_agrees_sees_what_goes_whatever_is_printed(people: People) -> None:
    asked = people.run(ANN, "request", "test.edu/letters", "--reason", "Withdrawn", "--json")
    number = json.loads(asked.stdout)["id"]
    agreed = people.run(BOB, "approve", number, "--json", text="y\n")
    assert agreed.returncode == 0, agreed.stderr
    assert "test.edu/letters" in agreed.stderr
    assert json.loads(agreed.stdout)["id"] == number
    assert people.run(ANN, "refuse", number, "--reason", "A slip").returncode == 0


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "certificate.jsonl"

    def lines() -> Iterator[bytes]:
        yield b"{}"
        raise Refused("gone away")

    with pytest.raises(Refused):
        write_whole(place, lines())
    assert list(tmp_path.iterdir()) == []
    write_whole(place, [b"{}", b"[]"])
    assert place.read_bytes() == b"{}\n[]\n"
    with pytest.raises(Misconfigured, match="stands already"):
        write_whole(place, [b"other"])
    assert [place.read_bytes(), list(tmp_path.iterdir())] == [b"{}\n[]\n", [place]]
    with pytest.raises(Misconfigured, match="cannot be written"):
        write_whole(tmp_path / "none" / "file", [b"{}"])


def test_a_wrong_key_and_nobody(people: People) -> None:
    wrong = people.run(ANN, "list", key="wrong")
    assert wrong.returncode == 5
    assert "wrong key" in wrong.stderr
    assert people.keys[ANN] not in wrong.stderr
    nobody = people.run("", "list")
    assert nobody.returncode == 2
    assert "--user" in nobody.stderr
