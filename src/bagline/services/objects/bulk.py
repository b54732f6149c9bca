"""The calls for many, made of those for one: so many at once, in threads of the store's own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial

from bagline.errors import Gone, ProofFailed, Unreadable
from bagline.services.objects.base import (
    Body,
    Check,
    Objects,
    Piece,
    Proof,
    RangeCopy,
    Relay,
)
from bagline.services.objects.fan import Fan
from bagline.services.objects.relaying import reads_of, relayed


class BulkObjects(Objects):
    """What a store does with many by doing it with each; the fan's owner closes it."""

    def __init__(self, fan: Fan) -> None:
        self._fan = fan

    def read_many(
        self, bucket: str, pieces: Sequence[Piece], *, in_flight: int = 64
    ) -> list[bytes]:
        def one(piece: Piece) -> bytes:
            return self.read(bucket, piece.key, start=piece.start, length=piece.length)

        return self._fan.many(one, pieces, in_flight)

    def put_many(self, bodies: Iterable[Body], *, in_flight: int = 64) -> list[Proof]:
        return self._fan.many(self.put, bodies, in_flight)

    def relay_many(
        self,
        relays: Iterable[Relay],
        *,
        source: Objects | None = None,
        windows: int = 4,
        puts_in_flight: int = 128,
        budget_bytes: int = 128 * 1024**2,
    ) -> Generator[list[Proof]]:
        return relayed(
            relays,
            read=reads_of(source or self),
            put=self.put,
            fan=self._fan,
            windows=windows,
            puts_in_flight=puts_in_flight,
            budget_bytes=budget_bytes,
        )

    def copy_many(
        self, copies: Iterable[RangeCopy], *, source: Objects | None = None, in_flight: int = 8
    ) -> Iterator[Proof]:
        return self._fan.each(partial(self.copy_range, source=source), copies, in_flight)

    def verify_many(
        self,
        bucket: str,
        checks: Sequence[Check],
        *,
        in_flight: int = 16,
        read_back: bool = True,
    ) -> list[Proof | Gone | ProofFailed | Unreadable]:
        def one(check: Check) -> Proof | Gone | ProofFailed | Unreadable:
            try:
                return self.verify(bucket, check, read_back=read_back)
            except (Gone, ProofFailed, Unreadable) as fault:
                return fault

        return self._fan.many(one, checks, in_flight)
