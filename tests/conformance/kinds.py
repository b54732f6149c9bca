"""Kinds of bags, good, bad and doubtful: one row each, for the BagIt versions it is about.

Verdicts are those of RFC 8493 (its sections are named) and of the drafts before it. Where a
row says "lenient", the RFC forbids what nothing can be lost by, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from support.bags import BagBuilder, digest_of, valid_bag

DRAFTS = ("0.93", "0.94", "0.95", "0.96", "0.97")
OLDEST = DRAFTS[:3]
ALL = (*DRAFTS, "1.0")
RFC = ("1.0",)

VALID, WARNING, INVALID = "valid", "warning", "invalid"


@dataclass(frozen=True)
class Case:
    """A kind of bag, and what must be said of it. `codes`: exactly these, sorted."""

    what: str
    versions: tuple[str, ...]
    verdict: str
    codes: tuple[str, ...]
    make: Callable[[], BagBuilder]
    tar: str = "pax"


def plain() -> BagBuilder:
    return valid_bag(profile="none")


def line_of(data: bytes, path: str, algorithm: str = "md5") -> bytes:
    return f"{digest_of(algorithm, data)}  {path}".encode()


def declared(text: bytes) -> BagBuilder:
    return plain().tag_file("bagit.txt", text)


CASES: list[Case] = []


def bag_of(case: Case, version: str) -> BagBuilder:
    """The bag of the case, declared to be of the version (where it declares one)."""
    bag = case.make()
    raw = bag.files().get("bagit.txt")
    if raw is not None and version != "1.0":
        bag.tag_file("bagit.txt", raw.replace(b"1.0", version.encode(), 1))
    return bag


def case(
    what: str,
    versions: tuple[str, ...],
    make: Callable[[], BagBuilder],
    *errors: str,
    warns: tuple[str, ...] = (),
    tar: str = "pax",
) -> None:
    verdict = INVALID if errors else WARNING if warns else VALID
    CASES.append(Case(what, versions, verdict, tuple(sorted((*errors, *warns))), make, tar))


# -- the whole bag (section 2)
case("a bag of three files", ALL, plain)
case("a bag in a ustar tar", ALL, plain, tar="ustar")
case("a bag in a GNU tar", ALL, plain, tar="gnu")
case(
    "one manifest, and nothing optional",
    ALL,
    lambda: plain().manifest("sha256").tag_manifest().without_tag_file("bag-info.txt"),
)
case(
    "a bag in a bag",
    ALL,
    lambda: (
        plain().payload("inner/bagit.txt").payload("inner/manifest-md5.txt").payload("inner/data/x")
    ),
)
case(
    "files of the systems it passed through",
    ALL,
    lambda: plain().payload(".DS_Store").payload("._x").payload("Thumbs.db").payload(".keep", b""),
)
case(
    "no payload at all (lenient: a tar need not name the empty data/)",
    ALL,
    lambda: BagBuilder(profile="none"),
    warns=("BAG083",),
)
case(
    "a symbolic link that no manifest lists",
    ALL,
    lambda: plain().symlink("data/s", "x"),
    warns=("BAG029",),
)
case(
    "a symbolic link in the place of a file",
    ALL,
    lambda: (
        plain().symlink("data/s", "empty").manifest_line("manifest-md5.txt", line_of(b"", "data/s"))
    ),
    "BAG030",
    warns=("BAG029",),
)
case("a second bag beside it", ALL, lambda: plain().member("other/bagit.txt", b"x"), "BAG021")

# -- the bag declaration (2.1.1)
TWO_LINES = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
case("no bagit.txt", RFC, lambda: plain().without_tag_file("bagit.txt"), "BAG040", "BAG050")
case("a bagit.txt of nothing", RFC, lambda: declared(b""), "BAG040", "BAG050")
case("no version", RFC, lambda: plain().without_tag("bagit.txt", "BagIt-Version"), "BAG040")
case(
    "no encoding",
    ALL,
    lambda: plain().without_tag("bagit.txt", "Tag-File-Character-Encoding"),
    "BAG050",
)
for bad in ("1", "one", "1.0.0", "v1.0", "1,0"):
    case(
        f"the version {bad}",
        RFC,
        lambda bad=bad: declared(TWO_LINES.replace(b"1.0", bad.encode())),
        "BAG041",
        "BAG046",
    )
case(
    "a version that does not exist",
    RFC,
    lambda: declared(TWO_LINES.replace(b"1.0", b"1.1")),
    "BAG041",
)
case(
    "a byte order mark in bagit.txt",
    ALL,
    lambda: plain().tag_file("bagit.txt", b"\xef\xbb\xbf" + TWO_LINES),
    "BAG045",
)
case("bagit.txt in UTF-16", RFC, lambda: declared(TWO_LINES.decode().encode("utf-16")), "BAG045")
case(
    "an encoding nobody knows",
    ALL,
    lambda: plain().tag("bagit.txt", "Tag-File-Character-Encoding", "klingon-8"),
    "BAG042",
)
case(
    "two versions in bagit.txt",
    RFC,
    lambda: declared(TWO_LINES + b"BagIt-Version: 0.97\n"),
    "BAG046",
    warns=("BAG046",),
)
case(
    "a third line in bagit.txt (lenient)",
    ALL,
    lambda: plain().repeat_tag("bagit.txt", "Software", "x"),
    warns=("BAG046",),
)
case(
    "the lines of bagit.txt the other way round (lenient)",
    RFC,
    lambda: declared(b"\n".join(reversed(TWO_LINES.splitlines()))),
)
case("bagit.txt with CR LF", RFC, lambda: declared(TWO_LINES.replace(b"\n", b"\r\n")))
case("bagit.txt with CR", RFC, lambda: declared(TWO_LINES.replace(b"\n", b"\r")))
case("bagit.txt without its last line end", RFC, lambda: declared(TWO_LINES[:-1]))

# -- payload manifests (2.1.3)
for algorithm in ("md5", "sha1", "sha256", "sha512"):
    case(
        f"{algorithm} alone",
        ALL,
        lambda algorithm=algorithm: plain().manifest(algorithm).tag_manifest(algorithm),
    )
case("no manifest", ALL, lambda: plain().manifest().tag_manifest(), "BAG060")
case(
    "a manifest of an algorithm that is not calculated, alone",
    ALL,
    lambda: plain().manifest("sha3256").tag_manifest(),
    "BAG065",
)
case(
    "a manifest of an algorithm that is not calculated, beside another",
    ALL,
    lambda: plain().manifest("sha256", "blake2b512").tag_manifest(),
    warns=("BAG064",),
)
case("an algorithm's name in upper case", ALL, lambda: plain().manifest("SHA256"))
case("a file in one manifest of two", DRAFTS, lambda: plain().unlisted("data/empty", "md5"))
case("a file in one manifest of two", RFC, lambda: plain().unlisted("data/empty", "md5"), "BAG080")
case(
    "two manifests with nothing in common",
    DRAFTS,
    lambda: (
        plain()
        .unlisted("data/empty", "md5")
        .unlisted("data/photo.tif", "sha256")
        .unlisted("data/letters/1.txt", "sha256")
    ),
)
case(
    "two manifests with nothing in common",
    RFC,
    lambda: (
        plain()
        .unlisted("data/empty", "md5")
        .unlisted("data/photo.tif", "sha256")
        .unlisted("data/letters/1.txt", "sha256")
    ),
    "BAG080",
    "BAG080",
    "BAG080",
)
case("a payload file in no manifest", DRAFTS, lambda: plain().unlisted("data/empty"), "BAG084")
case(
    "a payload file in no manifest", RFC, lambda: plain().unlisted("data/empty"), "BAG080", "BAG080"
)
case(
    "a listed file that is not there",
    ALL,
    lambda: plain().left_out("data/empty").without_oxum(),
    "BAG007",
)
case(
    "another digest than the file's",
    ALL,
    lambda: plain().wrong_digest("data/empty"),
    "BAG081",
    "BAG081",
)
case(
    "another digest in one of two manifests",
    ALL,
    lambda: plain().wrong_digest("data/empty", "sha256"),
    "BAG081",
)
case(
    "digests in upper case",
    ALL,
    lambda: (
        plain()
        .manifest("md5")
        .unlisted("data/empty")
        .manifest_line("manifest-md5.txt", digest_of("md5", b"").upper().encode() + b" data/empty")
    ),
)
case(
    "tabs and many blanks between digest and path",
    ALL,
    lambda: (
        plain()
        .manifest("md5")
        .unlisted("data/empty")
        .manifest_line("manifest-md5.txt", digest_of("md5", b"").encode() + b" \t\t  data/empty")
    ),
)
case(
    "a digest of another length",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "data/empty", "sha1")),
    "BAG068",
)
case(
    "a line without a path",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", digest_of("md5", b"").encode()),
    "BAG066",
)
case("an empty line", ALL, lambda: plain().manifest_line("manifest-md5.txt", b""))
case(
    "the same line twice (lenient)",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "data/empty")),
    warns=("BAG070",),
)
case(
    "a file twice with different digests",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"x", "data/empty")),
    "BAG069",
    "BAG081",
)
case(
    "md5sum's `*` before paths (6.1.3: read, with a warning)",
    ALL,
    lambda: plain().manifest("md5").listed_as("data/empty", "*data/empty"),
    warns=("BAG077",),
)
case(
    "`./` before paths (lenient)",
    ALL,
    lambda: plain().manifest("md5").listed_as("data/empty", "./data/empty"),
    warns=("BAG077",),
)
case(
    "backslashes between the parts of a path (lenient)",
    ALL,
    lambda: plain().manifest("md5").listed_as("data/letters/1.txt", "data\\letters\\1.txt"),
    warns=("BAG075",),
)
case(
    "a manifest that lists a directory",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "data/letters/")),
    "BAG007",
)
case(
    "a payload manifest that lists a tag file",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "bagit.txt")),
    "BAG072",
)
case(
    "a payload manifest that lists itself",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "manifest-md5.txt")),
    "BAG072",
)
case(
    "a manifest of a payload file's name in a tag directory",
    ALL,
    lambda: plain().tag_file("custom/manifest-md5.txt", b"no manifest\n"),
)
case("manifests with CR LF", ALL, lambda: plain().line_end("\r\n"))
case("manifests with CR", ALL, lambda: plain().line_end("\r"))

# -- names (2.1.3, 6.1.1)
case(
    "a name with a percent sign, encoded",
    ALL,
    lambda: plain().payload("50%").listed_as("data/50%", "data/50%25"),
)
case("a name with a percent sign, as it is", ALL, lambda: plain().payload("50%"))
case(
    "a% and a%25 are two files, encoded",
    RFC,
    lambda: (
        plain()
        .payload("a%", b"1")
        .payload("a%25", b"2")
        .listed_as("data/a%", "data/a%25")
        .listed_as("data/a%25", "data/a%2525")
    ),
)
case(
    "a% and a%25 are two files, as they are",
    DRAFTS,
    lambda: plain().payload("a%", b"1").payload("a%25", b"2"),
)
case(
    "a name with a line feed, encoded",
    ALL,
    lambda: plain().payload("a\nb").listed_as("data/a\nb", "data/a%0Ab"),
    warns=("BAG082",),
)
case(
    "a name with CR LF, encoded in lower case",
    ALL,
    lambda: plain().payload("a\r\nb").listed_as("data/a\r\nb", "data/a%0d%0ab"),
    warns=("BAG082",),
)
case("other percent escapes are the name itself", ALL, lambda: plain().payload("a%41%20b"))
case(
    "names of other scripts, blanks, quotes",
    ALL,
    lambda: plain().payload("文書 'a' \"b\"").payload("two  spaces").payload("Ⅷ\u202f\u2028.txt"),
)
case(
    "NFC in the manifest, NFD in the tar (6.1.1.3: tolerated)",
    ALL,
    lambda: (
        plain().manifest("md5").payload("cafe\u0301").listed_as("data/cafe\u0301", "data/caf\u00e9")
    ),
    warns=("BAG073",),
)
case(
    "both forms of a name, two files",
    ALL,
    lambda: plain().payload("cafe\u0301", b"1").payload("caf\u00e9", b"2"),
)
case(
    "names that differ only in case, two files",
    ALL,
    lambda: plain().payload("README", b"1").payload("readme", b"2"),
)
case(
    "another case in the manifest",
    RFC,
    lambda: plain().manifest("md5").payload("README").listed_as("data/README", "data/readme"),
    "BAG007",
    "BAG080",
    warns=("BAG074",),
)
for path in ("/data/empty", "../bag/data/empty", "data/../../x", "C:\\data\\empty", "C:/x"):
    case(
        f"a manifest that lists {path} (section 5.1)",
        ALL,
        lambda path=path: plain().manifest_line("manifest-md5.txt", line_of(b"", path)),
        "BAG071",
    )
case(
    "a manifest that lists ~root/x (section 5.1)",
    ALL,
    lambda: plain().manifest_line("manifest-md5.txt", line_of(b"", "~root/x")),
    "BAG072",
)
case("a file named ~ in the payload", ALL, lambda: plain().payload("~root"))
case("a tar with a path that climbs", ALL, lambda: plain().member("bag/data/../../x"), "BAG023")
case("a tar with an absolute path", ALL, lambda: plain().member("/etc/x"), "BAG023")

# -- tag manifests (2.2.1)
case(
    "a tag file that was changed",
    ALL,
    lambda: plain().wrong_digest("bag-info.txt", "md5"),
    "BAG081",
)
case(
    "a manifest that was changed",
    ALL,
    lambda: plain().wrong_digest("manifest-md5.txt", "md5"),
    "BAG081",
)
case(
    "a tag file that a tag manifest lists and the bag lacks",
    ALL,
    lambda: plain().tag_file("custom/a.txt", b"A: b\n").left_out("custom/a.txt"),
    "BAG007",
)
case(
    "a tag file that no tag manifest lists",
    ALL,
    lambda: plain().tag_file("custom/a.bin", b"\0").unlisted("custom/a.bin"),
)
case(
    "a tag manifest without the payload manifest",
    DRAFTS,
    lambda: plain().manifest("md5").tag_manifest("md5").unlisted("manifest-md5.txt"),
    warns=("BAG080",),
)
case(
    "a tag manifest without the payload manifest",
    RFC,
    lambda: plain().manifest("md5").tag_manifest("md5").unlisted("manifest-md5.txt"),
    "BAG080",
)
case(
    "a tag manifest that lists payload",
    ALL,
    lambda: plain().manifest_line("tagmanifest-md5.txt", line_of(b"", "data/empty")),
    "BAG072",
)
case(
    "a tag manifest that lists a tag manifest",
    ALL,
    lambda: plain().manifest_line("tagmanifest-md5.txt", line_of(b"", "tagmanifest-sha256.txt")),
    "BAG072",
)
case(
    "tag manifests of another algorithm than the manifests",
    ALL,
    lambda: plain().manifest("sha256").tag_manifest("sha512"),
)

# -- bag-info.txt, package-info.txt (2.2.2)
case(
    "Payload-Oxum that disagrees",
    ("0.96", "0.97", "1.0"),
    lambda: plain().tag("bag-info.txt", "Payload-Oxum", "1.1"),
    "BAG085",
)
case(
    "Payload-Oxum that is no such thing",
    RFC,
    lambda: plain().tag("bag-info.txt", "Payload-Oxum", "many"),
    "BAG086",
)
case("Payload-Oxum without a value", RFC, lambda: plain().tag("bag-info.txt", "Payload-Oxum", ""))
case(
    "Payload-Oxum in package-info.txt",
    OLDEST,
    lambda: (
        plain()
        .without_tag_file("bag-info.txt")
        .tag_file("package-info.txt", b"Payload-Oxum: 2057.3\n")
    ),
)
case(
    "Payload-Oxum in package-info.txt that disagrees",
    OLDEST,
    lambda: (
        plain()
        .without_tag_file("bag-info.txt")
        .tag_file("package-info.txt", b"Payload-Oxum: 1.1\n")
    ),
    "BAG085",
)
case(
    "package-info.txt is a tag file like others",
    ("0.96", "0.97", "1.0"),
    lambda: plain().tag_file("package-info.txt", b"Payload-Oxum: 1.1\n"),
)
case(
    "folded lines, repeated labels, a colon in a value",
    ALL,
    lambda: plain().tag_file(
        "bag-info.txt", b"Contact-Name: A\nContact-Name: B\nNote: a: b\n  goes on\n\tand on\n"
    ),
)
case("blanks around the colon", ALL, lambda: plain().tag_file("bag-info.txt", b"Note  :   x\n"))
case(
    "a line that is no tag",
    ALL,
    lambda: plain().tag_file("bag-info.txt", b"Note: x\nlost\n"),
    warns=("BAG043",),
)
case("a tag file of nothing", ALL, lambda: plain().tag_file("bag-info.txt", b""))

# -- encodings (2.3)
for encoding in ("UTF-16", "UTF-16LE", "UTF-32", "ISO-8859-1", "windows-1252"):
    case(
        f"tag files and manifests in {encoding}",
        ALL,
        lambda encoding=encoding: (
            plain().payload("caf\u00e9").encoding(encoding).tag("bag-info.txt", "Note", "\u00e9")
        ),
    )
case(
    "UTF-8 with a byte order mark in bag-info.txt (lenient)",
    ALL,
    lambda: plain().tag_file("bag-info.txt", b"\xef\xbb\xbfNote: x\n"),
)
case(
    "bag-info.txt is not in the declared encoding",
    ALL,
    lambda: plain().tag_file("bag-info.txt", b"Note: caf\xe9\n"),
    "BAG044",
)
case(
    "a manifest is not in the declared encoding",
    RFC,
    lambda: (
        plain()
        .manifest("md5")
        .tag_manifest()
        .encoding("US-ASCII")
        .manifest_line("manifest-md5.txt", line_of(b"", "data/\u00e9"))
    ),
    "BAG076",
)

# -- fetch.txt (2.2.3): nothing is ever fetched
FETCH = b"https://example.org/empty 0 data/empty\n"
case(
    "a fetch.txt, and its files are there",
    ALL,
    lambda: plain().tag_file("fetch.txt", FETCH),
    warns=("BAG091",),
)
case(
    "a fetch.txt, and its files are not there",
    ALL,
    lambda: plain().tag_file("fetch.txt", FETCH).left_out("data/empty"),
    "BAG007",
    "BAG085",
    warns=("BAG091",),
)
case("a fetch.txt of nothing", ALL, lambda: plain().tag_file("fetch.txt", b""), warns=("BAG091",))
