"""Manifests of further algorithms in the line: the second read goes on where it stopped, is pinned
to the bag's version, and leaves the wire's records as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from bagline.bagit.profiles import load_profile
from bagline.errors import Draining, Replaced
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import read_notes
from bagline.lines.ingest.prefetch import PreFetch
from bagline.lines.ingest.validator import Validator
from bagline.model.ingest import DIGEST_ALGORITHMS
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, Target
from bagline.services.objects.s3 import S3Objects
from bagline.worker.progress import Progress
from bagline.worker.stage import Done, Outcome, Reject, Stage
from support.bags import BagBuilder, digest_of
from support.line import LineUnderTest

MIB = 1024 * 1024
FILES = 24
NONE = load_profile("none")


def a_bag() -> BagBuilder:
    """Its payload stands before its manifests."""
    bag = BagBuilder(profile="none").manifest("md5", "sha384")
    for number in range(FILES):
        bag.payload(f"{number:02d}.bin", bytes([number]) * MIB)
    return bag


def run(
    line: LineUnderTest,
    item: WorkItem,
    stage: Stage[IngestJob],
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    state = line.services.state
    lease = state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    work = structs.replace(line.settings.work, checkpoint_bytes=4 * MIB)
    job = IngestJob(
        record=item,
        bag=state.load_object(item.id),
        institution=line.institution,
        lease=lease,
        services=line.services,
        settings=structs.replace(line.settings, work=work),
        progress=Progress(stage.name),
        stopping=stopping,
    )
    try:
        outcome = stage.run(job)
        state.commit(lease, **job.left)
        return outcome
    finally:
        state.drop_lease(lease)


def pre_fetch() -> PreFetch:
    return PreFetch(profile_of=lambda _: NONE)


def validator() -> Validator:
    return Validator(profile_of=lambda _: NONE)


def digested(line: LineUnderTest, item: WorkItem) -> dict[str, dict[str, bytes]]:
    paths = [f"data/{number:02d}.bin" for number in range(FILES)]
    return line.services.state.load_digests(item.id, paths)


@pytest.fixture
def read(line: LineUnderTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Where streams begin."""
    begun: list[int] = []
    stream = S3Objects.stream

    def noted(self, bucket, key, *, start=0, length=None, etag=""):  # type: ignore[no-untyped-def]
        assert etag
        begun.append(start)
        return stream(self, bucket, key, start=start, length=length, etag=etag)

    monkeypatch.setattr(S3Objects, "stream", noted)
    return begun


def test_a_second_read_goes_on_after_the_files_that_were_read(
    line: LineUnderTest, read: list[int]
) -> None:
    bag = a_bag()
    item = line.deposit("bag.tar", bag.tar())
    with pytest.raises(Draining):
        run(line, item, pre_fetch(), stopping=lambda: len(digested(line, item)) > 0)
    saved = digested(line, item)
    assert 4 <= len(saved) < FILES
    notes = read_notes(line.services.state.load_checkpoint(item.id))
    assert notes is not None
    assert (notes.finished, notes.further) == (False, [])
    read.clear()
    assert run(line, item, pre_fetch()) == Done()
    offsets = {
        file.path_in_bag: span.data_offset
        for batch in line.services.state.iter_files(item.id)
        for file, span in batch
        if span is not None and file.path_in_bag.startswith("data/")
    }
    of_payload = [start for start in read if start in offsets.values()]
    assert of_payload == [offsets[min(offsets.keys() - saved.keys())]]
    for path, digests in digested(line, item).items():
        assert digests["sha384"].hex() == digest_of("sha384", bag.files()[path])
    assert len(digested(line, item)) == FILES
    assert run(line, item, validator()) == Done(warnings=[])


def test_the_wires_records_know_nothing_of_further_digests(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    assert run(line, item, pre_fetch()) == Done()
    for batch in line.services.state.iter_files(item.id):
        for file, _ in batch:
            calculated = [c.algorithm for c in file.checksums if c.source == "ingest"]
            assert calculated == list(DIGEST_ALGORITHMS)


def test_a_manifest_before_its_files_is_verified_without_a_second_read(
    line: LineUnderTest, read: list[int]
) -> None:
    bag = BagBuilder(profile="none").payload("a", b"a").tag_manifest()
    lines = f"{digest_of('sha384', b'a')}  data/a\n{'ab' * 48}  data/b\n"
    bag.tag_file("manifest-sha384.txt", lines.encode()).payload("b", b"b")
    item = line.deposit("bag.tar", bag.tar())
    assert run(line, item, pre_fetch()) == Done()
    assert read == [0]
    outcome = run(line, item, validator())
    assert isinstance(outcome, Reject)
    assert [(p.code, p.subject) for p in outcome.problems] == [("BAG081", "data/b")]


def test_an_item_that_the_last_release_read_is_seen_to_by_the_validator(
    line: LineUnderTest,
) -> None:
    item = line.deposit("bag.tar", a_bag().wrong_digest("data/07.bin", "sha384").tar())
    assert run(line, item, pre_fetch()) == Done()
    state = line.services.state
    notes = read_notes(state.load_checkpoint(item.id))
    assert notes is not None
    notes.further = []
    lease = state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    state.save_digests(lease, {path: {} for path in digested(line, item)})
    state.commit(lease, checkpoint=notes.encoded())
    state.drop_lease(lease)
    outcome = run(line, item, validator())
    assert isinstance(outcome, Reject)
    assert [(p.code, p.subject) for p in outcome.problems] == [("BAG081", "data/07.bin")]


def test_a_bag_that_was_replaced_before_its_second_read_is_not_mixed_with_the_first(
    line: LineUnderTest,
) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    with pytest.raises(Draining):
        run(line, item, pre_fetch(), stopping=lambda: len(digested(line, item)) > 0)
    other = a_bag().payload("more", b"x").tar()
    line.services.objects.put(Body(Target(bucket=item.bucket, key=item.name), other))
    with pytest.raises(Replaced):
        run(line, item, pre_fetch())
