"""Large files go into staging and into preservation without coming through the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.config import VerifySettings
from bagline.embedded import EngineAddresses
from bagline.services.objects.base import ProofMethod
from support.bags import BagBuilder
from support.counting import asked_by_stage, through_proxy
from support.line import LineUnderTest, line_under_test
from support.proxy import Fault
from support.stores import COPIES_PROVEN_BY, engines_with

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
FILES = 3
SIZE = 24 * MIB
STORING = ("staging-uploader", "preservation-uploader")


@pytest.fixture(params=COPIES_PROVEN_BY)
def line(
    request: pytest.FixtureRequest, engines: EngineAddresses, tmp_path: Path
) -> Iterator[LineUnderTest]:
    with (
        engines_with(request.param, engines, tmp_path / "store") as found,
        line_under_test(found, tmp_path) as line,
    ):
        yield line


def a_bag() -> BagBuilder:
    bag = BagBuilder()
    for number in range(FILES):
        bag.payload(f"{number}.bin", os.urandom(SIZE))
    return bag


def test_at_most_a_hundredth_of_their_bytes_comes_through_the_worker(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    with through_proxy(line) as proxy:
        asked = asked_by_stage(line, item, proxy)
    for name in STORING:
        assert asked[name].carried <= FILES * SIZE / 100, name
    copies = len(line.preservation_buckets())
    assert asked["staging-uploader"].kinds["COPY"] == FILES
    assert asked["preservation-uploader"].kinds["COPY"] == copies * FILES
    read = asked["preservation-verifier"].carried  # every copy, once
    assert copies * FILES * SIZE < read < 1.01 * copies * FILES * SIZE


FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 60\r\n"
    b"Connection: close\r\n\r\n"
    + b"<Error><Code>AccessDenied</Code><Message>x</Message></Error>".ljust(60)
)


@pytest.mark.parametrize("line", ["seaweedfs"], indirect=True)
@pytest.mark.parametrize("read_back", ["all", "1/900000"])
def test_where_no_answer_proves_a_copy_it_is_read_once_and_not_by_the_verifier_again(
    line: LineUnderTest, read_back: str
) -> None:
    """So does SeaweedFS answer where it refuses to be asked for a SHA-256."""
    line.settings.verify = VerifySettings(read_back=read_back)
    item = line.deposit("bag.tar", a_bag().tar())
    with through_proxy(line) as proxy:
        proxy.faults = [Fault(instead=FORBIDDEN, on="x-amz-checksum-algorithm") for _ in range(9)]
        found = line.app.services.objects.abilities(line.settings.buckets.staging)
        assert found.range_copy_proof is ProofMethod.READ_BACK
        proxy.faults = []
        asked = asked_by_stage(line, item, proxy)
    copies = len(line.preservation_buckets())
    once = range(FILES * SIZE, FILES * SIZE * 101 // 100)
    assert asked["staging-uploader"].carried in once
    assert asked["preservation-uploader"].carried // copies in once
    assert asked["preservation-verifier"].carried < FILES * SIZE / 100
    report = line.services.registry.report(item.id) or {}
    assert report["copies_verified"]["read back"] >= copies * FILES
