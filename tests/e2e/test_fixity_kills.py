"""Fixity killed many times: every copy is sound in the end, and nothing untrue was said.

DEATHS says how often (200 takes a quarter of an hour).
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.model.copy_checks import BAD, PROVEN, KeptCopy
from bagline.model.premis import PremisEvent
from bagline.model.times import is_set, to_datetime
from bagline.services.registry.database import Database
from bagline.wiring import open_database
from support.bags import BagBuilder
from support.commands import Bagline, until
from support.fixity import copies, days_pass, flipped, held_copies, put

SMALL = 300
LARGE_BYTES = 17 * 1024 * 1024
"""So much is put in parts."""
KILLS = int(os.environ.get("DEATHS", "50"))
ABREAST = 2
PAST_THE_END = 1.1
"""Within so many times what a whole run takes it is killed, and then the one beside it."""
LARGE_IN = 4
"""In one of so many rounds a copy of the large file is harmed, too."""
ENDING_SECONDS = 60.0
PROBES = "bagline-probe/"
"""What a process that dies while it asks the store leaves there; a later one removes it."""

pytestmark = pytest.mark.engines


def files() -> dict[str, bytes]:
    chance = random.Random(300)
    found = {f"{number:03d}.bin": chance.randbytes(200 + number) for number in range(SMALL)}
    return found | {"large.bin": chance.randbytes(LARGE_BYTES)}


FILES = files()


@dataclass
class Preserved:
    """A preserved bag, and hands in the data directory that keep its engines up."""

    bagline: Bagline
    app: App
    database: Database
    harms: Counter[int] = field(default_factory=Counter)
    """By copy: how often it was harmed while it was sound, and known to be."""

    @property
    def kept(self) -> KeptCopies:
        return KeptCopies(self.app.services, self.app.settings)

    def newest_run(self) -> int:
        return next((run.id for run in self.kept.book.runs(limit=1)), 0)

    def seconds_of_a_run(self) -> float:
        """Of one that nobody kills, from its beginning on."""
        assert self.bagline.json("fixity", "run", "--all")["asked"] > 2 * len(FILES)
        (run,) = self.kept.book.runs(limit=1)
        return (to_datetime(run.ended_at) - to_datetime(run.began_at)).total_seconds()

    def harm(self, chance: random.Random, names: list[str]) -> None:
        """One copy of each file, unless the other one is not sound, or not known to be."""
        for name in names:
            data, some = FILES[name], self.copies_of(name)
            are_sound = all(self.stored(copy) == data for copy in some)
            if are_sound and not any(copy.outcome in BAD for copy in some):
                copy = chance.choice(some)
                self.harms[copy.id] += 1
                if chance.randrange(2):
                    put(self.kept, copy, flipped(data))
                else:
                    self.app.services.objects.delete(copy.bucket, copy.uuid)

    def copies_of(self, name: str) -> list[KeptCopy]:
        identifier = f"test.edu/bag/data/{name}"
        return self.kept.book.of_file(self.app.services.registry.files([identifier])[identifier].id)

    def stored(self, copy: KeptCopy) -> bytes | None:
        objects = self.app.services.objects
        if not list(objects.list(copy.bucket, copy.uuid)):
            return None
        return objects.read(copy.bucket, copy.uuid)


@pytest.fixture
def preserved(
    bagline: Bagline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Preserved]:
    monkeypatch.setenv("BAGLINE_FIXITY_REPAIR", "auto")
    bag = BagBuilder()
    for name, data in FILES.items():
        bag.payload(name, data)
    path = bag.write(tmp_path / "bag.tar")
    with ExitStack() as stack:
        app = stack.enter_context(App.open(load_settings(data_dir=bagline.data_dir)))
        ingested = bagline.run("ingest", path, "--institution", "test.edu")
        assert ingested.returncode == 0, ingested.stderr
        database = open_database(app.settings)
        stack.callback(database.close)
        yield Preserved(bagline, app, database)


def start(bagline: Bagline, log: Path, *more: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return bagline.start("fixity", "run", "--all", *more, out=out)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_many_times_every_copy_is_sound_and_nothing_untrue_was_said(
    preserved: Preserved, tmp_path: Path
) -> None:
    """Two processes at a time, as a fleet may have them."""
    chance, killed, rounds = random.Random(200), 0, 0
    small = [name for name in FILES if name != "large.bin"]
    moment = PAST_THE_END * preserved.seconds_of_a_run()
    while killed < KILLS:
        rounds += 1
        assert rounds < KILLS, f"only {killed} were still at it when they were to be killed"
        names = chance.sample(small, 4) + ["large.bin"] * (rounds % LARGE_IN == 1)
        preserved.harm(chance, names)
        days_pass(preserved.database)
        before = preserved.newest_run()
        some = [start(preserved.bagline, tmp_path / "runs.log") for _ in range(ABREAST)]
        try:
            until(lambda: preserved.newest_run() > before, "a run to begin")  # noqa: B023
        finally:
            for process in some:
                time.sleep(chance.uniform(0, moment / ABREAST))
                process.kill()
        killed += sum(process.wait() == -signal.SIGKILL for process in some)
    for _ in range(2):  # what the first finds sound again, or has just mended, stays so
        days_pass(preserved.database)
        last = preserved.bagline.json("fixity", "run", "--all")
        assert last["asked"] == len(copies(preserved.kept)) > 2 * len(FILES)
    assert last["proven"] == last["asked"]
    assert sum(preserved.harms.values()) > rounds
    assert_sound(preserved)
    assert_said_what_was(preserved)
    assert_nothing_held(preserved)


def assert_sound(preserved: Preserved) -> None:
    """Every copy, and nothing beside them."""
    objects, every_copy = preserved.app.services.objects, copies(preserved.kept)
    assert {copy.outcome for copy in every_copy} == {PROVEN}
    for copy in every_copy:
        data = objects.read(copy.bucket, copy.uuid)
        assert hashlib.sha256(data).hexdigest() == copy.digests["sha256"], copy.identifier
    for bucket in {copy.bucket for copy in every_copy}:
        keys = {found.key for found in objects.list(bucket) if not found.key.startswith(PROBES)}
        assert keys == {copy.uuid for copy in every_copy}
        assert objects.abort_uploads(bucket, "") == 0


def assert_said_what_was(preserved: Preserved) -> None:
    """Of each copy: nothing, or for each harm that it was bad, and then once that it is sound."""
    registry = preserved.app.services.registry
    for copy in copies(preserved.kept):
        (known,) = registry.files([copy.identifier]).values()
        said = [event for event in known.premis_events if is_of_fixity(event, copy)]
        said.sort(key=lambda event: event.date_time)
        assert len({event.identifier for event in said}) == len(said)
        turns = [
            (outcome, len(list(some)))
            for outcome, some in groupby(said, lambda event: event.outcome)
        ]
        harms = preserved.harms[copy.id]
        assert [outcome for outcome, _ in turns] == ["Failed", "Success"] * harms, copy.identifier
        assert all(times == 1 for outcome, times in turns if outcome == "Success"), turns


def is_of_fixity(event: PremisEvent, copy: KeptCopy) -> bool:
    if event.event_type == "replication":
        is_repair = event.detail.startswith("Repaired") or "sound again" in event.detail
        return is_repair and event.outcome_detail == copy.url
    return event.event_type == "fixity check" and copy.url in event.outcome_information


def assert_nothing_held(preserved: Preserved) -> None:
    kept = preserved.kept
    assert held_copies(kept) == 0
    for identifier in {copy.object_identifier for copy in copies(kept)}:
        assert not is_set(kept.book.repaired_until(identifier, now=kept.clock()))


@pytest.mark.parametrize("while_it", ["looks", "waits"])
def test_asked_to_stop_it_ends_within_seconds_and_says_what_it_did(
    preserved: Preserved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, while_it: str
) -> None:
    monkeypatch.setenv("BAGLINE_FIXITY_BYTES_A_SECOND", "1")  # after what it looks at first
    preserved.harm(random.Random(1), ["007.bin"])
    book, log = preserved.kept.book, tmp_path / "run.log"
    process = start(preserved.bagline, log)
    try:
        until(book.runs, "a run to begin")
        if while_it == "waits":
            until(lambda: book.runs()[0].asked, "something to be saved")
        process.terminate()
        code = process.wait(ENDING_SECONDS)
    finally:
        process.kill()
        process.wait()
    (run,) = book.runs()
    assert code == (1 if run.bad else 0), log.read_text()
    assert is_set(run.ended_at)
    said = log.read_text()
    assert f"{run.asked} copies asked, {run.proven} proven" in said
    assert "Asked to stop" in said
    assert_nothing_held(preserved)
    monkeypatch.delenv("BAGLINE_FIXITY_BYTES_A_SECOND")
    days_pass(preserved.database)
    preserved.bagline.json("fixity", "run", "--all")
    assert_sound(preserved)
    assert_said_what_was(preserved)
