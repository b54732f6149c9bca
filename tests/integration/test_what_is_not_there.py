"""Commands that only look make nothing, and say what is not there; whose bags come in is said."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from bagline.config import load_settings
from bagline.model.workitem import STATUS_FAILED, WorkItem
from bagline.wiring import open_registry
from support.bags import BagBuilder
from support.calls import Called, call, call_as_nobody
from support.commands import Bagline

LOOKING = [
    ("items",),
    ("show", 1),
    ("audit",),
    ("requeue", 1),
    ("cancel", 1),
    ("restore", "test.edu/bag"),
    ("fixity", "status"),
    ("fixity", "plan"),
    ("spot", "status"),
    ("spot", "run"),
    ("registry", "user", "list"),
    ("registry", "key", "list"),
    ("registry", "key", "new", "a@test.edu"),
    ("registry", "institution", "list"),
    ("registry", "institution", "show", "test.edu"),
]


READING = (
    "items",
    "items --json",
    "audit",
    "fixity status",
    "fixity plan",
    "spot status",
    "registry user list",
    "registry key list",
    "registry institution list",
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Registry with one institution and two work items, and no engines."""
    folder = tmp_path_factory.mktemp("here") / "data"
    Bagline(folder).found()
    with open_registry(load_settings(data_dir=folder, environ={})) as registry:
        ours = registry.institution("test.edu")
        assert ours is not None
        for name, stage in (("letters.tar", "Receive"), ("maps.tar", "Copy To Staging")):
            registry.save_work_item(
                WorkItem(
                    name=name,
                    stage=stage,
                    institution_id=ours.id,
                    status=STATUS_FAILED,
                    date_processed="2026-01-31T12:00:00Z",  # type: ignore[arg-type]
                )
            )
    return folder


@pytest.mark.parametrize("argv", LOOKING, ids=lambda argv: " ".join(map(str, argv)))
def test_who_looks_in_the_wrong_place_makes_nothing_there(
    argv: tuple[object, ...], tmp_path: Path
) -> None:
    wrong = tmp_path / "dtaa"
    ended = call(*argv, "--data-dir", wrong)
    assert (ended.code, ended.out) == (4, "")
    assert f"there is no Bagline in {wrong}" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_doctor_in_the_wrong_place_says_so_and_makes_nothing(tmp_path: Path) -> None:
    ended = call("doctor", "--data-dir", tmp_path / "dtaa")
    assert ended.code == 1
    assert "there is no Bagline in" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_who_may_only_read_reads(here: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data"
        place.mkdir()
        shutil.copy(here / "registry.db", place)
        for path, mode in ((place / "registry.db", 0o444), (place, 0o555), (Path(folder), 0o755)):
            path.chmod(mode)
        for command in READING:
            call(*command.split(), "--data-dir", here)
            ended = call_as_nobody(*command.split(), "--data-dir", place)
            assert ended.code == 0, ended.err
            assert ("letters.tar" in ended.out) == ("items" in command)
            assert [path.name for path in place.iterdir()] == ["registry.db"]


# -- filters
def listed(here: Path, *argv: object) -> list[str]:
    ended = call("items", *argv, "--json", "--data-dir", here)
    assert ended.code == 0, ended.err
    return [item["name"] for item in json.loads(ended.out)]


def test_items_are_chosen_by_bag_institution_stage_status_and_time(here: Path) -> None:
    assert listed(here, "--bag", "letters") == ["letters.tar"]
    assert listed(here, "--stage", "copy-to-staging") == ["maps.tar"]
    assert len(listed(here, "--status", "failed", "--institution", "test.edu")) == 2
    assert listed(here, "--status", "SUCCESS") == []
    assert len(listed(here, "--since", "2026-01-31T11:59Z")) == 2
    assert listed(here, "--since", "2026-01-31T12:01Z") == []
    assert listed(here, "--since", "2h") == []


def test_nothing_under_a_filter_is_not_nothing_at_all(here: Path, tmp_path: Path) -> None:
    assert "No work items are like that." in call("items", "--bag", "x", "--data-dir", here).out
    Bagline(tmp_path / "new").found()
    assert "`bagline ingest BAG.tar`" in call("items", "--data-dir", tmp_path / "new").out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--status", "Foo"), "there is no status 'Foo'; There are: Pending, Started"),
        (("--status", "faild"), "did you mean Failed?"),
        (("--stage", "stroe"), "did you mean Store?"),
        (("--since", "yesterday"), "'yesterday' is no time"),
    ],
)
def test_a_choice_that_is_none_names_those_there_are(
    here: Path, argv: tuple[str, ...], said: str
) -> None:
    ended = call("items", *argv, "--data-dir", here)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_an_institution_that_is_not_there_is_told_with_the_nearest(here: Path) -> None:
    ended = call("items", "--institution", "tset.edu", "--data-dir", here)
    assert ended.code == 4
    assert "did you mean test.edu?" in ended.err


def test_watching_shows_them_anew_until_it_is_stopped(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("bagline.cli.items.time.sleep", sleep)
    ended = call("items", "--watch", "--data-dir", here)
    assert ended.code == 130
    assert ended.out.count("letters.tar") == 3
    assert "leave out --json" in call("items", "--watch", "--json", "--data-dir", here).err


# -- whose bags
@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return BagBuilder("bag").payload("a", b"x").write(tmp_path / "bag.tar")


def refused(code: int, *argv: object) -> str:
    ended: Called = call("ingest", *argv)
    assert ended.code == code, ended.err
    return ended.err


def test_an_ingest_wants_an_institution_that_is_there(bag: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    where = ("--data-dir", folder)
    assert "registry institution add DOMAIN" in refused(4, bag, *where)
    assert not folder.exists()
    added = call("registry", "institution", "add", "test.edu", "--name", "Test", *where)
    assert (added.code, added.err) == (0, "")
    assert "did you mean test.edu?" in refused(4, bag, "--institution", "tset.edu", *where)
    assert call("registry", "institution", "add", "other.edu", *where).code == 0
    assert "say whose bags they are" in refused(2, bag, *where)
    listed = json.loads(call("registry", "institution", "list", "--json", *where).out)
    assert sorted(each["identifier"] for each in listed) == ["other.edu", "test.edu"]
    shown = call("registry", "institution", "show", "test.edu", *where).out
    assert "s3://bagline-receiving.test.edu" in shown
    assert "Test" in shown


def test_the_setting_names_the_institution(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bagline(tmp_path / "data").found("a.edu", "b.edu")
    monkeypatch.setenv("BAGLINE_INSTITUTION", "c.edu")
    assert "no institution 'c.edu'" in refused(4, bag, "--data-dir", tmp_path / "data")


def test_an_institution_is_added_once_and_by_a_name_that_buckets_can_have(here: Path) -> None:
    add = ("registry", "institution", "add")
    assert "already" in call(*add, "test.edu", "--data-dir", here).err
    assert "cannot name an institution" in call(*add, "../Test", "--data-dir", here).err


def test_a_users_role_is_asked_for(here: Path) -> None:
    ended = call("registry", "user", "add", "a@test.edu", "--data-dir", here)
    assert ended.code == 2
    assert "--role" in ended.err
    assert "a@test.edu" not in call("registry", "user", "list", "--data-dir", here).out


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BAGLINE_")]:
        monkeypatch.delenv(name)
