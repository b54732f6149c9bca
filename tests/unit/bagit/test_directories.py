"""A path is a file or a directory: where a tar says both, the problem names the path."""

from __future__ import annotations

import itertools

import pytest

from bagline import problems
from bagline.bagit.scan import BagScan, ScanCheckpoint, ScannedFile, directories
from bagline.problems import Problem
from support.bags import END, chunked, header, padded

FILE, FOLDER, LINK, FIFO = b"0", b"5", b"2", b"6"


def scanned(raw: bytes) -> list[Problem]:
    scan = BagScan(chunked(raw), length=len(raw), cores=1)
    for _ in scan.files():
        pass
    return scan.problems


def both(path: str, entry: str = "file") -> Problem:
    return problems.FILE_AND_DIRECTORY.about(path, entry=entry)


CONFLICTS = {
    "file and file below": [(b"data/a", FILE), (b"data/a/b", FILE)],
    "file and file far below": [(b"data/a", FILE), (b"data/a/b/c/d", FILE)],
    "other files between": [
        (b"data/a", FILE),
        *[(b"data/%d/x" % n, FILE) for n in range(5)],
        (b"data/a/b", FILE),
    ],
    "file and named directory": [(b"data/a", FILE), (b"data/a/", FOLDER)],
    "file and named directory, as a file": [(b"data/a", FILE), (b"data/a/", FILE)],
}
IN_TAG_DIRECTORIES = {
    what: [(name.replace(b"data", b"notes"), kind) for name, kind in entries]
    for what, entries in CONFLICTS.items()
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("what", CONFLICTS)
@pytest.mark.parametrize("where", ["data", "notes"])
def test_a_path_that_is_file_and_directory(what: str, where: str, backwards: bool) -> None:
    entries = (CONFLICTS if where == "data" else IN_TAG_DIRECTORIES)[what]
    raw = b"".join(
        header(b"bag/" + name, 0, kind) for name, kind in (entries[::-1] if backwards else entries)
    )
    assert scanned(header(b"bag/data/z") + raw + END) == [both(f"{where}/a")]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("kind", "word"), [(LINK, "symbolic link"), (FIFO, "named pipe (FIFO)")])
def test_a_path_that_is_link_or_pipe_and_directory(kind: bytes, word: str, backwards: bool) -> None:
    entries = [header(b"bag/data/a", 0, kind), header(b"bag/data/a/b")]
    found = scanned(b"".join(entries[::-1] if backwards else entries) + END)
    skipped = problems.SPECIAL_SKIPPED.about("data/a", entry=f"a {word}")
    assert sorted(found, key=lambda p: p.code) == [skipped, both("data/a", word)]


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (header(b"bag/data"), "file"),
        (header(b"bag/data", 0, LINK, link=b"elsewhere"), "symbolic link"),
        (header(b"bag/x") + header(b"bag/data", 0, b"1", link=b"bag/x"), "file"),
    ],
    ids=["file", "symbolic link", "hard link"],
)
def test_data_that_is_no_directory(block: bytes, word: str) -> None:
    found = scanned(header(b"bag/b") + block + END)
    assert problems.DATA_NO_DIRECTORY.about("data", entry=word) in found
    assert both("data", word) in scanned(block + header(b"bag/data/a") + END)


def test_directories_named_often_and_files_in_them_are_no_problem() -> None:
    names = [b"", b"data/", b"data/a/", b"data/a", b"data/a/b/", b"dat/", b"data/ab/", b"data/A/"]
    raw = b"".join(header(b"bag/" + name, 0, FOLDER) for name in names * 2)
    files = [b"data/a/b/c", b"data/a/b/d", b"data/a/x", b"data/ab/c", b"dat/a", b"data2", b"x"]
    assert scanned(raw + b"".join(header(b"bag/" + name) for name in files) + raw + END) == []


def test_another_worker_that_goes_on_finds_the_same() -> None:
    entries = [
        header(b"bag/data/a"),
        header(b"bag/data/e/", 0, FOLDER),
        header(b"bag/data/b/c"),
        header(b"bag/data/l", 0, LINK),
        header(b"bag/data/x", 3) + padded(b"abc"),
        header(b"bag/data/b"),
        header(b"bag/data/a/y"),
        header(b"bag/data/e"),
        header(b"bag/data/l/z"),
    ]
    raw = b"".join(entries) + END
    whole = {problem for problem in scanned(raw) if problem.code == "BAG038"}
    assert {problem.subject for problem in whole} == {"data/a", "data/b", "data/e", "data/l"}
    for stop in range(1, 7):
        first = BagScan(chunked(raw), length=len(raw), cores=1)
        known: list[ScannedFile] = list(itertools.islice(first.files(), stop))
        resume: ScanCheckpoint = first.checkpoint()
        rest = BagScan(
            chunked(raw[resume.next_offset :]),
            length=len(raw),
            resume=resume,
            known=reversed(known),
            cores=1,
        )
        for _ in rest.files():
            pass
        assert {problem for problem in rest.problems if problem.code == "BAG038"} == whole


def test_what_is_known_of_directories_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MOST_DIRECTORIES", 10)
    monkeypatch.setattr(directories, "EMPTY_MOST", 10)
    known = directories.Directories(lambda _: "")
    for number in range(100):
        known.of_file(f"{number}/" + "d/" * 5_000 + "x")
        list(known.named(f"empty/{number}"))
    assert len(known._known) == 10
    assert len(known.empty) == 10
    deep = directories.Directories(lambda _: "")
    monkeypatch.setattr(directories, "MOST_DIRECTORIES", 1_000_000)
    deep.of_file("d/" * 5_000 + "x")
    assert len(deep._known) == directories.DEEPEST
