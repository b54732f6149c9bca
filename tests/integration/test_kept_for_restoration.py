"""What the line leaves in the Registry for who makes the bag again."""

from __future__ import annotations

import pytest

from bagline.model.bag_form import BagForm
from bagline.model.registry import IntellectualObject
from support.bags import BagBuilder
from support.line import LineUnderTest

pytestmark = pytest.mark.engines

RAW = "data/caf\udce9.txt"
"""Latin-1: no UTF-8."""
LETTERS = "data/letters \\xff.txt"


def ingested(line: LineUnderTest, bag: BagBuilder) -> IntellectualObject:
    (ended,) = line.run(line.deposit("old.tar", bag.tar("gnu")))
    assert ended.status == "Success", ended.note
    known = line.services.registry.intellectual_object("test.edu/old")
    assert known is not None
    return known


def a_bag(*algorithms: str) -> BagBuilder:
    bag = BagBuilder("old").payload("plain.txt").payload(RAW.removeprefix("data/"))
    bag.payload(LETTERS.removeprefix("data/"))
    return bag.manifest(*algorithms).tag_manifest("sha256")


def test_form_and_names_of_the_newest_bag_are_known(line: LineUnderTest) -> None:
    registry = line.services.registry
    known = ingested(line, a_bag("md5", "sha256").version("0.97"))
    form = registry.bag_form(known.id)
    assert form is not None
    assert (form.version, form.encoding) == ("0.97", "UTF-8")
    assert sorted(form.manifests) == ["md5", "sha256"]
    assert form.tag_manifests == ("sha256",)
    files = [file for page in registry.iter_object_files(known.id) for file in page]
    assert {file.path_in(known) for file in files} >= {"data/plain.txt", RAW, LETTERS}
    assert sorted(bool(file.raw_path) for file in files)[-3:] == [False, True, True]

    again = ingested(line, a_bag("md5"))
    assert registry.bag_form(again.id) == BagForm(manifests=("md5",), tag_manifests=("sha256",))
