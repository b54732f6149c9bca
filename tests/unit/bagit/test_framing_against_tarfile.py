"""For every tar that Python's `tarfile` reads, the scanner finds the same files."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bagline.bagit.scan import BagScan, ScannedFile
from bagline.errors import BagRejected
from bagline.problems import KINDS, Problem
from support.bags import chunked

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

parts = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda part: part not in (".", ".."))
names = st.lists(parts, min_size=1, max_size=5).map("/".join)
bodies = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 5000).map(lambda n: b"x" * n),
    st.sampled_from([511, 512, 513, 300_000]).map(bytes),
)


def by_tarfile(raw: bytes) -> dict[str, tuple[int, str, str, int]]:
    """Path → size, sha256, seconds, offset of its data, of the last entry of each name."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape") as tar:
        for member in tar:
            if member.isreg() or member.islnk():
                source = tar.extractfile(member)
                assert source is not None
                data = source.read()
                target = member
                while target.islnk():
                    target = tar.getmember(target.linkname)
                path = member.name.partition("/")[2]
                digest = hashlib.sha256(data).hexdigest()
                found[path] = (len(data), digest, str(int(member.mtime)), target.offset_data)
    return found


def by_scan(raw: bytes, chunk: int) -> dict[str, tuple[int, str, str, int]]:
    scan = BagScan(chunked(raw, chunk), length=len(raw), cores=2)
    return {file.path: as_tuple(file) for file in scan.files()}


def as_tuple(file: ScannedFile) -> tuple[int, str, str, int]:
    from bagline.model.times import to_datetime

    seconds = str(int(to_datetime(file.modified).timestamp() // 1))
    return file.size, file.digests["sha256"], seconds, file.span.data_offset


@FEW
@given(
    files=st.dictionaries(names, st.tuples(bodies, st.integers(0, 2**33)), max_size=6),
    format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    linked=st.booleans(),
    chunk=st.sampled_from([1, 500, 512, 4096, 1 << 20]),
)
def test_tars_that_python_writes(files, format: int, linked: bool, chunk: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for number, (name, (data, mtime)) in enumerate(files.items()):
            info = tarfile.TarInfo(f"bag/data/{name}")
            info.size, info.mtime = len(data), mtime
            tar.addfile(info, io.BytesIO(data))
            if linked and number == 0:
                link = tarfile.TarInfo("bag/link")
                link.type, link.linkname, link.mtime = tarfile.LNKTYPE, info.name, mtime
                tar.addfile(link)
    raw = buffer.getvalue()
    if chunk == 1:
        raw, chunk = raw[:60_000], 1
        if len(raw) == 60_000:
            return
    assert by_scan(raw, chunk) == by_tarfile(raw)


@FEW
@given(
    damage=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 12_000),
    format=st.sampled_from(["pax", "gnu", "ustar"]),
)
def test_damage_is_a_problem_or_nothing_never_a_crash(damage, cut: int, format: str) -> None:
    from support.bags import valid_bag

    raw = bytearray(valid_bag().symlink("data/s", "x").tar(format))
    for place, value in damage:
        raw[place] = value
    data = bytes(raw[: len(raw) - cut])
    scan = BagScan(chunked(data, 4096), length=len(data), cores=1)
    try:
        found: list[Problem] = list(scan.files()) and scan.problems
    except BagRejected as fault:
        found = fault.problems
        assert found
    assert all(problem.code in KINDS for problem in found)


GNU_TAR = [
    ["--format=gnu"],
    ["--format=posix"],
    ["--format=oldgnu"],
    ["--format=gnu", "--sparse"],
    ["--format=oldgnu", "--sparse"],
    ["--format=posix", "--sparse", "--sparse-version=0.0"],
    ["--format=posix", "--sparse", "--sparse-version=0.1"],
    ["--format=posix", "--sparse", "--sparse-version=1.0"],
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that makes tars differ."""
    top = tmp_path_factory.mktemp("tree")
    data = top / "bag" / "data"
    deep = data / ("d" * 90) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("long" * 30)).write_text("long")
    (data / "ünï 文書 \n x").write_bytes(b"odd")
    for size in (0, 511, 512, 513, 400_000):
        (data / str(size)).write_bytes(random.Random(size).randbytes(size))
    with (data / "sparse").open("wb") as file:
        for position in range(0, 4_000_000, 131_072):
            file.seek(position)
            file.write(b"x" * 4096)
        file.truncate(4_500_000)
    os.link(data / "513", data / "hard link")
    os.symlink("513", data / "symbolic link")
    os.mkfifo(data / "fifo")
    os.utime(data / "512", ns=(0, 1_700_000_000_123_456_789))
    return top


@pytest.mark.parametrize("options", GNU_TAR, ids=" ".join)
def test_tars_that_gnu_tar_writes(tree: Path, options: list[str]) -> None:
    command = ["tar", "--sort=name", *options, "-cf", "-", "bag"]
    made = subprocess.run(command, cwd=tree, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no GNU tar here: {made.stderr.decode()[:200]}")
    raw = made.stdout
    expected = by_tarfile(raw)
    assert len(expected) == 9
    for chunk in (1000, 1 << 16):
        found = by_scan(raw, chunk)
        # tarfile gives the offset of a sparse file's map where ours is that of its data.
        assert {k: v[:3] for k, v in found.items()} == {k: v[:3] for k, v in expected.items()}
        assert {k: v for k, v in found.items() if k != "data/sparse"} == {
            k: v for k, v in expected.items() if k != "data/sparse"
        }
