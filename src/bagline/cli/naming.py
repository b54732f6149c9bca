"""What a person named, as the Registry knows it; and what they may have meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from bagline.errors import Gone, WrongCall
from bagline.model.holdings import MOST_AT_ONCE, FilesWanted, ObjectsWanted
from bagline.model.ingest import bag_name
from bagline.model.registry import GenericFile, Institution, IntellectualObject
from bagline.problems import shown
from bagline.services.registry.base import Registry

OFFERED = 3
"""So many close matches are told."""
CLOSE = 0.6
BEGINNING = 2
"""Names that begin with so many of the same characters are compared first."""
NAMESAKES = 20
ALL_STATES = ""
NAME_CHARACTERS = 500
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")


def institution_named(registry: Registry, identifier: str) -> Institution | None:
    """The institution; None where none is named. Raises Gone, with close matches."""
    if not identifier:
        return None
    found = registry.institution(utf8(identifier))
    if found is None:
        known = [each.identifier for each in registry.institutions()]
        raise Gone(
            f"there is no institution {shown(identifier)}" + _meant(_closest(identifier, known))
        )
    return found


def identifier_of(registry: Registry, named: str) -> str:
    """`institution/bag`, or more; a bag's name alone is within the only institution. Raises
    Misconfigured where there are several."""
    named = utf8(named).rstrip("/")
    if "/" in named:
        return named
    institutions = registry.institutions()
    if len(institutions) != 1:
        some = ", ".join(shown(each.identifier) for each in institutions[:OFFERED]) or "none"
        raise WrongCall(
            f"whose is {shown(named)}? There are {len(institutions)} institutions ({some}): "
            f"name it as institution/{shown(named)}"
        )
    return f"{institutions[0].identifier}/{bag_name(named)}"


def utf8(text: str) -> str:
    """Text as records have it. Raises Gone for bytes that are none: no name is that."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Gone(f"nothing is called {shown(text)}: names on record are UTF-8") from None
    return text


def object_named(registry: Registry, named: str) -> IntellectualObject:
    """Raises Gone, with close matches."""
    identifier = identifier_of(registry, named)
    if identifier.count("/") > 1:
        raise WrongCall(f"{shown(identifier)} is a file: name its object, institution/bag")
    found = registry.intellectual_object(identifier)
    if found is None and unescaped(identifier) != identifier:
        found = registry.intellectual_object(unescaped(identifier))
    if found is None:
        raise _no_object(registry, identifier)
    return found


def file_named(registry: Registry, identifier: str) -> GenericFile:
    """`institution/bag/path`. Raises Gone, with close matches."""
    spellings = [identifier, unescaped(identifier)]
    known = registry.files(spellings, with_events=False)
    for spelling in spellings:
        if spelling in known:
            return known[spelling]
    institution, bag, path = identifier.split("/", 2)
    owner = f"{institution}/{bag}"
    if registry.intellectual_object(owner) is None:
        raise _no_object(registry, owner)
    raise Gone(
        f"{shown(owner)} has no file {shown(path, NAME_CHARACTERS)}"
        + _meant(_near_files(registry, owner, path))
    )


def unescaped(text: str) -> str:
    """A name as it is, which was typed as it is shown (`problems.shown`)."""
    return _ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), text)


def _no_object(registry: Registry, identifier: str) -> Gone:
    return Gone(
        f"there is no object {shown(identifier, NAME_CHARACTERS)}"
        + _meant(_near_objects(registry, identifier))
    )


def _near_objects(registry: Registry, identifier: str) -> list[str]:
    """Of the institution's that begin alike, else of its first thousand, else of others'."""
    institution, _, bag = identifier.partition("/")
    for begins in (f"{institution}/{bag[:BEGINNING]}", f"{institution}/", ""):
        wanted = ObjectsWanted(begins=begins, state=ALL_STATES, limit=MOST_AT_ONCE, is_bare=True)
        names = [each.identifier for each in registry.holdings.objects(wanted)]
        if near := _closest(identifier, names):
            return near
    return []


def _near_files(registry: Registry, owner: str, path: str) -> list[str]:
    """Those of the same name elsewhere in the bag (`data/` is easily left out), else those of the
    same folder that are called alike."""
    folder, slash, name = path.rpartition("/")
    looks = [
        FilesWanted(ends=f"/{name}", limit=NAMESAKES),
        FilesWanted(begins=f"{folder}{slash}{name[:BEGINNING]}", limit=MOST_AT_ONCE),
        FilesWanted(begins=f"{folder}{slash}", limit=MOST_AT_ONCE),
    ]
    for wanted in looks:
        wanted.object, wanted.state = owner, ALL_STATES
        names = [each.identifier for each in registry.holdings.files(wanted)]
        if near := _closest(f"{owner}/{path}", names):
            return near
    return []


def _closest(text: str, names: Sequence[str]) -> list[str]:
    folded = {name.casefold(): name for name in names}
    return [folded[each] for each in get_close_matches(text.casefold(), folded, OFFERED, CLOSE)]


def _meant(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f". Did you mean {' or '.join(shown(name, NAME_CHARACTERS) for name in names)}?"
