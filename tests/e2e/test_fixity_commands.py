"""Copies looked at again, and objects restored to nowhere, as an operator types it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bagline.app import App
from bagline.config import load_settings
from bagline.model.copy_checks import WRONG, CopySeen
from bagline.model.times import now
from bagline.services.objects.base import Body, Target
from support.bags import BagBuilder
from support.commands import Bagline

FILE = "test.edu/bag/data/letter.txt"


def test_a_lost_copy_is_found_shown_and_put_back(bagline: Bagline, tmp_path: Path) -> None:
    bag = BagBuilder().payload("letter.txt", b"Dear reader").write(tmp_path / "bag.tar")
    assert bagline.run("ingest", bag, "--institution", "test.edu").returncode == 0
    (tested,) = bagline.json("spot", "run")
    assert (tested["object_identifier"], tested["outcome"]) == ("test.edu/bag", "sound")
    assert "sound" in bagline.run("spot", "status").stdout
    record = bagline.json("fixity", "run", "--all")
    assert record["asked"] == record["proven"] > 0
    told = bagline.json("fixity", "status")
    assert (told["overdue"]["copies"], told["bad"], len(told["places"])) == (0, [], 2)
    assert [each["cost"] for each in bagline.json("fixity", "plan")["places"]] == [None, None]
    assert "no price" in bagline.run("fixity", "plan").stdout
    unknown = bagline.run("fixity", "run", "--bucket", "no-such")
    assert (unknown.returncode, "no storage option" in unknown.stderr) == (4, True)

    lost, other = bagline.json("fixity", "show", FILE)
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        bucket = lost["place"].rpartition("/")[2]
        app.services.objects.put(Body(Target(bucket, lost["uuid"]), b"Dear reaper"))
    assert bagline.json("fixity", "run", "--all")["asked"] == 0  # all were looked at today
    assert bagline.run("fixity", "run", "--option", "Nope").returncode == 1
    assert bagline.json("fixity", "run")["asked"] == 0  # nothing is due, and JSON says so, too
    with App.open(load_settings(data_dir=bagline.data_dir)) as app:
        copies = app.services.registry.copies
        assert copies is not None
        wrong = CopySeen(url=lost["url"], uuid=lost["uuid"], seen_at=now(), outcome=WRONG)
        copies.note([wrong])  # as a restoration says it
    for command in (("fixity", "status"), ("fixity", "run"), ("doctor",)):
        told = bagline.run(*command)
        assert (command, told.returncode) == (command, 1)
        said = told.stdout + told.stderr
        assert "ad copies: 1" in said or f"wrong {lost['url']}" in said.replace("\n", "")
    record = bagline.run("fixity", "run", "--all", "--json")  # bad ones are looked at again
    assert record.returncode == 1
    assert msgspec.json.decode(record.stdout)["bad"] == 1
    repaired = bagline.run("fixity", "repair", FILE)
    assert repaired.returncode == 0, repaired.stderr
    assert f"{lost['url']}: repaired a copy from another one" in repaired.stdout.replace("\n", " ")
    shown = {copy["url"]: copy for copy in bagline.json("fixity", "show", FILE)}
    assert shown[lost["url"]]["outcome"] == "proven"
    assert shown[other["url"]]["outcome"] == "proven"
    assert "No copy is bad" in bagline.run("fixity", "repair", "--all").stdout
    assert bagline.run("fixity", "run").returncode == 0
    unknown = bagline.run("fixity", "show", "test.edu/bag/data/none.txt")
    assert unknown.returncode == 4
    assert "no active file" in unknown.stderr
    assert "Overdue" in bagline.run("fixity", "status").stdout
