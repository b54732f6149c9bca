"""The commands, as a newcomer and an operator type them."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path

import pytest

from bagline.app import App
from bagline.config import load_settings
from bagline.worker.processes import line_runner
from support.bags import BagBuilder
from support.commands import Bagline, until

TEXT = b"These are the minutes of the meeting.\n" * 60


def a_bag(name: str = "bag") -> BagBuilder:
    return BagBuilder(name).payload("letters/one.txt", b"Dear reader,\n").payload("b.bin", b"\x01")


def bad_files(folder: Path) -> dict[str, Path]:
    """Name → file, of everything a depositor may send instead of a bag."""
    good = a_bag().tar()
    bodies = {
        "truncated": good[: len(good) // 2],
        "text": TEXT,
        "gzip": gzip.compress(good),
        "empty": b"",
        "no_files": bytes(10240),
        "no_top": a_bag("no_top").tar(top=False),
        "climbing": BagBuilder("climbing").member("climbing/data/../../../x.txt", b"x").tar(),
    }
    for name, body in bodies.items():
        (folder / f"{name}.tar").write_bytes(body)
    return {name: folder / f"{name}.tar" for name in bodies}


def test_a_good_bag_and_a_damaged_one(bagline: Bagline, tmp_path: Path) -> None:
    good = a_bag().write(tmp_path / "bag.tar")
    ended = bagline.run("ingest", good)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Success" in ended.stdout
    assert "preservation-va" in ended.stdout
    assert "on one disk" in ended.stdout
    damaged = a_bag("damaged").wrong_digest("data/b.bin").write(tmp_path / "damaged.tar")
    document = bagline.json("ingest", damaged, expect=2)
    (bag,) = document["bags"]
    assert bag["status"] == "Failed"
    assert "data/b.bin" in {problem["subject"] for problem in bag["problems"]}
    shown = bagline.run("show", bag["work_item"])
    assert "BAG081" in shown.stdout
    items = bagline.json("items")
    assert [(item["name"], item["status"]) for item in items] == [
        ("damaged.tar", "Failed"),
        ("bag.tar", "Success"),
    ]
    report = bagline.json("show", items[1]["id"])["report"]
    assert report["files"] == 4


def test_what_is_no_bag_is_rejected_with_a_problem_and_no_traceback(
    bagline: Bagline, tmp_path: Path
) -> None:
    files = bad_files(tmp_path)
    document = bagline.json("ingest", *files.values(), expect=2)
    for bag in document["bags"]:
        assert bag["status"] == "Failed", bag
        errors = [p for p in bag["problems"] if p["severity"] == "error"]
        assert errors, bag
        assert all(p["code"].startswith("BAG") and len(p["message"]) > 20 for p in errors)
    ended = bagline.run("ingest", files["truncated"])
    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "byte" in ended.stdout


@pytest.mark.parametrize("argv", [["ingest", "/nowhere/bag.tar"], ["show", "77"], ["cancel", "77"]])
def test_what_is_not_there_is_said_plainly(bagline: Bagline, argv: list[str]) -> None:
    bagline.found()
    ended = bagline.run(*argv)
    assert ended.returncode == 4
    assert "Traceback" not in ended.stderr
    assert argv[1] in ended.stderr


def test_up_takes_bags_from_the_bucket_and_down_stops_it(bagline: Bagline, tmp_path: Path) -> None:
    bag = a_bag().write(tmp_path / "bag.tar")
    with bagline.running("up", "--institution", "test.edu") as up:
        until(lambda: line_runner(bagline.data_dir), "the line to run")
        second = bagline.run("up")
        assert second.returncode == 1
        assert "already runs" in second.stderr
        joined = bagline.json("ingest", bag)
        assert joined["bags"][0]["status"] == "Success"
        with App.open(load_settings(data_dir=bagline.data_dir)) as app:
            from bagline.services.objects.base import Body, Target

            target = Target("bagline-receiving.test.edu", "dropped.tar")
            app.services.objects.put(Body(target, a_bag("dropped").tar()))
            until(
                lambda: (
                    (item := app.services.registry.work_item(2)) is not None
                    and item.status == "Success"
                ),
                "the dropped bag to be taken and ingested",
            )
        down = bagline.run("down")
        assert down.returncode == 0
        assert up.wait(timeout=5) == 0
    assert line_runner(bagline.data_dir) is None


def test_an_operator_cancels_and_requeues(bagline: Bagline, tmp_path: Path) -> None:
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        depositor = app.ensure_institution("test.edu")
        item = app.ingest(a_bag().write(tmp_path / "bag.tar"), depositor.identifier)
        assert bagline.run("cancel", item.id).returncode == 0
        assert bagline.json("show", item.id)["item"]["status"] == "Cancelled"
        assert bagline.run("cancel", item.id).returncode == 5
        assert bagline.run("requeue", item.id).returncode == 0
        with bagline.running("up"):
            until(
                lambda: app.services.registry.work_item(item.id).status == "Success",  # type: ignore[union-attr]
                "the requeued item to be ingested",
            )
        assert bagline.run("requeue", item.id).returncode == 5
        assert bagline.run("requeue", item.id, "--stage", "nowhere").returncode == 5


def test_doctor_says_what_is_reachable_and_what_the_store_can_prove(bagline: Bagline) -> None:
    bagline.found()
    ended = bagline.run("doctor")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for word in ("valkey", "appendfsync", "SHA-256", "sqlite", "preservation buckets"):
        assert word in ended.stdout
    findings = {finding["what"]: finding for finding in bagline.json("doctor")}
    assert findings["state"]["remedies"] == []
    totals = bagline.run("doctor", "--orphans", "--json").stdout.splitlines()
    assert {json.loads(total)["orphans"] for total in totals} == {0}


def test_check_reads_a_bag_where_depositors_put_it(
    bagline: Bagline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    from support.commands import COMMAND

    monkeypatch.setenv("BAGLINE_DATA_DIR", str(bagline.data_dir))

    def check(url: str) -> int:
        return subprocess.run([*COMMAND, "check", url], capture_output=True, check=False).returncode

    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        depositor = app.ensure_institution("test.edu")
        app.ingest(a_bag().write(tmp_path / "bag.tar"), depositor.identifier)
        app.ingest(bad_files(tmp_path)["truncated"], depositor.identifier)
        bucket = depositor.receiving_bucket
        assert check(f"s3://{bucket}/bag.tar") == 0
        assert check(f"s3://{bucket}/truncated.tar") == 2
        assert check(f"s3://{bucket}/nowhere.tar") == 4
        assert check("s3://bucket-without-key") == 1
    assert check(f"s3://{bucket}/bag.tar") == 1


@pytest.mark.long
def test_two_worker_processes_a_stage_ingest_ten_bags_once_each(
    bagline: Bagline, tmp_path: Path
) -> None:
    from contextlib import ExitStack

    with App.open(load_settings(data_dir=bagline.data_dir)) as app, ExitStack() as stack:
        depositor = app.ensure_institution("test.edu")
        for step in app.ingest_line:
            for _ in range(2):
                stack.enter_context(bagline.running("worker", step.name))
        items = [
            app.ingest(a_bag(f"bag{n}").write(tmp_path / f"bag{n}.tar"), depositor.identifier)
            for n in range(10)
        ]

        def ended() -> bool:
            found = [app.services.registry.work_item(item.id) for item in items]
            return all(item is not None and item.is_completed for item in found)

        until(ended, "ten bags", seconds=150)
        for item in items:
            assert app.services.registry.work_item(item.id).status == "Success"  # type: ignore[union-attr]
        for number in range(10):
            known = app.services.registry.intellectual_object(f"test.edu/bag{number}")
            assert known is not None
            assert known.payload_file_count == 2
            events = app.services.registry.events(object_id=known.id)
            assert sorted(event.event_type for event in events) == [
                "access assignment",
                "creation",
                "identifier assignment",
                "ingestion",
            ]


def test_ctrl_c_leaves_the_items_on_the_line(bagline: Bagline, tmp_path: Path) -> None:
    bag = BagBuilder("bag")
    for number in range(2_500):
        bag.payload(f"{number}.txt", b"%d" % number)
    path = bag.write(tmp_path / "bag.tar")
    log = bagline.data_dir.parent / f"{bagline.data_dir.name}-ingest.log"
    bagline.found()
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        with bagline.running("ingest", path) as ingest:
            until(lambda: app.services.state.load_checkpoint(1), "the work to begin")
            ingest.send_signal(signal.SIGINT)
            until(lambda: "To go on: the same command again" in log.read_text(), "a word at once")
            assert ingest.poll() is None  # it was said before the end
            assert ingest.wait(timeout=60) == 130
        item = app.services.registry.work_item(1)
        assert item is not None
        assert item.status == "Pending"
    again = bagline.json("ingest", path)
    assert again["bags"][0]["work_item"] == 1
    assert again["bags"][0]["status"] == "Success"
