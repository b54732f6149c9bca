"""A disk that is full for a while: every surface says so, nothing is lost, and all goes on by
itself when there is room again. The disks are small file systems, filled to the last byte."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import urllib3

from bagline.app import App
from bagline.cli.ingest import _when_there_is_room
from bagline.config import load_settings
from bagline.errors import NoRoom
from bagline.model.workitem import STATUS_SUCCESS, WorkItem
from bagline.services.registry.database import Database, sqlite_url
from support.bags import BagBuilder
from support.commands import Bagline, until, workers_of
from support.disk import MIB, small_disk
from support.tools import free_port

FULL = "is full"
WHOLE, QUEUE, STORE, DATABASE = "", "engines/valkey", "engines/seaweedfs", "database"


def contents(seed: int = 1) -> dict[str, bytes]:
    """Large and small files, no two of the same bytes."""
    noise = random.Random(seed)
    return {f"large-{n}.bin": noise.randbytes(9 * MIB) for n in range(2)} | {
        f"small-{n}.txt": noise.randbytes(5_000) for n in range(60)
    }


def a_bag(path: Path, files: dict[str, bytes]) -> Path:
    builder = BagBuilder(path.stem)
    for name, data in files.items():
        builder.payload(name, data)
    return builder.write(path)


class Machine:
    """`bagline up` with a health port, and what it shows."""

    def __init__(self, bagline: Bagline, config: Path, port: int, up: int, database: Path) -> None:
        self.bagline, self.config, self.port, self.up = bagline, config, port, up
        self.database = database

    def run(self, *argv: object) -> str:
        ended = self.bagline.run(*argv, "--config", self.config, seconds=200)
        return ended.stdout + ended.stderr

    @property
    def said(self) -> str:
        return (self.bagline.data_dir.parent / f"{self.bagline.data_dir.name}-up.log").read_text()

    def not_ready(self) -> list[str]:
        """Faults of `/readyz`."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}/readyz", timeout=60)
        found: list[str] = json.loads(answer.data)["faults"]
        return found

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No worker does anything meanwhile, and none holds the Registry's database."""
        workers = workers_of(self.up)
        for _ in range(50):
            tell(workers, signal.SIGSTOP)
            if self._can_write():
                break
            tell(workers, signal.SIGCONT)
            time.sleep(0.2)
        try:
            yield
        finally:
            tell(workers, signal.SIGCONT)

    def _can_write(self) -> bool:
        with closing(sqlite3.connect(self.database, timeout=0.5)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    @contextmanager
    def app(self) -> Iterator[App]:
        settings = load_settings(data_dir=self.bagline.data_dir, file=self.config)
        with App.open_running(settings) as app:
            assert app is not None
            yield app


def tell(workers: list[psutil.Process], what: signal.Signals) -> None:
    for worker in workers:
        os.kill(worker.pid, what)


@contextmanager
def machine(bagline: Bagline, *, database: Path | None = None) -> Iterator[Machine]:
    port = free_port()
    config = bagline.data_dir.parent / "bagline.toml"
    named = f'database_url = "{sqlite_url(database)}"\n' if database else ""
    config.write_text(f"{named}[health]\nport = {port}\n")
    argv = ("up", "--institution", "test.edu", "--processes", "1", "--config", config)
    with bagline.running(*argv) as up:
        kept = database or bagline.data_dir / "registry.db"
        found = Machine(bagline, config, port, up.pid, kept)
        until(lambda: bagline.run("doctor", "--config", config).returncode == 0, "all to be well")
        yield found
        bagline.run("down", "--config", config)
        assert up.wait(timeout=60) == 0


@pytest.fixture(params=[WHOLE, QUEUE, STORE, DATABASE], ids=["whole", "queue", "store", "database"])
def part(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


SIZES = {WHOLE: 400, QUEUE: 24, STORE: 400, DATABASE: 24}


@pytest.mark.long
def test_a_full_disk_is_said_everywhere_and_all_goes_on_when_it_has_room(
    bagline: Bagline, tmp_path: Path, part: str
) -> None:
    place = tmp_path / part if part == DATABASE else bagline.data_dir / part
    database = place / "registry.db" if part == DATABASE else None
    files = contents()
    with small_disk(place, SIZES[part]) as disk, machine(bagline, database=database) as here:
        bag = a_bag(tmp_path / "patient.tar", files)
        with here.paused():
            ended: list[str] = []
            waiting = threading.Thread(target=lambda: ended.append(here.run("ingest", bag)))
            waiting.start()
            item = until(lambda: the_item(here) or ended, f"the item, or an end: {here.said}")
            assert isinstance(item, WorkItem), ended
            disk.fill()
        surfaces = {
            "up": lambda: here.said,
            "items": lambda: here.run("items"),
            "show": lambda: here.run("show", item.id),
            "doctor": lambda: here.run("doctor"),
            "readyz": lambda: str(here.not_ready()),
        }
        for name, look in surfaces.items():
            until(lambda look=look: FULL in look(), f"{name} to say that the disk is full")
            disk.fill()
        for _ in range(5):  # `ingest`, which says it only at its end, looks every two seconds
            disk.fill()
            time.sleep(1.5)
        assert waiting.is_alive(), ended
        disk.empty()
        waiting.join(200)
        assert ended
        assert FULL in ended[0]
        assert "Success" in ended[0]
        until(lambda: here.not_ready() == [], "the worker to be ready again")
        with here.app() as app:
            assert app.services.registry.work_item(item.id).status == STATUS_SUCCESS  # type: ignore[union-attr]
            assert_preserved_once(app, files)
        until(lambda: "disk_has_room_again" in here.said, "up to say that there is room")
        assert here.bagline.run("doctor", "--config", here.config).returncode == 0


def the_item(here: Machine) -> WorkItem | None:
    with here.app() as app:
        return app.services.registry.work_item(1)


def assert_preserved_once(app: App, files: dict[str, bytes]) -> None:
    """Each file's bytes stand in every preservation bucket, as one object."""
    option = app.settings.storage_option("Standard")
    for target in option.targets:
        store = app.services.store_of(target)
        keys = [found.key for found in store.list(target.bucket)]
        bodies = [store.read(target.bucket, key) for key in keys]
        for name, data in files.items():
            assert bodies.count(data) == 1, (target.bucket, name)


@pytest.mark.long
def test_a_bag_on_its_way_into_receiving_waits_for_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "data"
    files = contents()
    bag = a_bag(tmp_path / "patient.tar", files)
    with small_disk(data_dir, 400) as disk, App.open(load_settings(data_dir=data_dir)) as app:
        depositor = app.ensure_institution("test.edu")
        disk.fill()
        items: list[WorkItem] = []
        going = threading.Thread(
            target=lambda: items.append(_when_there_is_room(app, "test.edu", bag, False))
        )
        going.start()
        said = ""

        def is_said() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return FULL in said

        until(is_said, "the waiting to be told")
        assert going.is_alive()
        disk.empty()
        going.join(120)
        assert [item.name for item in items] == ["patient.tar"]
        received = app.services.objects.read(depositor.receiving_bucket, "patient.tar")
        assert received == bag.read_bytes()


def test_the_database_says_that_it_has_no_room_and_takes_the_same_write_later(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        database = Database(sqlite_url(disk.place / "registry.db"))
        database.migrate()
        disk.fill()
        with pytest.raises(NoRoom, match="goes on by itself"):
            write_for_ever(database)
        disk.empty()
        database.try_write()
        database.close()


def write_for_ever(database: Database) -> None:
    while True:
        database.try_write()


def test_no_room_for_a_bag_is_said_before_it_is_taken(bagline: Bagline, tmp_path: Path) -> None:
    bag = a_bag(tmp_path / "bag.tar", {"a.txt": b"a"})
    with small_disk(bagline.data_dir, 400) as disk:
        assert bagline.run("doctor").returncode == 0
        (disk.place / "filler").write_bytes(bytes(disk.free - 20 * MIB))
        ended = bagline.run("ingest", bag)
        assert ended.returncode == 5
        assert "needs" in ended.stderr
        assert "--data-dir" in ended.stderr
        disk.fill()
        ended = bagline.run("doctor")
        assert ended.returncode == 1
        assert FULL in ended.stdout
        assert "cannot be written" in ended.stdout
        assert "Traceback" not in ended.stdout + ended.stderr
        disk.empty()
        assert bagline.run("doctor").returncode == 0
