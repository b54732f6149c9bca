"""What BagIt Profiles 1.4 lets a profile ask for, each judged on a bag that has it and one that
has not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec import structs

from bagline.bagit.check import check_bag
from bagline.bagit.profiles import Profile
from bagline.problems import ERROR
from support.bags import BagBuilder, chunked, valid_bag

OWN = Profile(
    name="own", identifier="https://example.org/p.json", versions=("0.97", "1.0"), is_built_in=False
)


def a_bag() -> BagBuilder:
    named = valid_bag(profile="none")
    return named.tag("bag-info.txt", "BagIt-Profile-Identifier", OWN.identifier)


def codes(bag: BagBuilder, **rules: object) -> set[str]:
    raw = bag.tar()
    report = check_bag(chunked(raw), len(raw), structs.replace(OWN, **rules))
    return {problem.code for problem in report.problems if problem.severity == ERROR}


@dataclass(frozen=True)
class Rule:
    code: str
    rules: dict[str, object]
    good: BagBuilder
    bad: BagBuilder


RULES = {
    "Fetch.txt-Required": Rule(
        "BAG096",
        {"fetch_required": True},
        a_bag().tag_file("fetch.txt", b""),
        a_bag(),
    ),
    "Data-Empty": Rule(
        "BAG097",
        {"data_empty": True},
        BagBuilder(profile="none")
        .payload("empty", b"")
        .tag("bag-info.txt", "BagIt-Profile-Identifier", OWN.identifier),
        a_bag(),
    ),
    "Payload-Files-Required": Rule(
        "BAG059",
        {"payload_files_required": ("data/index.csv",)},
        a_bag().payload("index.csv"),
        a_bag(),
    ),
    "Payload-Files-Allowed": Rule(
        "BAG067",
        {"payload_files_allowed": ("data/*",)},
        a_bag(),
        a_bag(),
    ),
    "Serialization: forbidden": Rule("BAG092", {"serializations": ()}, a_bag(), a_bag()),
    "Tag-Files-Required names a manifest": Rule(
        "BAG054",
        {"tag_files_required": ("manifest-sha256.txt",)},
        a_bag(),
        a_bag().manifest("md5"),
    ),
}
WHERE_IT_HOLDS = {"Serialization: forbidden": {"serializations": None}}
WHERE_IT_DOES_NOT = {"Payload-Files-Allowed": {"payload_files_allowed": ("data/*.txt",)}}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_kept_or_broken(name: str) -> None:
    rule = RULES[name]
    assert codes(rule.good, **WHERE_IT_HOLDS.get(name, rule.rules)) == set()
    assert codes(rule.bad, **WHERE_IT_DOES_NOT.get(name, rule.rules)) == {rule.code}


def test_the_bags_own_label_is_held_against_the_profile() -> None:
    def found(bag: BagBuilder) -> list[tuple[str, str]]:
        raw = bag.tar()
        report = check_bag(chunked(raw), len(raw), OWN)
        return [(p.code, p.severity) for p in report.problems]

    unnamed = valid_bag(profile="none")
    assert found(a_bag()) == []
    assert found(a_bag().tag("bag-info.txt", "BagIt-Profile-Identifier", "other")) == [
        ("BAG057", "warning")
    ]
    assert found(unnamed) == [("BAG058", "warning")]
    assert found(unnamed.without_tag_file("bag-info.txt")) == [("BAG058", "error")]
