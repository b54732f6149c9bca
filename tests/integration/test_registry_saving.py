"""The Registry's database saved to a file, and loaded into one of either kind."""

from __future__ import annotations

import itertools
import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bagline.cli.main import app
from bagline.errors import BaglineError, Gone, Misconfigured
from bagline.model.holdings import FilesWanted, TotalsWanted
from bagline.services.registry import tables as t
from bagline.services.registry.acts import Person, acting
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.database_file import dump, load
from bagline.services.registry.migrating import downgrade_to
from bagline.services.registry.sql import SqlRegistry
from contracts.test_registry_holdings import LETTERS, fill
from support.postgres import Postgres, temporary_postgres
from support.registry_records import an_item, save_institution

NUMBERS = itertools.count()
Make = Callable[[str], Database]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with temporary_postgres() as server:
        yield server


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """A new database of that kind, with nothing in it."""
    made: list[Database] = []

    def new(kind: str) -> Database:
        url = sqlite_url(tmp_path / f"made-{next(NUMBERS)}.db")
        if kind == "postgres":
            url = request.getfixturevalue("postgres").create(f"saving_{next(NUMBERS)}")
        made.append(Database(url))
        made[-1].migrate()
        return made[-1]

    yield new
    for database in made:
        database.close()


def filled(database: Database) -> SqlRegistry:
    registry = SqlRegistry(database)
    fill(registry)
    with acting(Person("ann@test.edu", "admin", "here", "because"), "an act"):
        item = registry.save_work_item(an_item(registry.institutions()[0]))
    registry.save_report(item.id, {"files": 5, "formats": {"text/plain": 4}})
    return registry


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.reading() as connection:
        return {
            table.name: sorted(map(str, connection.execute(select(table))))
            for table in t.metadata.sorted_tables
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("into", ["sqlite", "postgres"])
def test_what_was_saved_is_all_there_again(
    make: Make, tmp_path: Path, kind: str, into: str
) -> None:
    source, target, file = make(kind), make(into), tmp_path / "saved.db"
    registry = filled(source)
    counts = dump(source, file)
    registry.save_work_item(an_item(registry.institutions()[0], "later.tar"))
    assert counts["generic_files"] == 6
    assert counts["acts"] == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*saved*")] == ["saved.db"]
    assert load(file, target) == counts
    before, after = rows_of(source), rows_of(target)
    assert len(after["work_items"]) == len(before["work_items"]) - 1  # what came later
    del before["work_items"], after["work_items"]
    assert after == before
    loaded = SqlRegistry(target)
    assert loaded.holdings.totals(TotalsWanted()) == registry.holdings.totals(TotalsWanted())
    assert len(loaded.holdings.files(FilesWanted(object=LETTERS))) == 5
    item = loaded.save_work_item(an_item(loaded.institutions()[0], "new.tar"))
    assert item.id == 2  # numbers go on


def test_a_registry_that_is_not_empty_stays_as_it_is(make: Make, tmp_path: Path) -> None:
    source, target, file = make("sqlite"), make("sqlite"), tmp_path / "saved.db"
    filled(source)
    dump(source, file)
    save_institution(SqlRegistry(target))
    before = rows_of(target)
    with pytest.raises(Misconfigured, match="already: load into an empty one"):
        load(file, target)
    assert rows_of(target) == before


def test_no_file_is_overwritten(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    file.write_bytes(b"precious")
    with pytest.raises(Misconfigured, match="stands already"):
        dump(make("sqlite"), file)
    assert file.read_bytes() == b"precious"
    with pytest.raises(Misconfigured, match="cannot be written"):
        dump(make("sqlite"), tmp_path / "nowhere" / "saved.db")


def test_what_an_older_release_saved_is_brought_up(make: Make, tmp_path: Path) -> None:
    source, target, file = make("sqlite"), make("sqlite"), tmp_path / "saved.db"
    filled(source)
    dump(source, file)
    with closing(Database(sqlite_url(file))) as older, older.writing() as connection:
        downgrade_to(connection, "0013")
    assert load(file, target)["generic_files"] == 6
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0013",)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "overwritten"])
def test_what_is_no_saved_registry_loads_nothing(make: Make, tmp_path: Path, damage: str) -> None:
    source, target, file = make("sqlite"), make("sqlite"), tmp_path / "saved.db"
    filled(source)
    dump(source, file)
    whole = file.read_bytes()
    half = len(whole) // 2
    file.write_bytes(
        {
            "text": b"no database at all, and long enough for a head" * 100,
            "empty": b"",
            "cut": whole[:half],
            "overwritten": whole[:half] + b"\xa5" * 60_000 + whole[half + 60_000 :],
        }[damage]
    )
    before = rows_of(target)
    with pytest.raises(Misconfigured, match=r"no Registry that was saved|is damaged"):
        load(file, target)
    assert rows_of(target) == before


def test_the_commands_save_and_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, file = tmp_path / "one", tmp_path / "other", tmp_path / "saved.db"
    one.mkdir()
    with closing(Database(sqlite_url(one / "registry.db"))) as database:
        database.migrate()
        filled(database)
    app(["registry", "dump", str(file), "--data-dir", str(one)], standalone_mode=False)
    assert "3 intellectual objects, 6 generic files" in capsys.readouterr().out
    app(["registry", "load", str(file), "--data-dir", str(other), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["generic_files"] == 6
    app(["files", LETTERS, "--json", "--data-dir", str(other)], standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["files"]) == 5


def test_a_file_that_is_none_leaves_no_registry_behind(tmp_path: Path) -> None:
    file, place = tmp_path / "letters.tar", tmp_path / "place"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(BaglineError):
        app(["registry", "load", str(file), "--data-dir", str(place)], standalone_mode=False)
    assert not list(place.glob("registry.db*"))


def test_what_is_not_there_is_not_made_to_be_saved(tmp_path: Path) -> None:
    argv = ["registry", "dump", str(tmp_path / "saved.db"), "--data-dir", str(tmp_path / "none")]
    with pytest.raises(Gone, match="no Registry in"):
        app(argv, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_an_api_is_not_saved_from_afar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGLINE_REGISTRY_URL", "http://127.0.0.1:9")
    for what in ("dump", "load"):
        (tmp_path / "load").touch()
        with pytest.raises(Misconfigured, match="where its database is"):
            app(["registry", what, str(tmp_path / what)], standalone_mode=False)
