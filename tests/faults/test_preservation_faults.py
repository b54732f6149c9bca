"""Preservation while one of two stores fails: what both have of a file is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bagline.errors import Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preservation import FILES_IN_HAND, PreservationUploader
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.s3 import S3Objects
from bagline.worker.progress import Progress
from bagline.worker.stage import Done
from support.bags import BagBuilder
from support.counting import ELSEWHERE, second_provider
from support.line import LineUnderTest, is_kept
from support.proxy import SLOW_DOWN, Fault, Proxy

FILES = 2 * FILES_IN_HAND
BEFORE = 5
"""Steps."""


@contextmanager
def a_job(line: LineUnderTest, item: WorkItem, proxy: Proxy) -> Iterator[IngestJob]:
    """As a worker has it whose requests to the second store are not tried again."""
    s3, services = line.settings.s3, line.app.services
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    there = S3Objects(proxy.url, *keys, allow_http=True)
    there.abilities(line.preservation_buckets()[1])
    lease = services.state.take_lease(item_subject(item.id), owner="test", seconds=60)
    assert lease is not None
    yield IngestJob(
        record=item,
        bag=services.state.load_object(item.id),
        institution=line.institution,
        lease=lease,
        services=replace(services, elsewhere={ELSEWHERE: there}),
        settings=line.settings,
        progress=Progress("preservation"),
    )
    services.state.drop_lease(lease)
    there.close()


def sent(proxy: Proxy) -> set[str]:
    """Keys that the second store was given."""
    puts = (line.split(" ")[1] for line in proxy.lines if line.startswith("PUT"))
    return {path.rpartition("/")[2] for path in puts}


def test_one_store_that_fails_costs_no_more_than_the_files_in_hand(line: LineUnderTest) -> None:
    bag = BagBuilder()
    for number in range(FILES):
        bag.payload(f"{number:03d}.txt", b"%d\n" % number)
    with second_provider(line) as proxy:
        item = line.deposit("bag.tar", bag.tar())
        with line.working(only=tuple(step.name for step in [*line.app.ingest_line][:BEFORE])):
            line.until(lambda: line.item(item.id).stage == "Store", "the stage", item=item.id)
        with a_job(line, item, proxy) as job:
            fine = [Fault(after=1 << 60, on="PUT") for _ in range(FILES - 1)]
            proxy.faults = [*fine, Fault(instead=SLOW_DOWN, on="PUT")]
            with pytest.raises(Unreachable):
                PreservationUploader().run(job)
        files = [file for path, file in line.files(item.id).items() if is_kept(path)]
        kept = {file.uuid for file in files if len(file.storage_records) == 2}
        assert all(len(file.storage_records) in (0, 2) for file in files)
        assert FILES - 1 - FILES_IN_HAND <= len(kept) < len(files)
        proxy.faults, proxy.lines[:] = [], []
        with a_job(line, item, proxy) as job:
            proxy.lines[:] = []
            assert isinstance(PreservationUploader().run(job), Done)
        assert sent(proxy) == {file.uuid for file in files} - kept
