"""Digests of the parts of large files, for copies that a store makes part by part."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile

from bagline.bagit.scan import BagScan, ScannedFile

PART_BYTES = 1_000_000
LARGE = random.Random(3).randbytes(2_500_001)


def a_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in (("small.bin", LARGE[:500_000]), ("large.bin", LARGE)):
            info = tarfile.TarInfo(f"bag/data/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("bag/data/link.bin")
        link.type, link.linkname = tarfile.LNKTYPE, "bag/data/large.bin"
        tar.addfile(link)
    return out.getvalue()


def scanned(part_bytes: int) -> dict[str, ScannedFile]:
    tar = a_tar()
    chunks = (tar[at : at + 100_000] for at in range(0, len(tar), 100_000))
    scan = BagScan(chunks, length=len(tar), part_bytes=part_bytes)
    return {file.path: file for file in scan.files()}


def test_a_file_above_the_part_size_has_the_digests_of_each_part() -> None:
    files = scanned(PART_BYTES)
    span = files["data/large.bin"].span
    parts = [LARGE[at : at + PART_BYTES] for at in range(0, len(LARGE), PART_BYTES)]
    assert len(parts) == 3
    assert span.part_sha256 == tuple(hashlib.sha256(part).hexdigest() for part in parts)
    assert span.part_md5 == tuple(hashlib.md5(part).hexdigest() for part in parts)
    assert files["data/large.bin"].digests["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_a_hard_link_has_its_targets_parts() -> None:
    files = scanned(PART_BYTES)
    assert files["data/link.bin"].span == files["data/large.bin"].span


def test_files_up_to_the_part_size_have_none() -> None:
    for part_bytes, name in ((PART_BYTES, "small"), (len(LARGE), "large"), (0, "large")):
        span = scanned(part_bytes)[f"data/{name}.bin"].span
        assert (span.part_sha256, span.part_md5) == ((), ())
