"""SIGTERM in the middle of each stage: gone within seconds, and another worker goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.embedded import stop_engines
from bagline.lines.ingest.line import INGEST_LINE, Step
from bagline.model.registry import IntellectualObject
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from support.bags import BagBuilder
from support.commands import Bagline, until

pytestmark = pytest.mark.engines

FILES = 3000
EXIT_SECONDS = 10.0
BEGIN_SECONDS = 30.0


class Walk:
    """One bag that goes down the line, a stage at a time, by workers of one stage each."""

    def __init__(self, bagline: Bagline, app: App, item_id: int) -> None:
        self.bagline = bagline
        self.app = app
        self.item_id = item_id

    def item(self) -> WorkItem:
        found = self.app.services.registry.work_item(self.item_id)
        assert found is not None
        return found

    def is_at(self, step: Step) -> bool:
        return self.item().stage == step.work_stage and not self.item().is_completed

    def is_past(self, step: Step) -> bool:
        item = self.item()
        return item.is_completed or INGEST_LINE.is_past(step, item.stage)

    def bring_to(self, step: Step) -> None:
        """Where a test is run alone, the stages before it come first."""
        for earlier in INGEST_LINE:
            if self.is_at(step):
                return
            self.finish(earlier)

    def finish(self, step: Step) -> None:
        with self.working(step) as worker:
            until(lambda: self.is_past(step), f"{step.name} to end: {self.item()}", seconds=60)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(EXIT_SECONDS) == 0

    @contextmanager
    def working(self, step: Step) -> Iterator[subprocess.Popen[bytes]]:
        with self.bagline.running("worker", step.name) as worker:
            yield worker

    def stop_in(self, step: Step) -> subprocess.Popen[bytes]:
        """SIGTERM to a worker that has just begun; it stands still until that is sent."""
        with self.working(step) as worker:
            deadline = time.monotonic() + BEGIN_SECONDS
            while self.item().pid != worker.pid:
                assert not self.is_past(step), "the stage was over too soon: more files"
                assert time.monotonic() < deadline, f"{step.name} did not begin: {self.item()}"
            worker.send_signal(signal.SIGSTOP)
            assert self.item().status == "Started", "the stage was over too soon: more files"
            worker.send_signal(signal.SIGTERM)
            worker.send_signal(signal.SIGCONT)
            worker.wait(EXIT_SECONDS)
        return worker


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("sigterm")
    bagline = Bagline(folder / "data")
    chance = random.Random(6)
    bag = BagBuilder("bag")
    for number in range(FILES):
        bag.payload(f"{number:04d}.bin", chance.randbytes(500))
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        depositor = app.ensure_institution("test.edu")
        # An ingest that was given up before its files were recorded: now each of them is looked at.
        app.services.registry.save_intellectual_object(
            IntellectualObject(
                access="institution",
                identifier="test.edu/bag",
                institution_id=depositor.id,
                state="A",
                storage_option="Standard",
                title="A bag",
            )
        )
        item = app.ingest(bag.write(folder / "bag.tar"), depositor.identifier)
        yield Walk(bagline, app, item.id)
    stop_engines(bagline.data_dir)


@pytest.mark.parametrize("step", list(INGEST_LINE), ids=lambda step: step.name)
def test_the_item_goes_back_and_another_worker_finishes_it(walk: Walk, step: Step) -> None:
    walk.bring_to(step)
    worker = walk.stop_in(step)
    assert worker.returncode == 0
    back = walk.item()
    assert (back.stage, back.status, back.retry) == (step.work_stage, "Pending", True)
    assert (back.node, back.pid) == ("", 0)
    assert back.note.startswith("Handed back"), back.note
    assert walk.app.services.state.lease_owner(item_subject(back.id)) == ""
    walk.finish(step)
    assert walk.item().status == ("Success" if step is INGEST_LINE.cleanup else "Pending")
