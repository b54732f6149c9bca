"""Bagline's workers among the older line's, and the other way round: what a line leaves does not
tell whose worker did which stage.

The older line (`support.older`) is written from the contract, and first held by its documents.
Each pairing's rows, copies, working documents and staged objects are compared with those of the
older line alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.lines.ingest.line import INGEST_LINE
from support.bags import BagBuilder, valid_bag
from support.older.intake import BTR, BTR_ONCE
from support.older.moving import SKIPPED_FORMATS
from support.older.wire import is_kept
from support.pairing import MixedLine, Trail, mixed_line, plain

pytestmark = pytest.mark.engines

STEPS = tuple(step.name for step in INGEST_LINE)
ALL_OLDER = frozenset(STEPS)


def aptrust(name: str, option: str = "", **tags: str) -> BagBuilder:
    bag = BagBuilder(name).manifest("md5", "sha256").tag_manifest("md5", "sha256")
    if option:
        bag.tag("aptrust-info.txt", "Storage-Option", option)
    for tag, value in tags.items():
        bag.tag("bag-info.txt", tag.replace("_", "-"), value)
    return bag.payload("a.txt", b"abc\n").payload("deep/er/b c.json", b'{"a": 1}\n')


def btr(name: str, profile: str, option: str = "") -> BagBuilder:
    bag = valid_bag(name, profile="btr").tag("bag-info.txt", "BagIt-Profile-Identifier", profile)
    if option:
        bag.tag("bag-info.txt", "APTrust-Storage-Option", option)
    return bag


def bags() -> dict[str, bytes]:
    """Kinds that their own suite uses."""
    made = {
        "plain": aptrust("plain"),
        "titled": aptrust("titled", External_Identifier="no title", Internal_Sender_Identifier="7"),
        "described": aptrust(
            "described", Internal_Sender_Description="d", Bag_Group_Identifier="g"
        ),
        "restricted": aptrust("restricted").tag("aptrust-info.txt", "Access", "Restricted"),
        "glacier": aptrust("glacier", "Glacier-OH"),
        "wasabi": aptrust("wasabi", "Wasabi-VA").payload("odd  name.txt", b"odd"),
        "one-manifest": BagBuilder("one-manifest").manifest("md5").payload("x.xml", b"<x/>\n"),
        "empty-file": aptrust("empty-file").payload("empty.txt", b""),
        "pictures": aptrust("pictures").payload("p.jpg", b"\xff\xd8\xff\xe0" + bytes(3000)),
        "office": aptrust("office").payload("w.docx", b"PK\x03\x04" + bytes(500)),
        "large": aptrust("large").payload("large.bin", bytes(range(256)) * 8000),
        "custom-tags": aptrust("custom-tags").tag_file("custom/notes.txt", b"Label: value\n"),
        "old": aptrust("old").version("0.97"),
        "btr": btr("btr", BTR),
        "btr-once": btr("btr-once", BTR_ONCE[0]),
        "btr-twice": btr("btr-twice", BTR_ONCE[1]),
        "blank-profile": aptrust("blank-profile", BagIt_Profile_Identifier=""),
    }
    return {name: bag.tar("gnu") for name, bag in made.items()}


def again() -> dict[str, bytes]:
    """Bags of `bags` that come once more, changed."""
    changed = aptrust("plain").payload("a.txt", b"changed\n").payload("new.txt", b"new\n")
    made = {"plain": changed, "glacier": aptrust("glacier", "Standard")}
    return {name: bag.tar("gnu") for name, bag in made.items()}


@pytest.fixture
def mixed(engines: EngineAddresses, tmp_path: Path) -> Iterator[MixedLine]:
    with mixed_line(engines, tmp_path) as line:
        yield line


A_FILE = "test.edu/plain/data/a.txt"
Trails = dict[str, list[Trail]]


def travelled(mixed: MixedLine, older: frozenset[str]) -> Trails:
    first = mixed.ingest(bags(), older)
    second = mixed.ingest(again(), older)
    return {name: [first[name], *([second[name]] if name in second else [])] for name in first}


@pytest.fixture(scope="module")
def baseline(engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory) -> Trails:
    with mixed_line(engines, tmp_path_factory.mktemp("older")) as line:
        return travelled(line, ALL_OLDER)


def pairings() -> list[frozenset[str]]:
    """Ours alone; one of ours among eight older; one older among eight of ours."""
    return [
        frozenset(),
        *(ALL_OLDER - {step} for step in STEPS),
        *(frozenset({step}) for step in STEPS),
    ]


SHORT = (frozenset[str](), ALL_OLDER - {"pre-fetch"})
ONLY_LONG = [pytest.param(pair, marks=pytest.mark.long) for pair in pairings() if pair not in SHORT]


def named(older: frozenset[str]) -> str:
    if len(older) <= 1:
        return f"theirs: {', '.join(older) or 'none'}"
    return f"ours: {', '.join(ALL_OLDER - older)}"


def test_the_older_line_does_what_the_contract_says(baseline: Trails) -> None:
    assert len(baseline) == 17
    for name, trails in baseline.items():
        for trail in trails:
            assert (trail.status, trail.stage) == ("Success", "Cleanup"), (name, trail.note)
            assert trail.left == [], name
            assert len(trail.handed_over) == 17
    golden = Path(__file__).parent / "golden"
    after = baseline["plain"][0].handed_over["after Receive"]["records"]
    assert list(after["object:test.edu/plain"]) == list(
        json.loads((golden / "object.json").read_text())
    )
    file = after["file:test.edu/plain/data/a.txt"]
    assert list(file) == list(json.loads((golden / "file.json").read_text("utf-8")))


@pytest.mark.parametrize(
    "older",
    [*SHORT, *ONLY_LONG],
    ids=named,
)
def test_a_line_does_not_tell_whose_worker_did_which_stage(
    mixed: MixedLine, baseline: Trails, older: frozenset[str]
) -> None:
    found = travelled(mixed, older)
    assert list(found) == list(baseline)
    for name, trails in found.items():
        for trail, wanted in zip(trails, baseline[name], strict=True):
            where = f"{name}, {named(older)}"
            assert trail.left == [], where
            assert unexplained(differences(seen(trail), seen(wanted))) == [], where


ALLOWED = {
    r"/handed over/.*/object:[^/]*/[^/]*/tags: .*custom/": "the tags of every text tag file",
    r"/handed over/.*/staged/data/odd  name\.txt": "of two spaces in a row S3 clients make one",
    rf"/handed over/.*\.({'|'.join(SKIPPED_FORMATS)})/format_": "PRONOM looks at every file",
    r"/handed over/before (Storage Valid|Record|Cleanup).*/storage_records\[\d\]/(etag|size): ": (
        "the uploader notes what the store answered; it is proven where it is put"
    ),
    r"/handed over/(before|after) .*/file:[^:]*/storage_records: .*'verified_at': '<time>'": (
        "the reingest check notes copies on record that it proved"
    ),
}
"""Where our documents say more than the older ones, or look at more files, and why."""


def unexplained(lines: list[str]) -> list[str]:
    return [line for line in lines if not any(re.search(kind, line) for kind in ALLOWED)]


def seen(trail: Trail) -> Any:
    """What must be the same."""
    return {
        "end": (trail.status, trail.stage),
        "rows": plain(trail.rows),
        "copies": trail.preserved,
        "handed over": {
            moment: {**state, "records": {n: _stored(r) for n, r in state["records"].items()}}
            for moment, state in trail.handed_over.items()
        },
    }


def _stored(record: dict[str, Any]) -> dict[str, Any]:
    """Without the format of what is not preserved anew: ours does not look at its bytes."""
    if "path_in_bag" in record and not (record["needs_save"] and is_kept(record["path_in_bag"])):
        return {name: v for name, v in record.items() if not name.startswith("format_")}
    return record


def differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Where they differ, leaf by leaf. What `found` does not tell at all of the hand-overs was
    between two of our workers."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = found if where.endswith("/handed over") else {**found, **wanted}
        return [
            line
            for name in names
            for line in differences(
                found.get(name, "(none)"), wanted.get(name, "(none)"), f"{where}/{name}"
            )
        ]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [
            line
            for number, (one, other) in enumerate(zip(found, wanted, strict=True))
            for line in differences(one, other, f"{where}[{number}]")
        ]
    return [] if found == wanted else [f"{where}: {found!r}, wanted {wanted!r}"]


# -- bags that one pre-fetch or validator rejects, and the other did not


def bad() -> dict[str, bytes]:
    """Bags of which pre-fetch knows what the wire cannot carry, and neighbours that are sound."""
    twice = aptrust("twice")
    latin = aptrust("latin").tag_file("bag-info.txt", "Contact-Name: Müller\n".encode("latin-1"))
    shouted = BagBuilder("shouted").manifest("md5").payload("a.txt", b"abc\n").payload("b.txt", b"")
    for path, data in (("data/a.txt", b"abc\n"), ("data/b.txt", b"")):
        shouted.unlisted(path, "md5").manifest_line(
            "manifest-md5.txt", f"{hashlib.md5(data).hexdigest().upper()}  {path}".encode()
        )
    return {
        "twice": twice.member("twice/data/a.txt", b"other bytes\n").tar("gnu"),
        "unreadable": aptrust("unreadable")
        .manifest_line("manifest-md5.txt", b"garbage")
        .tar("gnu"),
        "same-twice": aptrust("same-twice")
        .member("same-twice/data/a.txt", b"abc\n")
        .member("same-twice/notes.txt", b"of a type that theirs passes over", kind=b"7")
        .tar("gnu"),
        "btr-old": btr("btr-old", BTR_ONCE[0]).tar("gnu"),
        "behind-the-end": aptrust("behind-the-end").tar("gnu") + aptrust("other").tar("gnu"),
        "latin": latin.tar("gnu"),
        "linked": aptrust("linked").hard_link("data/link.txt", "data/a.txt").tar("gnu"),
        "starred": aptrust("starred").listed_as("data/a.txt", "*data/a.txt").tar("gnu"),
        "shouted": shouted.tar("gnu"),
        "wrong": aptrust("wrong").wrong_digest("data/a.txt").tar("gnu"),
        "missing": aptrust("missing").left_out("data/a.txt").tar("gnu"),
    }


OK, FAILED = "Success", "Failed"
VERDICTS = {
    # bag: (theirs + theirs, ours + theirs, theirs + ours, ours + ours)
    "twice": (FAILED, FAILED, FAILED, FAILED),
    "unreadable": (FAILED, FAILED, FAILED, FAILED),
    "same-twice": (OK, OK, OK, OK),
    "btr-old": (OK, OK, OK, OK),
    # What only our pre-fetch sees; another's leaves no trace of it.
    "behind-the-end": (OK, FAILED, OK, FAILED),
    "latin": (OK, FAILED, OK, FAILED),
    # What another's pre-fetch takes for missing.
    "linked": (FAILED, OK, FAILED, OK),
    "starred": (FAILED, OK, FAILED, OK),
    # A digest's case is of no matter to BagIt; their validator compares what the record holds.
    "shouted": (FAILED, OK, OK, OK),
    "wrong": (FAILED, FAILED, FAILED, FAILED),
    "missing": (FAILED, FAILED, FAILED, FAILED),
}
PAIRS = ({"pre-fetch", "validator"}, {"validator"}, {"pre-fetch"}, set())


@pytest.mark.parametrize(
    "pair", range(len(PAIRS)), ids=("theirs", "ours-theirs", "theirs-ours", "ours")
)
def test_no_pairing_lets_a_bad_bag_through_or_leaves_it_without_an_end(
    mixed: MixedLine, pair: int
) -> None:
    found = mixed.ingest(bad(), frozenset(PAIRS[pair]))
    verdicts = {name: trail.status for name, trail in found.items()}
    assert verdicts == {name: verdict[pair] for name, verdict in VERDICTS.items()}
    for name, trail in found.items():
        # Another's validator asks for a clean-up of what it failed, which then is ours.
        assert [key for key in trail.left if not key.startswith("receiving")] == [], name


def test_a_repeat_of_the_older_pre_fetch_is_no_other_bag(mixed: MixedLine) -> None:
    """It tells tags, manifests and counts twice over."""
    bag = btr("again", BTR).tar("gnu")
    item = mixed.line.deposit("again.tar", bag)
    for _ in range(2):
        assert mixed.run_older("pre-fetch", item.id) == "done"
        mixed.set_back(item.id, "Receive")
    mixed.set_back(item.id, "Validate")
    (ended,) = mixed.line.run(item)
    assert ended.status == "Success", ended.note


@pytest.mark.parametrize("judged_by", ["ours", "theirs"])
def test_a_requeue_that_crosses_makes_is_judged_by_the_records_that_stand(
    mixed: MixedLine, judged_by: str
) -> None:
    """Our pre-fetch, then theirs, which leaves our notes and counts everything once more."""
    item = mixed.line.deposit("crossed.tar", aptrust("crossed").tar("gnu"))
    with mixed.line.working(only=("pre-fetch",)):
        mixed.line.until(lambda: mixed.line.item(item.id).stage == "Validate", "it", item=item.id)
    mixed.set_back(item.id, "Receive")
    assert mixed.run_older("pre-fetch", item.id) == "done"
    if judged_by == "theirs":
        assert mixed.run_older("validator", item.id) == "done"
        mixed.set_back(item.id, "Reingest Check")
    else:
        mixed.set_back(item.id, "Validate")
    (ended,) = mixed.line.run(item)
    assert ended.status == "Success", ended.note
