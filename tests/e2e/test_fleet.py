"""A whole fleet: nine workers by their older executables, over NSQ, Redis, PostgreSQL and S3."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from bagline.embedded import EngineAddresses
from bagline.model.registry import Institution
from bagline.services.objects.base import Piece
from support.bags import BagBuilder
from support.fleet import STAGES, Fleet, fleet_running
from support.line import is_kept
from support.tools import Server

pytestmark = [pytest.mark.engines, pytest.mark.long]

BAGS = 50
INSTITUTIONS = ("test.edu", "example.edu", "archive.example.org")
REGISTRY_AWAY_SECONDS = 20.0
IN_WORK_SECONDS = 2.0
OBJECT_EVENTS = {
    "creation": 1,
    "identifier assignment": 1,
    "ingestion": 1,
    "access assignment": 1,
}
FILE_EVENTS = {
    "message digest calculation": 4,
    "ingestion": 1,
    "replication": 1,
    "identifier assignment": 2,
}
PAYLOAD_EVENTS = FILE_EVENTS | {"fixity check": 2}
"""A first ingest of a file that two buckets keep, and of one that two manifests list as well
(contract G)."""


class Deposits:
    """Bags as they were put into the receiving buckets, in turn of the institutions."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chance = random.Random(50)
        self.bags: list[tuple[Institution, BagBuilder]] = []

    def put(self, count: int) -> None:
        for _ in range(count):
            number = len(self.bags)
            bag = BagBuilder(f"bag-{number:02d}").payload("empty", b"")
            for path in ("letters/1.txt", "photo.tif", "ärger/ö ?.bin"):
                bag.payload(path, self._chance.randbytes(self._chance.randrange(1, 20_000)))
            institution = self._fleet.institutions[number % len(INSTITUTIONS)]
            self.bags.append((institution, bag))
            self._fleet.deposit(institution, f"{bag.name}.tar", bag.tar())

    def kept(self) -> dict[str, bytes]:
        """Identifier → bytes of every file that preservation keeps."""
        return {
            f"{institution.identifier}/{bag.name}/{path}": body
            for institution, bag in self.bags
            for path, body in bag.files().items()
            if is_kept(path)
        }


def assert_all_ingested_once(fleet: Fleet, deposits: Deposits, *, seconds: float) -> None:
    count = len(deposits.bags)
    fleet.until(lambda: fleet.ended() == count, f"{count} bags to be ingested", seconds=seconds)
    fleet.until(lambda: not fleet.left_over(), "nothing to be left over", seconds=30)
    items = fleet.items()
    assert Counter(item.status for item in items) == {"Success": count}
    assert len({(item.institution_id, item.name) for item in items}) == count
    assert_objects(fleet, deposits)
    assert_copies(fleet, deposits.kept())


def assert_objects(fleet: Fleet, deposits: Deposits) -> None:
    registry = fleet.app.services.registry
    files = registry.files(list(deposits.kept()))
    assert set(files) == set(deposits.kept())
    for institution, bag in deposits.bags:
        known = registry.intellectual_object(f"{institution.identifier}/{bag.name}")
        assert known is not None
        told = registry.events(object_id=known.id)
        assert Counter(event.event_type for event in told) == OBJECT_EVENTS
    for file in files.values():
        listed = Counter(event.event_type for event in file.premis_events)
        assert listed == events_of(file.identifier), file.identifier
        assert len(file.storage_records) == 2
    count, kept = len(deposits.bags), len(files)
    assert fleet.count("intellectual_objects") == count
    assert fleet.count("generic_files") == kept
    assert fleet.count("storage_records") == 2 * kept
    per_file = sum(sum(events_of(identifier).values()) for identifier in files)
    assert fleet.count("premis_events") == count * sum(OBJECT_EVENTS.values()) + per_file


def events_of(identifier: str) -> dict[str, int]:
    """Expected of a file, by its type."""
    return PAYLOAD_EVENTS if "/data/" in identifier else FILE_EVENTS


def assert_copies(fleet: Fleet, kept: dict[str, bytes]) -> None:
    """Each copy is what the bag held, and there is nothing else."""
    services = fleet.app.services
    uuids = {file.uuid: name for name, file in services.registry.files(list(kept)).items()}
    for bucket in fleet.preservation_buckets:
        assert {info.key for info in services.objects.list(bucket)} == set(uuids)
        found = services.objects.read_many(bucket, [Piece(uuid) for uuid in uuids])
        for name, body in zip(uuids.values(), found, strict=True):
            assert body == kept[name], name


def assert_all_leave(fleet: Fleet) -> None:
    """SIGTERM: every worker ends by itself, with nothing wrong."""
    for member in fleet.members.values():
        member.terminate()
    for name, member in fleet.members.items():
        assert member.wait() == 0, f"{name}:\n{member.tail()}"
        wrong = [e for e in member.events() if e["event"] in ("worker_fault", "stage_fault")]
        assert not wrong, wrong[0]


def test_fifty_bags_are_ingested_once(engines: EngineAddresses, tmp_path: Path) -> None:
    with fleet_running(tmp_path, engines, INSTITUTIONS) as fleet:
        deposits = Deposits(fleet)
        deposits.put(BAGS)
        assert_all_ingested_once(fleet, deposits, seconds=200)
        assert_all_leave(fleet)


def test_the_same_though_everything_restarts_and_one_worker_a_stage_is_killed(
    engines: EngineAddresses, tmp_path: Path
) -> None:
    flags = {"msg_timeout": "5s", "mem_queue_size": "0", "sync_every": "1"}
    with fleet_running(
        tmp_path,
        engines,
        INSTITUTIONS,
        nsqd_flags=flags,
        lease_seconds=6,
        busy_delay_seconds=0.5,
        reconcile_seconds=1,
        reconcile_age_seconds=3,
    ) as fleet:
        deposits = Deposits(fleet)
        wave = BAGS // 5
        deposits.put(wave)
        done(fleet, 1)
        restart(fleet.nsqds[0])
        deposits.put(wave)
        done(fleet, wave // 2)
        restart(fleet.redis)
        deposits.put(wave)
        for executable in STAGES:
            kill_in_work(fleet, executable)
        deposits.put(wave)
        done(fleet, wave)
        fleet.registry.stop()
        time.sleep(REGISTRY_AWAY_SECONDS)
        deposits.put(BAGS - 4 * wave)
        fleet.registry.start()
        done(fleet, 2 * wave)
        restart(fleet.nsqds[1])
        assert_all_ingested_once(fleet, deposits, seconds=200)
        assert_all_leave(fleet)


def restart(server: Server) -> None:
    """As an operator does it: SIGTERM, and started anew."""
    server.stop()
    server.start()


def done(fleet: Fleet, count: int) -> None:
    fleet.until(lambda: fleet.ended() >= count, f"{count} bags to be ingested", seconds=60)


def kill_in_work(fleet: Fleet, executable: str) -> None:
    """kill -9 while the worker has an item in hand, if it comes by one soon; then another."""
    deadline = time.monotonic() + IN_WORK_SECONDS
    while not fleet.holds(executable) and time.monotonic() < deadline:
        time.sleep(0.005)
    fleet.members[executable].kill()
    fleet.members[executable].start()
