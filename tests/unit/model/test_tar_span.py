"""Spans in Redis are read by the release before and after the one that wrote them."""

from __future__ import annotations

import msgspec

from bagline.model.ingest import TarSpan
from bagline.services.state.keys import pack_span, unpack_span


class SpanOfThen(msgspec.Struct, frozen=True, array_like=True):
    """As an earlier release, which knew no MD5s of parts, declares it."""

    header_offset: int
    data_offset: int
    stored_bytes: int
    stretches: tuple[tuple[int, int], ...] = ()
    part_sha256: tuple[str, ...] = ()


def test_one_that_an_earlier_release_left_has_no_md5s_of_parts() -> None:
    left = msgspec.msgpack.encode(SpanOfThen(0, 512, 9, (), ("a" * 64, "b" * 64)))
    assert unpack_span(left, "key") == TarSpan(0, 512, 9, (), ("a" * 64, "b" * 64), ())


def test_an_earlier_release_reads_ours() -> None:
    ours = pack_span(TarSpan(0, 512, 9, ((0, 9),), ("a" * 64,), ("b" * 32,)))
    expected = SpanOfThen(0, 512, 9, ((0, 9),), ("a" * 64,))
    assert msgspec.msgpack.decode(ours, type=SpanOfThen) == expected
    assert unpack_span(ours, "key") == TarSpan(0, 512, 9, ((0, 9),), ("a" * 64,), ("b" * 32,))
