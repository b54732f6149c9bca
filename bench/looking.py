"""What is preserved, looked at: an object of 300,000 files, each view's first page and its CSV.

Floors: the same rows by one SQL statement of Python's own sqlite3, without a record made of them.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bagline.model.holdings import (
    EventsWanted,
    FilesWanted,
    ObjectsWanted,
    PlacesWanted,
    TextWanted,
    TotalsWanted,
)
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.holding_book import Holdings
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from bagline.services.registry.users import SYS_ADMIN, ApiUsers
from bench.figures import Figure, median_of
from bench.looking_records import LARGE, fill
from bench.measuring import MIB, MemoryWatch

FILES = 300_000
ROUNDS = 5
GOAL = "0.5 s"
ADMIN = "bench@bagline.local"
LAST = f"{LARGE}/data/folder-0299/page-0299900.tif"
SOME_FILE = f"{LARGE}/data/folder-0150/page-0150000.tif"
DIGEST = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

Look = Callable[[Holdings], Any]
VIEWS: dict[str, tuple[Look, str]] = {
    "objects": (
        lambda h: h.objects(ObjectsWanted()),
        "SELECT o.identifier, o.title, (SELECT count(*) FROM generic_files f WHERE "
        "f.intellectual_object_id = o.id) FROM intellectual_objects o ORDER BY 1 LIMIT 50",
    ),
    "files": (
        lambda h: h.files(FilesWanted(object=LARGE)),
        f"SELECT * FROM generic_files WHERE identifier > '{LARGE}/' ORDER BY identifier LIMIT 50",
    ),
    "files, the last page": (
        lambda h: h.files(FilesWanted(object=LARGE, after=LAST)),
        f"SELECT * FROM generic_files WHERE identifier > '{LAST}' ORDER BY identifier LIMIT 50",
    ),
    "events": (
        lambda h: h.events(EventsWanted(identifier=LARGE)),
        "SELECT * FROM premis_events WHERE intellectual_object_id = 1 AND generic_file_id IS NULL "
        "ORDER BY id LIMIT 50",
    ),
    "events, its files' too": (
        lambda h: h.events(EventsWanted(identifier=LARGE, with_files=True)),
        "SELECT * FROM premis_events WHERE intellectual_object_id = 1 ORDER BY id LIMIT 50",
    ),
    "find, a name that is last": (
        lambda h: h.find(TextWanted(text="page-0300000")),
        "SELECT identifier FROM generic_files WHERE identifier LIKE '%page-0300000%' LIMIT 50",
    ),
    "find, a digest": (
        lambda h: h.find(TextWanted(text=DIGEST)),
        f"SELECT * FROM checksums WHERE substr(digest, 1, 16) = '{DIGEST[:16]}'",
    ),
    "where its copies lie": (
        lambda h: h.places(PlacesWanted(object=LARGE)),
        "SELECT place, count(*) FROM storage_records WHERE generic_file_id <= 10000 "
        "GROUP BY +place",
    ),
    "stats": (
        lambda h: h.totals(TotalsWanted()),
        "SELECT institution_id, storage_option, file_format, substr(created_at, 1, 7), count(*), "
        "sum(size) FROM generic_files WHERE state = 'A' GROUP BY 1, 2, 3, 4",
    ),
}
COMMANDS = {
    "objects": ["objects"],
    "files OBJECT": ["files", LARGE],
    "files OBJECT --after LAST": ["files", LARGE, "--after", LAST],
    "show OBJECT": ["show", LARGE],
    "show FILE": ["show", SOME_FILE],
    "events OBJECT": ["events", LARGE],
    "find NAME": ["find", "page-0300000"],
    "find DIGEST": ["find", DIGEST],
    "stats": ["stats"],
}
WHOLE = {
    "files OBJECT --csv": ["files", LARGE, "--csv"],
    "files OBJECT --all --json": ["files", LARGE, "--all", "--json"],
    "events OBJECT --files --csv": ["events", LARGE, "--files", "--csv"],
}


def run() -> Iterator[Figure]:
    """Needs 1.2 GB of disk, and some three minutes to write the records."""
    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as name:
        folder = Path(name)
        began = time.perf_counter()
        fill(sqlite_url(folder / "registry.db"), FILES)
        yield Figure(f"records of {FILES:,} files written", time.perf_counter() - began, "s")
        yield from _queries(folder)
        yield from _commands(folder)


def _queries(folder: Path) -> Iterator[Figure]:
    database = Database(sqlite_url(folder / "registry.db"))
    key = ApiUsers(database).add(ADMIN, SYS_ADMIN)
    server, url = _served(folder)
    client = RegistryClient(url, user=ADMIN, key=key)
    try:
        here, afar = SqlRegistry(database).holdings, HttpRegistry(client).holdings
        for name, (look, statement) in VIEWS.items():
            floor = 1000 * _median(partial(_bare, folder, statement))
            took = 1000 * _median(partial(look, here))
            yield Figure(f"{name}: the query", took, "ms", {"bare SQL": floor}, GOAL)
            took = 1000 * _median(partial(look, afar))
            yield Figure(f"{name}: through the API", took, "ms", {"bare SQL": floor}, GOAL)
    finally:
        client.close()
        server.terminate()
        server.wait()
        database.close()


def _served(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server of the Registry's API that answers, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["registry", "serve", "--port", str(port), "--data-dir", str(folder)]
    words = [sys.executable, "-m", "bagline", *argv]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        with suppress(OSError), urllib.request.urlopen(f"{url}/ping", timeout=1):
            return server, url
        time.sleep(0.1)
    server.kill()
    raise RuntimeError("the Registry's API does not answer")


def _bare(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        connection.execute(statement).fetchall()


def _commands(folder: Path) -> Iterator[Figure]:
    """Each beside one that asks next to nothing, in turn: most of a command is its start."""
    for name, argv in COMMANDS.items():
        floors, runs = [], []
        for _ in range(ROUNDS):
            floors.append(_seconds(partial(_command, folder, ["items"])))
            runs.append(_seconds(partial(_command, folder, argv)))
        against = {"bagline items": median_of(floors)}
        yield Figure(f"bagline {name}", median_of(runs), "s", against, GOAL)
    for name, argv in WHOLE.items():
        began = time.perf_counter()
        peak = _command(folder, argv)
        yield Figure(f"bagline {name}", time.perf_counter() - began, "s")
        yield Figure(f"bagline {name}: memory", peak / MIB, "MiB")


def _command(folder: Path, argv: list[str]) -> int:
    """Its peak of memory, in bytes. Raises RuntimeError where it fails."""
    words = [sys.executable, "-m", "bagline", *argv, "--data-dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with MemoryWatch(process.pid) as memory:
        if process.wait():
            raise RuntimeError(f"{argv}: exit {process.returncode}")
    return memory.peak_bytes


def _median(work: Callable[[], Any]) -> float:
    """Seconds; once before, so that what is read lies in the system's memory for all alike."""
    work()
    return median_of([_seconds(work) for _ in range(ROUNDS)])


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
