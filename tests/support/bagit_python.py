"""What bagit-python says of an unpacked bag, and why Bagline says otherwise where it does.

Each reason is a clause of RFC 8493, and a predicate over the bag's files that tells where it
applies; `docs/decisions/bagit-python-differs.md` has them in words.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import bagit

from support.damage import LISTING, Files

BLANKS = " \t"
KNOWN = {
    "md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "sha224": 56, "sha384": 96,
}  # fmt: skip
VERSIONS = ("0.93", "0.94", "0.95", "0.96", "0.97", "1.0")
DECLARATION = re.compile(
    rb"BagIt-Version: \d+\.\d+(\r\n|\r|\n)Tag-File-Character-Encoding: \S+(\r\n|\r|\n)?"
)


def verdict(files: Files, folder: Path) -> str:
    """What is wrong, in bagit-python's words; "" for a valid bag. Raises OSError where the bag
    cannot be unpacked."""
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    logging.getLogger("bagit").setLevel(logging.CRITICAL + 1)
    try:
        bagit.Bag(str(folder)).validate()
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    return ""


class Bag:
    """A bag's files as somebody reads them who knows nothing of Bagline."""

    def __init__(self, files: Files) -> None:
        self.files = files

    @cached_property
    def declaration(self) -> bytes:
        return self.files.get("bagit.txt", b"")

    @cached_property
    def versions(self) -> list[str]:
        """As tags."""
        line = rb"(?im)^\s*BagIt-Version[ \t]*:[ \t]*(.*?)[ \t\r]*$"
        return [value.decode("utf-8", "replace") for value in re.findall(line, self.declaration)]

    @property
    def version(self) -> str:
        """The first; "" where there is none."""
        return self.versions[0] if self.versions else ""

    @property
    def is_1_0(self) -> bool:
        """As which Bagline judges a bag of a version that there is not, too."""
        return self.version not in VERSIONS[:-1]

    @cached_property
    def payload(self) -> list[str]:
        return [path for path in self.files if path.startswith("data/")]

    @cached_property
    def listings(self) -> dict[str, tuple[bool, str]]:
        """Path → whether it lists the payload, and its algorithm as written."""
        found = {path: LISTING.fullmatch(path) for path in self.files}
        return {path: (not match[1], match[2]) for path, match in found.items() if match}

    def lines(self, path: str) -> list[str]:
        return [
            line.decode("utf-8", "surrogateescape")
            for line in self.files[path].removeprefix(codecs.BOM_UTF8).splitlines()
        ]

    def listed(self, path: str) -> Iterator[tuple[str, str]]:
        """(digest, path) of the lines that have both."""
        for line in self.lines(path):
            digest, _, rest = line.lstrip(BLANKS).partition(" ")
            if "\t" in digest:
                digest, _, rest = line.lstrip(BLANKS).partition("\t")
            if rest.strip(BLANKS):
                yield digest, rest.lstrip(BLANKS)

    @cached_property
    def paths(self) -> list[str]:
        return [name for path in self.listings for _, name in self.listed(path)]

    @cached_property
    def info_text(self) -> str:
        return self.files.get("bag-info.txt", b"").decode("utf-8", "replace")

    @property
    def info(self) -> list[str]:
        return self.info_text.removeprefix("\ufeff").splitlines()

    @property
    def oxums(self) -> list[str]:
        return [line for line in self.info if line.lower().lstrip().startswith("payload-oxum")]


def has_line_of_no_form(bag: Bag) -> bool:
    for path, (_, algorithm) in bag.listings.items():
        length = KNOWN.get(algorithm.lower(), 0)
        for line in bag.lines(path):
            parts = line.split(None, 1)
            is_form = len(parts) == 2 and re.fullmatch(r"[0-9A-Fa-f]+", parts[0]) is not None
            if parts and (not is_form or length not in (0, len(parts[0]))):
                return True
    return False


def lacks_a_listing(bag: Bag) -> bool:
    """A payload file that a manifest lacks, or a manifest that a tag manifest lacks."""
    for path, (is_payload, _) in bag.listings.items():
        wanted = bag.payload if is_payload else [p for p, (of, _) in bag.listings.items() if of]
        names = {normalize("NFC", name.lstrip("*")) for _, name in bag.listed(path)}
        if any(normalize("NFC", name) not in names for name in wanted):
            return True
    return False


def has_wrong_tag_listing(bag: Bag) -> bool:
    return bag.version < "0.97" and any(not of for of, _ in bag.listings.values())


class Reason(NamedTuple):
    """Where bagit-python and Bagline differ, and why. `codes`: those of Bagline's errors that it
    explains; none where bagit-python is the stricter one, which `said` (a pattern) then shows.
    `by`: damages of which some bag comes to show it."""

    name: str
    by: tuple[str, ...]
    clause: str
    applies: Callable[[Bag], bool]
    codes: frozenset[str] = frozenset()
    said: str = ""


Applies = Callable[[Bag], bool]


def _ours(name: str, by: tuple[str, ...], clause: str, codes: str, applies: Applies) -> Reason:
    return Reason(name, by, clause, applies, frozenset(f"BAG{code}" for code in codes.split()))


def _theirs(name: str, by: tuple[str, ...], clause: str, said: str, applies: Applies) -> Reason:
    return Reason(name, by, clause, applies, said=said)


IN_LINES = "007 066 068 069 071 072 076 080 081 084"
"""What may be wrong with the lines of a manifest that bagit-python does not read."""


STRICTER = (
    _ours(
        "the declaration's form",
        ("bagit.txt has a third line",),
        "2.1.1",
        "046",
        lambda bag: bag.is_1_0 and not DECLARATION.fullmatch(bag.declaration),
    ),
    _ours(
        "a version that there is not",
        ("version 1.1",),
        "2.1.1",
        "041 046",
        lambda bag: bag.version not in VERSIONS,
    ),
    _ours(
        "a line that is none",
        ("a line without a path",),
        "2.1.3",
        "066 068 080 084",
        has_line_of_no_form,
    ),
    _ours(
        "blanks at a path's end",
        ("a path ends in a blank",),
        "2.1.3",
        "007 080 084",
        lambda bag: any(path != path.rstrip(BLANKS) for path in bag.paths),
    ),
    _ours(
        "two asterisks before a path",
        ("a path has a star", "a path has a star"),
        "6.1.3",
        "007 080 084",
        lambda bag: any(path.startswith("**") for path in bag.paths),
    ),
    _ours(
        "a path with `..`",
        ("a path with a detour",),
        "5.1",
        "071 080 084",
        lambda bag: any(".." in path.split("/") for path in bag.paths),
    ),
    _ours(
        "a file in each manifest",
        ("a line is gone",),
        "3",
        "080",
        lambda bag: bag.is_1_0 and lacks_a_listing(bag),
    ),
    _ours(
        "tag manifests before 0.97",
        ("version 0.95",),
        "2.2.1",
        IN_LINES,
        has_wrong_tag_listing,
    ),
    _ours(
        "an algorithm's name",
        ("a manifest's name has a hyphen",),
        "2.4",
        f"100 {IN_LINES}",
        lambda bag: any(re.search("[-_]", name) for _, name in bag.listings.values()),
    ),
    _ours(
        "an algorithm that nobody has",
        ("a manifest is of no algorithm",),
        "2.4, 3",
        f"064 065 {IN_LINES}",
        lambda bag: any(
            re.sub("[-_]", "", name.lower()) not in KNOWN for _, name in bag.listings.values()
        ),
    ),
    _ours(
        "an algorithm's name in capitals",
        ("a manifest's name is in capitals", "a digest is too short"),
        "2.4",
        IN_LINES,
        lambda bag: any(name != name.lower() for _, name in bag.listings.values()),
    ),
    _ours(
        "a label in another case",
        ("payload-oxum in lower case, wrong",),
        "2.2.2",
        "085 086",
        lambda bag: any(not line.startswith("Payload-Oxum") for line in bag.oxums),
    ),
    _ours(
        "every Payload-Oxum",
        ("Payload-Oxum twice, differently",),
        "2.2.2",
        "085 086",
        lambda bag: len(bag.oxums) > 1,
    ),
    _ours(
        "bag-info.txt before 0.96",
        ("version 0.95", "bag-info.txt that is not UTF-8"),
        "2.2.2",
        "044 085 086",
        lambda bag: bag.version < "0.96" and "bag-info.txt" in bag.files,
    ),
)

LENIENT = (
    _theirs(
        "the same line twice",
        ("a line stands twice",),
        "2.1.3",
        "multiple times with the same value",
        lambda bag: any(
            len(lines) > len(set(lines)) for lines in (list(bag.listed(p)) for p in bag.listings)
        ),
    ),
    _theirs(
        "a Payload-Oxum of nothing",
        ("Payload-Oxum of nothing",),
        "2.2.2",
        "ValueError: not enough values",
        lambda bag: any(not line.partition(":")[2].strip() for line in bag.oxums),
    ),
    _theirs(
        "a line without a colon",
        ("a line without a colon",),
        "2.2.2",
        "contains invalid tag",
        lambda bag: any(line.strip() and ":" not in line for line in bag.info_text.splitlines()),
    ),
    _theirs(
        "another encoding, by its byte order mark",
        ("a listing in UTF-16",),
        "2.3",
        "UnicodeDecodeError|embedded null byte",
        lambda bag: any(
            data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            for path, data in bag.files.items()
            if path in bag.listings
        ),
    ),
    _theirs(
        "a byte order mark where UTF-8 is spelled otherwise",
        ("the encoding is utf8", "a listing with a byte order mark"),
        "2.3",
        r"\\ufeff|\ufeff",
        lambda bag: (
            b": UTF" not in bag.declaration
            and any(bag.files[path].startswith(codecs.BOM_UTF8) for path in bag.listings)
        ),
    ),
    _theirs(
        "the declaration's labels before 1.0",
        ("version 0.97", "bagit.txt in lower case"),
        "2.1.1",
        "Missing required tag in bagit.txt",
        lambda bag: not bag.is_1_0 and b"BagIt-Version" not in bag.declaration,
    ),
    _theirs(
        "one version more than once",
        ("version 0.97", "bagit.txt has two versions"),
        "2.1.1",
        "AttributeError: 'list' object",
        lambda bag: not bag.is_1_0 and len(bag.versions) > 1 and len(set(bag.versions)) == 1,
    ),
    _theirs(
        "an algorithm's name in capitals, read",
        ("a manifest's name is in capitals",),
        "2.4",
        "",
        lambda bag: any(name != name.lower() for _, name in bag.listings.values()),
    ),
    _theirs(
        "backslashes in a path",
        ("a path with backslashes",),
        "2.1.3",
        r"Bag is incomplete|\\\S* \w+ validation failed",
        lambda bag: any("\\" in path for path in bag.paths),
    ),
    _theirs(
        "an encoded percent sign",
        ("a percent sign is encoded",),
        "2.1.3",
        "Bag is incomplete",
        lambda bag: any("%25" in path for path in bag.paths),
    ),
    _theirs(
        "names in raw bytes",
        ("the encoding is ISO-8859-1",),
        "2.3",
        "Bag is incomplete",
        lambda bag: b"UTF-8" not in bag.declaration and not all(p.isascii() for p in bag.paths),
    ),
    _theirs(
        "a name in another normal form",
        ("a path in another normal form",),
        "6.1.1",
        "Could not read",
        lambda bag: any(normalize("NFC", path) != path for path in bag.paths),
    ),
)


def reasons(bag: Bag, errors: set[str], said: str) -> list[Reason]:
    """Why the two differ: all that Bagline found is explained, or what bagit-python said. Empty
    where nothing explains it."""
    if errors:
        some = [reason for reason in STRICTER if reason.codes & errors and reason.applies(bag)]
        explained = frozenset().union(*(reason.codes for reason in some))
        return some if errors <= explained else []
    return [reason for reason in LENIENT if re.search(reason.said, said) and reason.applies(bag)]
