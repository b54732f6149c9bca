"""How many requests each stage makes of the stores: no more than a row of the table below."""

from __future__ import annotations

from collections import Counter

import pytest

from bagline.bagit.paths import Role, role_of
from bagline.lines.ingest.staging.spans import WINDOW_FILES
from support.bags import BagBuilder
from support.counting import asked_by_stage, second_provider, through_proxy
from support.line import LineUnderTest, is_kept

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

FILES = 1_000
"""Small ones."""
KEYS_A_REQUEST = 1_000

PROBE = Counter(PUT=2, HEAD=1, POST=2, COPY=1, GET=2, DELETE=3)
"""What a store can prove: once a process and store."""
ADMISSION = Counter(HEAD=1)
"""Whether the bag is still the one that the item is about."""


def least_of(bag: BagBuilder, buckets: int) -> dict[str, Counter[str]]:
    """The least that each stage can make do with; `buckets` keep every file, in two stores."""
    files = bag.files()
    every, empty = len(files), sum(not body for body in files.values())
    named = sum(role_of(path) is not Role.PAYLOAD for path in files)
    kept = sum(is_kept(path) for path in files)
    windows = _pages(every, WINDOW_FILES)
    staged = _pages(every + named, KEYS_A_REQUEST)
    return {
        "pre-fetch": ADMISSION + PROBE + Counter(GET=1, PUT=named),
        "validator": ADMISSION,
        "reingest-manager": ADMISSION + Counter(HEAD=buckets),
        "staging-uploader": ADMISSION + Counter(GET=windows, PUT=every),
        "format-identifier": ADMISSION + Counter(GET=kept - empty),
        "preservation-uploader": PROBE + Counter(GET=kept - empty, PUT=buckets * kept),
        "preservation-verifier": Counter(GET=buckets * (kept - empty), HEAD=buckets * empty),
        "recorder": Counter(),
        "cleanup": Counter(HEAD=1, DELETE=1, GET=1 + staged, POST=staged),
    }


def _pages(count: int, size: int) -> int:
    return -(-count // size)


def test_no_stage_asks_more_of_the_stores_than_its_least(line: LineUnderTest) -> None:
    bag = BagBuilder().payload("empty.txt", b"")
    for number in range(FILES):
        bag.payload(f"{number:04d}.bin", b"%d\n" % number * 300)
    with through_proxy(line) as here, second_provider(line) as there:
        item = line.deposit("bag.tar", bag.tar())
        asked = asked_by_stage(line, item, here, there)
    least = least_of(bag, len(line.preservation_buckets()))
    assert [*asked] == [*least]
    more = {name: asked[name].kinds - least[name] for name in least}
    assert {name: dict(kinds) for name, kinds in more.items() if kinds} == {}
