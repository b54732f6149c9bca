"""Profiles: what a bag must be beyond RFC 8493, in the BagIt Profiles 1.4 format.

The built-in ones lie beside this module in `profiles/`. Keys that begin with
`Bagline-` say what the format has no words for: rules for tags outside bag-info.txt,
which tag names the storage option, what is assumed where a bag says nothing, and what
is only a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from bagline.bagit.inventory import TAR
from bagline.bagit.path_names import PathNames
from bagline.bagit.paths import BAG_INFO, BAGIT_TXT
from bagline.bagit.profile_json import Table, each_once
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
        with path.open("rb") as file:
            text = file.read(PROFILE_BYTES + 1)
    except OSError as fault:
        raise Misconfigured(
            f"the profile {name_or_path} cannot be read ({fault.strerror or fault}):"
            f" name one of {', '.join(BUILT_IN)}, or a BagIt profile's JSON file"
        ) from fault
    return _parsed(name_or_path, path.stem, text, is_built_in=path.parent == _FOLDER)


@lru_cache(16)
def parse_profile(name: str, text: bytes) -> Profile:
    """The profile in a JSON text, as it will be called. Raises Misconfigured as `load_profile`."""
    return _parsed(name, name, text, is_built_in=False)


def _parsed(told: str, name: str, text: bytes, *, is_built_in: bool) -> Profile:
    try:
        if len(text) > PROFILE_BYTES:
            raise ValueError(f"it has more than {PROFILE_BYTES:,} bytes")
        document = json.loads(text, object_pairs_hook=each_once)
        json.dumps(document, ensure_ascii=False).encode()  # no halves of characters
    except (ValueError, RecursionError) as fault:
        raise Misconfigured(f"the profile {told} is no JSON: {fault}") from None
    try:
        return _profile(name, document, is_built_in=is_built_in)
    except ValueError as fault:
        raise Misconfigured(f"{told} is no BagIt profile: {fault}") from None


def _profile(name: str, document: Any, *, is_built_in: bool) -> Profile:
    """Raises ValueError, naming the key, for what the specification does not allow."""
    document = Table("the profile", document)
    info = document.table("BagIt-Profile-Info")
    for key in INFO_TEXTS:
        info.text(key)
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
        names = PathNames(allowed or ())
        for name in required:
            if allowed is not None and name not in names:
                raise ValueError(f"{what}-Required names {name}, which {what}-Allowed does not")
    if profile.fetch_required and not profile.fetch_allowed:
        raise ValueError("Fetch.txt-Required asks for what Allow-Fetch.txt forbids")


INFO_TEXTS = (
    *("Source-Organization", "External-Description", "Version", "BagIt-Profile-Version"),
    *("Contact-Name", "Contact-Email", "Contact-Phone"),
)
"""What the specification has in BagIt-Profile-Info, besides the identifier."""


def _types(accepted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """MIME types with one name for what is the same: tar was never registered."""
    if not accepted:
        return None
    return tuple(dict.fromkeys(TAR if t.lower() in TAR_TYPES else t.lower() for t in accepted))


def _default(rules: tuple[TagRule, ...], storage: Table) -> str:
    """What the rule for the tag that names the storage option takes a bag to say."""
    tag = (storage.text("tag-file"), storage.text("tag"))
    return next((rule.default for rule in rules if (rule.tag_file, rule.name) == tag), "")


def _bounded(rules: tuple[TagRule, ...]) -> tuple[TagRule, ...]:
    if len(rules) > PROFILE_RULES:
        raise ValueError(f"it has more than {PROFILE_RULES:,} rules for tags")
    return rules


def _algorithms(document: Table, key: str) -> tuple[str, ...] | None:
    names = document.texts(key)
    return None if names is None else tuple(re.sub(r"[\W_]", "", n.lower()) for n in names)


def _rules(document: Table) -> Iterable[TagRule]:
    """Tag rules in a stable order: bagit.txt, other tag files as listed, bag-info.txt."""
    files: dict[str, list[tuple[str, Table]]] = {BAGIT_TXT: []}
    for tag_file, tags in document.tables("Bagline-Tag-Files"):
        files[tag_file] = list(tags.each())
    others = document.held.get("Other-Info", [])  # as other profiles' authors write it
    for section in others if isinstance(others, list) else []:
        for title, tags in Table("Other-Info", section).each():
            files.setdefault(f"{title.lower()}.txt", list(tags.each()))
    files[BAG_INFO] = [*files.pop(BAG_INFO, []), *document.table("Bag-Info").each()]
    for tag_file, rules in files.items():
        for name, rule in dict(rules).items():
            rule.flag("recommended", False)
            rule.text("description")
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


ProfileAt = Callable[[str], bytes | None]
"""The text of the profile at an address; None where that is none that may be asked for."""


def profile_named(tags: Iterable[Tag], profile_at: ProfileAt = lambda _: None) -> Profile:
    """The profile that a bag with these tags is held to: the first that it names and that is known,
    built in or at an address that `profile_at` knows; else that of `profile_for`. Raises
    Misconfigured where no profile stands at that address, and what `profile_at` raises."""
    named = profile_identifiers(tags)
    for identifier in named:
        if is_known(identifier):
            break
        text = profile_at(identifier)
        if text is not None:
            return parse_profile(identifier, text)
    return profile_for(next(filter(is_known, named), ""))


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


def on_the_wire(tags: Sequence[Tag]) -> list[Tag]:
    """The tags as other validators look for them (contract E): where the bag names its profile,
    the address of today, also for a blank one. Any case of the label names it here."""
    label = (BAG_INFO, PROFILE_TAG.lower())
    return [
        structs.replace(tag, tag_name=PROFILE_TAG, value=effective_identifier(tag.value))
        if (tag.tag_file, tag.tag_name.lower()) == label
        else tag
        for tag in tags
    ]


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
