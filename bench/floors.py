"""The least that a stage could do, done by bare clients: `-m bench.floors STEP JSON`.

As many requests and bytes as the stage cannot do without, with as many in flight, and the work
that nobody can spare: four digests, PRONOM on the same bytes, one record encoded and one
pipelined write a file. Nothing is decided, proven twice, logged or counted. Prints one line of
JSON with `seconds` and `cpu`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import obstore
import valkey
from obstore.store import S3Store

from bagline.model import wire
from bagline.model.ingest import DIGEST_ALGORITHMS, IngestChecksum, IngestFile
from bagline.services.objects.connection import Connection, Endpoint
from bench.children import ALGORITHMS, _ranges

IN_FLIGHT = 128
RECORDS = 1_000
WINDOW = 8 * 1024 * 1024
END = 8 * 1024
MIB = 1024 * 1024


class Given(msgspec.Struct, kw_only=True):
    """What a floor works on. `spans`: where each file lies in the tar, and its size; `keys`: its
    name in staging, and in preservation."""

    endpoint: str
    access_key: str
    secret_key: str
    redis_url: str
    receiving: str
    tar: str
    staging: str
    preservation: list[str]
    prefix: str
    keys: list[str]
    spans: list[tuple[int, int]]
    database: str
    object_id: int = 0

    def store(self, bucket: str) -> S3Store:
        keys = (self.access_key, self.secret_key)
        return Connection(Endpoint(self.endpoint, *keys, allow_http=True)).store(bucket)


class Records:
    """Records of files, encoded and written so many at a time; read likewise."""

    def __init__(self, given: Given) -> None:
        self._redis = valkey.Valkey.from_url(given.redis_url)
        self._key = "bench:floor"
        self._held: list[bytes] = []
        checksum = IngestChecksum(algorithm="sha256", digest="0" * 64, source="ingest")
        self._file = IngestFile(
            checksums=[checksum] * len(DIGEST_ALGORITHMS), object_identifier="test.edu/bench"
        )

    def write(self, name: str) -> None:
        self._file.path_in_bag = self._file.uuid = name
        self._held += [name.encode(), wire.encode(self._file)]
        if len(self._held) >= 2 * RECORDS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._redis.execute_command("HSET", self._key, *self._held)
            self._held = []

    def read(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), RECORDS):
            for raw in self._redis.hmget(self._key, names[start : start + RECORDS]):
                if raw is not None:
                    wire.decode(raw, IngestFile)

    def remove(self) -> None:
        self._redis.delete(self._key)


def prefetch(given: Given, records: Records) -> None:
    """The tar in ranges, read ahead; four digests a file on as many threads as cores."""
    store = given.store(given.receiving)
    size = obstore.head(store, given.tar)["size"]

    def digests(body: memoryview) -> None:
        for name in ALGORITHMS:
            hashlib.new(name, body, usedforsecurity=False).hexdigest()

    held, at = bytearray(), 0
    spans = iter(given.spans)
    waiting = next(spans, None)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        done = []
        for chunk in _ranges(store, given.tar, size, WINDOW):
            held += memoryview(chunk)
            batch = []
            while waiting is not None and waiting[0] + waiting[1] <= at + len(held):
                start = waiting[0] - at
                batch.append(bytes(memoryview(held)[start : start + waiting[1]]))
                waiting = next(spans, None)
            done += [pool.submit(_each, digests, some) for some in _parted(batch)]
            keep = at + len(held) if waiting is None else min(waiting[0], at + len(held))
            del held[: keep - at]
            at = keep
        for future in done:
            future.result()
    for key in given.keys:
        records.write(key)


def _parted(batch: list[bytes]) -> Iterator[list[bytes]]:
    cores = os.cpu_count() or 1
    for first in range(cores):
        yield batch[first::cores]


def _each(act: Callable[[memoryview], None], bodies: Sequence[bytes]) -> None:
    for body in bodies:
        act(memoryview(body))


def validate(given: Given, records: Records) -> None:
    """Every record read and decoded."""
    records.read(given.keys)


def stage(given: Given, records: Records) -> None:
    """Windows of the tar; each file hashed once and put with its SHA-256; a record each."""
    source, target = given.store(given.receiving), given.store(given.staging)
    asyncio.run(_windows_to_objects(given, source, [target]))
    for key in given.keys:
        records.write(key)


async def _windows_to_objects(given: Given, source: S3Store, targets: Sequence[S3Store]) -> None:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def put(target: S3Store, key: str, body: bytes) -> None:
        async with places:
            await obstore.put_async(target, f"floor/{key}", body, use_multipart=False)

    puts: set[asyncio.Task[None]] = set()
    for some in _windows(given):
        start = some[0][1][0]
        end = some[-1][1][0] + some[-1][1][1]
        data = memoryview(
            await obstore.get_range_async(source, given.tar, start=start, end=max(end, start + 1))
        )
        for key, (offset, size) in some:
            body = bytes(data[offset - start : offset - start + size])
            hashlib.sha256(body).digest()
            puts |= {asyncio.create_task(put(target, key, body)) for target in targets}
        while len(puts) > 2 * IN_FLIGHT:
            _, puts = await asyncio.wait(puts, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*puts)


def _windows(given: Given) -> Iterator[list[tuple[str, tuple[int, int]]]]:
    some: list[tuple[str, tuple[int, int]]] = []
    for key, span in zip(given.keys, given.spans, strict=True):
        some.append((key, span))
        if span[0] + span[1] - some[0][1][0] >= WINDOW // 2:
            yield some
            some = []
    if some:
        yield some


def identify(given: Given, records: Records) -> None:
    """The ends of each staged file, and PRONOM on them; a record each."""
    import pygfried

    store = given.store(given.staging)
    bodies = asyncio.run(_gets(store, [(given.prefix + k, 2 * END) for k in given.keys]))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as at:
        path = Path(at) / "sample.tif"
        for key, body in zip(given.keys, bodies, strict=True):
            path.write_bytes(body)
            pygfried.identify(str(path), detailed=True)
            records.write(key)


def preserve(given: Given, records: Records) -> None:
    """Each staged file read once, hashed, and put with its SHA-256 as often as it has copies."""
    source = given.store(given.staging)
    targets = [given.store(bucket) for bucket in given.preservation]

    async def all_of_them() -> None:
        places = asyncio.Semaphore(IN_FLIGHT)

        async def one(key: str) -> None:
            async with places:
                body = await (await obstore.get_async(source, given.prefix + key)).bytes_async()
                data = bytes(body)
                hashlib.sha256(data).digest()
                await asyncio.gather(
                    *(
                        obstore.put_async(t, f"floor/{key}", data, use_multipart=False)
                        for t in targets
                    )
                )

        await asyncio.gather(*(one(key) for key in given.keys))

    asyncio.run(all_of_them())
    for key in given.keys:
        records.write(key)


def verify(given: Given, records: Records) -> None:
    """Every copy read back and hashed, as the settings have it; a record each."""
    for bucket in given.preservation:
        store = given.store(bucket)
        asyncio.run(_hashed(store, given.keys))
    for key in given.keys:
        records.write(key)


async def _hashed(store: S3Store, keys: Sequence[str]) -> None:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(key: str) -> None:
        async with places:
            body = await (await obstore.get_async(store, key)).bytes_async()
            hashlib.sha256(body).digest()

    await asyncio.gather(*(one(key) for key in keys))


async def _gets(store: S3Store, wanted: Sequence[tuple[str, int]]) -> list[bytes]:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(key: str, most: int) -> bytes:
        async with places:
            options: Any = {"range": (0, most)}
            return bytes(await (await obstore.get_async(store, key, options=options)).bytes_async())

    return list(await asyncio.gather(*(one(*each) for each in wanted)))


TABLES = ("generic_files", "checksums", "storage_records", "premis_events")


def record(given: Given, records: Records) -> None:
    """The rows that the stage wrote, written once more into a database of its own."""
    with tempfile.TemporaryDirectory(dir=Path(given.database).parent) as folder:
        there = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            there.execute(f"PRAGMA {pragma}")
        here = sqlite3.connect(f"file:{given.database}?mode=ro", uri=True)
        rows: dict[str, list[Any]] = {}
        for table in TABLES:
            (made,) = here.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table])
            there.execute(made[0])
            for (index,) in here.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = 'index' "
                "AND sql IS NOT NULL",
                [table],
            ):
                there.execute(index)
            rows[table] = here.execute(f"SELECT * FROM {table}").fetchall()
        timing.begin()
        records.read(given.keys)
        batches = max(1, -(-len(given.keys) // RECORDS))
        for number in range(batches):
            there.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                some = rows[table][number::batches]
                if some:
                    marks = ",".join("?" * len(some[0]))
                    there.executemany(f"INSERT INTO {table} VALUES ({marks})", some)
            there.execute("COMMIT")
        for key in given.keys:
            records.write(key)


def clean_up(given: Given, records: Records) -> None:
    """What the floor of staging left is listed and deleted, as many a request as may be; the rows
    of the object are read once."""
    store = given.store(given.staging)
    keys = [found["path"] for page in obstore.list(store, "floor/") for found in page]
    for start in range(0, len(keys), RECORDS):
        obstore.delete(store, keys[start : start + RECORDS])
    here = sqlite3.connect(f"file:{given.database}?mode=ro", uri=True)
    here.execute("SELECT * FROM generic_files").fetchall()
    here.execute("SELECT * FROM storage_records").fetchall()
    records.read(given.keys)
    records.remove()


class Timing:
    """Begins anew where a floor has to prepare something first."""

    def begin(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def facts(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
        }


timing = Timing()
FLOORS: dict[str, Callable[[Given, Records], None]] = {
    "pre-fetch": prefetch,
    "validator": validate,
    "staging-uploader": stage,
    "format-identifier": identify,
    "preservation-uploader": preserve,
    "preservation-verifier": verify,
    "recorder": record,
    "cleanup": clean_up,
}
"""By the step's name. The reingest check of a first ingest asks one question: it has none."""


def main(step: str) -> None:
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Given)
    records = Records(given)
    threading.Thread(target=lambda: None).start()
    timing.begin()
    FLOORS[step](given, records)
    records.flush()
    print(json.dumps(timing.facts()), flush=True)
    os._exit(0)  # the client's own threads may abort at an exit


if __name__ == "__main__":
    main(sys.argv[1])
