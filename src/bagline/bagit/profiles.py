"""Profiles: what a bag must be beyond RFC 8493, in the BagIt Profiles 1.4 format.

The built-in ones lie beside this module in `profiles/`. Keys that begin with
`Bagline-` say what the format has no words for: rules for tags outside bag-info.txt,
which tag names the storage option, what is assumed where a bag says nothing, and what
is only a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from bagline.bagit.inventory import TAR
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

TAR_TYPES = ("application/tar", "application/x-tar", "application/x-gtar", "application/gtar")
"""Names under which profiles speak of a tar."""
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
    is_built_in: bool = True
    serializations: tuple[str, ...] | None = None
    """MIME types; none of them where the profile forbids serialization."""
    fetch_allowed: bool = True
    fetch_required: bool = False
    data_empty: bool = False
    payload_files_required: tuple[str, ...] = ()
    payload_files_allowed: tuple[str, ...] | None = None
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
        return _profile(path.stem, document, is_built_in=path.parent == _FOLDER)
    except ValueError as fault:
        raise Misconfigured(f"{name_or_path} is no BagIt profile: {fault}") from None


def _read(path: Path) -> bytes:
    """Raises ValueError for what is too large to be a profile."""
    with path.open("rb") as file:
        text = file.read(PROFILE_BYTES + 1)
    if len(text) > PROFILE_BYTES:
        raise ValueError(f"it has more than {PROFILE_BYTES:,} bytes")
    return text


def _profile(name: str, document: Any, *, is_built_in: bool) -> Profile:
    """Raises ValueError, naming the key, for what the specification does not allow."""
    document = _Table("the profile", document)
    info = document.table("BagIt-Profile-Info")
    identifier = info.text("BagIt-Profile-Identifier")
    if not identifier:
        raise ValueError("BagIt-Profile-Info/BagIt-Profile-Identifier is missing")
    storage = document.table("Bagline-Storage-Option")
    rules = _bounded(tuple(islice(_rules(document), PROFILE_RULES + 1)))
    serialization = document.one_of("Serialization", ("forbidden", "required", "optional"))
    accepted = document.texts("Accept-Serialization")
    profile = Profile(
        name=name,
        identifier=identifier,
        is_built_in=is_built_in,
        versions=document.texts("Accept-BagIt-Version") or ("0.97", "1.0"),
        serializations=() if serialization == "forbidden" else _types(accepted),
        fetch_allowed=document.flag("Allow-Fetch.txt", True),
        fetch_required=document.flag("Fetch.txt-Required", False),
        data_empty=document.flag("Data-Empty", False),
        payload_files_required=document.texts("Payload-Files-Required") or (),
        payload_files_allowed=document.texts("Payload-Files-Allowed"),
        manifests_required=_algorithms(document, "Manifests-Required") or (),
        # An empty list would reject every bag; profiles that have one mean no limit.
        manifests_allowed=_algorithms(document, "Manifests-Allowed") or None,
        tag_manifests_required=_algorithms(document, "Tag-Manifests-Required") or (),
        tag_manifests_allowed=_algorithms(document, "Tag-Manifests-Allowed"),
        tag_files_required=document.texts("Tag-Files-Required") or (),
        tag_files_allowed=document.texts("Tag-Files-Allowed"),
        rules=rules,
        storage_tag=(storage.text("tag-file"), storage.text("tag")),
        storage_default=storage.text("default") or _default(rules, storage),
        control_characters_warn=document.text("Bagline-Control-Characters-In-Names") == "warn",
        unlisted_manifests_warn=document.text("Bagline-Unlisted-Manifests") == "warn-before-1.0",
    )
    _check_required_is_allowed(profile)
    return profile


def _check_required_is_allowed(profile: Profile) -> None:
    """Raises ValueError: a profile that asks for what it forbids rejects every bag."""
    for what, required, allowed in (
        ("Manifests", profile.manifests_required, profile.manifests_allowed),
        ("Tag-Manifests", profile.tag_manifests_required, profile.tag_manifests_allowed),
        ("Tag-Files", profile.tag_files_required, profile.tag_files_allowed),
        ("Payload-Files", profile.payload_files_required, profile.payload_files_allowed),
    ):
        for name in required:
            if allowed is not None and not is_among(name, allowed):
                raise ValueError(f"{what}-Required names {name}, which {what}-Allowed does not")
    if profile.fetch_required and not profile.fetch_allowed:
        raise ValueError("Fetch.txt-Required asks for what Allow-Fetch.txt forbids")


class _Table:
    """An object of the profile's JSON. What it holds is asked for by type; raises ValueError
    with the key's name for another one: a guess would judge bags by what nobody wrote."""

    def __init__(self, name: str, held: Any) -> None:
        if not isinstance(held, dict):
            raise ValueError(f"{name} is {_kind_of(held)}, not an object")
        self._name = name
        self.held: dict[str, Any] = held

    def _called(self, key: str) -> str:
        return key if self._name == "the profile" else f"{self._name}/{key}"

    def table(self, key: str) -> _Table:
        """Empty where it is missing."""
        return _Table(self._called(key), self.held.get(key, {}))

    def tables(self, key: str) -> Iterator[tuple[str, _Table]]:
        return self.table(key).each()

    def each(self) -> Iterator[tuple[str, _Table]]:
        """All of it, where all of it are objects."""
        return ((name, self.table(name)) for name in self.held)

    def text(self, key: str) -> str:
        found = self.held.get(key, "")
        if not isinstance(found, str):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not a text")
        return found

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        found = self.text(key)
        if found and found not in known:
            raise ValueError(f"{self._called(key)} is '{found}', not one of: {', '.join(known)}")
        return found

    def flag(self, key: str, default: bool) -> bool:
        found = self.held.get(key, default)
        if not isinstance(found, bool):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not true or false")
        return found

    def texts(self, key: str) -> tuple[str, ...] | None:
        """None where it is missing."""
        found = self.held.get(key)
        if found is None:
            return None
        if not isinstance(found, list):
            raise ValueError(f"{self._called(key)} is {_kind_of(found)}, not a list of texts")
        for each in found:
            if not isinstance(each, str):
                raise ValueError(f"{self._called(key)} has {_kind_of(each)}, where texts stand")
        return tuple(found)


def _kind_of(held: Any) -> str:
    kinds = {str: "a text", bool: "true or false", list: "a list", dict: "an object"}
    return "nothing" if held is None else kinds.get(type(held), "a number")


def _types(accepted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """MIME types with one name for what is the same: tar was never registered."""
    if not accepted:
        return None
    return tuple(dict.fromkeys(TAR if t.lower() in TAR_TYPES else t.lower() for t in accepted))


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A path name in which only asterisks are special (Profiles 1.4)."""
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL)


def is_among(path: str, names: Iterable[str]) -> bool:
    """Whether one of the names, which may have asterisks, is the path's."""
    return any(_pattern(name).fullmatch(path) for name in names)


def _default(rules: tuple[TagRule, ...], storage: _Table) -> str:
    """What the rule for the tag that names the storage option takes a bag to say."""
    tag = (storage.text("tag-file"), storage.text("tag"))
    return next((rule.default for rule in rules if (rule.tag_file, rule.name) == tag), "")


def _bounded(rules: tuple[TagRule, ...]) -> tuple[TagRule, ...]:
    if len(rules) > PROFILE_RULES:
        raise ValueError(f"it has more than {PROFILE_RULES:,} rules for tags")
    return rules


def _algorithms(document: _Table, key: str) -> tuple[str, ...] | None:
    names = document.texts(key)
    return None if names is None else tuple(n.lower().replace("-", "") for n in names)


def _rules(document: _Table) -> Iterable[TagRule]:
    """Tag rules in a stable order: bagit.txt, other tag files as listed, bag-info.txt."""
    files: dict[str, list[tuple[str, _Table]]] = {BAGIT_TXT: []}
    for tag_file, tags in document.tables("Bagline-Tag-Files"):
        files[tag_file] = list(tags.each())
    others = document.held.get("Other-Info", [])  # as other profiles' authors write it
    for section in others if isinstance(others, list) else []:
        for title, tags in _Table("Other-Info", section).each():
            files.setdefault(f"{title.lower()}.txt", list(tags.each()))
    files[BAG_INFO] = [*files.pop(BAG_INFO, []), *document.table("Bag-Info").each()]
    for tag_file, rules in files.items():
        for name, rule in dict(rules).items():
            yield TagRule(
                tag_file,
                name,
                rule.flag("required", False),
                rule.texts("values") or (),
                rule.flag("repeatable", True),
                rule.text("Bagline-Default"),
            )


def profile_identifiers(tags: Iterable[Tag]) -> list[str]:
    """The profiles that the bag itself names in bag-info.txt; the label may be repeated, and is
    written in any case (RFC 8493, section 2.2.2)."""
    label = PROFILE_TAG.lower()
    named = (t.value.strip() for t in tags if (t.tag_file, t.tag_name.lower()) == (BAG_INFO, label))
    return [identifier for identifier in named if identifier]


def profile_identifier(tags: Iterable[Tag]) -> str:
    """The one of them that the bag is held to: the first that is known here, else the first;
    "" if it names none."""
    named = profile_identifiers(tags)
    return next((name for name in named if is_known(name)), named[0] if named else "")


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
