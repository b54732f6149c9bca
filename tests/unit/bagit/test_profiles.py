"""Profiles: the built-in ones, those from files, and where a bag wants to be kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bagline.bagit.path_names import PathNames
from bagline.bagit.profiles import (
    DEFAULT_PROFILE_IDENTIFIER,
    Profile,
    assumed_tags,
    effective_identifier,
    is_known,
    load_profile,
    parse_profile,
    profile_for,
    profile_identifier,
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


# -- what a profile may say, and how it must say it
MINIMAL = {
    "BagIt-Profile-Info": {"BagIt-Profile-Identifier": "https://example.org/p.json"},
    "Accept-BagIt-Version": ["1.0"],
}


def read(folder: Path, **keys: object) -> Profile:
    """The profile that these keys, with underscores for dashes and dots as they are, make."""
    path = folder / f"profile-{len(list(folder.iterdir()))}.json"
    document = MINIMAL | {name.replace("_", "-"): value for name, value in keys.items()}
    path.write_text(json.dumps(document))
    return load_profile(str(path))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("Manifests-Required", "md5", "Manifests-Required is a text"),
        ("Manifests-Allowed", {"md5": True}, "Manifests-Allowed is an object"),
        ("Tag-Files-Required", {"a.txt": {}}, "Tag-Files-Required is an object"),
        ("Tag-Files-Allowed", [1], "Tag-Files-Allowed has a number"),
        ("Payload-Files-Required", True, "Payload-Files-Required is true or false"),
        ("Payload-Files-Allowed", "data/*", "Payload-Files-Allowed is a text"),
        ("Accept-BagIt-Version", [1.0], "Accept-BagIt-Version has a number"),
        ("Accept-Serialization", "application/tar", "Accept-Serialization is a text"),
        ("Serialization", "perhaps", "Serialization is 'perhaps'"),
        ("Allow-Fetch.txt", "false", r"Allow-Fetch\.txt is a text"),
        ("Fetch.txt-Required", 1, r"Fetch\.txt-Required is a number"),
        ("Data-Empty", "yes", "Data-Empty is a text"),
        ("Bag-Info", [], "Bag-Info is a list"),
        ("Bag-Info", {"A": {"required": "false"}}, "Bag-Info/A/required is a text"),
        ("Bag-Info", {"A": {"repeatable": None}}, "Bag-Info/A/repeatable is nothing"),
        ("Bag-Info", {"A": {"values": "Example"}}, "Bag-Info/A/values is a text"),
        ("Bag-Info", {"A": {"values": [1, 2]}}, "Bag-Info/A/values has a number"),
        ("Bag-Info", {"A": "required"}, "Bag-Info/A is a text"),
        ("BagIt-Profile-Info", {}, "BagIt-Profile-Identifier is missing"),
        ("BagIt-Profile-Info", "x", "BagIt-Profile-Info is a text"),
    ],
)
def test_a_value_of_another_kind_is_named_and_never_guessed(
    tmp_path: Path, key: str, value: object, named: str
) -> None:
    with pytest.raises(Misconfigured, match=named):
        read(tmp_path, **{key: value})


@pytest.mark.parametrize("document", ["[]", "1", '"text"', "null"])
def test_a_document_that_is_no_object_is_no_profile(tmp_path: Path, document: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(document)
    with pytest.raises(Misconfigured, match="not an object"):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("required", "allowed"),
    [
        ("Manifests-Required", "Manifests-Allowed"),
        ("Tag-Manifests-Required", "Tag-Manifests-Allowed"),
        ("Tag-Files-Required", "Tag-Files-Allowed"),
        ("Payload-Files-Required", "Payload-Files-Allowed"),
    ],
)
def test_what_is_required_must_be_allowed(tmp_path: Path, required: str, allowed: str) -> None:
    with pytest.raises(Misconfigured, match=f"{required} names sha1"):
        read(tmp_path, **{required: ["sha1"], allowed: ["md5"]})
    with pytest.raises(Misconfigured, match="Fetch"):
        read(tmp_path, **{"Fetch.txt-Required": True, "Allow-Fetch.txt": False})


@pytest.mark.parametrize(
    "named", ["application/tar", "application/x-tar", "Application/X-GTAR", "application/gtar"]
)
def test_a_tar_has_several_names(tmp_path: Path, named: str) -> None:
    assert read(tmp_path, Accept_Serialization=[named]).serializations == ("application/tar",)


def test_only_asterisks_are_special_in_names_of_files() -> None:
    assert "notes[1].txt" in PathNames(["notes[1].txt"])
    assert "notes1.txt" not in PathNames(["notes[1].txt"])
    assert "notesX.txt" not in PathNames(["notes?.txt"])
    assert "a/b/c.xml" in PathNames(["a/*.xml"])
    assert "a/b/c.xml.gz" not in PathNames(["a/*.xml"])


def test_each_label_is_looked_at_in_any_case() -> None:
    def named(*pairs: tuple[str, str]) -> str:
        return profile_identifier(
            [Tag(tag_file="bag-info.txt", tag_name=n, value=v) for n, v in pairs]
        )

    label = "BagIt-Profile-Identifier"
    assert named((label.lower(), BTR_IDENTIFIER)) == BTR_IDENTIFIER
    assert named((label, "https://example.org/x"), (label, BTR_IDENTIFIER)) == BTR_IDENTIFIER
    assert named((label, " "), (label, "https://example.org/x")) == "https://example.org/x"
    assert named() == ""


@pytest.mark.parametrize("written", ["SHA3-256", "sha3_256", "sha3256"])
def test_algorithms_are_written_in_many_ways(written: str) -> None:
    info = {"BagIt-Profile-Identifier": "x"}
    document = {"BagIt-Profile-Info": info, "Manifests-Required": [written]}
    profile = parse_profile("x", json.dumps(document).encode())
    assert profile.manifests_required == ("sha3256",)


def test_a_pattern_costs_its_paths_length_and_no_more() -> None:
    """Many asterisks and a long name: a backtracking matcher would not end."""
    names = PathNames(["data/" + "*a" * 200 + "b", "*x*", "a*a"])
    assert "data/" + "a" * 4_000 not in names
    assert "data/" + "a" * 4_000 + "b" in names
    assert "qxq" in names
    assert "a" not in names
    assert "aa" in names
    with pytest.raises(ValueError, match="asterisks"):
        PathNames(f"{number}*" for number in range(1_001))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Manifests-Required": None}, "Manifests-Required is nothing"),
        ({"Accept-BagIt-Version": None}, "Accept-BagIt-Version is nothing"),
        ({"Bag-Info": {"A": {"values": None}}}, "Bag-Info/A/values is nothing"),
        ({"Bag-Info": {"A": {"recommended": "x"}}}, "Bag-Info/A/recommended is a text"),
        ({"Bag-Info": {"A": {"description": 5}}}, "Bag-Info/A/description is a number"),
        ({"Tag-Files-Required": ["\ud800"]}, "surrogates not allowed"),
    ],
)
def test_what_is_no_value_of_its_key_is_told(change: dict[str, object], told: str) -> None:
    info = {"BagIt-Profile-Info": {"BagIt-Profile-Identifier": "https://example.org/p.json"}}
    with pytest.raises(Misconfigured, match=told):
        parse_profile("p", json.dumps(info | change).encode())


def test_a_key_that_stands_twice_is_told() -> None:
    with pytest.raises(Misconfigured, match="'Bag-Info' stands twice"):
        parse_profile("p", b'{"Bag-Info": {}, "Bag-Info": {}}')
