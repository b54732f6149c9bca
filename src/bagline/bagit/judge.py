"""What makes a bag valid: RFC 8493 and a profile, all problems at once, in a stable order.

Pure rules over an Inventory. `bagline check` fills one in memory, pre-fetch one in Redis;
nobody but `judge` decides. (What is wrong with a tag file or a manifest by itself, its reader
says: `tagfiles.read_tags`, `manifests.ManifestParser`.)
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bagline import problems
from bagline.bagit.digests import LENGTHS
from bagline.bagit.inventory import BagFacts, FileFacts, Inventory
from bagline.bagit.manifest_names import like_a_manifest, manifest_meant, unverified
from bagline.bagit.manifests import BLANKS, case_key, case_problem
from bagline.bagit.path_names import PathNames
from bagline.bagit.paths import (
    BAG_INFO,
    BAGIT_TXT,
    FETCH_TXT,
    Role,
    manifest_algorithm,
    role_of,
)
from bagline.bagit.profiles import (
    Profile,
    TagRule,
    is_known,
    profile_identifier,
    profile_identifiers,
)
from bagline.bagit.tagfiles import VERSION_TAG, info_names, version_number
from bagline.model.ingest import SOURCE_MANIFEST, SOURCE_TAG_MANIFEST
from bagline.problems import (
    ERROR,
    LISTED_PER_KIND,
    WARNING,
    Problem,
    ProblemLog,
    with_article,
)

_OXUM = re.compile(r"(\d{1,20})\.(\d{1,20})")
# How a control character looks once somebody has escaped it into a name.
_ESCAPED_CONTROL = re.compile(r"\\u00[0189][0-9A-Fa-f]|\\u007[Ff]")
FORBIDDEN = "The profile forbids serialization, and deposits here are tars: it cannot be met."
_NO_BREAK_SPACE = "\u00a0"
_FILE_PREFIX = {SOURCE_MANIFEST: "manifest-", SOURCE_TAG_MANIFEST: "tagmanifest-"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the house decides, not the profile."""

    oxum_severity: str = ERROR

    @classmethod
    def of(cls, *, payload_oxum_rejects: bool) -> Policy:
        """As the settings of that name say."""
        return cls(ERROR if payload_oxum_rejects else WARNING)


def judge(inventory: Inventory, profile: Profile, policy: Policy | None = None) -> list[Problem]:
    """Everything wrong with the bag: what reading found, then the bag as a whole, its files,
    missing files that are there in another spelling, and files whose names are alike. Of a bag
    without files only the first.
    """
    log, of_files = ProblemLog(), ProblemLog()
    log.merge(inventory.log)
    facts = inventory.facts
    missing: list[str] = []
    for file in inventory.files():
        of_files.extend(file_problems(file, facts, profile))
        if not file.calculated and len(missing) < LISTED_PER_KIND:
            missing.append(file.path)
    facts = inventory.facts
    if facts.files:
        policy = policy or Policy()
        log.extend(bag_problems(facts, profile, oxum_severity=policy.oxum_severity))
        log.extend(_payload_files(inventory, profile))
        log.merge(of_files)
        log.extend(_differing_in_case(missing, inventory))
        log.extend(_with_backslashes(missing, inventory))
        log.merge(inventory.names.problems(inventory.paths()))
    return list(dict.fromkeys(log.all()))


def _differing_in_case(missing: list[str], inventory: Inventory) -> Iterator[Problem]:
    """Of missing files: which ones are there in another case, or without blanks at the end of
    the name: the likeliest mistakes."""
    wanted = {case_key(path.rstrip(BLANKS)): path for path in missing}
    for path in inventory.paths() if wanted else ():
        listed = wanted.get(case_key(path))
        problem = case_problem(listed, path) if listed is not None else None
        if problem is not None:
            yield problem


def _with_backslashes(missing: list[str], inventory: Inventory) -> Iterator[Problem]:
    """Of missing files: which ones are there with backslashes between the parts of their names."""
    wanted = frozenset(path for path in missing if path.count("/") > 1)
    for path in inventory.paths() if wanted else ():
        if "\\" in path and path.replace("\\", "/") in wanted:
            yield problems.BACKSLASHES.about(path, WARNING)


def bag_problems(facts: BagFacts, profile: Profile, *, oxum_severity: str = ERROR) -> list[Problem]:
    """Everything wrong with the bag as a whole, in the order of this function."""
    return [
        *_serialization(facts, profile),
        *_version(facts, profile),
        *_fetch(facts, profile),
        *_manifests(facts, profile),
        *_tag_manifests(facts, profile),
        *_tags(facts, profile),
        *_tag_files(facts, profile),
        *_payload(facts, profile, oxum_severity),
    ]


def _serialization(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    allowed = profile.serializations
    if allowed is not None and facts.serialization not in allowed:
        remedy = f"Deposit it as one of: {_list(allowed)}." if allowed else FORBIDDEN
        yield problems.SERIALIZATION_NOT_ALLOWED.about(
            serialization=facts.serialization, remedy=remedy
        )
    if facts.bag_name and facts.top_directory and facts.bag_name != facts.top_directory:
        yield problems.TOP_DIRECTORY_NAME.about(facts.top_directory, bag=facts.bag_name)


def _version(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    if not facts.version:
        yield problems.VERSION_MISSING.about(BAGIT_TXT)
    elif facts.version not in profile.versions:
        yield problems.VERSION_NOT_ALLOWED.about(
            BAGIT_TXT, version=facts.version, allowed=_list(profile.versions)
        )


def _fetch(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    if profile.fetch_required and not facts.has_fetch_txt:
        yield problems.FETCH_REQUIRED.about(FETCH_TXT)
    if facts.has_fetch_txt:
        kind = problems.FETCH_IGNORED if profile.fetch_allowed else problems.FETCH_NOT_ALLOWED
        yield kind.about(FETCH_TXT)


def _manifests(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    present = sorted({name.lower() for name in facts.manifests})
    if not present:
        yield problems.NO_PAYLOAD_MANIFEST.about()
    for algorithm in profile.manifests_required:
        if algorithm not in present:
            yield problems.MANIFEST_REQUIRED.about(algorithm=algorithm)
    yield from _several("manifest", facts.manifests)
    is_verifiable = any(algorithm in facts.calculated for algorithm in present)
    for algorithm in present:
        name = f"manifest-{algorithm}.txt"
        if algorithm in facts.calculated:
            yield from _not_allowed(name, algorithm, profile.manifests_allowed)
        elif is_verifiable or manifest_meant(name):
            yield unverified(name, algorithm)
        else:
            yield problems.NOTHING_VERIFIABLE.about(name, algorithm=algorithm, known=_list(LENGTHS))


def _several(kind: str, algorithms: Sequence[str]) -> Iterator[Problem]:
    """Manifests of one algorithm, under names that differ in case: each must be whole."""
    for algorithm, count in Counter(name.lower() for name in algorithms).items():
        if count > 1:
            name = f"{kind}-{algorithm}.txt"
            yield problems.SEVERAL_MANIFESTS.about(name, count=count, algorithm=algorithm)


def _tag_manifests(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    present = sorted({name.lower() for name in facts.tag_manifests})
    yield from _several("tagmanifest", facts.tag_manifests)
    for algorithm in profile.tag_manifests_required:
        if algorithm not in present:
            yield problems.TAG_MANIFEST_REQUIRED.about(algorithm=algorithm)
    for algorithm in present:
        name = f"tagmanifest-{algorithm}.txt"
        if algorithm in facts.calculated:
            yield from _not_allowed(name, algorithm, profile.tag_manifests_allowed)
        else:
            yield unverified(name, algorithm)


def _not_allowed(name: str, algorithm: str, allowed: tuple[str, ...] | None) -> Iterator[Problem]:
    if allowed is not None and algorithm not in allowed:
        hint = f"Use one of: {_list(allowed)}." if allowed else "The profile allows none."
        yield problems.MANIFEST_NOT_ALLOWED.about(name, algorithm=algorithm, hint=hint)


def _tags(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    values: dict[tuple[str, str], list[str]] = {}
    for tag in facts.tags:
        values.setdefault((tag.tag_file, tag.tag_name.lower()), []).append(tag.value)
    for rule in profile.rules:
        if (rule.tag_file, rule.name) != (BAGIT_TXT, VERSION_TAG):
            found = values.get((rule.tag_file, rule.name.lower()), [])
            yield from _tag(rule, found, rule.tag_file in facts.tag_files)
    yield from _label(facts, profile)


def _label(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    """What the bag says of its own profile, beside the one that it is held to."""
    named = profile_identifiers(facts.tags)
    if profile.is_built_in:
        identifier = profile_identifier(facts.tags)
        if not is_known(identifier) and identifier != profile.identifier and profile.is_aptrust:
            yield problems.PROFILE_UNKNOWN.about(BAG_INFO, identifier=identifier)
    elif not named:
        # The file is required wherever a profile is (Profiles 1.4); a label that is missing leaves
        # no doubt where somebody else has named the profile.
        severity = WARNING if BAG_INFO in facts.tag_files else ERROR
        yield problems.PROFILE_NOT_NAMED.about(BAG_INFO, severity, identifier=profile.identifier)
    elif profile.identifier not in named:
        yield problems.PROFILE_DIFFERS.about(
            BAG_INFO, named=_list(named), identifier=profile.identifier
        )


def _tag(rule: TagRule, values: list[str], has_file: bool) -> Iterator[Problem]:
    hint = f" Allowed are: {_list(rule.values)}." if rule.values else ""
    if not values and rule.default:
        return
    if rule.required and not values:
        hint = hint if has_file else f"{hint} The file {rule.tag_file} itself is missing."
        yield problems.TAG_MISSING.about(rule.tag_file, tag=rule.name, hint=hint)
        return
    if len(values) > 1 and not rule.repeatable:
        yield problems.TAG_REPEATED.about(rule.tag_file, tag=rule.name, count=len(values))
    if rule.required and not any(value.strip() for value in values):
        yield problems.TAG_EMPTY.about(rule.tag_file, tag=rule.name, hint=hint)
    allowed = {value.lower() for value in rule.values}
    for value in values:
        if allowed and value.strip() and value.strip().lower() not in allowed:
            yield problems.TAG_ILLEGAL.about(
                rule.tag_file, tag=rule.name, value=value, allowed=_list(rule.values)
            )


def _tag_files(facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    for path in profile.tag_files_required:
        if path not in facts.tag_files and not _is_manifest_or_fetch(path, facts):
            yield problems.TAG_FILE_REQUIRED.about(path)
    if profile.tag_files_allowed is None:
        return
    allowed = PathNames(profile.tag_files_allowed)
    usual = {BAGIT_TXT, BAG_INFO, FETCH_TXT, *profile.tag_files_required}
    usual |= {rule.tag_file for rule in profile.rules}
    for path in facts.tag_files:
        if path not in usual and path not in allowed:
            yield problems.TAG_FILE_NOT_ALLOWED.about(path)


def _is_manifest_or_fetch(path: str, facts: BagFacts) -> bool:
    """Profiles name these among tag files, though they should not."""
    if path == FETCH_TXT:
        return facts.has_fetch_txt
    there = facts.manifests if role_of(path) is Role.MANIFEST else facts.tag_manifests
    algorithm = manifest_algorithm(path)
    return bool(algorithm) and algorithm in {name.lower() for name in there}


def _payload_files(inventory: Inventory, profile: Profile) -> Iterator[Problem]:
    """What the profile says of payload files by name (Profiles 1.4)."""
    required, allowed = set(profile.payload_files_required), profile.payload_files_allowed
    names = PathNames(allowed or ())
    if required or allowed is not None:
        for path in inventory.paths():
            required.discard(path)
            is_payload = role_of(path) is Role.PAYLOAD
            if is_payload and allowed is not None and path not in names:
                yield problems.PAYLOAD_FILE_NOT_ALLOWED.about(path)
    for path in sorted(required):
        yield problems.PAYLOAD_FILE_REQUIRED.about(path)


def _payload(facts: BagFacts, profile: Profile, oxum_severity: str) -> Iterator[Problem]:
    if profile.data_empty:
        if facts.payload_files > 1 or facts.payload_bytes:
            yield problems.DATA_NOT_EMPTY.about()
    elif not facts.payload_files:
        yield problems.NO_PAYLOAD.about()
    oxums = [
        tag
        for tag in facts.tags
        if tag.tag_file in info_names(facts.version) and tag.tag_name.lower() == "payload-oxum"
    ]
    if len(oxums) > 1:
        yield problems.OXUM_REPEATED.about(oxums[0].tag_file, count=len(oxums))
    for tag in oxums:
        match = _OXUM.fullmatch(tag.value.strip())
        found = f"{facts.payload_bytes}.{facts.payload_files}"
        if match is None:
            if tag.value.strip():
                yield problems.OXUM_MALFORMED.about(tag.tag_file, oxum_severity, value=tag.value)
        elif (int(match[1]), int(match[2])) != (facts.payload_bytes, facts.payload_files):
            yield problems.OXUM_DIFFERS.about(
                tag.tag_file, oxum_severity, listed=tag.value, found=found
            )


def file_problems(file: FileFacts, facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    """Everything wrong with one file: its name, its listings, its digests."""
    if file.calculated:
        if not (file.path.isascii() and file.path.isprintable() and "\\" not in file.path):
            yield from _name(file.path, profile)
        if file.role is Role.TAG:
            yield from like_a_manifest(file.path)
        yield from _listings(file, facts, profile)
    elif file.listed:
        yield _missing(file, facts)
    for algorithm, source, differs in file.repeated:
        kind = problems.LISTED_TWICE_DIFFERENTLY if differs else problems.LISTED_TWICE
        yield kind.about(file.path, manifest=_file_name(algorithm, source))
    for algorithm, digest, source in file.listed:
        calculated = file.calculated.get(algorithm.lower())
        if calculated is not None and calculated != digest.lower():
            yield problems.DIGEST_DIFFERS.about(
                file.path,
                algorithm=algorithm,
                calculated=calculated,
                listed=digest,
                manifest=_file_name(algorithm, source),
            )


def _name(path: str, profile: Profile) -> Iterator[Problem]:
    is_control = any(unicodedata.category(character) == "Cc" for character in path)
    if profile.control_characters_warn:
        if is_control:
            yield problems.CONTROL_CHARACTERS.about(path, WARNING)
    elif is_control or _NO_BREAK_SPACE in path or _ESCAPED_CONTROL.search(path):
        yield problems.CONTROL_CHARACTERS.about(path)


def _listings(file: FileFacts, facts: BagFacts, profile: Profile) -> Iterator[Problem]:
    """Payload stands in every payload manifest, a manifest in every tag manifest.

    The drafts before 1.0 do not ask for the latter (RFC 8493, sections 2.2.1 and 3).
    """
    if file.role not in (Role.PAYLOAD, Role.MANIFEST):
        return
    source = SOURCE_MANIFEST if file.role is Role.PAYLOAD else SOURCE_TAG_MANIFEST
    listed = {algorithm.lower() for algorithm, _, where in file.listed if where == source}
    missing = [name for name in facts.must_list[source] if name not in listed]
    if not missing:
        return
    is_draft = version_number(facts.version) < (1, 0)
    # Before 1.0 a payload file must stand in one manifest, not in all; profiles that
    # do not accept the drafts before 0.97 ask for all of them.
    if file.role is Role.PAYLOAD and is_draft and "0.93" in profile.versions:
        if not listed:
            yield problems.IN_NO_MANIFEST.about(file.path)
        return
    is_mild = file.role is Role.MANIFEST and is_draft and profile.unlisted_manifests_warn
    for algorithm in missing:
        manifest = _file_name(algorithm, source)
        yield problems.NOT_IN_MANIFEST.about(
            file.path, WARNING if is_mild else ERROR, manifest=manifest
        )


def _missing(file: FileFacts, facts: BagFacts) -> Problem:
    names = dict.fromkeys(_file_name(algorithm, source) for algorithm, _, source in file.listed)
    entry = facts.special_entries.get(file.path)
    if entry:
        return problems.LISTED_SPECIAL.about(
            file.path, manifest=_list(names), entry=with_article(entry)
        )
    return problems.FILE_MISSING.about(file.path, manifest=_list(names))


def _file_name(algorithm: str, source: str) -> str:
    return f"{_FILE_PREFIX[source]}{algorithm}.txt"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
