"""One pass: digests, places, taps, links, duplicates, and going on from a checkpoint."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from itertools import islice

import msgspec
import pytest

from bagline import problems
from bagline.bagit.paths import Role
from bagline.bagit.scan import BagScan, ByteSink, ScanCheckpoint, ScannedFile
from bagline.errors import BagRejected, Unreachable
from bagline.model.ingest import DIGEST_ALGORITHMS
from support.bags import END, BagBuilder, chunked, extension, header, padded, valid_bag


def scan_of(raw: bytes, chunk: int = 1000, **options: object) -> BagScan:
    return BagScan(chunked(raw, chunk), length=len(raw), **options)  # type: ignore[arg-type]


def big_bag() -> BagBuilder:
    """Small files in batches and large ones in lanes, mixed."""
    bag = valid_bag()
    for number in range(40):
        size = 400_000 if number % 13 == 5 else number * 37
        bag.payload(f"{number}", bytes([number]) * size)
    return bag


def test_every_file_has_four_digests_and_its_place_in_the_tar() -> None:
    bag = big_bag()
    raw = bag.tar()
    files = list(scan_of(raw).files())
    assert [file.path for file in files] == list(bag.files())
    for file, data in zip(files, bag.files().values(), strict=True):
        assert list(file.digests) == list(DIGEST_ALGORITHMS)
        for name, digest in file.digests.items():
            assert digest == hashlib.new(name, data).hexdigest()
        span = file.span
        assert raw[span.data_offset : span.data_offset + span.stored_bytes] == data
        assert file.modified == "2023-11-14T22:13:20Z"
    assert files[0].role is Role.TAG
    assert files[-1].role is Role.TAG_MANIFEST


@pytest.mark.parametrize("chunk", [1, 511, 512, 5000, 1 << 22])
def test_the_size_of_chunks_does_not_matter(chunk: int) -> None:
    raw = valid_bag().tar()
    assert list(scan_of(raw, chunk).files()) == list(scan_of(raw).files())


def test_the_number_of_cores_does_not_matter() -> None:
    raw = big_bag().tar()
    expected = list(scan_of(raw, cores=1).files())
    for cores in (2, 3, 4, 8):
        assert list(scan_of(raw, cores=cores).files()) == expected


class Sink:
    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: memoryview, /) -> None:
        assert not self.closed
        self.data += data

    def close(self) -> None:
        self.closed = True


def test_a_tap_receives_the_bytes_it_wants_before_the_file_is_yielded() -> None:
    bag = big_bag()
    sinks: dict[str, Sink] = {}

    def tap(path: str, role: Role, size: int) -> ByteSink | None:
        if role is Role.PAYLOAD and size < 300_000:
            return None
        return sinks.setdefault(path, Sink())

    for file in scan_of(bag.tar(), tap=tap).files():
        if file.role is not Role.PAYLOAD:
            assert sinks[file.path].closed
    assert {path: sink.data for path, sink in sinks.items()} == {
        path: data
        for path, data in bag.files().items()
        if not path.startswith("data/") or len(data) > 300_000
    }


def test_a_hard_link_takes_digests_size_and_bytes_of_its_target() -> None:
    raw = valid_bag().hard_link("data/copy", "data/photo.tif").tar()
    files = {file.path: file for file in scan_of(raw).files()}
    copy, original = files["data/copy"], files["data/photo.tif"]
    assert (copy.digests, copy.size, copy.span) == (
        original.digests,
        original.size,
        original.span,
    )


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("bag/data/absent", "stands before it"),
        ("elsewhere/data/a", "outside the bag"),
        ("../etc/passwd", "leads out"),
        ("bag/data/s", "symbolic link"),
    ],
)
def test_a_hard_link_to_nowhere_is_a_problem(target: str, reason: str) -> None:
    raw = valid_bag().symlink("data/s", "x").member("bag/data/l", kind=b"1", link=target).tar()
    scan = scan_of(raw)
    assert "data/l" not in [file.path for file in scan.files()]
    [problem] = [p for p in scan.problems if p.code == problems.LINK_TARGET_MISSING.code]
    assert reason in problem.message


def test_a_manifest_that_is_a_hard_link_has_no_bytes_to_read() -> None:
    raw = header(b"bag/data/a", 2) + padded(b"hi")
    raw += header(b"bag/manifest-md5.txt", 0, b"1", link=b"bag/data/a") + END
    scan = scan_of(raw)
    assert len(list(scan.files())) == 2
    assert [p.code for p in scan.problems] == [problems.LINKED_TAG_FILE.code]


def test_symlinks_devices_and_fifos_are_skipped_and_remembered() -> None:
    bag = valid_bag().symlink("data/s", "x").fifo("data/f")
    scan = scan_of(bag.member("bag/data/c", kind=b"3").member("bag/data/b", kind=b"4").tar())
    assert len(list(scan.files())) == len(bag.files())
    assert scan.special_entries == {
        "data/s": "symbolic link",
        "data/f": "named pipe (FIFO)",
        "data/c": "character device",
        "data/b": "block device",
    }
    assert {p.severity for p in scan.problems} == {"warning"}


def test_the_same_path_twice_is_one_file_if_the_bytes_are_equal() -> None:
    bag = valid_bag()
    raw = bag.member("bag/data/letters/1.txt", b"Dear Ada\n").tar()
    scan = scan_of(raw)
    assert len(list(scan.files())) == len(bag.files())
    assert scan.problems == [problems.DUPLICATE_SAME.about("data/letters/1.txt")]


def test_the_same_path_twice_with_other_bytes_is_a_problem() -> None:
    raw = valid_bag().member("bag/data/letters/1.txt", b"Dear Eve\n").tar()
    scan = scan_of(raw)
    list(scan.files())
    [problem] = scan.problems
    assert (problem.code, problem.severity) == (problems.DUPLICATE_DIFFERS.code, "error")


def test_a_tag_file_that_stands_twice_is_tapped_once() -> None:
    raw = valid_bag().tar()
    body = valid_bag().files()["bag-info.txt"]
    raw = valid_bag().member("bag/bag-info.txt", body).tar()
    offered: list[str] = []
    list(scan_of(raw, tap=lambda path, role, size: offered.append(path) or Sink()).files())
    assert offered.count("bag-info.txt") == 1


def checkpoints(raw: bytes) -> Iterator[tuple[list[ScannedFile], ScanCheckpoint]]:
    """After every file: what was yielded so far, and the checkpoint there, through JSON."""
    scan = scan_of(raw)
    seen: list[ScannedFile] = []
    for file in scan.files():
        seen.append(file)
        stored = msgspec.json.encode(scan.checkpoint())
        yield list(seen), msgspec.json.decode(stored, type=ScanCheckpoint)


def test_a_scan_goes_on_from_every_checkpoint_as_if_it_had_not_stopped() -> None:
    bag = big_bag().symlink("data/s", "x").hard_link("data/h", "data/3").payload("z/last")
    bag.member("bag/data/3", b"other").member("stray/x").member("stray/y").member(
        "bag/data/caf\udce9"
    )
    bag.member("stray/z").hard_link("data/h2", "data/gone").member("bag/data/4", bytes([4]) * 148)
    raw = bag.tar()
    whole = scan_of(raw)
    expected = list(whole.files())
    assert len(whole.problems) == 6
    for seen, at in checkpoints(raw):
        rest = BagScan(
            chunked(raw[at.next_offset :], 3000), length=len(raw), resume=at, known=iter(seen)
        )
        assert seen + list(rest.files()) == expected
        assert rest.problems == whole.problems
        assert rest.special_entries == whole.special_entries
        assert rest.bytes_read == len(raw)


def test_a_checkpoint_keeps_global_pax_headers_as_they_stood_there() -> None:
    raw = extension(b"g", {"mtime": "1"}) + header(b"bag/a") + header(b"bag/b")
    raw += extension(b"g", {"mtime": "2"}) + header(b"bag/c") + END
    expected = list(scan_of(raw).files())
    for seen, at in checkpoints(raw):
        rest = BagScan([raw[at.next_offset :]], length=len(raw), resume=at, known=seen)
        assert seen + list(rest.files()) == expected


def test_a_resumed_scan_asks_for_the_files_it_must_know() -> None:
    raw = valid_bag().tar()
    _, at = next(checkpoints(raw))
    with pytest.raises(ValueError, match="needs the files"):
        BagScan([], length=len(raw), resume=at)


def test_a_fault_of_the_source_comes_after_the_files_that_were_read() -> None:
    raw = big_bag().tar()
    scan = BagScan(chunked(raw[:100_000], 1000), length=len(raw))
    seen: list[ScannedFile] = []
    with pytest.raises(Unreachable):
        seen += scan.files()
    assert len(seen) > 5
    at = scan.checkpoint()
    assert at.files == len(seen)
    rest = BagScan([raw[at.next_offset :]], length=len(raw), resume=at, known=seen)
    assert seen + list(rest.files()) == list(scan_of(raw).files())


def test_a_rejection_carries_every_problem_found_before_it() -> None:
    raw = valid_bag().symlink("data/s", "x").member("bag/../x").tar()
    cut = raw.rstrip(b"\0")[:-100]
    cut = raw[: len(cut) // 512 * 512] + header(b"bag/data/late", 900) + b"x"
    with pytest.raises(BagRejected) as caught:
        list(scan_of(cut).files())
    codes = [problem.code for problem in caught.value.problems]
    assert codes[-1] == problems.TRUNCATED.code
    assert problems.SPECIAL_SKIPPED.code in codes


def test_a_scan_that_is_given_up_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    files = scan_of(big_bag().tar(), cores=2).files()
    list(islice(files, 12))
    files.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name.startswith("digest-"):
            thread.join(5)
    assert threading.active_count() <= before


def test_a_fault_in_a_tap_reaches_the_caller() -> None:
    class Full(Sink):
        def write(self, data: memoryview, /) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        list(scan_of(valid_bag().tar(), tap=lambda *_: Full()).files())


def test_a_source_of_files_that_are_read_as_they_come() -> None:
    raw = valid_bag().tar()
    stream = io.BytesIO(raw)
    chunks = iter(lambda: stream.read(100), b"")
    scan = BagScan(chunks, length=None)
    assert len(list(scan.files())) == len(valid_bag().files())
    assert scan.bytes_read == len(raw)


def test_a_file_is_yielded_while_the_large_one_after_it_is_being_read() -> None:
    """A checkpoint behind it need not wait for the end of the next."""
    mib = 1024 * 1024
    bag = valid_bag().payload("y", bytes(mib)).payload("z", bytes(96 * mib))
    raw = bag.tar()
    given = 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        for start in range(0, len(raw), mib):
            given = start + mib
            yield raw[start : start + mib]

    scan = BagScan(chunks(), length=len(raw))
    at = {file.path: (given, scan.checkpoint().next_offset) for file in scan.files()}
    end_of_y = raw.index(b"bag/data/z")
    given_then, checkpoint = at["data/y"]
    assert given_then < len(raw) - 32 * mib
    assert checkpoint <= end_of_y
    assert scan.problems == []
