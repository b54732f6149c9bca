"""What the staging bench measures, each in a process of its own: `-m bench.staging_children`.

NAME DATA_DIR ENDPOINT ARG …; prints one line of JSON with `seconds`, the work alone, and what
else it counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import obstore
from msgspec import structs
from obstore.store import S3Store

from bagline.app import App
from bagline.config import S3Settings, load_settings
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.line import INGEST_LINE, IngestLine
from bagline.lines.ingest.staging import StagingUploader
from bagline.logs import configure_logs
from bagline.model.subject import item_subject
from bagline.services.objects.connection import Connection, Endpoint
from bagline.wiring import build_objects
from bagline.worker.stage import Outcome

STAGE = "staging-uploader"
METADATA = {
    "Content-Type": "image/tiff",
    "institution": "test.edu",
    "bag": "test.edu/bench",
    "bagpath": "data/series-0000/item-0000000.tif",
}
PATIENCE_SECONDS = 3600.0
PIECE_BYTES = 8 * 1024 * 1024


class TimedStaging(StagingUploader):
    """The stage, with a stopwatch around `run`."""

    seconds = 0.0

    def run(self, job: IngestJob) -> Outcome:
        began = time.perf_counter()
        try:
            return super().run(job)
        finally:
            TimedStaging.seconds = time.perf_counter() - began


def stage(data_dir: str, endpoint: str, item_id: str) -> dict[str, Any]:
    """Work as `bagline worker staging-uploader` does, until the item is past the stage."""
    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        settings = structs.replace(
            app.settings, s3=structs.replace(app.settings.s3, endpoint=endpoint)
        )
        services = replace(app.services, objects=build_objects(settings.s3))
        line = IngestLine(
            tuple(replace(s, stage=TimedStaging) if s.name == STAGE else s for s in INGEST_LINE)
        )
        worker = App(settings, services, [line]).worker([s for s in line if s.name == STAGE])
        thread = threading.Thread(target=worker.run)
        thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and not TimedStaging.seconds:
            time.sleep(0.05)
        while (
            app.services.state.lease_owner(item_subject(int(item_id)))
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        worker.stop()
        thread.join()
        services.objects.close()
        item = app.services.registry.work_item(int(item_id))
    assert item is not None
    if item.stage != "Format Identification":
        raise RuntimeError(f"staging did not succeed: {item.note}")
    return {"seconds": TimedStaging.seconds}


def one_after_another(
    data_dir: str, endpoint: str, bucket: str, key: str, staging: str, files: str
) -> dict[str, Any]:
    """Baseline: the tar in one streaming GET, each member put before the next is read."""
    store, target = _store(data_dir, endpoint, bucket), _store(data_dir, endpoint, staging)
    began, done = time.perf_counter(), 0
    source = io.BufferedReader(_Body(obstore.get(store, key).stream(min_chunk_size=1 << 20)))
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            body = tar.extractfile(member)
            if body is None:
                continue
            obstore.put(
                target, f"baseline/{done}", _read(body, member.size), attributes=_attributes()
            )
            done += 1
            if done == int(files):
                break
    return {"seconds": time.perf_counter() - began, "files": done}


def plain_puts(
    data_dir: str, endpoint: str, bucket: str, files: str, size: str, in_flight: str
) -> dict[str, Any]:
    """Ceiling: as many bodies of that size, put so many at a time; nothing is read or recorded."""
    store = _store(data_dir, endpoint, bucket)
    body = random.Random(7).randbytes(int(size))

    async def all_of_them() -> None:
        places = asyncio.Semaphore(int(in_flight))

        async def one(number: int) -> None:
            async with places:
                await obstore.put_async(
                    store,
                    f"plain/{number}",
                    number.to_bytes(8, "little") + body[8:],
                    attributes=_attributes(),
                    use_multipart=False,
                )

        await asyncio.gather(*(one(number) for number in range(int(files))))

    began = time.perf_counter()
    asyncio.run(all_of_them())
    return {"seconds": time.perf_counter() - began, "files": int(files)}


class _Body(io.RawIOBase):
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Any) -> None:
        self._chunks: Iterator[Any] = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        some = min(len(into), len(self._left))
        into[:some] = self._left[:some]
        self._left = self._left[some:]
        return some


def _read(body: Any, size: int) -> Any:
    """Small bodies whole, large ones in pieces; read in a thread: clients do not nest."""
    if size <= 2 * PIECE_BYTES:
        return body.read()
    pieces: Queue[bytes] = Queue(2)

    def bring() -> None:
        piece = b"-"
        while piece:
            piece = body.read(PIECE_BYTES)
            pieces.put(piece)

    threading.Thread(target=bring, daemon=True).start()
    return iter(pieces.get, b"")


def _attributes() -> Any:
    digests = {name: hashlib.new(name, b"x").hexdigest() for name in ("md5", "sha256")}
    return METADATA | digests


def _store(data_dir: str, endpoint: str, bucket: str) -> S3Store:
    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        s3: S3Settings = app.settings.s3
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    return Connection(Endpoint(endpoint, *keys, allow_http=True)).store(bucket)


def main(name: str, *arguments: str) -> None:
    configure_logs(level="error")
    known = {each.__name__: each for each in (stage, one_after_another, plain_puts)}
    found = known[name](*arguments)
    print(json.dumps(found | {"cpu_seconds": time.process_time()}), flush=True)
    os._exit(0)  # what was measured is over; the client's own threads may abort at an exit


if __name__ == "__main__":
    main(*sys.argv[1:])
