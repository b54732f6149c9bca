"""Pre-fetch broken off in the middle: what was read whole is kept, and nothing counts twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from msgspec import structs

from bagline.errors import Draining, Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import read_notes
from bagline.lines.ingest.prefetch import PreFetch
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects import reading
from bagline.services.objects.base import PART_COPY_BYTES, ProofMethod, RangeCopy, Target
from bagline.services.objects.s3 import S3Objects
from bagline.services.state.base import FileEntry
from bagline.worker.progress import Progress
from bagline.worker.stage import Done
from support.bags import BagBuilder
from support.line import LineUnderTest
from support.proxy import Fault, Proxy, proxy_before

MIB = 1024 * 1024
FILES = 40
PASSING = Fault(after=1 << 60)


def a_bag() -> BagBuilder:
    bag = BagBuilder()
    for number in range(FILES):
        bag.payload(f"{number:02d}.bin", bytes([number]) * MIB)
    return bag


def through(line: LineUnderTest, proxy: Proxy, *, part_bytes: int = 5 * 1024 * MIB) -> S3Objects:
    s3 = line.settings.s3
    return S3Objects(
        proxy.url,
        access_key=s3.access_key.reveal(),
        secret_key=s3.secret_key.reveal(),
        allow_http=True,
        part_copy_bytes=part_bytes,
    )


def a_job(line: LineUnderTest, item: WorkItem, objects: S3Objects | None = None) -> IngestJob:
    services = line.services if objects is None else replace(line.services, objects=objects)
    lease = services.state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    settings = structs.replace(
        line.settings, work=structs.replace(line.settings.work, checkpoint_bytes=4 * MIB)
    )
    return IngestJob(
        record=item,
        bag=services.state.load_object(item.id),
        institution=line.institution,
        lease=lease,
        services=services,
        settings=settings,
        progress=Progress("pre-fetch"),
    )


def entries(line: LineUnderTest, item: WorkItem) -> dict[str, FileEntry]:
    return {e.file.path_in_bag: e for some in line.services.state.iter_files(item.id) for e in some}


def test_what_was_read_whole_is_saved_before_the_item_goes_back(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RESUME_SECONDS", 0.001)
    bag = a_bag()
    tar = bag.tar()
    item = line.deposit("bag.tar", tar)
    with proxy_before(line.settings.s3.endpoint) as proxy:
        # Windows are asked for side by side, in no order: so the one that breaks is named.
        proxy.faults = [Fault(after=0, on=f"bytes={2 * reading.WINDOW_BYTES}-")] * 200
        objects = through(line, proxy)
        job = a_job(line, item, objects)
        with pytest.raises(Unreachable):
            PreFetch().run(job)
        objects.close()
    notes = read_notes(line.services.state.load_checkpoint(item.id))
    assert notes is not None
    assert notes.scan is not None
    saved = entries(line, item)
    assert 4 <= len(saved) < FILES
    assert len(saved) == notes.scan.files
    # The next file begins where the checkpoint stands: nothing that had come is lost.
    assert notes.scan.next_offset == max(
        e.span.data_offset + e.span.stored_bytes + -e.span.stored_bytes % 512
        for e in saved.values()
        if e.span is not None
    )
    line.services.state.drop_lease(job.lease)
    _goes_on(line, item, bag, len(tar), notes.scan.next_offset)


def _run_whole(job: IngestJob, part_bytes: int = PART_COPY_BYTES) -> None:
    assert isinstance(PreFetch(part_bytes).run(job), Done)
    job.services.state.commit(job.lease, **job.left)


def _goes_on(line: LineUnderTest, item: WorkItem, bag: BagBuilder, size: int, at: int) -> None:
    """The next run reads only the rest, and ends as one uninterrupted run would."""
    read: list[int] = []
    body = reading.Reader._body

    def counted(self, bucket, key, start, length, etag):  # type: ignore[no-untyped-def]
        if self._connection.endpoint.url == line.settings.s3.endpoint:
            read.append(length)
        return body(self, bucket, key, start, length, etag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading.Reader, "_body", counted)
        _run_whole(a_job(line, item))
    assert size - at <= sum(read) < size - at + MIB  # tag files met before come by range
    found = entries(line, item)
    assert set(found) == set(bag.files())
    stored = line.services.state.load_object(item.id)
    assert stored is not None
    assert stored.file_count == len(bag.files())
    assert len(stored.tag_files) == len(set(stored.tag_files))
    assert sorted(stored.manifests) == ["md5", "sha256"]
    for path, contents in bag.files().items():
        kinds = [(c.source, c.algorithm) for c in found[path].file.checksums]
        assert len(kinds) == len(set(kinds))
        assert found[path].file.calculated("sha1") == hashlib.sha1(contents).hexdigest()
        if path.startswith("data/"):
            assert kinds[4:] == [("manifest", "md5"), ("manifest", "sha256")]


def test_a_stopping_worker_leaves_in_the_middle_of_a_file(line: LineUnderTest) -> None:
    size = 48 * MIB
    item = line.deposit("bag.tar", BagBuilder().payload("large.bin", bytes(size)).tar())
    job = a_job(line, item)
    chunks = iter([False] * 3)
    job.stopping = lambda: next(chunks, True)
    read: list[int] = []
    job.progress.at = lambda *, files, bytes: read.append(bytes)  # type: ignore[method-assign]
    with pytest.raises(Draining):
        PreFetch().run(job)
    assert max(read) < size
    notes = read_notes(line.services.state.load_checkpoint(item.id))
    assert notes is not None
    assert notes.scan is not None
    assert notes.scan.files == len(entries(line, item)) == 3  # the tag files before it


def test_one_cut_in_the_middle_is_read_on_at_the_next_byte(line: LineUnderTest) -> None:
    bag = a_bag()
    tar = bag.tar()
    item = line.deposit("bag.tar", tar)
    with proxy_before(line.settings.s3.endpoint) as proxy:
        proxy.faults = [PASSING] * 4 + [Fault(after=3 * MIB)]
        objects = through(line, proxy)
        _run_whole(a_job(line, item, objects))
        assert proxy.faults == []
        objects.close()
    assert set(entries(line, item)) == set(bag.files())


def test_part_digests_prove_a_copy_that_the_store_makes_in_parts(line: LineUnderTest) -> None:
    part_bytes = 5 * MIB
    body = bytes(range(256)) * 4096 * 12
    item = line.deposit("bag.tar", BagBuilder().payload("large.bin", body).tar())
    job = a_job(line, item)
    _run_whole(job, part_bytes)
    entry = entries(line, item)["data/large.bin"]
    assert entry.span is not None
    assert len(entry.span.part_sha256) == len(entry.span.part_md5) == 3
    with proxy_before(line.settings.s3.endpoint) as proxy:
        objects = through(line, proxy, part_bytes=part_bytes)
        copy = RangeCopy(
            source_bucket=item.bucket,
            source_key=item.name,
            etag=item.etag,
            start=entry.span.data_offset,
            length=entry.file.size,
            target=Target(line.settings.buckets.staging, "copy"),
            sha256=entry.file.calculated("sha256"),
            part_sha256=entry.span.part_sha256,
        )
        proof = objects.copy_range(copy)
        objects.close()
    assert proof.how is ProofMethod.STORE_SHA256
    found = line.services.objects.head(line.settings.buckets.staging, "copy")
    assert found.etag.endswith("-3")
