"""Lines of several manifests brought together: each once, in bounded memory, in any order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from bagline.bagit.manifests import ManifestEntry, ManifestParser
from bagline.lines.ingest.prefetch import merging

PATHS = [f"data/{number:05d}.txt" for number in range(5_000)]


def manifest(name: str, paths: list[str]) -> tuple[ManifestParser, Iterator[ManifestEntry]]:
    entries = [ManifestEntry(path, "00", (path,), at) for at, path in enumerate(paths, start=1)]
    return ManifestParser(f"manifest-{name}.txt"), iter(entries)


def shuffled(paths: list[str]) -> list[str]:
    return random.Random(3).sample(paths, len(paths))


def test_lines_of_manifests_in_the_same_order_come_file_by_file() -> None:
    found = list(merging.batches([manifest("md5", PATHS), manifest("sha256", PATHS)], 500))
    assert len(found) == 10
    for batch in found:
        assert set(Counter(line[1].raw_path for line in batch).values()) == {2}


@pytest.mark.parametrize("order", [shuffled, lambda paths: paths[::-1], lambda paths: paths[7:]])
def test_every_line_comes_once_whatever_the_order(
    order: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "HELD_LINES", 700)
    other = order(PATHS)  # type: ignore[operator]
    given = [manifest("md5", PATHS), manifest("sha1", other), manifest("sha256", [])]
    found = [line for batch in merging.batches(given, 500) for line in batch]
    for parser, paths in ((given[0][0], PATHS), (given[1][0], other)):
        came = [line[1].raw_path for line in found if line[0] is parser]
        assert sorted(came) == sorted(paths)
    assert len(found) == len(PATHS) + len(other)


def test_a_file_listed_twice_in_a_manifest_keeps_the_order_of_its_lines() -> None:
    given = [
        manifest("md5", ["data/a", "data/b"]),
        manifest("sha1", ["data/b", "data/a", "data/b"]),
    ]
    found = [line for batch in merging.batches(given, 1) for line in batch]
    came = [e.line for p, e in found if p is given[1][0] and e.raw_path == "data/b"]
    assert came == [1, 3]


def test_lines_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "HELD_LINES", 700)
    drawn = 0

    def counted(entries: Iterator[ManifestEntry]) -> Iterator[ManifestEntry]:
        nonlocal drawn
        for entry in entries:
            drawn += 1
            yield entry

    parser, entries = manifest("sha1", PATHS[::-1])
    given = 0
    for batch in merging.batches([manifest("md5", PATHS), (parser, counted(entries))], 500):
        given += sum(line[0] is parser for line in batch)
        assert drawn - given <= 700 + 500
