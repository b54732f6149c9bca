"""What benches measure, each in a process of its own: `python -m bench.children NAME ARG …`.

Prints one line of JSON with `seconds`: the work alone, without Python's start.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from queue import Queue
from typing import Any

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
LANES = (("md5", "sha256"), ("sha512", "sha1"))
MIB = 1024 * 1024


def ceiling_lanes(path: str) -> dict[str, Any]:
    """The file's bytes, in memory, through two threads of two digests each; nothing else."""
    data = [memoryview(piece) for piece in _pieces(path, MIB)]

    def lane(names: Sequence[str]) -> None:
        hashes = _hashes(names)
        for piece in data:
            for each in hashes:
                each.update(piece)

    return _on_threads([(lane, names) for names in LANES])


def ceiling_files(path: str, file_bytes: str) -> dict[str, Any]:
    """The same, cut into files of `file_bytes`, each file's four digests on one of the cores."""
    size = int(file_bytes)
    data = [memoryview(piece) for piece in _pieces(path, size)]
    cores = os.cpu_count() or 1

    def some(first: int) -> None:
        for piece in data[first::cores]:
            hashes = _hashes(ALGORITHMS)
            for start in range(0, len(piece), MIB):
                for each in hashes:
                    each.update(piece[start : start + MIB])
            for each in hashes:
                each.digest()

    return _on_threads([(some, n) for n in range(cores)])


def tarfile_four(path: str) -> dict[str, Any]:
    """Baseline: one thread updates four digests in turn over `tarfile`."""
    began = time.perf_counter()
    files = 0
    with tarfile.open(path) as tar:
        for member in tar:
            source = tar.extractfile(member)
            if source is None:
                continue
            hashes = _hashes(ALGORITHMS)
            while piece := source.read(MIB):
                for each in hashes:
                    each.update(piece)
            files += len([each.hexdigest() for each in hashes]) > 0
    return {"seconds": time.perf_counter() - began, "files": files}


def bagit_python(path: str) -> dict[str, Any]:
    """Baseline: bagit-python validates the unpacked bag, on all cores; unpacking counts."""
    import logging

    import bagit

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bagline-bench-", dir=Path(path).parent) as folder:
        began = time.perf_counter()
        with tarfile.open(path) as tar:
            tar.extractall(folder)
        (bag,) = Path(folder).iterdir()
        bagit.Bag(str(bag)).validate(processes=os.cpu_count() or 1)
        return {"seconds": time.perf_counter() - began}


def check(path: str) -> dict[str, Any]:
    """Ours: what `bagline check` does, but for printing."""
    from bagline.bagit.check import check_bag
    from bagline.cli.check import open_bag
    from bagline.formats.extensions import format_for

    began = time.perf_counter()
    with open_bag(path) as source:
        report = check_bag(
            source.chunks,
            source.length,
            None,
            lambda *_: None,
            format_of=format_for,
            again=source.again,
        )
    seconds = time.perf_counter() - began
    if not report.valid:
        raise RuntimeError(f"the bench's own bag is not valid: {report.problems[:3]}")
    return {"seconds": seconds, "files": report.files, "bytes": report.bytes}


def pronom_ends(files: str, end_bytes: str) -> dict[str, Any]:
    """The format stage's floor, CPU seconds: PRONOM over as many bytes as it judges, files made
    before."""
    import random

    import pygfried

    with tempfile.TemporaryDirectory(prefix="bagline-bench-") as folder:
        paths = [str(Path(folder) / f"{number}.tif") for number in range(int(files))]
        noise = random.Random(1)
        for path in paths:
            Path(path).write_bytes(noise.randbytes(2 * int(end_bytes)))
        pygfried.identify(paths[0])
        began = time.process_time()
        for path in paths:
            pygfried.identify(path)
        return {"seconds": time.process_time() - began}


def get_and_digest(data_dir: str, bucket: str, key: str) -> dict[str, Any]:
    """The stage's ceiling: ranged GETs, read ahead, through the four digests; nothing else."""
    import obstore

    from bagline.app import App
    from bagline.config import load_settings
    from bagline.services.objects.connection import Connection, Endpoint

    with App.open_running(load_settings(data_dir=Path(data_dir))) as app:
        assert app is not None
        s3 = app.settings.s3
        keys = (s3.access_key.reveal(), s3.secret_key.reveal())
        store = Connection(Endpoint(s3.endpoint, *keys, allow_http=True)).store(bucket)
        size = obstore.head(store, key)["size"]
        began = time.perf_counter()
        _through_lanes(_ranges(store, key, size))
        return {"seconds": time.perf_counter() - began, "bytes": size}


def _ranges(store: Any, key: str, size: int, window: int = 8 * MIB) -> Iterator[bytes]:
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    import obstore

    with ThreadPoolExecutor(2) as pool:
        ahead: Any = deque()
        for start in range(0, size, window):
            length = min(window, size - start)
            ahead.append(pool.submit(obstore.get_range, store, key, start=start, length=length))
            if len(ahead) > 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _through_lanes(chunks: Iterable[Any]) -> None:
    queues: list[Queue[Any]] = [Queue(2) for _ in LANES]

    def lane(names: Sequence[str], queue: Queue[Any]) -> None:
        hashes = _hashes(names)
        while (chunk := queue.get()) is not None:
            view = memoryview(chunk)
            for start in range(0, len(view), MIB):
                for each in hashes:
                    each.update(view[start : start + MIB])

    threads = [
        threading.Thread(target=lane, args=(names, queue))
        for names, queue in zip(LANES, queues, strict=True)
    ]
    for thread in threads:
        thread.start()
    for chunk in chunks:
        for queue in queues:
            queue.put(chunk)
    for queue, thread in zip(queues, threads, strict=True):
        queue.put(None)
        thread.join()


def _hashes(names: Sequence[str]) -> list[Any]:
    return [hashlib.new(name, usedforsecurity=False) for name in names]


def _pieces(path: str, size: int) -> Iterator[bytes]:
    with Path(path).open("rb", buffering=0) as source:
        while piece := source.read(size):
            yield piece


def _on_threads(work: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    threads = [threading.Thread(target=do, args=(what,)) for do, what in work]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - began}


def main(argv: Sequence[str]) -> None:
    name, *args = argv
    if name == "stage":
        from bench.stage_child import run_stage

        print(json.dumps(run_stage(*args)))
        return
    known = (ceiling_lanes, ceiling_files, tarfile_four, bagit_python, check)
    known += (get_and_digest, pronom_ends)
    print(json.dumps({each.__name__: each for each in known}[name](*args)))


if __name__ == "__main__":
    main(sys.argv[1:])
