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
BOTH = ("0.97", "1.0")
"""For kinds of which no draft says anything else."""

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
case(
    "`data` is a file (2.1.2)",
    ALL,
    lambda: BagBuilder(profile="none").tag_file("data", b"x"),
    "BAG039",
    warns=("BAG083",),
)
case(
    "a path that is file and directory",
    ALL,
    lambda: plain().payload("a").payload("a/b"),
    "BAG038",
)
case(
    "a tag file and a tag directory of one name",
    ALL,
    lambda: plain().tag_file("notes", b"x").tag_file("notes/a.bin", b"y"),
    "BAG038",
)
case(
    "a directory written as a file whose name ends in a slash",
    ALL,
    lambda: plain().member("bag/data/none/").member("bag/data/").member("bag/"),
)
case(
    "names of the tar with backslashes below the top",
    ALL,
    lambda: plain().member("bag/data\\a"),
    "BAG037",
)
case(
    "names of the tar with backslashes below data/",
    RFC,
    lambda: plain().payload("x/y", b"").left_out("data/x/y").member("bag/data/x\\y").without_oxum(),
    "BAG007",
    "BAG080",
    "BAG080",
    warns=("BAG037",),
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
for what, text in {
    "a third line in bagit.txt": TWO_LINES + b"Software: x\n",
    "the lines of bagit.txt the other way round": b"\n".join(reversed(TWO_LINES.splitlines())),
    "a blank line at the end of bagit.txt": TWO_LINES + b"\n",
    "a blank line between those of bagit.txt": TWO_LINES.replace(b"\n", b"\n\n", 1),
    "a blank before the colon in bagit.txt": TWO_LINES.replace(b":", b" :", 1),
    "two blanks after the colon in bagit.txt": TWO_LINES.replace(b": ", b":  ", 1),
    "no blank after the colon in bagit.txt": TWO_LINES.replace(b": ", b":", 1),
    "a tab after the colon in bagit.txt": TWO_LINES.replace(b": ", b":\t", 1),
    "a blank at the end of a line of bagit.txt": TWO_LINES.replace(b"\n", b" \n", 1),
    "a blank at the end of bagit.txt": TWO_LINES[:-1] + b" \n",
    "a blank at the beginning of bagit.txt": b" " + TWO_LINES,
    "labels of bagit.txt in lower case": TWO_LINES.replace(b"BagIt-V", b"bagit-v"),
    "an encoding folded in bagit.txt": TWO_LINES.replace(b": U", b":\n U"),
}.items():
    case(what, RFC, lambda text=text: declared(text), "BAG046")
    case(
        f"{what} (lenient: not a MUST before 1.0)",
        ("0.93", "0.97"),
        lambda text=text: declared(text),
        warns=("BAG046",),
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
FURTHER = ("sha224", "sha384", "sha3224", "sha3256", "sha3384", "sha3512", "blake2b", "blake2s")
for algorithm in (*FURTHER, "blake2b256", "blake2b512", "blake2s128"):
    case(
        f"{algorithm} alone (2.4)",
        BOTH,
        lambda algorithm=algorithm: plain().manifest(algorithm).tag_manifest(algorithm),
    )
    case(
        f"{algorithm} with another digest than the file's (section 3)",
        RFC,
        lambda algorithm=algorithm: (
            plain().manifest("md5", algorithm).wrong_digest("data/photo.tif", algorithm)
        ),
        "BAG081",
    )
case(
    "a further algorithm lists a file that is not there (section 3)",
    BOTH,
    lambda: (
        plain()
        .manifest("md5", "sha384")
        .manifest_line("manifest-sha384.txt", line_of(b"x", "data/gone", "sha384"))
    ),
    "BAG007",
)
case(
    "a further algorithm lists a file outside the bag (section 3)",
    BOTH,
    lambda: (
        plain()
        .manifest("md5", "sha384")
        .manifest_line("manifest-sha384.txt", line_of(b"x", "../gone", "sha384"))
    ),
    "BAG071",
)
case(
    "a further algorithm lists nothing (section 3)",
    RFC,
    lambda: plain().manifest("md5").tag_file("manifest-sha384.txt", b""),
    "BAG080",
    "BAG080",
    "BAG080",
)
case(
    "a further algorithm's digest has another length",
    BOTH,
    lambda: (
        plain()
        .manifest("md5", "sha384")
        .manifest_line("manifest-sha384.txt", line_of(b"x", "data/x", "sha1"))
    ),
    "BAG068",
)
case(
    "a tag manifest of a further algorithm, with another digest",
    BOTH,
    lambda: plain().tag_manifest("sha3256").wrong_digest("bagit.txt", "sha3256"),
    "BAG081",
)
case(
    "an algorithm that nobody has, alone",
    ALL,
    lambda: plain().manifest("whirlpool").tag_manifest(),
    "BAG065",
)
case(
    "an algorithm that nobody has, beside another (section 3)",
    ALL,
    lambda: plain().manifest("sha256", "whirlpool").tag_manifest(),
    "BAG064",
)
case(
    "an algorithm that nobody has lists a missing file, one outside, and not one that is there",
    RFC,
    lambda: (
        plain()
        .manifest("sha256", "whirlpool")
        .tag_manifest()
        .unlisted("data/empty", "whirlpool")
        .manifest_line("manifest-whirlpool.txt", line_of(b"x", "data/gone"))
        .manifest_line("manifest-whirlpool.txt", line_of(b"x", "/gone"))
    ),
    "BAG007",
    "BAG064",
    "BAG071",
    "BAG080",
)
case(
    "an algorithm's name in upper case (2.4, lenient: it is read)",
    ALL,
    lambda: plain().manifest("SHA256"),
    warns=("BAG100",),
)
for name in ("sha-256", "SHA-256", "sha_256", "sha2-256", "sha3-256", "sha3_256"):
    case(
        f"an algorithm's name written {name} (2.4), alone",
        BOTH,
        lambda name=name: plain().manifest(name).tag_manifest(),
        "BAG100",
    )
    case(
        f"an algorithm's name written {name} (2.4), beside another",
        BOTH,
        lambda name=name: plain().manifest("md5", name).tag_manifest(),
        "BAG100",
    )
    case(
        f"an algorithm's name written {name} (2.4) for a tag manifest",
        BOTH,
        lambda name=name: plain().tag_manifest(name),
        "BAG100",
    )
for name in (
    "MANIFEST-SHA256.TXT",
    "manifest-sha256.TXT",
    "Manifest-sha256.txt",
    "manifest_sha256.txt",
    "manifest-sha256",
    "manifest-sha256.txt.txt",
    "manifest\u2010sha256.txt",
):
    case(
        f"{name} (2.4), alone",
        BOTH,
        lambda name=name: (
            plain().manifest().tag_manifest().tag_file(name, line_of(b"", "data/empty", "sha256"))
        ),
        "BAG060",
        warns=("BAG100",),
    )
    case(
        f"{name} (2.4), beside a manifest (it is another tag file)",
        BOTH,
        lambda name=name: (
            plain().manifest("md5").tag_file(name, line_of(b"", "data/empty", "sha256"))
        ),
        warns=("BAG100",),
    )
case(
    "TAGMANIFEST-MD5.TXT (it is another tag file)",
    BOTH,
    lambda: (
        plain()
        .tag_manifest("sha256")
        .tag_file("TAGMANIFEST-MD5.TXT", line_of(b"", "data/empty", "sha256"))
    ),
    warns=("BAG100",),
)
case(
    "manifest-sha-256.txt in a tag directory",
    BOTH,
    lambda: plain().tag_file("custom/manifest-sha-256.txt", b"no manifest\n"),
)
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
for what, line, code in (
    ("a comment", b"# made by hand", "BAG068"),
    ("a comment of one word", b"#made", "BAG066"),
    ("a comment with a semicolon", b"; made by hand", "BAG068"),
    ("a line that GNU's tools escaped", b"\\" + line_of(b"", "data/em\\\\pty"), "BAG068"),
    ("a line of BSD's tools", b"MD5 (data/empty) = d41d8cd98f00b204e9800998ecf8427e", "BAG068"),
):
    case(what, BOTH, lambda line=line: plain().manifest_line("manifest-md5.txt", line), code)
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
    warns=("BAG101",),
)
case(
    "names that differ only in case, two files",
    ALL,
    lambda: plain().payload("README", b"1").payload("readme", b"2"),
    warns=("BAG101",),
)
case(
    "names that differ in case and form, three files",
    BOTH,
    lambda: (
        plain().payload("CAFE\u0301", b"1").payload("caf\u00e9", b"2").payload("cafe\u0301", b"3")
    ),
    warns=("BAG101", "BAG101"),
)
case(
    "tag files whose names differ only in case",
    BOTH,
    lambda: plain().tag_file("a/Notes.txt", b"A: b\n").tag_file("a/notes.txt", b"A: b\n"),
    warns=("BAG101",),
)
MIXED = "e\u0301/r\u00e9.txt"
MARKS = "a\u0301\u0323\u0302.txt"  # NFC and NFD put the dot below first
case(
    "parts of a path in different normal forms (6.1.1.3), NFC in the manifest",
    BOTH,
    lambda: (
        plain().manifest("md5").payload(MIXED).listed_as(f"data/{MIXED}", "data/\u00e9/r\u00e9.txt")
    ),
    warns=("BAG073",),
)
case(
    "parts of a path in different normal forms (6.1.1.3), the other way in the manifest",
    BOTH,
    lambda: (
        plain()
        .manifest("md5")
        .payload(MIXED)
        .listed_as(f"data/{MIXED}", "data/\u00e9/re\u0301.txt")
    ),
    warns=("BAG073",),
)
case(
    "NFC in the tar, parts in different forms in the manifest (6.1.1.3)",
    BOTH,
    lambda: (
        plain()
        .manifest("md5")
        .payload("\u00e9/r\u00e9.txt")
        .listed_as("data/\u00e9/r\u00e9.txt", f"data/{MIXED}")
    ),
    warns=("BAG073",),
)
case(
    "marks in an order of neither form (6.1.1.3)",
    BOTH,
    lambda: (
        plain()
        .manifest("md5")
        .payload(MARKS)
        .listed_as(f"data/{MARKS}", "data/\u1ea1\u0301\u0302.txt")
    ),
    warns=("BAG073",),
)
case(
    "parts in different forms, and a percent sign encoded",
    BOTH,
    lambda: (
        plain()
        .manifest("md5")
        .payload(f"50%{MIXED}")
        .listed_as(f"data/50%{MIXED}", "data/50%25\u00e9/r\u00e9.txt")
    ),
    warns=("BAG073",),
)
case(
    "a blank at the end of a path in the manifest",
    RFC,
    lambda: plain().manifest("md5").payload("x").listed_as("data/x", "data/x "),
    "BAG007",
    "BAG080",
    warns=("BAG102",),
)
case("a blank at the end of a name", ALL, lambda: plain().payload("x "))
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
case(
    "an indented label, which goes on from the line before",
    ALL,
    lambda: plain().tag_file("bag-info.txt", b"Note: x\n  Contact-Name: A\n"),
    warns=("BAG043",),
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
case(
    "a fetch.txt that lists a file of no manifest",
    ALL,
    lambda: plain().tag_file("fetch.txt", b"https://example.org/x 3 data/x\n"),
    "BAG089",
    warns=("BAG091",),
)
case(
    "a fetch.txt that lists a file of one manifest of two",
    DRAFTS,
    lambda: (
        plain()
        .tag_file("fetch.txt", FETCH)
        .left_out("data/empty")
        .unlisted("data/empty", "md5")
        .without_oxum()
    ),
    "BAG007",
    warns=("BAG091",),
)
case(
    "a fetch.txt that lists a file of one manifest of two",
    RFC,
    lambda: (
        plain()
        .tag_file("fetch.txt", FETCH)
        .left_out("data/empty")
        .unlisted("data/empty", "md5")
        .without_oxum()
    ),
    "BAG007",
    "BAG089",
    warns=("BAG091",),
)
for line in (
    b"https://example.org/empty data/empty",
    b"https://example.org/empty 0",
    b"example.org/empty 0 data/empty",
    b"http:///empty 0 data/empty",
    b"https: 0 data/empty",
    b"https://example.org/empty 0x0 data/empty",
    b"https://example.org/empty -1 data/empty",
    b"https://example.org/empty -- data/empty",
    b"https://example.org/an empty file 0 data/empty",
    b"https://example.org/empty 0 bag-info.txt",
    b"https://example.org/empty 0 ../data/empty",
    b"https://example.org/empty 0 data/../../empty",
    b"https://example.org/empty 0 /data/empty",
    b"https://example.org/empty 0 ~/data/empty",
    b"https://example.org/empty 0 C:\\data\\empty",
    b"https://example.org/empty 0 c:/data/empty",
    b"https://example.org/empty 0 \\\\server\\data\\empty",
    b"https://example.org/empty 0 data\\..\\..\\empty",
    b"https://example.org/empty 0 data/",
    b"https://example.org/empty 0 data",
):
    case(
        f"a fetch.txt with the line {line.decode()}",
        ALL,
        lambda line=line: plain().tag_file("fetch.txt", line + b"\n"),
        "BAG088",
        warns=("BAG091",),
    )
case(
    "a fetch.txt of all that may stand there",
    ALL,
    lambda: (
        plain()
        .payload("a b", b"1")
        .payload("50%", b"2")
        .payload("caf\u00e9", b"3")
        .tag_file(
            "fetch.txt",
            b"HTTP://example.org?x \t -  data/a b\r\n\nfile:/x\t12345678901234567890\tdata/50%25\r"
            + b"s3://bucket/key 3 ./data/caf\xc3\xa9\nurn:x 3 data/cafe\xcc\x81",
        )
    ),
    warns=("BAG091",),
)
case("a fetch.txt of nothing", ALL, lambda: plain().tag_file("fetch.txt", b""), warns=("BAG091",))
