"""Profiles: what a bag must be beyond RFC 8493, in the BagIt Profiles 1.4 format.

The built-in ones lie beside this module in `profiles/`. Keys that begin with
`Bagline-` say what the format has no words for: rules for tags outside bag-info.txt,
which tag names the storage option, what is assumed where a bag says nothing, and what
is only a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from bagline.bagit.paths import BAG_INFO, BAGIT_TXT
from bagline.errors import Misconfigured
from bagline.model.ingest import Tag
from bagline.units import MIB

BUILT_IN = ("aptrust", "btr", "none")
PROFILE_TAG = "BagIt-Profile-Identifier"
DEFAULT_PROFILE_IDENTIFIER = (
    "https://raw.githubusercontent.com/APTrust/preservation-services"
    "/master/profiles/aptrust-v2.3.json"
)
"""What is recorded for a bag that names no profile."""

PROFILE_BYTES = 1 * MIB
"""Longest profile that is read; the longest that is known has 20,000 bytes."""
PROFILE_RULES = 5_000

_FOLDER = Path(__file__).parent / "profiles"
_BTR = re.compile(r"/btr_bagit_profile|/btr-bagit-profile|/APTrust/dart/master/profiles/btr-v0\.1")
_APTRUST = re.compile(r"aptrust[^/]*(\.json)?$", re.IGNORECASE)


class TagRule(Struct, frozen=True):
    """What a tag of one tag file must be. Values compare without regard to case. A bag that
    lacks a tag with a `default` is taken to have it."""

    tag_file: str
    name: str
    required: bool = False
    values: tuple[str, ...] = ()
    repeatable: bool = True
    default: str = ""


class Profile(Struct, frozen=True, kw_only=True):
    """What a bag is held to. An `…_allowed` of None allows everything."""

    name: str
    identifier: str
    versions: tuple[str, ...]
    serializations: tuple[str, ...] | None = None
    fetch_allowed: bool = True
    manifests_required: tuple[str, ...] = ()
    manifests_allowed: tuple[str, ...] | None = None
    tag_manifests_required: tuple[str, ...] = ()
    tag_manifests_allowed: tuple[str, ...] | None = None
    tag_files_required: tuple[str, ...] = ()
    tag_files_allowed: tuple[str, ...] | None = None
    rules: tuple[TagRule, ...] = ()
    storage_tag: tuple[str, str] = ("", "")
    storage_default: str = ""
    control_characters_warn: bool = False
    unlisted_manifests_warn: bool = False

    @property
    def is_aptrust(self) -> bool:
        """Whether it is the built-in APTrust profile."""
        return self.identifier == DEFAULT_PROFILE_IDENTIFIER


@cache
def load_profile(name_or_path: str) -> Profile:
    """A built-in profile by name, or one from a JSON file.

    Raises Misconfigured when there is none, or when the file is no BagIt profile.
    """
    path = Path(name_or_path)
    if name_or_path.lower() in BUILT_IN:
        path = _FOLDER / f"{name_or_path.lower()}.json"
    try:
        document = json.loads(_read(path))
    except OSError as fault:
        raise Misconfigured(
            f"the profile {name_or_path} cannot be read ({fault.strerror or fault}):"
            f" name one of {', '.join(BUILT_IN)}, or a BagIt profile's JSON file"
        ) from fault
    except (ValueError, RecursionError) as fault:
        raise Misconfigured(f"the profile {name_or_path} is no JSON: {fault}") from None
    try:
        return _profile(path.stem, document)
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise Misconfigured(f"{name_or_path} is no BagIt profile: {fault!r}") from fault


def _read(path: Path) -> bytes:
    """Raises ValueError for what is too large to be a profile."""
    with path.open("rb") as file:
        text = file.read(PROFILE_BYTES + 1)
    if len(text) > PROFILE_BYTES:
        raise ValueError(f"it has more than {PROFILE_BYTES:,} bytes")
    return text


def _profile(name: str, document: Mapping[str, Any]) -> Profile:
    storage = document.get("Bagline-Storage-Option", {})
    serializations = None
    if document.get("Serialization", "optional") != "forbidden":
        serializations = _names(document, "Accept-Serialization")
    rules = _bounded(tuple(islice(_rules(document), PROFILE_RULES + 1)))
    return Profile(
        name=name,
        identifier=document["BagIt-Profile-Info"]["BagIt-Profile-Identifier"],
        versions=_names(document, "Accept-BagIt-Version") or ("0.97", "1.0"),
        serializations=serializations,
        fetch_allowed=bool(document.get("Allow-Fetch.txt", True)),
        manifests_required=_algorithms(document, "Manifests-Required") or (),
        manifests_allowed=_algorithms(document, "Manifests-Allowed"),
        tag_manifests_required=_algorithms(document, "Tag-Manifests-Required") or (),
        tag_manifests_allowed=_algorithms(document, "Tag-Manifests-Allowed"),
        tag_files_required=_names(document, "Tag-Files-Required") or (),
        tag_files_allowed=_names(document, "Tag-Files-Allowed"),
        rules=rules,
        storage_tag=(storage.get("tag-file", ""), storage.get("tag", "")),
        storage_default=storage.get("default") or _default(rules, storage),
        control_characters_warn=document.get("Bagline-Control-Characters-In-Names") == "warn",
        unlisted_manifests_warn=document.get("Bagline-Unlisted-Manifests") == "warn-before-1.0",
    )


def _default(rules: tuple[TagRule, ...], storage: Mapping[str, Any]) -> str:
    """What the rule for the tag that names the storage option takes a bag to say."""
    tag = (storage.get("tag-file"), storage.get("tag"))
    return next((rule.default for rule in rules if (rule.tag_file, rule.name) == tag), "")


def _bounded(rules: tuple[TagRule, ...]) -> tuple[TagRule, ...]:
    if len(rules) > PROFILE_RULES:
        raise ValueError(f"it has more than {PROFILE_RULES:,} rules for tags")
    return rules


def _names(document: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    names = document.get(key)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} is no list of texts")
    return tuple(names)


def _algorithms(document: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    names = _names(document, key)
    return None if names is None else tuple(n.lower().replace("-", "") for n in names)


def _rules(document: Mapping[str, Any]) -> Iterable[TagRule]:
    """Tag rules in a stable order: bagit.txt, other tag files as listed, bag-info.txt."""
    files: dict[str, Mapping[str, Any]] = {BAGIT_TXT: {}}
    files.update(document.get("Bagline-Tag-Files", {}))
    for section in document.get("Other-Info", []):  # as other profiles' authors write it
        for title, tags in section.items():
            files.setdefault(f"{title.lower()}.txt", tags)
    files[BAG_INFO] = {**files.get(BAG_INFO, {}), **document.get("Bag-Info", {})}
    for tag_file, tags in files.items():
        for name, rule in tags.items():
            yield TagRule(
                tag_file,
                name,
                bool(rule.get("required", False)),
                tuple(rule.get("values") or ()),
                bool(rule.get("repeatable", True)),
                str(rule.get("Bagline-Default", "")),
            )


def profile_identifier(tags: Iterable[Tag]) -> str:
    """The profile that the bag itself names in bag-info.txt; "" if it names none."""
    for tag in tags:
        if tag.tag_file == BAG_INFO and tag.tag_name == PROFILE_TAG:
            return tag.value.strip()
    return ""


def profile_for(identifier: str) -> Profile:
    """The profile a bag with this BagIt-Profile-Identifier is held to.

    BTR under its own and its two older addresses; APTrust for everything else, blank
    and unknown included (`is_known` tells them apart).
    """
    return load_profile("btr" if _BTR.search(identifier) else "aptrust")


def effective_identifier(identifier: str) -> str:
    """The address to record: a blank one is APTrust's, older ones of BTR are the newest."""
    if not identifier.strip() or _BTR.search(identifier):
        return profile_for(identifier).identifier
    return identifier


def is_known(identifier: str) -> bool:
    """Whether the identifier is blank or names a profile that is built in."""
    return not identifier or bool(_BTR.search(identifier) or _APTRUST.search(identifier))


@cache
def storage_options() -> tuple[str, ...]:
    """The storage options there are: one list, for every profile."""
    profile = load_profile("aptrust")
    return next(rule.values for rule in profile.rules if rule.name == profile.storage_tag[1])


def storage_option(tags: Iterable[Tag], profile: Profile) -> str:
    """Where the bag wants to be kept, in the spelling of `storage_options`.

    The profile's default if it does not say (the list's first where the profile has none).
    A value that is not in the list: as it stands for a profile that has a rule for the tag
    (validation rejects it), else the default.
    """
    tag_file, name = profile.storage_tag
    wanted = ""
    for tag in tags:
        if tag.tag_file == tag_file and tag.tag_name.lower() == name.lower():
            wanted = tag.value.strip()
            break
    for option in storage_options():
        if option.lower() == wanted.lower():
            return option
    has_rule = any(r.tag_file == tag_file and r.name == name for r in profile.rules)
    return wanted if wanted and has_rule else profile.storage_default or storage_options()[0]


def assumed_tags(tags: Sequence[Tag], profile: Profile) -> list[Tag]:
    """The tags that the bag lacks and that the profile takes it to have."""
    there = {(tag.tag_file, tag.tag_name.lower()) for tag in tags}
    return [
        Tag(tag_file=rule.tag_file, tag_name=rule.name, value=rule.default)
        for rule in profile.rules
        if rule.default and (rule.tag_file, rule.name.lower()) not in there
    ]
