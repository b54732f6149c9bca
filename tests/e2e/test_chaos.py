"""Sixty kills, stops and restarts while three institutions send twenty bags: nothing is lost,
nothing done twice, nothing left.

The seed is printed. Settings, by the environment: CHAOS_SEED plays a known one again;
CHAOS_MINUTES goes on with the seeds after it until so many minutes are over.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.embedded import Engines, stop_engines
from bagline.errors import BaglineError, Refused
from bagline.wiring import open_registry
from support.bags import BagBuilder
from support.commands import Bagline, until
from support.deposits import INSTITUTIONS, PRESERVATION, Depositors, twenty_bags
from support.hands import Hands
from support.havoc import LEASE_SECONDS, Havoc
from support.judge import Judge, Picture, differences
from support.restoring import contents, verdict

MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
SEED = int(os.environ.get("CHAOS_SEED") or 2)
ROUND_SECONDS = 420
QUIET_SECONDS = 120.0
"""After the last fault and the last upload all must be at rest within so long."""
BETWEEN_SECONDS = (0.1, 1.6)
"""Faults follow each other; some while the one before is not healed."""
LAST_UPLOAD_AT = 50
"""So many faults are played before the last upload is due."""

UP = [part for name in INSTITUTIONS for part in ("--institution", name)]
BRISK = {
    "BAGLINE_WORK_POLL_SECONDS": "0.5",
    "BAGLINE_WORK_LEASE_SECONDS": str(LEASE_SECONDS),
    "BAGLINE_WORK_RECONCILE_SECONDS": "2",
    "BAGLINE_WORK_RECONCILE_AGE_SECONDS": "5",
    "BAGLINE_WORK_BUSY_DELAY_SECONDS": "0.5",
    "BAGLINE_WORK_EARLIER_BAG_DELAY_SECONDS": "2",
}
"""As the line always goes, only with shorter waits."""
OUR_FAULTS = ("stage_fault", "worker_fault", "Traceback (most recent call last)")

pytestmark = [pytest.mark.timeout(ROUND_SECONDS * 2 + MINUTES * 60), pytest.mark.long]


@pytest.fixture(scope="module", autouse=True)
def _brisk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in BRISK.items():
            patch.setenv(name, value)
        yield


@contextmanager
def a_house(folder: Path) -> Iterator[Bagline]:
    """A data directory whose processes are all gone afterwards."""
    folder.mkdir()
    bagline = Bagline(folder / "data")
    try:
        yield bagline
    finally:
        until(lambda: _are_stopped(bagline.data_dir), "whoever uses the engines to leave")
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if _names(p, folder)]
    assert left == []


def _names(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in part for part in process.info["cmdline"] or ())


def settle(depositors: Depositors, judge: Judge) -> None:
    """Send the rest, then wait until all is at rest."""

    def is_sent() -> bool:
        depositors.send(depositors.total)
        return depositors.sent == depositors.total

    until(is_sent, "every bag to be sent", seconds=QUIET_SECONDS)
    deadline = time.monotonic() + QUIET_SECONDS
    while unrest := judge.unsettled():
        assert time.monotonic() < deadline, "not at rest:\n" + "\n".join(unrest)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hands, Picture]]:
    """The same bags in a data directory where nothing happened; its picture."""
    with a_house(tmp_path_factory.mktemp("calm") / "house") as bagline:
        hands = Hands(bagline.data_dir)
        depositors = Depositors(hands, twenty_bags(), random.Random(0))
        judge = Judge(hands, depositors.deposits)
        with bagline.running("up", *UP) as up:
            until(hands.answers, "the engines to answer")
            settle(depositors, judge)
            assert judge.findings() == []
            picture = judge.picture()
            assert bagline.run("down").returncode == 0
            assert up.wait(timeout=30) == 0
        yield hands, picture


def test_sixty_faults_change_nothing(calm: tuple[Hands, Picture], tmp_path: Path) -> None:
    _, undisturbed = calm
    ends = time.monotonic() + MINUTES * 60
    seed = SEED
    while True:
        print(f"CHAOS_SEED={seed}", flush=True)
        with a_house(tmp_path / str(seed)) as bagline:
            one_round(bagline, seed, undisturbed)
        seed += 1
        if time.monotonic() > ends:
            return


def _are_stopped(data_dir: Path) -> bool:
    """Whether the engines are; not while a process that was told to end still uses them."""
    try:
        stop_engines(data_dir)
    except Refused:
        return False
    return True


def one_round(bagline: Bagline, seed: int, undisturbed: Picture) -> None:
    chance = random.Random(seed)
    hands = Hands(bagline.data_dir)
    depositors = Depositors(hands, twenty_bags(), chance)
    judge = Judge(hands, depositors.deposits)
    with Havoc(bagline, chance, *UP) as havoc:
        try:
            until(hands.answers, "the engines to answer")
            for number, card in enumerate(havoc.deck(), 1):
                depositors.send(depositors.total * number // LAST_UPLOAD_AT)
                time.sleep(chance.uniform(*BETWEEN_SECONDS))
                havoc.play(card)
            print(f"sent under fire: {depositors.sent} of {depositors.total}")
            settle(depositors, judge)
            assert judge.findings() == []
            assert differences(undisturbed, judge.picture()) == []
            assert list(hands.log_lines(*OUR_FAULTS)) == []
            assert havoc.up.pid
            down = bagline.run("down")
            assert down.returncode == 0, down.stderr
        finally:
            print("\n".join(havoc.played))


# -- and out again


ASKED_EVERY = 3
"""Faults between two requests."""
LARGE = bytes(range(256)) * 4096 * 12


def preserved_bags(bagline: Bagline, folder: Path) -> dict[str, BagBuilder]:
    """By the identifiers of their objects."""
    made = {
        name: BagBuilder(name)
        .payload("letter.txt", name.encode())
        .payload("large.bin", LARGE + name.encode())
        .payload("more.bin", LARGE[number:])
        for number, name in enumerate(("diary", "maps", "scores"))
    }
    paths = [bag.write(folder / f"{name}.tar") for name, bag in made.items()]
    ended = bagline.run("ingest", *paths, "--institution", INSTITUTIONS[0])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {f"{INSTITUTIONS[0]}/{name}": bag for name, bag in made.items()}


def asked(bagline: Bagline, identifier: str) -> int:
    """The id of a request for it; 0 where it cannot be made just now."""
    settings = load_settings(data_dir=bagline.data_dir)
    with suppress(BaglineError), App.open_running(settings) as app:
        return app.ask_for_restoration(identifier).id if app is not None else 0
    return 0


def test_sixty_faults_change_nothing_of_what_comes_out(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with a_house(tmp_path / "out") as bagline:
        bags = preserved_bags(bagline, tmp_path)
        hands, requests = Hands(bagline.data_dir), set[int]()
        with Havoc(bagline, chance, *UP) as havoc:
            try:
                until(hands.answers, "the engines to answer")
                for number, card in enumerate(havoc.deck()):
                    if number % ASKED_EVERY == 0:
                        requests.add(asked(bagline, chance.choice(list(bags))))
                    time.sleep(chance.uniform(*BETWEEN_SECONDS))
                    havoc.play(card)
                requests.discard(0)
                until(lambda: _are_done(bagline, requests), "the ends", seconds=QUIET_SECONDS)
                _assert_out(bagline, hands, bags, requests)
                assert bagline.run("down").returncode == 0
            finally:
                print("\n".join(havoc.played))


def _are_done(bagline: Bagline, requests: set[int]) -> bool:
    with open_registry(load_settings(data_dir=bagline.data_dir)) as registry:
        items = [registry.work_item(number) for number in requests]
    return all(item is not None and item.is_completed for item in items)


def _assert_out(
    bagline: Bagline, hands: Hands, bags: dict[str, BagBuilder], requests: set[int]
) -> None:
    assert len(requests) >= 6
    with App.open_running(load_settings(data_dir=bagline.data_dir)) as app:
        assert app is not None
        registry, objects = app.services.registry, app.services.objects
        items = [registry.work_item(number) for number in sorted(requests)]
        assert {item.status for item in items if item} == {"Success"}, items
        depositor = registry.institution(INSTITUTIONS[0])
        assert depositor is not None
        for identifier in {item.object_identifier for item in items if item}:
            tar = objects.read(depositor.restore_bucket, f"{identifier}.tar")
            assert verdict(tar, bags[identifier].name, "aptrust").problems == []
            found = contents(tar)
            for path, data in bags[identifier].files().items():
                if path.startswith("data/"):
                    assert found[path] == data, (identifier, path)
        assert objects.abort_uploads(depositor.restore_bucket, "") == 0

    def is_clean() -> bool:
        return not any(app_keys(hands, number) for number in requests)

    until(is_clean, "no record of a request to be left", seconds=30)
    assert list(hands.log_lines(*OUR_FAULTS)) == []


def app_keys(hands: Hands, number: int) -> list[str]:
    keys = (key.decode() for key in hands.redis().scan_iter())
    return [key for key in keys if re.search(rf"(^|[^0-9]){number}($|[^0-9])", key)]


# -- the judge itself

Undo = Callable[[], None]


def _first(hands: Hands, query: str) -> str:
    return str(hands.rows(query)[0][0])


def lost_copy(hands: Hands) -> tuple[Undo, str]:
    uuid = _first(hands, "SELECT uuid FROM generic_files ORDER BY id DESC")
    body = hands.read(PRESERVATION[1], uuid) or b""
    hands.delete(PRESERVATION[1], uuid)
    return lambda: hands.put(PRESERVATION[1], uuid, body), "lacks it"


def flipped_bit(hands: Hands) -> tuple[Undo, str]:
    uuid = _first(hands, "SELECT uuid FROM generic_files WHERE size > 9000000")
    body = hands.read(PRESERVATION[0], uuid) or b""
    hands.put(PRESERVATION[0], uuid, body[:-1] + bytes([body[-1] ^ 1]))
    return lambda: hands.put(PRESERVATION[0], uuid, body), "holds other bytes"


def stray_copy(hands: Hands) -> tuple[Undo, str]:
    hands.put(PRESERVATION[0], "stray", b"whose?")
    return lambda: hands.delete(PRESERVATION[0], "stray"), "which no file on record has"


def event_told_twice(hands: Hands) -> tuple[Undo, str]:
    columns = ", ".join(
        row["name"]
        for row in hands.rows("SELECT name FROM pragma_table_info('premis_events')")
        if row["name"] not in ("id", "identifier")
    )
    hands.write(
        f"INSERT INTO premis_events (identifier, {columns}) SELECT 'twice', {columns} "
        "FROM premis_events WHERE generic_file_id IS NOT NULL ORDER BY id LIMIT 1"
    )
    return lambda: hands.write("DELETE FROM premis_events WHERE identifier = 'twice'"), "events is"


def event_lost(hands: Hands) -> tuple[Undo, str]:
    detail = "(SELECT min(id) FROM premis_events WHERE generic_file_id IS NULL)"
    told = _first(hands, f"SELECT outcome FROM premis_events WHERE id = {detail}")
    hands.write(f"UPDATE premis_events SET outcome = 'Failed' WHERE id = {detail}")
    return (
        lambda: hands.write(f"UPDATE premis_events SET outcome = ? WHERE id = {detail}", told),
        "events is",
    )


def wrong_digest(hands: Hands) -> tuple[Undo, str]:
    which = "WHERE id = (SELECT max(id) FROM checksums WHERE algorithm = 'sha512')"
    digest = _first(hands, f"SELECT digest FROM checksums {which}")
    hands.write(f"UPDATE checksums SET digest = ? {which}", "0" * 128)
    return (
        lambda: hands.write(f"UPDATE checksums SET digest = ? {which}", digest),
        "the newest sha512 on record is not that of its bytes",
    )


def staged_leftover(hands: Hands) -> tuple[Undo, str]:
    hands.put("bagline-staging", "7/left", b"over")
    return lambda: hands.delete("bagline-staging", "7/left"), "bagline-staging still holds 7/left"


def received_leftover(hands: Hands) -> tuple[Undo, str]:
    bucket = f"bagline-receiving.{INSTITUTIONS[0]}"
    hands.put(bucket, "diary.tar", b"left")
    return lambda: hands.delete(bucket, "diary.tar"), f"{bucket} still holds diary.tar"


def rejected_tar_gone(hands: Hands) -> tuple[Undo, str]:
    bucket = f"bagline-receiving.{INSTITUTIONS[0]}"
    body = hands.read(bucket, "wrong.tar") or b""
    hands.delete(bucket, "wrong.tar")
    return lambda: hands.put(bucket, "wrong.tar", body), "does not hold the rejected wrong.tar"


def unfinished_upload(hands: Hands) -> tuple[Undo, str]:
    where = {"Bucket": PRESERVATION[0], "Key": "half"}
    upload = hands.s3().create_multipart_upload(**where)["UploadId"]
    return (
        lambda: hands.s3().abort_multipart_upload(**where, UploadId=upload),
        "has an unfinished upload of half",
    )


def record_left_in_redis(hands: Hands) -> tuple[Undo, str]:
    hands.redis().hset("7", "object:alpha.edu/diary", "{}")
    return lambda: hands.redis().delete("7"), "Redis still has 7"


def delivery_left_in_redis(hands: Hands) -> tuple[Undo, str]:
    queue = "bagline:queue:{ingest08_record}"
    hands.redis().zadd(queue, {"7": 1})
    return lambda: hands.redis().delete(queue), f"Redis still has {queue}"


def item_stuck(hands: Hands) -> tuple[Undo, str]:
    which = "WHERE id = (SELECT min(id) FROM work_items WHERE status = 'Success')"
    hands.write(f"UPDATE work_items SET status = 'Started' {which}")
    started = "WHERE status = 'Started'"
    return (
        lambda: hands.write(f"UPDATE work_items SET status = 'Success' {started}"),
        "items ended ",
    )


def problem_missing(hands: Hands) -> tuple[Undo, str]:
    row = hands.rows("SELECT * FROM work_item_problems ORDER BY work_item_id LIMIT 1")[0]
    hands.write(
        "DELETE FROM work_item_problems WHERE work_item_id = ? AND position = ?",
        row["work_item_id"],
        row["position"],
    )
    marks = ", ".join("?" * len(tuple(row)))
    return (
        lambda: hands.write(f"INSERT INTO work_item_problems VALUES ({marks})", *row),
        "problems is",
    )


PLANTED = (
    lost_copy,
    flipped_bit,
    stray_copy,
    event_told_twice,
    event_lost,
    wrong_digest,
    staged_leftover,
    received_leftover,
    rejected_tar_gone,
    unfinished_upload,
    record_left_in_redis,
    delivery_left_in_redis,
    item_stuck,
    problem_missing,
)


def test_the_judge_finds_whatever_is_planted(calm: tuple[Hands, Picture]) -> None:
    """One fault after the other, each undone before the next: it alone is found."""
    hands, undisturbed = calm
    judge = Judge(hands, twenty_bags())
    engines = Engines(hands.data_dir)
    engines.start()
    try:
        until(hands.reads, "the store to find its volumes")
        for plant in PLANTED:
            undo, told = plant(hands)
            said = [*judge.findings(), *differences(undisturbed, judge.picture())]
            assert any(told in finding for finding in said), (plant.__name__, said)
            undo()
        assert judge.findings() == []
        assert differences(undisturbed, judge.picture()) == []
    finally:
        engines.stop()
