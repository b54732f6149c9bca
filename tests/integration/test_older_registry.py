"""Over a Registry that knows contract D alone: pages and batches, never one request a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from bagline.model.registry import GenericFile
from support.bags import BagBuilder
from support.pairing import MixedLine, mixed_line

pytestmark = pytest.mark.engines

OURS = frozenset[str]()
FILES = 250
CHANGED = 3


@pytest.fixture
def mixed(engines: EngineAddresses, tmp_path: Path) -> Iterator[MixedLine]:
    with mixed_line(engines, tmp_path) as line:
        yield line


def a_bag(changed: int = 0) -> bytes:
    bag = BagBuilder("many")
    for number in range(FILES):
        body = b"changed" if number < changed else b"%d" % number
        bag.payload(f"{number:04d}.txt", body)
    bag.payload("caf\udce9.txt", b"latin")  # an identifier spells such bytes
    return bag.tar("gnu")


def test_no_stage_asks_for_each_file_by_itself(mixed: MixedLine) -> None:
    asked = mixed.registry.asked
    assert mixed.ingest({"many": a_bag()}, OURS)["many"].status == "Success"
    assert asked["GET files/show"] <= 1
    assert asked["PUT files/update"] == 0

    asked.clear()
    again = mixed.ingest({"many": a_bag(CHANGED)}, OURS)["many"]
    assert again.status == "Success", again.note
    # Three changed, and the tag file that counts their bytes; the odd name is asked by name.
    assert asked["PUT files/update"] == CHANGED + 1
    assert asked["GET files/show"] <= 2
    assert asked["GET files"] <= 6
    assert len(again.rows["files"]) == FILES + 3

    asked.clear()
    assert mixed.ingest({"many": a_bag(CHANGED)}, OURS)["many"].status == "Success"
    assert (asked["PUT files/update"], asked["POST files/create_batch"]) == (0, 0)


def test_an_update_whose_answer_was_lost_adds_nothing_twice(mixed: MixedLine) -> None:
    mixed.ingest({"one": BagBuilder("one").payload("a.txt", b"a").tar("gnu")}, OURS)
    registry = mixed.line.services.registry
    (file,) = registry.files(["test.edu/one/data/a.txt"]).values()
    told = len(file.premis_events), len(file.checksums), len(file.storage_records)
    urls = [copy.url for copy in file.storage_records]
    file.size = 7
    mixed.registry.asked.clear()
    changed = registry.update_file(file, recorded_urls=urls)
    assert isinstance(changed, GenericFile)
    assert mixed.registry.asked["GET files/show"] == 1  # only because it was refused
    (found,) = registry.files([file.identifier]).values()
    assert found.size == 7
    assert (len(found.premis_events), len(found.checksums), len(found.storage_records)) == told
