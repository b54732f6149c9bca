"""What `bagline ingest` says of a bag that was preserved before, and while it works."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from bagline.app import App
from bagline.config import load_settings
from support.bags import valid_bag
from support.commands import Bagline


def test_what_is_unchanged_changed_new_and_lacking_is_told(
    bagline: Bagline, tmp_path: Path
) -> None:
    bagline.found()
    with App.open(load_settings(data_dir=bagline.data_dir)):  # the engines stay up meanwhile
        bag = valid_bag("letters").payload("a.txt", b"a").payload("b.txt", b"b")
        first = bagline.run("ingest", bag.write(tmp_path / "letters.tar"), "--json")
        assert first.returncode == 0, first.stderr
        events = [json.loads(line) for line in first.stdout.splitlines()]
        assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
        stages = [event["stage"] for event in events if event["event"] == "stage"]
        assert stages[0] == "upload"
        assert stages[-1] == "Success"
        report = events[-1]["bags"][0]["report"]
        assert report["bag_files"] > report["files"] > report["payload_files"] >= 2

        again = bagline.run("ingest", tmp_path / "letters.tar")
        assert again.returncode == 0, again.stderr
        assert f"Unchanged: all {report['files']} files of test.edu/letters" in again.stdout
        assert f"were preserved before, on {datetime.now():%Y-%m-%d}" in again.stdout
        assert "Preserved" not in again.stdout

        other = valid_bag("letters").payload("a.txt", b"A").payload("c.txt", b"c")
        third = bagline.run("ingest", other.write(tmp_path / "letters.tar"))
        assert third.returncode == 0, third.stderr
        assert "1 new, " in third.stdout
        assert "changed" in third.stdout
        assert "unchanged, preserved before, on" in third.stdout
        assert "The version before has 1 file that this bag lacks" in third.stdout
        assert "\n    data/b.txt\n" in third.stdout
