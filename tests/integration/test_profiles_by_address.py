"""Profiles at addresses that the settings list: the command and the line hold bags to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bagline.app import App
from bagline.bagit.check import check_bag
from bagline.errors import Unreachable
from bagline.model.workitem import STATUS_SUCCESS
from support.bags import BagBuilder, chunked, valid_bag
from support.line import LineUnderTest
from support.pages import Pages, page, serving
from support.restoring import contents
from support.two_ways import by_line, said


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving() as pages:
        yield pages


def a_profile(url: str, **keys: object) -> bytes:
    info = {"BagIt-Profile-Identifier": url}
    rules = {"Contact-Name": {"required": True}}
    return json.dumps({"BagIt-Profile-Info": info, "Bag-Info": rules, **keys}).encode()


def naming(url: str) -> BagBuilder:
    return valid_bag(profile="none").tag("bag-info.txt", "BagIt-Profile-Identifier", url)


def check(
    path: Path, data_dir: Path, *arguments: str, urls: str
) -> tuple[int, dict[str, object], str]:
    environ = {
        **os.environ,
        "BAGLINE_DATA_DIR": str(data_dir),
        "BAGLINE_PROFILES_URLS": urls,
        "BAGLINE_PROFILES_ALLOW_HTTP": "true",
        "BAGLINE_PROFILES_FETCH_SECONDS": "5",
    }
    command = [sys.executable, "-m", "bagline", "check", str(path), "--json", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr.decode()


def test_check_holds_a_bag_to_the_profile_at_its_address(pages: Pages, tmp_path: Path) -> None:
    url = f"{pages.url}/p.json"
    pages.answers["/p.json"] = page(a_profile(url))
    bag, data = naming(url).write(tmp_path), tmp_path / "data"
    code, document, _ = check(bag, data, urls=url)
    assert (code, document["profile"]) == (2, url)
    assert [p["code"] for p in document["problems"]] == ["BAG050"]  # type: ignore[attr-defined]
    assert pages.asked == ["/p.json"]
    pages.answers.clear()
    assert check(bag, data, urls=url)[:2] == (code, document), "what is kept serves"
    assert check(bag, data, "--profile", url, urls=url)[:2] == (code, document)
    assert pages.asked == ["/p.json"]


def test_check_asks_for_no_address_that_is_not_listed(pages: Pages, tmp_path: Path) -> None:
    url = f"{pages.url}/p.json"
    pages.answers["/p.json"] = page(a_profile(url))
    bag, data = naming(url).write(tmp_path), tmp_path / "data"
    code, document, _ = check(bag, data, urls=f"{pages.url}/other")
    assert (code, document["profile"]) == (2, "aptrust")
    code, _, told = check(bag, data, "--profile", url, urls="")
    assert code == 1
    assert "profiles.urls does not list" in told
    assert pages.asked == []
    assert not data.exists()


def test_check_blames_no_bag_for_an_address_that_does_not_answer(
    pages: Pages, tmp_path: Path
) -> None:
    url = f"{pages.url}/p.json"
    bag = naming(url).write(tmp_path)
    for answer, why, wanted in (
        (page(b"", 503), "answers 503", 3),
        (page(b"{"), "is no JSON", 1),
    ):
        pages.answers["/p.json"] = answer
        code, _, told = check(bag, tmp_path / "data", urls=url)
        assert code == wanted
        assert why in told


def test_the_line_says_the_same_as_check(line: LineUnderTest) -> None:
    url = "https://example.org/p.json"
    text = a_profile(url, **{"Manifests-Allowed": ["md5"]})
    line.services = replace(line.services, profile_at={url: text}.get)
    raw = naming("https://example.org/x").repeat_tag(
        "bag-info.txt", "BagIt-Profile-Identifier", url
    )
    raw = raw.tar()
    found = by_line(line, raw)
    report = check_bag(chunked(raw), len(raw), bag_name="bag", profile_at={url: text}.get)
    assert found == said(report.problems)
    assert [problem[0] for problem in found] == ["BAG050", "BAG063"]


def test_the_line_tries_again_where_nobody_answers(line: LineUnderTest) -> None:
    def nobody(url: str) -> bytes | None:
        raise Unreachable(f"the profile at {url} cannot be fetched")

    line.services = replace(line.services, profile_at=nobody)
    with pytest.raises(Unreachable):
        by_line(line, naming("https://example.org/p.json").tar())


@pytest.mark.parametrize("version", ["1.0", "0.95"])
def test_what_came_in_by_it_comes_out_by_it(
    line: LineUnderTest, tmp_path: Path, version: str
) -> None:
    """In 0.95 bag-info.txt has an older name, too."""
    url = "https://example.org/p.json"
    rules = {"Manifests-Allowed": ["sha512"], "Accept-BagIt-Version": [version]}
    known = {url: a_profile(url, **rules)}
    bag = naming(url).manifest("sha512").tag("bag-info.txt", "Contact-Name", "Zoë")
    bag.payload("a.txt", b"a").payload("50% b.txt", b"").version(version)
    bag.tag("package-info.txt", "Bagging-Date", "2020-01-01")
    line.services = replace(line.services, profile_at=known.get)
    line.app = App(line.settings, line.services)
    (item,) = line.run(line.deposit("bag.tar", bag.tar()))
    assert item.status == STATUS_SUCCESS, item.note
    line.app.restoring("test.edu/bag").to_tar(tmp_path / "bag.tar")
    tar = (tmp_path / "bag.tar").read_bytes()
    report = check_bag(chunked(tar), len(tar), bag_name="bag", profile_at=known.get)
    assert (report.problems, report.profile, report.manifests) == ([], url, ["sha512"])
    found, wanted = contents(tar), bag.files()
    told = found["package-info.txt"].decode().splitlines()
    assert ("Original-Bagging-Date: 2020-01-01" in told) == (version == "0.95")
    for path in wanted:
        if path.startswith("data/"):
            assert found[path] == wanted[path], path
