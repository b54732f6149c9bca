"""Relaying: windows of an object become small objects, in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, ProofFailed, Replaced
from bagline.services.objects.base import Objects, Relay, RelayPart, Target
from support.objects import BLOB, put, s3, sha256
from support.proxy import Proxy, proxy_before

pytestmark = pytest.mark.engines


def windows_of(bucket: str, key: str, etag: str, target: str, count: int = 9) -> list[Relay]:
    """Three objects of each window: two with bytes, one empty."""
    return [
        Relay(
            bucket,
            key,
            etag,
            start=n * 1000,
            length=600,
            parts=[
                RelayPart(at, size, Target(bucket, f"{target}-{n}-{at}"), sha256(part))
                for at, size in ((0, 100), (100, 0), (300, 300))
                for part in [BLOB[n * 1000 + at : n * 1000 + at + size]]
            ],
        )
        for n in range(count)
    ]


def test_relayed_windows_come_out_in_order_each_when_it_is_proven(
    objects: Objects, bucket: str, key: str
) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    relays = windows_of(bucket, key, etag, f"{key}-out")
    answers = objects.relay_many(iter(relays), windows=3, puts_in_flight=4)
    for relay, proofs in zip(relays, answers, strict=True):
        assert [p.key for p in proofs] == [part.target.key for part in relay.parts]
        for part, proof in zip(relay.parts, proofs, strict=True):
            begin = relay.start + part.offset
            data = BLOB[begin : begin + part.length]
            assert proof.sha256 == sha256(data)
            assert objects.read(bucket, part.target.key) == data
    empty = Relay(bucket, key, etag, 0, 0, [RelayPart(0, 0, Target(bucket, f"{key}-e"), "")])
    assert [[p.size for p in proofs] for proofs in objects.relay_many([empty])] == [[0]]
    assert list(objects.relay_many([])) == []


def test_a_window_is_read_once_for_all_the_stores_that_its_parts_go_to(
    engines: EngineAddresses, objects: Objects, bucket: str, key: str, proxy: Proxy
) -> None:
    put(objects, bucket, key, BLOB[:1000])
    there = s3(engines, endpoint=proxy.url)
    targets = [Target(bucket, f"{key}-{n}") for n in range(4)]
    parts = [
        RelayPart(0, 1000, target, sha256(BLOB[:1000]), store)
        for target, store in zip(targets, (None, objects, there, there), strict=True)
    ]
    with proxy_before(engines.s3_endpoint) as reading:
        here = s3(engines, endpoint=reading.url)
        (proofs,) = here.relay_many([Relay(bucket, key, "", 0, 1000, parts)])
        here.abilities(bucket)
        got = [line for line in reading.lines if line.startswith(f"GET /{bucket}/some")]
        put_here = [line for line in reading.lines if line.startswith(f"PUT /{bucket}/some")]
        here.close()
    assert [proof.key for proof in proofs] == [target.key for target in targets]
    assert (len(got), len(put_here)) == (1, 1)
    assert sum(line.startswith(f"PUT /{bucket}/some") for line in proxy.lines) == 2
    assert [objects.read(bucket, target.key) for target in targets] == [BLOB[:1000]] * 4
    there.close()


def test_a_relay_stops_at_a_fault_and_nothing_runs_on(
    objects: Objects, bucket: str, key: str
) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    relays = windows_of(bucket, key, etag, f"{key}-out")
    wrong = RelayPart(0, 100, Target(bucket, f"{key}-wrong"), sha256(b"other"))
    relays[4] = replace(relays[4], parts=[wrong])
    yielded = []
    with pytest.raises(ProofFailed):
        yielded.extend(objects.relay_many(iter(relays), windows=2))
    assert len(yielded) == 4
    with pytest.raises(Gone):
        objects.head(bucket, f"{key}-wrong")
    stale = windows_of(bucket, key, "0" * 32, f"{key}-stale")
    with pytest.raises(Replaced):
        list(objects.relay_many(stale))
    assert list(objects.list(bucket, f"{key}-stale")) == []


def test_a_relay_takes_no_more_than_its_budget(objects: Objects, bucket: str, key: str) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    taken = 0

    def counted() -> Iterator[Relay]:
        nonlocal taken
        for relay in windows_of(bucket, key, etag, f"{key}-out"):
            taken += 1
            yield relay

    answers = objects.relay_many(counted(), windows=8, budget=lambda: 1300)
    next(answers)
    assert taken == 3  # two of 600 bytes fit; the third was looked at
    answers.close()
