"""Two thousand damages to good bags: bagit-python, `bagline check` and the line say the same, or a
clause of RFC 8493 says why not."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from bagline.bagit.check import check_bag
from bagline.bagit.profiles import load_profile
from bagline.embedded import EngineAddresses
from bagline.problems import ERROR
from support.bagit_python import LENIENT, STRICTER, Bag, Reason, reasons, verdict
from support.bags import chunked
from support.damage import DAMAGES, Files, good_bag, with_tag_manifests_made_anew
from support.line import LineUnderTest, line_under_test
from support.two_ways import by_check, by_line

BAGS = 2_000
"""A bag takes the line some eighty milliseconds."""
AT_ONCE = 4
NONE = load_profile("none")
DOC = Path(__file__).parents[2] / "docs" / "decisions" / "bagit-python-differs.md"


class Damaged(NamedTuple):
    """How the bag came to be, to make it again; and its files."""

    seed: int
    damages: list[tuple[str, int]]
    tag_manifests_made_anew: bool

    def files(self) -> Files:
        files = good_bag(Random(self.seed))
        for place, (name, seed) in enumerate(self.damages):
            DAMAGES[name](files, Random(f"{self.seed} {place} {seed}"))
        if self.tag_manifests_made_anew:
            with_tag_manifests_made_anew(files)
        return files


def damaged_bags(seed: int, count: int) -> Iterator[Damaged]:
    random = Random(seed)
    for _ in range(count):
        names = random.choices(sorted(DAMAGES), k=random.randint(1, 3))
        damages = [(name, random.getrandbits(32)) for name in names]
        yield Damaged(random.getrandbits(32), damages, random.random() < 0.5)


def tar_of(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(f"bag/{path}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def bags() -> list[Damaged]:
    """The same in every run."""
    return [*damaged_bags(0, BAGS)]


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Room for bags that are unpacked, in memory where that can be."""
    memory = Path("/dev/shm")
    room = memory / f"bagline-{os.getpid()}" if memory.is_dir() else tmp_path / "bags"
    room.mkdir()
    yield room
    shutil.rmtree(room)


def test_every_good_bag_is_good_for_both(folders: Path) -> None:
    for seed in range(100):
        files = good_bag(Random(seed))
        assert verdict(files, folders / str(seed)) == ""
        assert by_check(tar_of(files), NONE) == []


def test_bagit_python_and_check_agree_or_a_clause_says_why(
    bags: list[Damaged], folders: Path
) -> None:
    alike = 0
    for number, damaged in enumerate(bags):
        files = damaged.files()
        theirs = verdict(files, folders / str(number))
        shutil.rmtree(folders / str(number))
        raw = tar_of(files)
        report = check_bag(chunked(raw), len(raw), NONE)
        errors = {p.code for p in report.problems if p.severity == ERROR}
        if bool(theirs) == bool(errors):
            alike += 1
            continue
        why = reasons(Bag(files), errors, theirs)
        assert why, (damaged, theirs, [p.message for p in report.problems])
    assert alike > BAGS * 0.75


@pytest.mark.parametrize("reason", [*STRICTER, *LENIENT], ids=lambda reason: reason.name)
def test_no_reason_is_for_nothing(reason: Reason, folders: Path) -> None:
    """Some bag with just these damages shows it."""
    for seed in range(400):
        anew = bool(seed % 2)
        files = Damaged(seed, [(name, seed) for name in reason.by], anew).files()
        theirs = verdict(files, folders / str(seed))
        raw = tar_of(files)
        report = check_bag(chunked(raw), len(raw), NONE)
        errors = {p.code for p in report.problems if p.severity == ERROR}
        differs = bool(theirs) != bool(errors)
        if differs and reason in reasons(Bag(files), errors, theirs):
            return
    pytest.fail("no bag shows it")


def test_the_reasons_stand_among_the_decisions() -> None:
    text = DOC.read_text("utf-8")
    rows = [[cell.strip() for cell in row.split("|")] for row in text.splitlines()]
    told = {row[1]: row[2] for row in rows if len(row) > 3}
    for reason in (*STRICTER, *LENIENT):
        assert told[reason.name] == reason.clause


@pytest.fixture(scope="module")
def line(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path_factory.mktemp("damages")) as line:
        yield line


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", [8, pytest.param(1, marks=pytest.mark.long)])
def test_check_and_the_line_agree_on_all(
    bags: list[Damaged], line: LineUnderTest, share: int
) -> None:
    """On every eighth; on all where tests have time."""

    def differs(numbered: tuple[int, Damaged]) -> Damaged | None:
        number, damaged = numbered
        raw, name = tar_of(damaged.files()), f"bag{number}"
        return None if by_line(line, raw, NONE, name) == by_check(raw, NONE, name) else damaged

    some = list(itertools.islice(enumerate(bags), 0, None, share))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [damaged for damaged in pool.map(differs, some) if damaged is not None]
    assert len(some) == BAGS // share
    assert found == []
