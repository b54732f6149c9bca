"""Profiles by address: from the list alone, bounded, and kept for when nobody answers."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bagline.bagit.check import check_bag
from bagline.bagit.profiles import parse_profile, profile_named
from bagline.config import ProfileSettings, Settings, load_settings
from bagline.errors import Misconfigured, Refused, Unreachable
from bagline.model.ingest import Tag
from bagline.services.kept_profiles import MOST_BYTES, REDIRECTS, KeptProfiles
from bagline.wiring import profiles_at
from support.bags import BTR_IDENTIFIER, chunked, valid_bag
from support.pages import Pages, dripping, dripping_head, page, serving


def a_profile(url: str = "https://example.org/p.json", **keys: object) -> bytes:
    document = {"BagIt-Profile-Info": {"BagIt-Profile-Identifier": url}, **keys}
    return json.dumps(document).encode()


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving() as pages:
        yield pages


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def kept(pages: Pages, folder: Path, *paths: str, **options: Any) -> KeptProfiles:
    options = {"fetch_seconds": 5.0, "refresh_seconds": 100.0, "allow_http": True, **options}
    urls = [pages.url + path for path in paths or ("/p",)]
    return KeptProfiles(folder, urls, check=lambda text: parse_profile("it", text), **options)


def test_what_is_not_listed_is_never_asked_for(pages: Pages, tmp_path: Path) -> None:
    pages.answers["/other"] = page(a_profile())
    profiles = kept(pages, tmp_path / "profiles")
    for url in (f"{pages.url}/other", f"{pages.url}/p/", f"{pages.url}/p?x", "", "file:///etc"):
        assert profiles.text(url) is None
    assert pages.asked == []
    assert not (tmp_path / "profiles").exists()


def test_a_listed_one_is_fetched_once_and_kept_for_others(pages: Pages, tmp_path: Path) -> None:
    pages.answers["/p"] = page(a_profile())
    folder = tmp_path / "data" / "profiles"
    profiles = kept(pages, folder)
    for _ in range(3):
        assert profiles.text(f"{pages.url}/p") == a_profile()
    assert kept(pages, folder).text(f"{pages.url}/p") == a_profile()
    assert pages.asked == ["/p"]
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_a_kept_one_is_asked_for_anew_and_serves_on_where_that_fails(
    pages: Pages, tmp_path: Path
) -> None:
    clock, url = Clock(), f"{pages.url}/p"
    old, new = a_profile(), a_profile("https://example.org/new.json")
    pages.answers["/p"] = page(old)
    profiles = kept(pages, tmp_path, clock=clock)
    assert profiles.text(url) == old
    clock.now += 101
    for broken in (page(b"", 503), page(b"{}"), page(b"", 404), page(b"<html>")):
        pages.answers["/p"] = broken
        assert profiles.text(url) == old
        clock.now += 61
    asked = len(pages.asked)
    pages.answers["/p"] = page(b"", 503)
    assert profiles.text(url) == profiles.text(url) == old
    assert len(pages.asked) == asked + 1, "after a failure it is not asked for at every bag"
    clock.now += 61
    pages.answers["/p"] = page(new)
    assert profiles.text(url) == new
    assert kept(pages, tmp_path, clock=clock).text(url) == new


def test_what_is_kept_serves_a_new_process_when_nobody_answers(tmp_path: Path) -> None:
    clock = Clock()
    with serving() as pages:
        pages.answers["/p"] = page(a_profile())
        assert kept(pages, tmp_path, clock=clock).text(f"{pages.url}/p") == a_profile()
    clock.now += 1_000
    assert kept(pages, tmp_path, clock=clock).text(f"{pages.url}/p") == a_profile()


def test_a_kept_file_that_was_damaged_is_fetched_anew(pages: Pages, tmp_path: Path) -> None:
    pages.answers["/p"] = page(a_profile())
    kept(pages, tmp_path).text(f"{pages.url}/p")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"half of it")
    assert kept(pages, tmp_path).text(f"{pages.url}/p") == a_profile()
    assert pages.asked == ["/p", "/p"]


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    pages: Pages, tmp_path: Path
) -> None:
    pages.answers["/p"] = page(a_profile())
    (tmp_path / "file").write_bytes(b"")
    profiles = kept(pages, tmp_path / "file" / "profiles")
    assert profiles.text(f"{pages.url}/p") == profiles.text(f"{pages.url}/p") == a_profile()
    assert pages.asked == ["/p"]


def test_redirects_are_followed_to_listed_addresses_alone(pages: Pages, tmp_path: Path) -> None:
    pages.answers["/p"] = page(b"", 302, Location="/q")
    pages.answers["/q"] = page(a_profile())
    with pytest.raises(Refused, match=r"elsewhere, at http://.*/q: list that address"):
        kept(pages, tmp_path).text(f"{pages.url}/p")
    assert pages.asked == ["/p"]
    assert kept(pages, tmp_path, "/p", "/q").text(f"{pages.url}/p") == a_profile()


def test_redirects_have_an_end(pages: Pages, tmp_path: Path) -> None:
    pages.answers["/p"] = page(b"", 302, Location="/p")
    with pytest.raises(Refused, match="passed on more than 3 times"):
        kept(pages, tmp_path).text(f"{pages.url}/p")
    assert len(pages.asked) == REDIRECTS + 1


@pytest.mark.parametrize(
    ("url", "allow_http"),
    [
        ("http://example.org/p", False),
        ("file:///etc/p", True),
        ("ftp://example.org/p", True),
        ("https://user:hidden@example.org/p", False),
        ("https:///p", False),
        ("p.json", False),
    ],
)
def test_only_https_unless_http_is_allowed(url: str, allow_http: bool, tmp_path: Path) -> None:
    """So no redirect leads to anything else: it is followed to listed addresses alone."""
    named = ProfileSettings(urls=f"https://example.org/p {url}", allow_http=allow_http)
    with pytest.raises(Misconfigured, match=r"profiles\.urls: each is an https://") as told:
        profiles_at(Settings(data_dir=tmp_path, profiles=named))
    assert "hidden" not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "fault", "said"),
    [
        (page(b" " * (MOST_BYTES + 1)), Refused, "more than 1,048,576 bytes"),
        (page(b"", 500), Unreachable, "answers 500"),
        (page(b"", 429), Unreachable, "answers 429"),
        (page(b"", 403), Refused, "answers 403"),
        (page(b"{", Content_Length="50"), Unreachable, "IncompleteRead"),
        (page(b"<html>"), Misconfigured, "is no JSON"),
        (page(b"[" * 100_000), Misconfigured, "is no JSON"),
        (page(a_profile(Serialization=1)), Misconfigured, "Serialization is a number"),
        (page(b"{}"), Misconfigured, "BagIt-Profile-Identifier is missing"),
        (dripping, Unreachable, "does not come in 1 s"),
        (dripping_head, Unreachable, "does not come in 1 s"),
    ],
)
def test_what_comes_is_bounded_and_held_to_be_a_profile(
    answer: Any, fault: type[Exception], said: str, pages: Pages, tmp_path: Path
) -> None:
    pages.answers["/p"] = answer
    began = time.monotonic()
    with pytest.raises(fault, match=said):
        kept(pages, tmp_path / "x", fetch_seconds=1.0).text(f"{pages.url}/p")
    assert time.monotonic() - began < 3
    assert not (tmp_path / "x").exists()


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with serving() as pages:
        pass
    with pytest.raises(Unreachable, match="cannot be fetched"):
        kept(pages, tmp_path).text(f"{pages.url}/p")


def test_an_address_that_failed_is_not_asked_at_every_bag(pages: Pages, tmp_path: Path) -> None:
    clock, url = Clock(), f"{pages.url}/p"
    profiles = kept(pages, tmp_path, clock=clock)
    pages.answers["/p"] = page(b"", 503)
    for _ in range(3):
        with pytest.raises(Unreachable, match="answers 503"):
            profiles.text(url)
    assert pages.asked == ["/p"]
    clock.now += 61
    pages.answers["/p"] = page(a_profile())
    assert profiles.text(url) == a_profile()


def test_nobody_waits_for_another_address(pages: Pages, tmp_path: Path) -> None:
    pages.answers |= {"/slow": dripping, "/p": page(a_profile())}
    profiles = kept(pages, tmp_path, "/slow", "/p", fetch_seconds=2.0)
    said: list[Exception] = []

    def ask_slow() -> None:
        try:
            profiles.text(f"{pages.url}/slow")
        except Unreachable as fault:
            said.append(fault)

    slow = threading.Thread(target=ask_slow)
    slow.start()
    while "/slow" not in pages.asked:
        time.sleep(0.01)
    assert profiles.text(f"{pages.url}/p") == a_profile()
    assert said == []
    slow.join()
    assert len(said) == 1


def tags(*identifiers: str) -> list[Tag]:
    label = "bagit-profile-identifier"
    return [Tag(tag_file="bag-info.txt", tag_name=label, value=name) for name in identifiers]


def test_the_first_profile_that_is_known_counts() -> None:
    at = {"https://example.org/p.json": a_profile()}.get
    assert profile_named(tags("https://example.org/p.json"), at).name.endswith("p.json")
    named = tags("https://example.org/x", "https://example.org/p.json", BTR_IDENTIFIER)
    assert profile_named(named, at).identifier == "https://example.org/p.json"
    assert profile_named(tags(BTR_IDENTIFIER, "https://example.org/p.json"), at).name == "btr"
    assert profile_named(tags("https://example.org/x"), at).is_aptrust
    assert profile_named([], at).is_aptrust


def test_a_bag_is_held_to_the_profile_at_the_address_that_it_names() -> None:
    url = "https://example.org/p.json"
    text = a_profile(url, **{"Bag-Info": {"Contact-Name": {"required": True}}})
    bag = valid_bag(profile="none").tag("bag-info.txt", "BagIt-Profile-Identifier", url)
    raw = bag.tar()
    report = check_bag(chunked(raw), len(raw), profile_at={url: text}.get)
    assert report.profile == url
    assert [p.code for p in report.problems] == ["BAG050"]
    raw = bag.tag("bag-info.txt", "Contact-Name", "A").tar()
    assert check_bag(chunked(raw), len(raw), profile_at={url: text}.get).problems == []


def test_addresses_are_separated_by_blanks(tmp_path: Path) -> None:
    environ = {"BAGLINE_PROFILES_URLS": "https://a.example/p,1 \n https://b.example/p"}
    settings = load_settings(data_dir=tmp_path, environ=environ)
    assert settings.profiles.listed == ["https://a.example/p,1", "https://b.example/p"]
