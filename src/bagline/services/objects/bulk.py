"""The calls for many, made of those for one: so many at once, in threads of the store's own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial

from bagline.errors import Gone, ProofFailed, Refused, Unreachable, Unreadable
from bagline.services.objects.base import (
    BUDGET_BYTES,
    Body,
    Budget,
    Check,
    ObjectInfo,
    Objects,
    Piece,
    Proof,
    RangeCopy,
    Relay,
)
from bagline.services.objects.fan import Fan
from bagline.services.objects.frost import ThawAnswer
from bagline.services.objects.reading import PIECE_BYTES
from bagline.services.objects.relaying import reads_of, relayed
from bagline.units import MIB

BRIEF_IN_FLIGHT = 64
"""Requests without a body."""
READ_BACK_BYTES = 32 * MIB
"""Of small bodies that are read back at once."""


class BulkObjects(Objects):
    """What a store does with many by doing it with each; the fan's owner closes it."""

    def __init__(self, fan: Fan) -> None:
        self._fan = fan

    def head_many(self, bucket: str, keys: Sequence[str]) -> list[ObjectInfo | Gone]:
        def one(key: str) -> ObjectInfo | Gone:
            try:
                return self.head(bucket, key)
            except Gone as fault:
                return fault

        return self._fan.many(one, keys, BRIEF_IN_FLIGHT)

    def thaw_many(
        self, bucket: str, keys: Sequence[str], *, days: int, tier: str
    ) -> list[ThawAnswer | Gone | Unreachable | Refused]:
        def one(key: str) -> ThawAnswer | Gone | Unreachable | Refused:
            try:
                return self.thaw(bucket, key, days=days, tier=tier)
            except (Gone, Unreachable, Refused) as fault:
                return fault

        return self._fan.many(one, keys, BRIEF_IN_FLIGHT)

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
        windows: int = 4,
        puts_in_flight: int = 128,
        budget: Budget = lambda: BUDGET_BYTES,
    ) -> Generator[list[Proof]]:
        return relayed(
            relays,
            read=reads_of(self),
            put=lambda part, body: (part.store or self).put(body),
            fan=self._fan,
            windows=windows,
            puts_in_flight=puts_in_flight,
            budget=budget,
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
        in_flight: int = 128,
        read_back: bool = True,
    ) -> list[Proof | Gone | ProofFailed | Unreadable]:
        def one(check: Check) -> Proof | Gone | ProofFailed | Unreadable:
            try:
                return self.verify(bucket, check, read_back=read_back)
            except (Gone, ProofFailed, Unreadable) as fault:
                return fault

        return self._fan.many(one, checks, _within_memory(checks, in_flight))


def _within_memory(checks: Sequence[Check], in_flight: int) -> int:
    """So many at once that the small bodies that are read back take READ_BACK_BYTES."""
    largest = max((min(c.size, PIECE_BYTES) for c in checks if c.must_read), default=0)
    return max(1, min(in_flight, READ_BACK_BYTES // max(1, largest)))
