"""What is preserved, looked at from the command line: the database, the API and a member's key."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import typer

from bagline.cli.looking import _quoted
from bagline.cli.main import app
from bagline.errors import Gone, Misconfigured, Refused, Unknown
from bagline.model.registry import Institution, IntellectualObject
from bagline.services.registry.sql import SqlRegistry
from contracts.test_registry_holdings import LETTERS, PATHS, SHA, fill
from support.older.registry import older_registry
from support.registry import ADMIN, RegistryServer, temporary_registry
from support.registry_records import a_file, an_item

HOSTILE = "=cmd|' /C calc'!A0,\u202e\x1b[2J\"<b>[red]"
MEMBER = "ann@test.edu"
Bagline = Callable[..., str]


@dataclass
class Kept:
    """A Registry with things in it, and whose keys open its API."""

    server: RegistryServer
    admin_key: str
    member_key: str
    others_item: int

    @property
    def data_dir(self) -> str:
        return str(self.server.settings.data_dir)


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with temporary_registry() as server:
        registry = SqlRegistry(server.database())
        fill(registry)
        own = registry.institution("test.edu")
        assert own is not None
        _add_hostile(registry, own)
        _add_deleted(registry, own)
        registry.save_work_item(
            an_item(own, "letters.tar", status="Success", object_identifier=LETTERS)
        )
        other = registry.institution("other.edu")
        assert other is not None
        others = registry.save_work_item(an_item(other, "diary.tar"))
        yield Kept(
            server,
            server.add_user(),
            server.add_user(MEMBER, "institutional_user", own.id),
            others.id,
        )
        registry.close()


def _add_hostile(registry: SqlRegistry, own: Institution) -> None:
    odd = registry.save_intellectual_object(
        IntellectualObject(identifier="test.edu/odd", institution_id=own.id, title=HOSTILE)
    )
    registry.create_files([a_file(odd, f"data/{HOSTILE}")])


def _add_deleted(registry: SqlRegistry, own: Institution) -> None:
    gone = registry.save_intellectual_object(
        IntellectualObject(
            identifier="test.edu/gone", institution_id=own.id, title="Gone", state="D"
        )
    )
    file = a_file(gone, "data/gone.txt")
    file.state, file.storage_records = "D", []
    registry.create_files([file])
    registry.save_work_item(
        an_item(
            own, "gone.tar", action="Delete", status="Success", object_identifier="test.edu/gone"
        )
    )


@pytest.fixture
def bagline(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Bagline:
    """A command's standard output; `key` and `url` say whose API is asked as the settings have it,
    `user` as a person does."""

    def run(*argv: object, key: str = "", url: str = "", user: str = "") -> str:
        words = [str(word) for word in argv]
        with monkeypatch.context() as patch:
            if user:
                patch.setenv("BAGLINE_API_KEY", key)
                words += ["--api", url or kept.server.url, "--user", user]
            elif key:
                patch.setenv("BAGLINE_REGISTRY_URL", url or kept.server.url)
                patch.setenv("BAGLINE_REGISTRY_USER", ADMIN if key == kept.admin_key else MEMBER)
                patch.setenv("BAGLINE_REGISTRY_KEY", key)
            else:
                words += ["--data-dir", kept.data_dir]
            capsys.readouterr()
            app(words, standalone_mode=False)
        return capsys.readouterr().out

    return run


COMMANDS: list[list[str]] = [
    ["objects", "--state", "all"],
    ["objects", "--institution", "other.edu", "--json"],
    ["files", LETTERS, "--csv"],
    ["files", LETTERS, "--path", "data/B"],
    ["find", "txt", "--limit", "2", "--json"],
    ["find", SHA[:20]],
    ["events", LETTERS, "--files", "--csv"],
    ["events", f"{LETTERS}/data/b.txt", "--json"],
    ["stats"],
    ["stats", "--csv", "--institution", "test.edu"],
    ["show", LETTERS],
    ["show", f"{LETTERS}/data/b.txt", "--json"],
    ["show", "test.edu/gone"],
]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_the_database_and_the_api_say_the_same(
    bagline: Bagline, kept: Kept, argv: list[str]
) -> None:
    said = bagline(*argv)
    assert len(said.splitlines()) >= 1
    assert bagline(*argv, key=kept.admin_key) == said


@pytest.mark.parametrize("as_person", [True, False])
def test_a_member_sees_only_their_own(bagline: Bagline, kept: Kept, as_person: bool) -> None:
    def own(*argv: object) -> str:
        return bagline(*argv, key=kept.member_key, user=MEMBER if as_person else "")

    names = [each["identifier"] for each in json.loads(own("objects", "--json"))["objects"]]
    assert names == ["test.edu/bag", LETTERS, "test.edu/odd"]
    totals = json.loads(own("stats", "--json"))
    assert [total["name"] for total in totals["institutions"]] == ["test.edu"]
    hits = json.loads(own("find", "letters", "--json"))["found"]
    assert [hit["identifier"] for hit in hits] == [LETTERS]
    assert "letters" in own("show", "letters")  # their only institution's
    assert json.loads(own("files", "letters", "--json"))["files"]
    assert SHA in own("show", f"{LETTERS}/data/100%_a.tif")
    for argv in (["show", "other.edu/diary"], ["files", "other.edu/diary"]):
        with pytest.raises(Gone):
            own(*argv)
    assert "Work item 1" in own("show", "1")  # through the API, too
    with pytest.raises(Unknown, match="no work item"):
        own("show", str(kept.others_item))


def test_pages_go_on_until_all_was_shown(bagline: Bagline) -> None:
    walked, after = [], ""
    for _ in PATHS:
        page = json.loads(bagline("files", LETTERS, "--limit", 2, "--after", after, "--json"))
        walked += [each["identifier"] for each in page["files"]]
        after = page["next"]
        if not after:
            break
    whole = json.loads(bagline("files", LETTERS, "--all", "--json"))
    assert walked == [each["identifier"] for each in whole["files"]]
    assert len(walked) == len(PATHS)
    assert whole["next"] == ""


def test_there_is_more_is_said_with_how_to_go_on(
    bagline: Bagline, capsys: pytest.CaptureFixture[str], kept: Kept
) -> None:
    capsys.readouterr()
    argv = ["files", LETTERS, "--limit", "2", "--data-dir", kept.data_dir]
    app(argv, standalone_mode=False)
    assert f"--after {LETTERS}/data/100%_a.tif" in capsys.readouterr().err


def test_csv_has_every_digest_and_no_formula(bagline: Bagline) -> None:
    rows = list(csv.DictReader(io.StringIO(bagline("files", LETTERS, "--csv"))))
    assert len(rows) == len(PATHS)
    assert rows[1]["sha256"] == SHA
    (odd,) = csv.DictReader(io.StringIO(bagline("objects", "--contains", "odd", "--csv")))
    assert odd["title"].startswith("'=cmd")
    assert odd["title"].isprintable()


def test_hostile_names_drive_no_terminal(bagline: Bagline) -> None:
    for argv in (
        ["objects"],
        ["files", "test.edu/odd"],
        ["show", "test.edu/odd"],
        ["find", "calc"],
        ["show", f"test.edu/odd/data/{HOSTILE}"],
        ["events", f"test.edu/odd/data/{HOSTILE}"],
    ):
        said = bagline(*argv)
        assert all(line.isprintable() for line in said.splitlines()), argv
    assert "[red]" in bagline("objects", "--contains", "odd")


def test_a_name_that_is_shown_escaped_is_found_as_it_is_shown(bagline: Bagline) -> None:
    path = f"test.edu/odd/data/{HOSTILE}"
    typed = path.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b").replace("<", "\\x3c")
    assert bagline("show", typed) == bagline("show", path)


def test_how_to_go_on_is_read_back_by_a_shell() -> None:
    for name in (HOSTILE, "it's", "a b", "back\\slash \x1b", "plain"):
        word = _quoted(name)
        assert word.isprintable()
        echoed = subprocess.run(
            ["bash", "-c", f"printf %s {word}"],
            env={"LC_ALL": "C.UTF-8"},
            capture_output=True,
            check=True,
        )
        assert echoed.stdout.decode() == name


def test_an_objects_page_tells_where_it_is_and_how_it_came(bagline: Bagline) -> None:
    page = bagline("show", LETTERS)
    for told in (
        "Letters of Ann 1901",
        "5 files, 56 B; of them payload: 4 files",
        "https://s3.example/data ",
        "Ingest Success",
        f"bagline files {LETTERS}",
    ):
        assert told in page
    found = json.loads(bagline("show", LETTERS, "--json"))
    assert found["last_ingested"] == "2026-01-02T03:04:05.123456Z"
    assert found["items"][0]["name"] == "letters.tar"


def test_a_files_page_tells_its_digests_and_copies(bagline: Bagline) -> None:
    page = bagline("show", f"{LETTERS}/data/100%_a.tif")
    for told in (SHA, "d" * 32, "image/tiff", "https://s3.example/data/100%_a.tif", "never proven"):
        assert told in page
    assert "Events       1 " in page


def test_what_is_deleted_is_shown_so_with_its_certificate(bagline: Bagline) -> None:
    assert "test.edu/gone" not in bagline("objects")
    assert "deleted" in bagline("objects", "--state", "Deleted")
    assert "deleted" in bagline("files", "test.edu/gone")
    for name in ("test.edu/gone", "test.edu/gone/data/gone.txt"):
        page = bagline("show", name)
        assert f"{name}  deleted" in page
        assert "bagline deletions certificate 1" in page


def test_digits_alone_are_a_work_item(bagline: Bagline) -> None:
    assert "Work item 1" in bagline("show", "1")


@pytest.mark.parametrize("through_api", [False, True])
@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["show", "test.edu/leters"], LETTERS),
        (["files", "test.edu/Letter"], LETTERS),
        (["show", "tst.edu/letters"], LETTERS),
        (["show", f"{LETTERS}/b.txt"], f"{LETTERS}/data/b.txt"),
        (["events", f"{LETTERS}/data/bb.txt"], f"{LETTERS}/data/b.txt"),
        (["objects", "--institution", "tets.edu"], "test.edu"),
    ],
)
def test_a_mistyped_name_gets_close_matches(
    bagline: Bagline, kept: Kept, argv: list[str], meant: str, through_api: bool
) -> None:
    with pytest.raises(Gone, match=f"Did you mean .*{meant}"):
        bagline(*argv, key=kept.admin_key if through_api else "")


def test_what_makes_no_sense_is_a_sentence(bagline: Bagline) -> None:
    with pytest.raises(Misconfigured, match=r"whose is letters\? There are 2"):
        bagline("show", "letters")
    with pytest.raises(Misconfigured, match="--json or --csv"):
        bagline("objects", "--json", "--csv")
    with pytest.raises(Misconfigured, match="is a file"):
        bagline("files", f"{LETTERS}/data/b.txt")
    with pytest.raises(typer.BadParameter, match="use active, deleted, all"):
        bagline("objects", "--state", "lost")
    with pytest.raises(typer.BadParameter, match="is no time"):
        bagline("objects", "--since", "yesterday")
    assert "No object is like that" in bagline("objects", "--contains", "nowhere")
    assert "Nothing has nowhere" in bagline("find", "nowhere")
    assert "nor is it the beginning of a digest" in bagline("find", "0" * 40)


@pytest.mark.parametrize(
    "argv",
    [
        ["show", "test.edu/\udcff"],
        ["files", "\udcff"],
        ["find", "\udcff"],
        ["objects", "--contains", "\udcff"],
        ["objects", "--after", "\udcff"],
        ["files", LETTERS, "--path", "\udcff"],
        ["events", LETTERS, "--type", "\udcff"],
        ["objects", "--institution", "\udcff"],
    ],
)
def test_bytes_that_are_no_text_name_nothing(bagline: Bagline, argv: list[str]) -> None:
    with pytest.raises(Gone, match="names on record are UTF-8"):
        bagline(*argv)


def test_an_older_registry_shows_what_it_can_and_says_what_it_cannot(
    bagline: Bagline, kept: Kept
) -> None:
    with older_registry(kept.server.url) as older:

        def asked(*argv: object) -> str:
            return bagline(*argv, key=kept.admin_key, url=older.url)

        assert LETTERS in asked("objects")
        assert "data/b.txt" in asked("files", LETTERS)
        assert "ingestion" in asked("events", LETTERS)
        assert "does not say where an object's copies lie" in asked("show", LETTERS)
        assert "https://s3.example/data/b.txt" in asked("show", f"{LETTERS}/data/b.txt")
        for argv in (["find", "ann"], ["stats"]):
            with pytest.raises(Refused, match="older than this Bagline"):
                asked(*argv)


def test_the_api_refuses_what_makes_no_sense(kept: Kept) -> None:
    from bagline.services.registry.http.speaking import RegistryClient

    client = RegistryClient(kept.server.url, user=ADMIN, key=kept.admin_key)
    for query in (
        [("limit", "0")],
        [("limit", "1001")],
        [("limit", "x")],
        [("limit", "1"), ("limit", "2")],
        [("nonsense", "1")],
        [("begins", "a\0b")],
        [("since", "soon")],
        [("institution_id", str(2**63))],
    ):
        with pytest.raises(Refused, match="400 Invalid query params"):
            client.ask("GET", "holdings/objects", query=query)
    client.close()
