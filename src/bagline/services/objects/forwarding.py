"""A store over another one: a wrapper says only what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from bagline.errors import Locked, Refused, SlowDown, Unreachable
from bagline.services.objects.base import (
    Abilities,
    Body,
    Check,
    ObjectInfo,
    Objects,
    Proof,
    RangeCopy,
    Target,
)
from bagline.services.objects.bulk import BulkObjects
from bagline.services.objects.fan import Fan
from bagline.services.objects.frost import ThawAnswer
from bagline.services.objects.guards import BucketGuard, Lock
from bagline.services.objects.parts import PartBody, Upload, UploadedPart

R = TypeVar("R")

KEYS_A_CALL = 1_000
CALLS_AT_ONCE = 8
"""Of calls for many keys, whose faults are answers."""


class ForwardingObjects(BulkObjects):
    """Passes all on to `inner`: what may be repeated as a whole by `_ask`, the rest as it is.
    Of many at once each is asked for by itself, in threads of its own."""

    def __init__(self, inner: Objects, threads: str) -> None:
        super().__init__(Fan(threads))
        self._inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r})"

    def _ask(self, what: str, ask: Callable[[], R], *, size: int = 0) -> R:  # noqa: ARG002
        """Every request that may be repeated. `what` is its name, `size` the bytes it sends."""
        return ask()

    def _ask_for_keys(
        self, what: str, ask: Callable[[list[str]], list[R]], keys: Sequence[str]
    ) -> list[R]:
        """`ask` for each key; of those that may be repeated, only those whose answer is a passing
        fault are asked for again."""

        def some(batch: Sequence[str]) -> list[R]:
            answers: dict[str, R] = {}

            def once_more() -> None:
                rest = [
                    key
                    for key in dict.fromkeys(batch)
                    if key not in answers or isinstance(answers[key], Unreachable)
                ]
                answers.update(zip(rest, ask(rest), strict=True))
                faults = [said for said in answers.values() if isinstance(said, Unreachable)]
                if faults:
                    raise max(faults, key=lambda fault: isinstance(fault, SlowDown))

            try:
                self._ask(what, once_more)
            except Unreachable:
                if not answers:
                    raise
            return [answers[key] for key in batch]

        starts = range(0, len(keys), KEYS_A_CALL)
        batches = [keys[start : start + KEYS_A_CALL] for start in starts]
        return [said for each in self._fan.many(some, batches, CALLS_AT_ONCE) for said in each]

    @property
    def realm(self) -> str:
        return self._inner.realm

    def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._ask("head", partial(self._inner.head, bucket, key))

    def thaw(self, bucket: str, key: str, *, days: int, tier: str) -> ThawAnswer:
        return self._ask("thaw", partial(self._inner.thaw, bucket, key, days=days, tier=tier))

    def read(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> bytes:
        ask = partial(self._inner.read, bucket, key, start=start, length=length, etag=etag)
        return self._ask("read", ask)

    def stream(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        return self._inner.stream(bucket, key, start=start, length=length, etag=etag)

    def put(self, body: Body) -> Proof:
        return self._ask("put", partial(self._inner.put, body), size=len(body.data))

    def put_stream(
        self, target: Target, chunks: Iterable[bytes], *, size: int, sha256: str
    ) -> Proof:
        return self._inner.put_stream(target, chunks, size=size, sha256=sha256)

    def copy_range(self, copy: RangeCopy, *, source: Objects | None = None) -> Proof:
        return self._ask("copy_range", partial(self._inner.copy_range, copy, source=source))

    def verify(self, bucket: str, check: Check, *, read_back: bool = True) -> Proof:
        return self._ask("verify", partial(self._inner.verify, bucket, check, read_back=read_back))

    def guard(self, bucket: str) -> BucketGuard:
        return self._ask("guard", partial(self._inner.guard, bucket))

    def locks_many(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Lock | Unreachable | Refused | None]:
        return self._ask_for_keys("locks", partial(self._inner.locks_many, bucket), keys)

    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        ask = partial(self._inner.delete_for_good, bucket)
        return self._ask_for_keys("delete_for_good", ask, keys)

    def remain_many(self, bucket: str, keys: Sequence[str]) -> list[bool | Unreachable | Refused]:
        return self._ask_for_keys("remain", partial(self._inner.remain_many, bucket), keys)

    def list(
        self, bucket: str, prefix: str = "", *, top_level: bool = False
    ) -> Iterator[ObjectInfo]:
        return self._inner.list(bucket, prefix, top_level=top_level)

    def delete(self, bucket: str, key: str, *, etag: str = "") -> None:
        self._ask("delete", partial(self._inner.delete, bucket, key, etag=etag))

    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        return self._ask("delete_many", partial(self._inner.delete_many, bucket, [*keys]))

    def abort_uploads(self, bucket: str, prefix: str, *, is_key: bool = False) -> int:
        return self._ask(
            "abort_uploads", partial(self._inner.abort_uploads, bucket, prefix, is_key=is_key)
        )

    def begin_upload(self, target: Target) -> Upload:
        return self._ask("begin_upload", partial(self._inner.begin_upload, target))

    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        return self._ask("uploaded_parts", partial(self._inner.uploaded_parts, upload))

    def put_part(self, upload: Upload, number: int, body: bytes | PartBody) -> UploadedPart:
        return self._ask("put_part", partial(self._inner.put_part, upload, number, body))

    def complete_upload(self, upload: Upload, parts: Sequence[UploadedPart]) -> ObjectInfo:
        return self._ask("complete_upload", partial(self._inner.complete_upload, upload, parts))

    def abort_upload(self, upload: Upload) -> None:
        self._ask("abort_upload", partial(self._inner.abort_upload, upload))

    def ensure_bucket(self, bucket: str) -> None:
        self._ask("ensure_bucket", partial(self._inner.ensure_bucket, bucket))

    def has_bucket(self, bucket: str) -> bool:
        return self._ask("has_bucket", partial(self._inner.has_bucket, bucket))

    def abilities(self, bucket: str) -> Abilities:
        return self._ask("abilities", partial(self._inner.abilities, bucket))

    def close(self) -> None:
        self._fan.close()
        self._inner.close()
