"""What can be wrong with a bag: code, severity, subject, and a sentence to act on.

Every kind of Problem is one row of the table below. A code is never reused. The page
`docs/problems.md` is this table (`python -m bagline.problems`).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Struct

ERROR = "error"
WARNING = "warning"

SHOWN_CHARACTERS = 400
"""Longest form in which a name or value from a bag is shown."""


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with a bag. `subject` is a path in the bag, or "" for the bag."""

    code: str
    severity: str
    subject: str
    message: str


# Controls, line and paragraph separators, bidirectional marks, byte order mark,
# surrogates, and the two characters that open and close markup.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff<>]"
)


def _escaped(match: re.Match[str]) -> str:
    point = ord(match[0])
    if 0xDC80 <= point <= 0xDCFF:  # a byte that is not UTF-8 (surrogateescape)
        return f"\\x{point - 0xDC00:02x}"
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def shown(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """The text, safe to print: what could deceive or drive a terminal is escaped.

    Bounded to `most` characters by leaving out the middle. Safe text stays as it is.
    """
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}…({len(text)} characters)…{text[-half:]}"
    return _UNSAFE.sub(_escaped, text)


def with_article(noun: str) -> str:
    """`an entry of an unknown type`, `a named pipe`."""
    return f"an {noun}" if noun[:1] in tuple("aeiou") else f"a {noun}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of Problem: `sentence` says what and where, `remedy` what to do about it."""

    code: str
    severity: str
    sentence: str
    remedy: str

    def about(self, subject: str = "", severity: str = "", /, **facts: object) -> Problem:
        """The Problem of this kind with these facts; names in it are made safe to show.

        The template may use the facts and `{subject}`. `severity` overrides the
        table's where a profile or a setting says so.
        """
        safe = {name: shown(str(fact)) for name, fact in facts.items()}
        safe_subject = shown(subject)
        message = f"{self.sentence} {self.remedy}".format(subject=safe_subject, **safe)
        return Problem(
            code=self.code,
            severity=severity or self.severity,
            subject=safe_subject,
            message=message,
        )


KINDS: dict[str, Kind] = {}
"""Every kind, by code, in the order of the table."""


def _kind(code: str, severity: str, sentence: str, remedy: str) -> Kind:
    if code in KINDS:
        raise ValueError(f"{code} stands twice in the table of problems")
    kind = KINDS[code] = Kind(code, severity, sentence, remedy)
    return kind


# Is it a tar at all?

EMPTY_FILE = _kind(
    "BAG001", ERROR, "The file is empty (0 bytes).", "The upload failed: upload the bag again."
)
NOT_A_TAR = _kind(
    "BAG002",
    ERROR,
    "This is not a tar file: {reason}.",
    "Make a tar of the bag's directory and upload that.",
)
COMPRESSED = _kind(
    "BAG003",
    ERROR,
    "This is not a tar file but a {format} file.",
    "Bags are deposited as plain, uncompressed tar: unpack it and upload the tar.",
)
TOO_SHORT = _kind(
    "BAG004",
    ERROR,
    "The file has {size} bytes; the shortest tar has 512.",
    "The upload failed or this is another kind of file: upload the bag again.",
)
NO_FILES = _kind(
    "BAG005",
    ERROR,
    "The tar holds no files.",
    "Make the tar again from the bag's directory, and list it with `tar tf` before uploading.",
)
TRUNCATED = _kind(
    "BAG006",
    ERROR,
    "The tar breaks off at byte {offset}, inside {where}; {missing} more bytes should follow.",
    "Upload the bag again; if the tar on your side ends there too, make it again.",
)

# What every depositor meets first: see "Files" for its siblings.

FILE_MISSING = _kind(
    "BAG007",
    ERROR,
    "File {subject} in {manifest} is missing from bag.",
    "Add the file, or take its line out of the manifest, and make the tar again.",
)

# Reading the tar

BAD_HEADER = _kind(
    "BAG010",
    ERROR,
    "The tar has an invalid header at byte {offset}: {reason}.",
    "The tar is damaged: make it again and upload it again.",
)
BAD_PAX = _kind(
    "BAG011",
    ERROR,
    "The extended (PAX) header at byte {offset} cannot be read: {reason}.",
    "The tar is damaged: make it again and upload it again.",
)
HEADER_TOO_LARGE = _kind(
    "BAG012",
    ERROR,
    "The tar header at byte {offset} claims {size} bytes for {what}; {limit} are allowed.",
    "The tar is damaged or was made to do harm: make it again with a common tar program.",
)
BAD_SIZE = _kind(
    "BAG013",
    ERROR,
    "The tar header at byte {offset} gives a size that cannot be: {size}.",
    "The tar is damaged: make it again and upload it again.",
)
TOO_MANY_MEMBERS = _kind(
    "BAG014",
    ERROR,
    "The tar has more than {limit} members.",
    "Divide the bag into several bags.",
)
BAD_SPARSE_MAP = _kind(
    "BAG015",
    ERROR,
    "The map of the sparse file {subject} (header at byte {offset}) is wrong: {reason}.",
    "Make the tar again without sparse files (GNU tar: leave out --sparse).",
)
MULTI_VOLUME = _kind(
    "BAG016",
    ERROR,
    "The tar is one volume of several: at byte {offset} a file goes on from another volume.",
    "Make one tar of the whole bag.",
)
EXPANDS_TOO_FAR = _kind(
    "BAG017",
    ERROR,
    "With {subject}, sparse files and hard links would expand to {size} bytes;"
    " {limit} are allowed for this tar.",
    "Make the tar again without sparse files and hard links, or divide the bag.",
)
NO_END_MARK = _kind(
    "BAG018",
    WARNING,
    "The tar ends at byte {offset} without the two blocks of zeros that close a tar.",
    "Nothing after that point can be missing unnoticed if the manifests match;"
    " look at the program that made the tar.",
)
DATA_AFTER_END = _kind(
    "BAG019",
    ERROR,
    "After the tar's end mark at byte {end}, other data follows at byte {offset}.",
    "What follows would be lost: tars must not be joined end to end. Make one tar of the bag.",
)
NO_TOP_DIRECTORY = _kind(
    "BAG020",
    ERROR,
    "The bag has no top-level directory: {subject} stands at the top of the tar.",
    "Make the tar of the bag's directory itself (`tar cf name.tar name`), not of what it holds.",
)
SEVERAL_TOP_DIRECTORIES = _kind(
    "BAG021",
    ERROR,
    "The tar has a second top-level directory, {subject}, beside {top}.",
    "A tar holds exactly one bag in exactly one directory: make a tar of that directory alone.",
)
OUTSIDE_TOP_DIRECTORY = _kind(
    "BAG022",
    ERROR,
    "The file {subject} stands in the tar outside the bag's top-level directory.",
    "Make a tar of the bag's directory alone (on a Mac, set COPYFILE_DISABLE=1 for tar).",
)
UNSAFE_PATH = _kind(
    "BAG023",
    ERROR,
    "The tar has an entry named {subject}: {reason}.",
    "Such a name is never read or stored. Make the tar again from relative names"
    " inside the bag's directory.",
)
NAME_NOT_UTF8 = _kind(
    "BAG024",
    WARNING,
    "The name {subject} is not UTF-8.",
    "It is kept as its raw bytes, which the Registry shows as `\\x..`;"
    " rename the file and bag it again to have a readable name.",
)
DUPLICATE_DIFFERS = _kind(
    "BAG025",
    ERROR,
    "{subject} stands twice in the tar, with different bytes"
    " (headers at bytes {first} and {second}).",
    "Nobody can say which one is meant: make the tar again.",
)
DUPLICATE_SAME = _kind(
    "BAG026",
    WARNING,
    "{subject} stands twice in the tar, with the same bytes; it is kept once.",
    "Nothing is lost; make the tar in one go to avoid this.",
)
LINK_TARGET_MISSING = _kind(
    "BAG027",
    ERROR,
    "{subject} is a hard link to {target}, and {reason}.",
    "Make the tar again with --hard-dereference, so that every file has its own bytes.",
)
LINKED_TAG_FILE = _kind(
    "BAG028",
    ERROR,
    "{subject} stands in the tar as a hard link to {target}, without bytes of its own.",
    "Manifests and tag files need their own bytes: make the tar with --hard-dereference.",
)
SPECIAL_SKIPPED = _kind(
    "BAG029",
    WARNING,
    "{subject} is {entry}; it was skipped.",
    "Only files and directories are preserved: put the file itself in its place.",
)
LISTED_SPECIAL = _kind(
    "BAG030",
    ERROR,
    "File {subject} in {manifest} is missing from bag: in its place stands {entry}.",
    "Put the file itself into the bag (GNU tar: --dereference) and make the tar again.",
)
TOP_DIRECTORY_NAME = _kind(
    "BAG031",
    WARNING,
    "The bag's top-level directory is {subject}, and the tar is named {bag}.",
    "The bag keeps the tar's name; give both the same name to avoid confusion.",
)
NAME_TOO_LONG = _kind(
    "BAG032",
    WARNING,
    "The path {subject} has a part of more than 255 bytes.",
    "It is kept, but most file systems cannot unpack it: a shorter name is safer.",
)
NAMED_AS_DIRECTORY = _kind(
    "BAG033",
    ERROR,
    "The entry {subject} is named like a directory and has {size} bytes.",
    "Programs that unpack the tar lose them: rename the file, and make the tar again.",
)
LINK_DIFFERS = _kind(
    "BAG034",
    ERROR,
    "{subject} is a hard link to {target}, and has other bytes in the tar than that file.",
    "Both are one file, and nobody can say which bytes are meant: make the tar again"
    " (GNU tar: with --hard-dereference).",
)
JUNK_IN_LAST_RECORD = _kind(
    "BAG035",
    WARNING,
    "After the tar's end mark at byte {end}, other bytes fill its last record"
    " from byte {offset} on.",
    "They are no part of the tar and were not read; look at the program that made it.",
)
FIRST_VOLUME = _kind(
    "BAG036",
    WARNING,
    "The tar ends at byte {offset}, with a whole record and without an end mark,"
    " as the first volume of several does (`tar -M`).",
    "If it is one, make one tar of the whole bag.",
)
BACKSLASHES = _kind(
    "BAG037",
    ERROR,
    "The tar has the name {subject}, with backslashes between its parts.",
    "In a tar they are letters of a name, and parts stand between slashes (/):"
    " make the tar again with a program that writes those.",
)
FILE_AND_DIRECTORY = _kind(
    "BAG038",
    ERROR,
    "{subject} stands in the tar as {entry} and as directory.",
    "Nothing can unpack both: rename one of them, and bag the files again.",
)
DATA_NO_DIRECTORY = _kind(
    "BAG039",
    ERROR,
    "{subject} stands in the tar as {entry}, and must be a directory (RFC 8493, 2.1.2).",
    "Put the payload into a directory of that name, and bag it again.",
)

# bagit.txt and tag files

VERSION_MISSING = _kind(
    "BAG040",
    ERROR,
    "Missing required tag bagit.txt/BagIt-Version.",
    "Add a bagit.txt with the lines `BagIt-Version: 1.0` and `Tag-File-Character-Encoding: UTF-8`.",
)
VERSION_NOT_ALLOWED = _kind(
    "BAG041",
    ERROR,
    "BagIt-Version {version} is not accepted.",
    "Make the bag in one of these versions: {allowed}.",
)
ENCODING_UNKNOWN = _kind(
    "BAG042",
    ERROR,
    "bagit.txt declares the encoding {encoding}, which is not known.",
    "Write the tag files in UTF-8 and declare `Tag-File-Character-Encoding: UTF-8`.",
)
BAD_TAG_LINE = _kind(
    "BAG043",
    WARNING,
    "Line {line} of {subject} is no tag: {reason}.",
    "It was {taken}. Write each tag as `Name: value`;"
    " a line that goes on begins with a space or tab.",
)
TAG_FILE_UNDECODABLE = _kind(
    "BAG044",
    ERROR,
    "{subject} is not {encoding}: the byte at {offset} does not fit.",
    "Save the file in the encoding that bagit.txt declares, or declare the one it has.",
)
BAGIT_TXT_BOM = _kind(
    "BAG045",
    ERROR,
    "bagit.txt begins with a byte order mark, which BagIt forbids.",
    "Save bagit.txt as UTF-8 without a byte order mark (in Notepad: UTF-8, not UTF-8-BOM).",
)
BAGIT_TXT_MALFORMED = _kind(
    "BAG046",
    ERROR,
    "bagit.txt is malformed: {reason}.",
    "It must hold two lines, such as `BagIt-Version: 1.0` and"
    " `Tag-File-Character-Encoding: UTF-8`.",
)
TAG_FILE_TOO_LARGE = _kind(
    "BAG047",
    WARNING,
    "{subject} has {size} bytes; tags are read from files of at most {limit}.",
    "The file is kept as it is; its tags were not read.",
)
TAG_MISSING = _kind(
    "BAG050",
    ERROR,
    "Required tag {tag} in file {subject} is missing.",
    "Add the line `{tag}: …` to {subject}.{hint}",
)
TAG_EMPTY = _kind(
    "BAG051",
    ERROR,
    "In file {subject}, required tag {tag} has no value.",
    "Write its value after the colon.{hint}",
)
TAG_ILLEGAL = _kind(
    "BAG052",
    ERROR,
    "In file {subject}, tag {tag} has illegal value '{value}'.",
    "Write one of: {allowed}.",
)
TAG_REPEATED = _kind(
    "BAG053",
    ERROR,
    "In file {subject}, tag {tag} stands {count} times; the profile allows it once.",
    "Leave one of them.",
)
TAG_FILE_REQUIRED = _kind(
    "BAG054",
    ERROR,
    "The tag file {subject}, which the profile requires, is missing.",
    "Add it to the bag.",
)
TAG_FILE_NOT_ALLOWED = _kind(
    "BAG055",
    ERROR,
    "The profile does not allow the tag file {subject}.",
    "Take it out, or move it to data/ and list it in the manifests.",
)
PROFILE_UNKNOWN = _kind(
    "BAG056",
    WARNING,
    "bag-info.txt names a profile that is not known here: {identifier}.",
    "The bag was checked against the APTrust profile.",
)

# Manifests

PROFILE_DIFFERS = _kind(
    "BAG057",
    WARNING,
    "bag-info.txt names another profile, {named}, than the one it was checked against: "
    "{identifier}.",
    "Name that one in BagIt-Profile-Identifier, too; the label may be repeated.",
)
PROFILE_NOT_NAMED = _kind(
    "BAG058",
    ERROR,
    "{subject} does not name the profile that the bag is held to.",
    "Add the line `BagIt-Profile-Identifier: {identifier}` to {subject}.",
)
PAYLOAD_FILE_REQUIRED = _kind(
    "BAG059",
    ERROR,
    "The payload file {subject}, which the profile requires, is missing.",
    "Add it to the bag.",
)
PAYLOAD_FILE_NOT_ALLOWED = _kind(
    "BAG067",
    ERROR,
    "The profile does not allow the payload file {subject}.",
    "Take it out, or give it a name that the profile allows.",
)
NO_PAYLOAD_MANIFEST = _kind(
    "BAG060",
    ERROR,
    "Bag has no payload manifest.",
    "Add a file such as manifest-sha256.txt that lists every file under data/.",
)
MANIFEST_REQUIRED = _kind(
    "BAG061",
    ERROR,
    "Bag is missing required manifest '{algorithm}'.",
    "Add manifest-{algorithm}.txt, which lists every file under data/.",
)
TAG_MANIFEST_REQUIRED = _kind(
    "BAG062",
    ERROR,
    "Bag is missing required tag manifest '{algorithm}'.",
    "Add tagmanifest-{algorithm}.txt, which lists the files outside data/.",
)
MANIFEST_NOT_ALLOWED = _kind(
    "BAG063",
    ERROR,
    "Bag contains manifest {subject}, and the profile does not allow '{algorithm}'.",
    "{hint}",
)
MANIFEST_NOT_VERIFIED = _kind(
    "BAG064",
    ERROR,
    "{subject} was not verified: digests of the algorithm '{algorithm}' are not calculated here.",
    "Every checksum must be (RFC 8493, section 3): take it out, or make one of another algorithm.",
)
NOTHING_VERIFIABLE = _kind(
    "BAG065",
    ERROR,
    "{subject} is the bag's only kind of payload manifest,"
    " and digests of '{algorithm}' are not calculated here.",
    "Add a manifest of one of: {known}.",
)
BAD_MANIFEST_LINE = _kind(
    "BAG066",
    ERROR,
    "Line {line} of {subject} cannot be read: {reason}.",
    "Write each line as the digest, white space, and the path of the file.",
)
BAD_DIGEST = _kind(
    "BAG068",
    ERROR,
    "Line {line} of {subject}: '{digest}' is no {algorithm} digest ({reason}).",
    "A digest of this kind has {length} hexadecimal digits: make the manifest again.",
)
LISTED_TWICE_DIFFERENTLY = _kind(
    "BAG069",
    ERROR,
    "{manifest} lists {subject} twice, with different digests.",
    "Only one can be right: make the manifest again.",
)
LISTED_TWICE = _kind(
    "BAG070",
    WARNING,
    "{manifest} lists {subject} twice, with the same digest.",
    "It counts once; programs that make manifests should not do this.",
)
UNSAFE_LISTED_PATH = _kind(
    "BAG071",
    ERROR,
    "Line {line} of {subject} lists the path {path}: {reason}.",
    "Manifests list paths inside the bag, relative to its top-level directory.",
)
WRONG_MANIFEST = _kind(
    "BAG072",
    ERROR,
    "Line {line} of {subject} lists {path}: {reason}.",
    "Payload manifests list what lies under data/; tag manifests list the other files,"
    " but no tag manifest.",
)
MATCHED_BY_NORMALISATION = _kind(
    "BAG073",
    WARNING,
    "{manifest} lists {listed}, and the bag has {subject}: the same name"
    " in another Unicode normal form.",
    "They were taken as the same file; the name in the tar is kept.",
)
DIFFERS_IN_CASE = _kind(
    "BAG074",
    WARNING,
    "The bag lacks {subject} and has {found}: the names differ only in {how}.",
    "They are different files here: make the names equal.",
)
SPELLED_DIFFERENTLY = _kind(
    "BAG075",
    WARNING,
    "{manifest} spells {subject} as {listed}.",
    "They were taken as the same file; paths in manifests are best written plainly, with /.",
)
MANIFEST_UNDECODABLE = _kind(
    "BAG076",
    ERROR,
    "{subject} is not {encoding}: reading stopped in line {line}.",
    "Save it in the encoding that bagit.txt declares.",
)
CHECKSUM_TOOL_FORM = _kind(
    "BAG077",
    WARNING,
    "{subject} was written by a checksum tool: line {line} spells a path as {listed}.",
    "It was read all the same; stricter programs refuse the `*` and `./` before paths.",
)
MANIFEST_MISNAMED = _kind(
    "BAG100",
    ERROR,
    "{subject} is named nearly like a manifest: the name must be {right} (RFC 8493, section 2.4).",
    "{taken} Rename it, also where a tag manifest lists it.",
)
NAMES_ALIKE = _kind(
    "BAG101",
    WARNING,
    "{subject} and {other} are {what} whose names differ only in {how}.",
    "Many file systems cannot hold both, and unpacking the bag there would lose one:"
    " give one of them another name.",
)
ENDS_IN_BLANKS = _kind(
    "BAG102",
    WARNING,
    "The bag lacks '{subject}', whose name ends in blanks, and has '{found}'.",
    "Blanks at the end of a manifest's line are part of the name: take them out there.",
)

SEVERAL_MANIFESTS = _kind(
    "BAG103",
    ERROR,
    "The bag has {count} manifests of {algorithm}, under names that differ in case.",
    "Leave one, {subject}, which lists every file: RFC 8493 (2.4) has one for an algorithm.",
)

LIKE_A_MANIFEST = _kind(
    "BAG104",
    WARNING,
    "{subject} looks like a manifest and is named as none can be: the name must be {form}, with"
    " letters and digits alone for the algorithm (RFC 8493, section 2.4).",
    "It counts as another tag file, and nothing was verified by it. If it is a manifest, rename it,"
    " also where a tag manifest lists it; if not, give it a name of another kind.",
)

ONE_IDENTIFIER = _kind(
    "BAG105",
    ERROR,
    "{subject} would be the name of two files in the Registry, which writes bytes that are not"
    " UTF-8 as `\\x..`; in the tar their names are (percent-encoded) {one} and {other}.",
    "Rename one that is not UTF-8, and bag the files again.",
)

TOO_MANY_TAG_LINES = _kind(
    "BAG078",
    ERROR,
    "{subject} has more than {limit} lines, and is read as a tag file.",
    "Tag files describe a bag to people: put such a list into the payload, under data/.",
)
TAGS_LEFT_OUT = _kind(
    "BAG079",
    WARNING,
    "The tags of {subject} and of what follows it were not read: of a bag at most {limit} are.",
    "The files are kept as they are. Put what need not be found by its tags under data/.",
)

# Files

NOT_IN_MANIFEST = _kind(
    "BAG080",
    ERROR,
    "File {subject} is not in manifest {manifest}.",
    "Add it to the manifest, or take it out of the bag.",
)
DIGEST_DIFFERS = _kind(
    "BAG081",
    ERROR,
    "File {subject}: ingest {algorithm} checksum {calculated}"
    " doesn't match manifest checksum {listed}.",
    "The file was changed or damaged after {manifest} was made:"
    " find the good copy and bag it again.",
)
CONTROL_CHARACTERS = _kind(
    "BAG082",
    ERROR,
    "File name '{subject}' contains one or more illegal control characters.",
    "Rename the file and bag it again.",
)
NO_PAYLOAD = _kind(
    "BAG083",
    WARNING,
    "The bag has no payload: there is no file under data/.",
    "If files were meant to be in it, bag them again.",
)
IN_NO_MANIFEST = _kind(
    "BAG084",
    ERROR,
    "File {subject} is not in manifest: no payload manifest lists it.",
    "Add it to a manifest, or take it out of the bag.",
)
OXUM_DIFFERS = _kind(
    "BAG085",
    ERROR,
    "Payload-Oxum in bag-info.txt says {listed}, and the payload is {found} (bytes.files).",
    "Files were lost, added or changed after the bag was made: bag it again.",
)
OXUM_MALFORMED = _kind(
    "BAG086",
    ERROR,
    "Payload-Oxum in bag-info.txt is '{value}'.",
    "Write it as bytes, a point, and the number of files, such as 28411.3.",
)
OXUM_REPEATED = _kind(
    "BAG087",
    WARNING,
    "{subject} has Payload-Oxum {count} times; it may stand there once (RFC 8493, 2.2.2).",
    "Leave one of them.",
)
BAD_FETCH_LINE = _kind(
    "BAG088",
    ERROR,
    "Line {line} of {subject} asks for nothing that may be fetched: {reason}.",
    "Write each line as a URL, the file's size in bytes or `-`, and its path under data/.",
)
FETCH_NOT_LISTED = _kind(
    "BAG089",
    ERROR,
    "Line {line} of {subject} lists {path}, which is not in {manifest}.",
    "Each file to be fetched stands in every payload manifest (RFC 8493, 2.2.3): add it there,"
    " or take the line out.",
)
FETCH_REQUIRED = _kind(
    "BAG096",
    ERROR,
    "The profile requires a fetch.txt, and the bag has none.",
    "Add {subject}, or deposit the bag under another profile.",
)
DATA_NOT_EMPTY = _kind(
    "BAG097",
    ERROR,
    "The profile requires an empty payload: no file, or one without bytes.",
    "Take the files out of data/, or deposit the bag under another profile.",
)
FETCH_NOT_ALLOWED = _kind(
    "BAG090",
    ERROR,
    "Bag has fetch.txt file which profile does not allow.",
    "Put the files it lists into the bag and take fetch.txt out.",
)
FETCH_IGNORED = _kind(
    "BAG091",
    WARNING,
    "The bag has a fetch.txt; nothing was fetched.",
    "Files that only fetch.txt provides count as missing.",
)
SERIALIZATION_NOT_ALLOWED = _kind(
    "BAG092",
    ERROR,
    "The bag came as {serialization}, which the profile does not allow.",
    "{remedy}",
)
TOO_MANY_OF_A_KIND = _kind(
    "BAG095",
    ERROR,
    "The bag has more than {limit} {what}.",
    "{hint}",
)
BAG_DELETED = _kind(
    "BAG093",
    ERROR,
    "The bag was deleted from the receiving bucket before it could be read.",
    "Upload it again if it is still to be preserved.",
)
BAG_NAME_UNUSABLE = _kind(
    "BAG094",
    ERROR,
    "The bag cannot be read under the name '{subject}': {reason}.",
    "Upload it under a name of letters, digits, dots, dashes and underscores, ending in .tar.",
)
NOT_WRITABLE = _kind(
    "BAG106",
    ERROR,
    "The bag cannot be restored as one tar: {reason}.",
    "Nothing was written. Restore its files one by one: they are as they were preserved.",
)
NO_GOOD_COPY = _kind(
    "BAG107",
    ERROR,
    "No sound copy of {subject} could be read: {copies}.",
    "Nothing was written. The copies are kept as they are: an operator must look at them.",
)
BAD_COPY = _kind(
    "BAG108",
    WARNING,
    "A copy of {subject} is not what was preserved ({copies}).",
    "A sound copy was used; an operator must store this one anew.",
)
NOT_REWRITTEN = _kind(
    "BAG109",
    WARNING,
    "{subject} stands in the restored bag as it was deposited: {reason}.",
    "What it says of the bag's size and date may be of the deposit.",
)
NO_DIGEST_KEPT = _kind(
    "BAG110",
    WARNING,
    "The Registry has no digest of {subject}, so its bytes were compared with nothing.",
    "The restored bag's manifests hold what was calculated now.",
)
THAW_REFUSED = _kind(
    "BAG111",
    ERROR,
    "{subject} is not brought back from its archive: {reason}.",
    "Nothing is wrong with the bag: an operator must look at the store's policy, and at thaw.tier.",
)
MORE_OF_A_KIND = _kind(
    "BAG099",
    WARNING,
    "{count} more problems of the kind {kind} are not listed.",
    "Mend the listed ones; the others are most likely of the same cause.",
)

LISTED_PER_KIND = 1_000
"""So many Problems of one kind are listed one by one; the rest are counted."""
LISTED_IN_ALL = 10_000
LISTED_AT_LEAST = 20


class ProblemLog:
    """Collects Problems in order, in bounded memory: LISTED_PER_KIND of each kind, and once
    there are LISTED_IN_ALL only LISTED_AT_LEAST of each."""

    def __init__(self, listed_per_kind: int = LISTED_PER_KIND) -> None:
        self.listed: list[Problem] = []
        self._limit = listed_per_kind
        self._counts: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()

    def add(self, problem: Problem) -> None:
        self._counts[problem.code] += 1
        most = self._limit if len(self.listed) < LISTED_IN_ALL else LISTED_AT_LEAST
        if self._kept[problem.code] < most:
            self.listed.append(problem)
            self._kept[problem.code] += 1

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem)

    def merge(self, other: ProblemLog) -> None:
        """Add all that another log collected, what it only counted too."""
        self.extend(other.listed)
        for code, count in other._counts.items():
            self._counts[code] += count - other._kept[code]

    def count_unlisted(self, kind: Kind, count: int) -> None:
        """Count so many more of a kind whose Problems were not made one by one."""
        if count:
            self._counts[kind.code] += count

    @property
    def counts(self) -> dict[str, int]:
        """How many of each code were added, the unlisted ones too."""
        return dict(self._counts)

    def restore(self, listed: Iterable[Problem], counts: dict[str, int]) -> None:
        """Go on from what an earlier log had collected; without `counts`, from what it lists."""
        self.listed = list(listed)
        self._kept = Counter(problem.code for problem in self.listed)
        self._counts = Counter(counts or self._kept)

    def all(self) -> list[Problem]:
        """What was listed, then one Problem for each kind that had more than that."""
        rest = [
            MORE_OF_A_KIND.about(
                "", KINDS[code].severity, count=count - self._kept[code], kind=code
            )
            for code, count in self._counts.items()
            if count > self._kept[code]
        ]
        return self.listed + rest


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether any of them rejects the bag."""
    return any(p.severity == ERROR for p in problems)


def page() -> str:
    """The table as a Markdown page: `docs/problems.md`."""
    lines = [
        "# What can be wrong with a bag",
        "",
        "Generated by `python -m bagline.problems`; change the table there. An error rejects",
        "the bag; a warning does not. Codes never change their meaning.",
        "",
        "`bagline check --json` writes one object: `bag` (as it was named), `valid`, `complete`",
        "(false: reading had to stop before the bag's end), `profile`, `files`, `payload_files`,",
        "`bytes` (the sum of the files' sizes), `formats` (MIME type to `files` and",
        "`bytes`, guessed by extension)",
        'and `problems`, each with `code`, `severity`, `subject` (a path in the bag, or "" for',
        "the bag) and `message`. Names are shown with control characters escaped; of each kind",
        f"at most {LISTED_PER_KIND:,} are listed. Later versions may add fields; none of these",
        "changes its name or its meaning.",
        "",
        "| Code | Severity | What it says | What to do |",
        "|---|---|---|---|",
    ]
    for kind in KINDS.values():
        cells = (kind.code, kind.severity, kind.sentence, kind.remedy.replace("{hint}", ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
