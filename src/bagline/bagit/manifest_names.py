"""Names that are nearly those of manifests, and what to say of them (RFC 8493, sections 2.1.3,
2.2.1 and 2.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bagline import problems
from bagline.bagit.digests import KNOWN_LENGTHS
from bagline.bagit.paths import Role, role_of
from bagline.problems import WARNING, Problem

NOT_TAKEN = "It counts as another tag file, and nothing was verified by it."
NOT_VERIFIED = "Its checksums were not compared."

_NEARLY = re.compile(
    r"(tag[-_. ]?)?manifests?[-_. \u2010-\u2015\u2212]*([a-z0-9][a-z0-9-_. ]*?)(\.txt)*",
    re.IGNORECASE,
)
_LONGEST_NEARLY = 80
# Of algorithms only those of SHA-2 with shorter digests have a slash in their names.
_LIKE_MANIFEST = re.compile(
    r"(tag)?manifest-([^/]*|sha[-_]?[0-9]+/[0-9]+)\.txt", re.IGNORECASE | re.DOTALL
)
_NO_PART_OF_ALGORITHM = re.compile("[^a-z0-9]")
_SHA2 = re.compile("sha2(?=[0-9]{3})")


def manifest_meant(path: str) -> str:
    """The right name of a file that is named nearly like a manifest of a known algorithm
    (RFC 8493, section 2.4: in lower case, letters and digits alone); "" of other paths."""
    if "/" in path or len(path) > _LONGEST_NEARLY:
        return ""
    match = _NEARLY.fullmatch(path)
    if match is None:
        return ""
    algorithm = _NO_PART_OF_ALGORITHM.sub("", match[2].lower())
    if algorithm not in KNOWN_LENGTHS:
        algorithm = _SHA2.sub("sha", algorithm)  # SHA2-256 is another name of SHA-256
    if algorithm not in KNOWN_LENGTHS:
        return ""
    right = f"{'tag' if match[1] else ''}manifest-{algorithm}.txt"
    return "" if path == right else right


def manifest_form(path: str) -> str:
    """The form of a manifest's name (RFC 8493, sections 2.1.3, 2.2.1 and 2.4) for a tag file that
    has nearly that, and whose algorithm can be none or is not known; "" of other paths."""
    match = _LIKE_MANIFEST.fullmatch(path)
    if match is None or role_of(path) is not Role.TAG or manifest_meant(path):
        return ""
    return f"{'tag' if match[1] else ''}manifest-ALGORITHM.txt"


def like_a_manifest(path: str) -> Iterator[Problem]:
    """That a tag file's name says it were a manifest."""
    if right := manifest_meant(path):
        yield problems.MANIFEST_MISNAMED.about(path, WARNING, right=right, taken=NOT_TAKEN)
    elif form := manifest_form(path):
        yield problems.LIKE_A_MANIFEST.about(path, form=form)


def unverified(name: str, algorithm: str) -> Problem:
    """Why checksums of a manifest of that name were not compared."""
    if right := manifest_meant(name):
        return problems.MANIFEST_MISNAMED.about(name, right=right, taken=NOT_VERIFIED)
    return problems.MANIFEST_NOT_VERIFIED.about(name, algorithm=algorithm)
