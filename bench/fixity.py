"""A run of fixity over copies of one place, beside GETs of them by a bare client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.fixity.due import REQUEST_BYTES, Allowance
from bagline.lines.fixity.kept_copies import KeptCopies
from bagline.lines.fixity.running import FixityRunner
from bagline.logs import configure_logs
from bagline.model.registry import (
    Checksum,
    GenericFile,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import NEVER, later, now
from bagline.services.objects.base import Body, Target
from bagline.services.objects.connection import Connection, Endpoint
from bench.figures import Figure
from bench.measuring import Measured, alternate, measured, median_ratio, median_seconds, peak_mib
from bench.prefetch import Bench, bench_house

MIB = 1024 * 1024
LARGE, SMALL = (4, 256 * MIB), (50_000, 4 * 1024)
ROUNDS = 3

SMALL_IN_FLIGHT = 128
BATCH = 500
MANY, FEW = 1_000_000, (5_000, 4 * 1024)
COUNTED: dict[str, float] = {}
"""What a child tells beside its seconds."""
MORE_FILES = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :more),
first AS (SELECT * FROM generic_files ORDER BY id LIMIT 1)
INSERT INTO generic_files (identifier, institution_id, intellectual_object_id, size, state,
    storage_option, uuid, file_format)
SELECT printf('test.edu/kept/data/more-%07d', i), institution_id, intellectual_object_id, size,
    state, storage_option, printf('00000000-0000-4000-8000-%012d', i), file_format
FROM n, first
"""
MORE_COPIES = """
INSERT INTO storage_records (generic_file_id, url, place, proven_by, proven_at)
SELECT f.id, first.place || '/' || f.uuid, first.place, 'read back', '2020-01-01 00:00:00.000000'
FROM generic_files f, (SELECT place FROM storage_records ORDER BY id LIMIT 1) first
WHERE f.identifier LIKE '%/more-%' AND :more
"""
MORE_CHECKSUMS = """
INSERT INTO checksums (algorithm, digest, datetime, generic_file_id)
SELECT first.algorithm, first.digest, first.datetime, f.id
FROM generic_files f, (SELECT * FROM checksums ORDER BY id LIMIT 1) first
WHERE f.identifier LIKE '%/more-%' AND :more
"""
"""Rows alone: their turn comes after those that were never proven."""


def run(*, long: bool = False) -> Iterator[Figure]:
    configure_logs(level="error")
    for shape, goal in ((LARGE, "0.90"), (SMALL, "0.85")):
        with bench_house() as bench:
            yield from _one(bench, shape, goal)
    if long:
        with bench_house() as bench:
            yield from _million(bench)


def _one(bench: Bench, shape: tuple[int, int], goal: str) -> Iterator[Figure]:
    count, size = shape
    keep_copies(bench.app, bench.institution.id, count, size)
    found = alternate(
        {
            "ours": lambda: _child(bench, "proven", shape),
            "plain": lambda: _child(bench, "plain", shape),
        },
        ROUNDS,
    )
    ours, plain = found["ours"], found["plain"]
    about = f"fixity of {count:,} copies of {size // 1024:,} KiB"
    done, unit = (count, "copies/s") if shape is SMALL else (count * size / 1e6, "MB/s")
    rates = done / median_seconds(ours), done / median_seconds(plain)
    yield Figure(
        about,
        rates[0],
        unit,
        {"plain GETs": rates[1]},
        f"{goal} of plain GETs",
        {"plain GETs": median_ratio(ours, plain)},
    )
    yield Figure("  peak memory", peak_mib(ours), "MiB", goal="200")


def _million(bench: Bench) -> Iterator[Figure]:
    """A run that is allowed a few of a million copies, all of them due."""
    keep_copies(bench.app, bench.institution.id, *FEW)
    with sqlite3.connect(bench.folder / "registry.db") as database:
        for statement in (MORE_FILES, MORE_COPIES, MORE_CHECKSUMS):
            database.execute(statement, {"more": MANY - FEW[0]})
    found = _child(bench, "few", FEW)
    yield Figure(f"fixity of {FEW[0]:,} of {MANY:,} copies due", FEW[0] / found.seconds, "copies/s")
    yield Figure("  peak memory", peak_mib([found]), "MiB", goal="200")
    yield Figure("  until the first is read", found.facts["counted"], "s")


def keep_copies(app: App, institution_id: int, count: int, size: int) -> None:
    """An object of so many files, with one copy each, nobody ever looked at."""
    registry = app.services.registry
    target = app.settings.storage_option("Standard").targets[0]
    object = registry.save_intellectual_object(
        IntellectualObject(
            identifier="test.edu/kept",
            institution_id=institution_id,
            title="Kept",
            access="institution",
            storage_option="Standard",
            bag_name="kept",
        )
    )
    body = os.urandom(size)
    at_once = BATCH if size < MIB else 1
    for start in range(0, count, at_once):
        files, bodies = [], []
        for number in range(start, min(start + at_once, count)):
            data = number.to_bytes(8, "little") + body[8:]
            digest, key = hashlib.sha256(data).hexdigest(), str(uuid.uuid4())
            bodies.append(Body(Target(target.bucket, key), data, sha256=digest))
            files.append(_file(object, key, number, size, digest, target.url(key)))
        app.services.objects.put_many(bodies)
        registry.create_files(files)


def _file(
    object: IntellectualObject, key: str, number: int, size: int, digest: str, url: str
) -> GenericFile:
    moment = now()
    return GenericFile(
        identifier=f"{object.identifier}/data/item-{number:07d}",
        institution_id=object.institution_id,
        intellectual_object_id=object.id,
        storage_option="Standard",
        size=size,
        uuid=key,
        checksums=[Checksum(algorithm="sha256", digest=digest, datetime=moment)],
        storage_records=[RegistryStorageRecord(url=url, proven_at=NEVER)],
    )


def _child(bench: Bench, name: str, shape: tuple[int, int]) -> Measured:
    argv = [sys.executable, "-m", "bench.fixity", name, str(bench.folder), *map(str, shape)]
    return measured(argv)


def proven(app: App, count: int, size: int) -> float:  # noqa: ARG001
    """Every copy, whenever it was looked at: taken, read, digested, saved."""
    began = time.perf_counter()
    kept = KeptCopies(app.services, app.settings)
    days = timedelta(days=2 * len(kept.book.runs()))  # after the runs before it
    record = FixityRunner(replace(kept, clock=lambda: later(now(), days))).run()
    seconds = time.perf_counter() - began
    if (record.asked, record.proven) != (count, count):
        raise RuntimeError(f"{record.proven} of {count} were proven: {record}")
    return seconds


def few(app: App, count: int, size: int) -> float:
    """What is due is counted, and the oldest of it is proven."""
    began = time.perf_counter()
    kept = KeptCopies(app.services, app.settings)
    runner = FixityRunner(kept)
    whole = runner.due()
    COUNTED["counted"] = time.perf_counter() - began
    place = next(iter(whole.cost or {}))
    allowed = count * (size + REQUEST_BYTES)
    if whole.whole < MANY * REQUEST_BYTES:
        raise RuntimeError(f"{whole} is not all that is due")
    record = runner.run(budget=Allowance(cost={place: allowed}))
    if (record.asked, record.proven) != (count, count):
        raise RuntimeError(f"{record.proven} of {count} were proven: {record}")
    return time.perf_counter() - began


def plain(app: App, count: int, size: int) -> float:
    """As many GETs at once; what comes is thrown away."""
    s3 = app.settings.s3
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    connection = Connection(Endpoint(s3.endpoint, *keys, allow_http=True))
    store = connection.store(app.settings.storage_option("Standard").targets[0].bucket)
    names = [str(each["path"]) for page in obstore.list(store) for each in page]
    if len(names) != count:
        raise RuntimeError(f"{len(names)} objects, not {count}")

    async def small(waiting: list[str]) -> int:
        came = 0
        while waiting:
            answer: Any = await obstore.get_async(store, waiting.pop())
            came += len(await answer.bytes_async())
        return came

    async def every() -> int:
        return sum(await asyncio.gather(*(small(names) for _ in range(SMALL_IN_FLIGHT))))

    def large(name: str) -> int:
        return sum(map(len, obstore.get(store, name).stream(min_chunk_size=MIB)))

    began = time.perf_counter()
    if size < MIB:
        came = asyncio.run(every())
    else:
        with ThreadPoolExecutor(count) as pool:
            came = sum(pool.map(large, names))
    seconds = time.perf_counter() - began
    if came != count * size:
        raise RuntimeError(f"{came} bytes came, not {count * size}")
    return seconds


def main(name: str, folder: str, count: str, size: str) -> None:
    configure_logs(level="error")
    with App.open_running(load_settings(data_dir=Path(folder), environ=os.environ)) as app:
        assert app is not None
        works = {"proven": proven, "plain": plain, "few": few}
        seconds = works[name](app, int(count), int(size))
        print(json.dumps({"seconds": seconds, **COUNTED}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
