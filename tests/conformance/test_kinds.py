"""Every kind of bag has the verdict it must have, in every version it is about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bagline.bagit.check import check_bag
from bagline.bagit.profiles import load_profile
from conformance.kinds import ALL, CASES, INVALID, VALID, WARNING, Case, bag_of
from support.bags import chunked

EACH = [
    pytest.param(case, version, id=f"{version} {case.what}")
    for case in CASES
    for version in case.versions
]


@pytest.mark.parametrize(("case", "version"), EACH)
def test_a_kind_of_bag_has_its_verdict(case: Case, version: str) -> None:
    raw = bag_of(case, version).tar(case.tar)
    report = check_bag(chunked(raw), len(raw), load_profile("none"))
    found = tuple(sorted(problem.code for problem in report.problems))
    assert found == case.codes, [problem.message for problem in report.problems]
    assert report.valid is (case.verdict != INVALID)


def test_every_verdict_is_there_in_every_version() -> None:
    there = {(case.verdict, version) for case in CASES for version in case.versions}
    assert there == {(v, version) for v in (VALID, WARNING, INVALID) for version in ALL}
    assert len({(case.what, case.versions) for case in CASES}) == len(CASES)


BY_COMMAND = [
    "a bag of three files",
    "a third line in bagit.txt",
    "a payload file in no manifest",
    "a byte order mark in bagit.txt",
    "tag files and manifests in UTF-16",
]


@pytest.mark.parametrize("what", BY_COMMAND)
def test_the_command_says_the_same(what: str, tmp_path: Path) -> None:
    case = next(c for c in CASES if c.what == what)
    path = tmp_path / "bag.tar"
    path.write_bytes(bag_of(case, case.versions[0]).tar(case.tar))
    command = [sys.executable, "-m", "bagline", "check", str(path), "--profile", "none", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    document = json.loads(done.stdout)
    assert tuple(sorted(p["code"] for p in document["problems"])) == case.codes
    assert done.returncode == (2 if case.verdict == INVALID else 0)
