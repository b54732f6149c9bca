"""Profiles: the built-in ones, those from files, and where a bag wants to be kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bagline.bagit.profiles import (
    DEFAULT_PROFILE_IDENTIFIER,
    assumed_tags,
    effective_identifier,
    is_known,
    load_profile,
    profile_for,
    storage_option,
    storage_options,
)
from bagline.errors import Misconfigured
from bagline.model.ingest import Tag
from support.bags import BTR_IDENTIFIER

OLD_BTR = [
    "https://raw.githubusercontent.com/APTrust/dart/master/profiles/btr-v0.1.json",
    "https://raw.githubusercontent.com/dpscollaborative/btr_bagit_profile/master/btr-bagit-profile.json",
]


def test_a_blank_identifier_means_aptrust() -> None:
    assert profile_for("").is_aptrust
    assert effective_identifier(" ") == DEFAULT_PROFILE_IDENTIFIER
    assert load_profile("aptrust").identifier == DEFAULT_PROFILE_IDENTIFIER


@pytest.mark.parametrize("identifier", [*OLD_BTR, BTR_IDENTIFIER])
def test_btr_under_all_its_addresses(identifier: str) -> None:
    assert profile_for(identifier).name == "btr"
    assert effective_identifier(identifier) == BTR_IDENTIFIER
    assert is_known(identifier)


def test_an_unknown_profile_is_aptrust_and_known_to_be_unknown() -> None:
    assert profile_for("https://example.org/profile.json").is_aptrust
    assert not is_known("https://example.org/profile.json")
    assert is_known("https://example.org/aptrust-v2.2.json")


def test_aptrust_asks_for_what_the_contract_says() -> None:
    profile = load_profile("aptrust")
    required = {(r.tag_file, r.name): r.values for r in profile.rules if r.required}
    assert required == {
        ("bagit.txt", "Tag-File-Character-Encoding"): ("UTF-8",),
        ("aptrust-info.txt", "Title"): (),
        ("aptrust-info.txt", "Access"): ("Consortia", "Institution", "Restricted"),
        ("aptrust-info.txt", "Storage-Option"): storage_options(),
    }
    assert profile.manifests_required == ("md5",)
    assert profile.versions == ("0.97", "1.0")
    assert not profile.fetch_allowed


def test_there_are_ten_storage_options() -> None:
    assert len(storage_options()) == 10
    assert "Wasabi-TX" in storage_options()


def option(tag_file: str, name: str, value: str, profile: str) -> str:
    return storage_option(
        [Tag(tag_file=tag_file, tag_name=name, value=value)], load_profile(profile)
    )


def test_a_storage_option_in_another_case_is_the_listed_one() -> None:
    assert option("aptrust-info.txt", "storage-option", " glacier-oh ", "aptrust") == "Glacier-OH"
    assert option("bag-info.txt", "APTrust-Storage-Option", "WASABI-tx", "btr") == "Wasabi-TX"


def test_no_storage_option_is_standard() -> None:
    for profile in ("aptrust", "btr", "none"):
        assert storage_option([], load_profile(profile)) == "Standard"


def test_an_option_that_does_not_exist() -> None:
    assert option("aptrust-info.txt", "Storage-Option", "Attic", "aptrust") == "Attic"
    assert option("bag-info.txt", "APTrust-Storage-Option", "Attic", "btr") == "Standard"


def test_a_profile_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(
        json.dumps(
            {
                "BagIt-Profile-Info": {"BagIt-Profile-Identifier": "https://example.org/p"},
                "Accept-BagIt-Version": ["1.0"],
                "Manifests-Required": ["sha-512"],
                "Tag-Files-Required": ["mets.txt"],
                "Bag-Info": {"Contact-Name": {"required": True, "repeatable": False}},
                "Other-Info": [{"APTrust-Info": {"Access": {"values": ["Consortia"]}}}],
            }
        )
    )
    profile = load_profile(str(path))
    assert (profile.name, profile.manifests_required) == ("ours", ("sha512",))
    assert {(r.tag_file, r.name, r.repeatable) for r in profile.rules} == {
        ("bag-info.txt", "Contact-Name", False),
        ("aptrust-info.txt", "Access", True),
    }


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"BagIt-Profile-Info": 3}', "\xff"])
def test_a_file_that_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(Misconfigured):
        load_profile(str(path))


def test_a_profile_that_does_not_exist_is_named_with_the_choices() -> None:
    with pytest.raises(Misconfigured, match="aptrust, btr, none"):
        load_profile("/nowhere/profile.json")


def test_what_a_profile_takes_a_bag_to_have_stands_in_its_json(tmp_path: Path) -> None:
    (tag,) = assumed_tags([], load_profile("aptrust"))
    assert tag == Tag(tag_file="aptrust-info.txt", tag_name="Storage-Option", value="Standard")
    empty = Tag(tag_file="aptrust-info.txt", tag_name="storage-option", value="")
    assert assumed_tags([empty], load_profile("aptrust")) == []
    assert assumed_tags([], load_profile("btr")) == []
    document = {
        "BagIt-Profile-Info": {"BagIt-Profile-Identifier": "x"},
        "Bag-Info": {"Keep-At": {"required": True, "Bagline-Default": "Glacier-OH"}},
        "Bagline-Storage-Option": {"tag-file": "bag-info.txt", "tag": "Keep-At"},
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps(document), "utf-8")
    assert storage_option([], load_profile(str(path))) == "Glacier-OH"
    assert [tag.value for tag in assumed_tags([], load_profile(str(path)))] == ["Glacier-OH"]
