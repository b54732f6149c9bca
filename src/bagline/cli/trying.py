"""What `bagline doctor` writes, to see whether it can be: a byte, and away with it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bagline.app import App
from bagline.errors import BaglineError, Locked, ProofFailed
from bagline.model import times
from bagline.services.objects.base import Body, Objects, Target
from bagline.services.objects.names import PROBES

BYTES = b"bagline doctor writes this, reads it, and removes it.\n"
AT_ONCE = 8
LEFT_SECONDS = 3600.0
"""What a doctor left that was killed is removed when it is this old."""


def try_directories(places: Iterable[Path]) -> list[str]:
    """What to say of those that cannot be written; one that is not there is left alone."""
    return [said for place in places if place.is_dir() for said in _try_directory(place)]


def _try_directory(place: Path) -> Iterator[str]:
    path = place / f".bagline-probe-{secrets.token_hex(8)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, BYTES)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as fault:
        yield f"{place} cannot be written ({fault.strerror}): free space there, or mend permissions"
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


@dataclass
class Tried:
    """A bucket that is to be tried, and words for it. `is_for_good`: what was put there is taken
    away in all its versions."""

    objects: Objects
    bucket: str
    words: str
    is_for_good: bool = False

    def remove(self, key: str) -> None:
        """A lock on it is no fault."""
        if not self.is_for_good:
            self.objects.delete(self.bucket, key)
            return
        (fault,) = self.objects.delete_for_good(self.bucket, [key])
        if fault is not None and not isinstance(fault, Locked):
            raise fault


def try_buckets(app: App, wanted: Iterable[Tried]) -> list[str]:
    """Put, read and remove an object in each; what went wrong."""

    def one(place: Tried) -> str:
        try:
            _put_and_read(place)
        except BaglineError as fault:
            return f"{place.words} cannot be written: {fault}"
        return ""

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="doctor") as pool:
        said = [found for found in pool.map(one, wanted) if found]
    return said + ([full] if said and (full := app.shortage()) else [])


def _put_and_read(place: Tried) -> None:
    objects, bucket = place.objects, place.bucket
    key = f"{PROBES}{secrets.token_hex(8)}-doctor"
    try:
        objects.put(Body(Target(bucket=bucket, key=key, content_type="text/plain"), BYTES))
        if objects.read(bucket, key) != BYTES:
            raise ProofFailed(f"it gives other bytes than were put there ({key})")
    except BaglineError:
        with contextlib.suppress(BaglineError):
            place.remove(key)
        raise
    place.remove(key)
    _sweep(place)


def _sweep(place: Tried) -> None:
    """What may not be listed here may also be left."""
    with contextlib.suppress(BaglineError):
        for found in list(place.objects.list(place.bucket, PROBES)):
            age = times.to_datetime(times.now()) - times.to_datetime(found.last_modified)
            if found.key.endswith("-doctor") and age.total_seconds() > LEFT_SECONDS:
                place.remove(found.key)
