"""Two processes of fixity over one Registry: each copy is looked at once, and none is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.model.copy_checks import PROVEN
from bagline.model.times import is_set, now
from bagline.wiring import open_database
from support.bags import BagBuilder
from support.commands import Bagline
from support.fixity import days_pass, every, held_copies
from support.postgres import temporary_postgres

pytestmark = pytest.mark.engines

FILES = 1_200
"""More than two batches a place, so that both have a share."""
ROUNDS = 10
"""Within so many both come to have one: they start as fast as the machine lets them."""


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    with temporary_postgres() as server:
        yield server.create("registry")


def test_each_copy_is_looked_at_once_and_none_is_left(
    bagline: Bagline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    if database_url:
        monkeypatch.setenv("BAGLINE_DATABASE_URL", database_url)
    bag = BagBuilder()
    for number in range(FILES):
        bag.payload(f"{number:04d}.txt", b"%d" % number)
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        ingested = bagline.run("ingest", bag.write(tmp_path / "bag.tar"), "--institution=test.edu")
        assert ingested.returncode == 0, ingested.stderr
        kept = KeptCopies(app.services, app.settings)
        whole = sum(total.copies for total in kept.book.totals())
        assert whole > 2 * FILES
        for _ in range(ROUNDS):
            with_dates_of_then(kept)
            began = now()
            asked = [run["asked"] for run in two_runs(bagline, tmp_path)]
            assert sum(asked) == whole
            assert_proven_since(kept, began, whole)
            if min(asked) > 0:
                return
    raise AssertionError("one of them had all copies each time")


def with_dates_of_then(kept: KeptCopies) -> None:
    database = open_database(kept.settings)
    try:
        days_pass(database)
    finally:
        database.close()


def two_runs(bagline: Bagline, folder: Path) -> list[dict[str, int]]:
    """What each says it did."""
    logs = [folder / "one.json", folder / "other.json"]
    processes = []
    for log in logs:
        with log.open("wb") as out:
            processes.append(bagline.start("fixity", "run", "--all", "--json", out=out))
    try:
        codes = [process.wait(120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    said = [log.read_text() for log in logs]
    assert codes == [0, 0], said
    return [json.loads(text) for text in said]


def assert_proven_since(kept: KeptCopies, began: str, whole: int) -> None:
    found = [copy for place in {t.place for t in kept.book.totals()} for copy in every(kept, place)]
    assert len(found) == whole
    assert {copy.outcome for copy in found} == {PROVEN}
    assert min(copy.asked_at for copy in found) > began
    assert min(copy.proven_at for copy in found) > began
    assert held_copies(kept) == 0
    assert all(is_set(run.ended_at) for run in kept.book.runs())
