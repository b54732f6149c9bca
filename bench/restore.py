"""Restoration of an object, beside GETs of its files and PUTs of as many bytes by bare clients."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore

from bagline.app import App
from bagline.config import load_settings
from bagline.logs import configure_logs
from bagline.model.workitem import STATUS_SUCCESS, WorkItem
from bagline.services.objects.connection import Connection, Endpoint
from bench.figures import Figure
from bench.making import BenchBag
from bench.measuring import Measured, alternate, measured, median_ratio, median_seconds, peak_mib
from bench.prefetch import Bench, bench_house

MIB = 1024 * 1024
LARGE = BenchBag("restored-large", 4, 256 * MIB)
SMALL = BenchBag("restored-small", 50_000, 4 * 1024)
ROUNDS = {LARGE: 3, SMALL: 1}
IN_FLIGHT = 64
PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4
PATIENCE_SECONDS = 1800.0
LOOK_SECONDS = 0.02


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    for bag, rounds in ROUNDS.items():
        with bench_house() as bench:
            identifier = _ingested(bench, bag)
            found = alternate(
                {
                    "ours": lambda bench=bench, identifier=identifier: _child(
                        bench, "restored", identifier
                    ),
                    "plain": lambda bench=bench, identifier=identifier: _child(
                        bench, "plain", identifier
                    ),
                },
                rounds,
            )
        ours, plain = found["ours"], found["plain"]
        size = bag.files * bag.file_bytes
        about = f"restoration of {bag.files:,} files of {bag.file_bytes // 1024:,} KiB"
        ratio = {"GETs and PUTs alone": median_ratio(ours, plain)}
        if bag is SMALL:
            rates = bag.files / median_seconds(ours), bag.files / median_seconds(plain), "files/s"
        else:
            rates = size / 1e6 / median_seconds(ours), size / 1e6 / median_seconds(plain), "MB/s"
        yield Figure(about, rates[0], rates[2], {"GETs and PUTs alone": rates[1]}, "", ratio)
        yield Figure("  peak memory", peak_mib(ours), "MiB", goal="200")


def _ingested(bench: Bench, bag: BenchBag) -> str:
    """The identifier of its object."""
    received = bench.receive(bag)
    with bench.app.working():
        item = _wait(bench.app, bench.item(received))
    return item.object_identifier


def _wait(app: App, item: WorkItem) -> WorkItem:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = app.services.registry.work_item(item.id)
        if found is not None and found.status == STATUS_SUCCESS:
            return found
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"work item {item.id} did not end: {found}")


def _child(bench: Bench, name: str, identifier: str) -> Measured:
    return measured([sys.executable, "-m", "bench.restore", name, str(bench.folder), identifier])


def restored(app: App, identifier: str) -> float:
    """Ours, by a work item and a worker: seconds from its being asked for."""
    app.services.objects.ensure_bucket(_bucket(app))
    step = app.lines.by_name("bag-restorer")
    assert step is not None
    with app.working([step]):
        began = time.perf_counter()
        _wait(app, app.ask_for_restoration(identifier))
        return time.perf_counter() - began


def plain(app: App, identifier: str) -> float:
    """Every file once, as many at once, and as many bytes in parts; nothing is looked at."""
    s3 = app.settings.s3
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    connection = Connection(Endpoint(s3.endpoint, *keys, allow_http=True))
    target = app.settings.storage_option("Standard").targets[0]
    found = app.services.registry.intellectual_object(identifier)
    assert found is not None
    files = [
        (file.uuid, file.size)
        for page in app.services.registry.files_in_order(found.id)
        for file in page
    ]
    bucket = _bucket(app)
    app.services.objects.ensure_bucket(bucket)
    store = connection.store(target.bucket)
    began = time.perf_counter()
    where: Any = {"Bucket": bucket, "Key": "plain.tar"}
    upload = connection.boto.create_multipart_upload(**where)["UploadId"]

    def read(piece: tuple[str, int, int]) -> bytes:
        key, start, length = piece
        return bytes(obstore.get_range(store, key, start=start, length=length)) if length else b""

    def put(numbered: tuple[int, bytes]) -> dict[str, Any]:
        number, data = numbered
        answer = connection.boto.upload_part(**where, UploadId=upload, PartNumber=number, Body=data)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    with ThreadPoolExecutor(IN_FLIGHT) as reads, ThreadPoolExecutor(PARTS_IN_FLIGHT) as puts:
        parts, held, waiting = [], bytearray(), []
        for data in _in_windows(reads, read, _pieces(files)):
            held += data
            while len(held) >= PART_BYTES:
                waiting.append(puts.submit(put, (len(waiting) + 1, bytes(held[:PART_BYTES]))))
                del held[:PART_BYTES]
                if len(waiting) > PARTS_IN_FLIGHT:
                    waiting[-PARTS_IN_FLIGHT - 1].result()
        waiting.append(puts.submit(put, (len(waiting) + 1, bytes(held))))
        parts = [each.result() for each in waiting]
    connection.boto.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    seconds = time.perf_counter() - began
    app.services.objects.delete(bucket, "plain.tar")
    return seconds


def _pieces(files: list[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    for key, size in files:
        for start in range(0, size, PART_BYTES):
            yield key, start, min(PART_BYTES, size - start)


def _in_windows(pool: Any, read: Any, pieces: Iterator[tuple[str, int, int]]) -> Iterator[bytes]:
    """In order; so many small ones at once, and few large ones."""
    ahead: list[Any] = []
    for piece in pieces:
        ahead.append(pool.submit(read, piece))
        if len(ahead) >= (IN_FLIGHT if piece[2] < MIB else PARTS_IN_FLIGHT):
            yield ahead.pop(0).result()
    for each in ahead:
        yield each.result()


def _bucket(app: App) -> str:
    depositor = app.ensure_institution("test.edu")
    return depositor.restore_bucket


def main(name: str, folder: str, identifier: str) -> None:
    configure_logs(level="error")
    with App.open_running(load_settings(data_dir=Path(folder), environ=os.environ)) as app:
        assert app is not None
        seconds = {"restored": restored, "plain": plain}[name](app, identifier)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
