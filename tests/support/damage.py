"""Damages to good bags, file by file: what a disk, a program or a person does to them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from random import Random

from support.bags import BagBuilder, digest_of

Files = dict[str, bytes]
"""Path → bytes, in the order of the tar."""
Apply = Callable[[Files, Random], None]

VERSIONS = ("0.93", "0.95", "0.96", "0.97", "1.0", "1.1", "2.0", "1", "one", "")
LISTING = re.compile(r"(tag)?manifest-([A-Za-z0-9_-]+)\.txt")
ALGORITHMS = (("md5",), ("sha256",), ("md5", "sha256"), ("sha512", "sha1"), ("sha384",))


def good_bag(random: Random) -> Files:
    """A valid bag of one of many shapes."""
    bag = BagBuilder(profile="none").payload("a.txt", random.randbytes(random.randrange(1, 40)))
    for name in ("sub/b c.bin", "sub/deep/caf\u00e9.txt", "50%.txt", "empty"):
        if random.random() < 0.6:
            bag.payload(name, random.randbytes(random.randrange(40)) if name != "empty" else b"")
    bag.version(random.choice(("0.97", "1.0", "1.0")))
    bag.manifest(*random.choice(ALGORITHMS))
    bag.tag_manifest(*random.choice((*ALGORITHMS, ())))
    bag.tag("bag-info.txt", "Contact-Name", "Ada")
    if random.random() < 0.5:
        bag.tag_file("custom/mets.xml", b"<mets/>")
    if random.random() < 0.2:
        bag.without_oxum()
    return bag.files()


def with_tag_manifests_made_anew(files: Files) -> None:
    """As a program would that comes after the damage."""
    outside = {p: d for p, d in files.items() if not p.startswith("data/")}
    for path in outside:
        match = LISTING.fullmatch(path)
        if match and match[1]:
            listed = {p: d for p, d in outside.items() if not p.startswith("tagmanifest-")}
            files[path] = "".join(
                f"{digest_of(match[2], data)}  {name}\n" for name, data in listed.items()
            ).encode()


def _one(files: Files, random: Random, *, prefix: str = "", pattern: str = ".*") -> str:
    """A path that is there; "" where there is none such."""
    some = [p for p in files if p.startswith(prefix) and re.fullmatch(pattern, p)]
    return random.choice(some) if some else ""


# -- bytes and files


def _any_file(change: Callable[[bytes, Random], bytes], prefix: str = "") -> Apply:
    def apply(files: Files, random: Random) -> None:
        path = _one(files, random, prefix=prefix)
        if path:
            files[path] = change(files[path], random)

    return apply


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return b"\0"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _remove(prefix: str = "") -> Apply:
    def apply(files: Files, random: Random) -> None:
        files.pop(_one(files, random, prefix=prefix), None)

    return apply


def _rename(change: Callable[[str], str], pattern: str = ".*") -> Apply:
    def apply(files: Files, random: Random) -> None:
        path = _one(files, random, pattern=pattern)
        if path and change(path) not in files:
            files[change(path)] = files.pop(path)

    return apply


def _add(path: str, data: bytes = b"new") -> Apply:
    def apply(files: Files, random: Random) -> None:
        files.setdefault(path, data)

    return apply


# -- lines of manifests


def _line(change: Callable[[bytes, Random], bytes]) -> Apply:
    """Another line (or several, or none) in the place of one."""

    def apply(files: Files, random: Random) -> None:
        path = _one(files, random, pattern=LISTING.pattern)
        lines = files.get(path, b"").splitlines(keepends=True)
        if lines:
            at = random.randrange(len(lines))
            lines[at] = change(lines[at], random)
            files[path] = b"".join(lines)

    return apply


def _more(line: str) -> Apply:
    """One more line; `{digest}` is one of the right length."""

    def apply(files: Files, random: Random) -> None:
        path = _one(files, random, pattern=LISTING.pattern)
        if path:
            match = LISTING.fullmatch(path)
            assert match is not None
            digest = digest_of(match[2], b"")
            files[path] += line.format(digest=digest).encode() + b"\n"

    return apply


def _listing(change: Callable[[bytes], bytes]) -> Apply:
    def apply(files: Files, random: Random) -> None:
        path = _one(files, random, pattern=LISTING.pattern)
        if path:
            files[path] = change(files[path])

    return apply


def _digest(change: Callable[[bytes], bytes]) -> Apply:
    def changed(line: bytes, random: Random) -> bytes:
        digest, blank, rest = line.partition(b" ")
        return change(digest) + blank + rest if blank else line

    return _line(changed)


def _path(change: Callable[[str], str]) -> Apply:
    def changed(line: bytes, random: Random) -> bytes:
        digest, blanks, path = line.rstrip(b"\n").partition(b"  ")
        changed = change(path.decode("utf-8", "surrogateescape"))
        return digest + blanks + changed.encode("utf-8", "surrogateescape") + b"\n"

    return _line(changed)


def _swapped(files: Files, random: Random) -> None:
    """Two lines have each other's digests."""
    path = _one(files, random, pattern=LISTING.pattern)
    lines = files.get(path, b"").splitlines()
    if len(lines) > 1:
        first, second = random.sample(range(len(lines)), 2)
        one, other = (lines[at].partition(b"  ") for at in (first, second))
        lines[first], lines[second] = b"".join((other[0], *one[1:])), b"".join((one[0], *other[1:]))
        files[path] = b"\n".join(lines) + b"\n"


# -- bagit.txt and bag-info.txt


def _text(path: str, change: Callable[[bytes], bytes]) -> Apply:
    def apply(files: Files, random: Random) -> None:
        if path in files:
            files[path] = change(files[path])

    return apply


def _declared(old: bytes, new: bytes) -> Apply:
    return _text("bagit.txt", lambda data: data.replace(old, new, 1))


def _version(new: bytes) -> Apply:
    return _text(
        "bagit.txt", lambda data: re.sub(rb"Version: \S*", b"Version: " + new, data, count=1)
    )


def _info(old: str, new: bytes) -> Apply:
    return _text("bag-info.txt", lambda data: re.sub(old.encode(), new, data, count=1))


DAMAGES: dict[str, Apply] = {
    # bytes and files
    "a bit of any file is flipped": _any_file(_flip),
    "a bit of the payload is flipped": _any_file(_flip, "data/"),
    "a file is cut off": _any_file(lambda data, random: data[: len(data) // 2]),
    "a file has more bytes": _any_file(lambda data, random: data + b"x"),
    "a file is empty": _any_file(lambda data, random: b""),
    "a file is gone": _remove(),
    "a payload file is gone": _remove("data/"),
    "a payload file is new": _add("data/new.txt"),
    "a tag file is new": _add("custom/new.txt"),
    "a top-level file is new": _add("readme.md"),
    "the custom tag file is gone": _remove("custom/"),
    "a payload file's name is in capitals": _rename(
        lambda path: path.replace("data/", "DATA/").swapcase(), "data/.*"
    ),
    "a payload file's name has another normal form": _rename(
        lambda path: unicodedata.normalize("NFD", path), "data/.*"
    ),
    "a payload file's name ends in a blank": _rename(lambda path: path + " ", "data/.*"),
    "a payload file lies elsewhere": _rename(lambda path: f"data/moved/{path[5:]}", "data/.*"),
    "a manifest's name has a hyphen": _rename(
        lambda path: re.sub(r"(sha|md)(\d+)", r"\1-\2", path), LISTING.pattern
    ),
    "a manifest's name is in capitals": _rename(
        lambda path: re.sub(r"-(\w+)", lambda m: m[0].upper(), path), LISTING.pattern
    ),
    "a manifest is in a directory": _rename(lambda path: f"custom/{path}", LISTING.pattern),
    "a manifest is of another algorithm": _rename(
        lambda path: re.sub(r"-\w+", "-sha224", path), LISTING.pattern
    ),
    "a manifest is of no algorithm": _rename(
        lambda path: re.sub(r"-\w+", "-whirlpool", path), LISTING.pattern
    ),
    # lines
    "a line is gone": _line(lambda line, random: b""),
    "a line stands twice": _line(lambda line, random: line + line),
    "a file stands twice, differently": _line(
        lambda line, random: line + line.translate(bytes.maketrans(b"0123456789", b"1234567890"))
    ),
    "a line is cut off": _line(
        lambda line, random: line[: random.randrange(len(line) or 1)] + b"\n"
    ),
    "a bit of a line is flipped": _line(_flip),
    "a digest is in capitals": _digest(bytes.upper),
    "a digest is too short": _digest(lambda digest: digest[:-1]),
    "a digest is too long": _digest(lambda digest: digest + b"0"),
    "a digest is no number": _digest(lambda digest: b"g" + digest[1:]),
    "a digest of another file": _swapped,
    "a path has a star": _path(lambda path: f"*{path}"),
    "a path begins with a dot": _path(lambda path: f"./{path}"),
    "a path ends in a blank": _path(lambda path: f"{path} "),
    "a path begins with a blank": _path(lambda path: f"  {path}"),
    "a path after a tab": _line(lambda line, random: line.replace(b"  ", b"\t", 1)),
    "a path after one blank": _line(lambda line, random: line.replace(b"  ", b" ", 1)),
    "a line after a blank": _line(lambda line, random: b" " + line),
    "a path in capitals": _path(lambda path: path[:5] + path[5:].swapcase()),
    "a path in another normal form": _path(lambda path: unicodedata.normalize("NFD", path)),
    "a percent sign is encoded": _path(lambda path: path.replace("%", "%25")),
    "a letter is encoded": _path(lambda path: path.replace("a", "%61")),
    "a path with doubled slashes": _path(lambda path: path.replace("/", "//")),
    "a path with backslashes": _path(lambda path: path.replace("/", "\\")),
    "a path with a detour": _path(lambda path: path.replace("/", "/x/../", 1)),
    "a missing payload file is listed": _more("{digest}  data/gone"),
    "a missing tag file is listed": _more("{digest}  custom/gone"),
    "a directory is listed": _more("{digest}  data/sub"),
    "bagit.txt is listed": _more("{digest}  bagit.txt"),
    "a path outside is listed": _more("{digest}  ../gone"),
    "an absolute path is listed": _more("{digest}  /etc/passwd"),
    "a home directory is listed": _more("{digest}  ~/gone"),
    "a line without a path": _more("{digest}"),
    "a comment": _more("# made by hand"),
    "a blank line": _more(""),
    "a line of blanks": _more(" \t "),
    "a line that a tool escaped": _more("\\{digest}  data/x\\\\y"),
    "a listing of nothing": _listing(lambda data: b""),
    "a listing with CR LF": _listing(lambda data: data.replace(b"\n", b"\r\n")),
    "a listing with CR": _listing(lambda data: data.replace(b"\n", b"\r")),
    "a listing without its last line end": _listing(lambda data: data[:-1]),
    "a listing with a byte order mark": _listing(lambda data: b"\xef\xbb\xbf" + data),
    "a listing in UTF-16": _listing(lambda data: data.decode("utf-8", "replace").encode("utf-16")),
    "a listing that is not UTF-8": _listing(lambda data: data.replace(b"a", b"\xe9", 1)),
    # bagit.txt
    **{f"version {new or 'of nothing'}": _version(new.encode()) for new in VERSIONS},
    "the encoding is ISO-8859-1": _declared(b"UTF-8", b"ISO-8859-1"),
    "the encoding is UTF-16": _declared(b"UTF-8", b"UTF-16"),
    "the encoding is utf8": _declared(b"UTF-8", b"utf8"),
    "the encoding is none": _declared(b"UTF-8", b"klingon"),
    "the encoding is not said": _declared(b" UTF-8", b""),
    "bagit.txt has no version": _text("bagit.txt", lambda data: data.partition(b"\n")[2]),
    "bagit.txt has no encoding": _text("bagit.txt", lambda data: data.partition(b"\n")[0] + b"\n"),
    "bagit.txt the other way round": _text(
        "bagit.txt", lambda data: b"\n".join(data.splitlines()[::-1])
    ),
    "bagit.txt has a third line": _text("bagit.txt", lambda data: data + b"Software: x\n"),
    "bagit.txt has a blank line": _text("bagit.txt", lambda data: data + b"\n"),
    "bagit.txt has blanks": _declared(b": ", b" :  "),
    "bagit.txt in lower case": _text("bagit.txt", bytes.lower),
    "bagit.txt has a byte order mark": _text("bagit.txt", lambda data: b"\xef\xbb\xbf" + data),
    "bagit.txt with CR LF": _text("bagit.txt", lambda data: data.replace(b"\n", b"\r\n")),
    "bagit.txt has two versions": _text("bagit.txt", lambda data: data + b"BagIt-Version: 0.97\n"),
    # bag-info.txt
    "Payload-Oxum of other bytes": _info(r"Oxum: (\d+)", rb"Oxum: 1\1"),
    "Payload-Oxum of other files": _info(r"Oxum: (\d+)\.", rb"Oxum: \1.1"),
    "Payload-Oxum of words": _info(r"Oxum: \S+", b"Oxum: many"),
    "Payload-Oxum of one number": _info(r"Oxum: (\d+)\.\d+", rb"Oxum: \1"),
    "Payload-Oxum of nothing": _info(r"Oxum: \S+", b"Oxum:"),
    "Payload-Oxum twice": _info(r"(Payload-Oxum: \S+\n)", rb"\1\1"),
    "Payload-Oxum twice, differently": _info(r"(Payload-Oxum: \S+\n)", rb"\1Payload-Oxum: 1.1\n"),
    "payload-oxum in lower case, wrong": _info(r"Payload-Oxum: ", b"payload-oxum: 1"),
    "Payload-Oxum is indented": _info(r"Payload-Oxum: ", b"  Payload-Oxum: 1"),
    "a line without a colon": _text("bag-info.txt", lambda data: data + b"no colon\n"),
    "a line that goes on": _text("bag-info.txt", lambda data: data + b" and on\n"),
    "bag-info.txt begins with a blank": _text("bag-info.txt", lambda data: b" " + data),
    "bag-info.txt that is not UTF-8": _text("bag-info.txt", lambda data: data + b"A: \xe9\n"),
    "bag-info.txt of nothing": _text("bag-info.txt", lambda data: b""),
    "bag-info.txt has a byte order mark": _text(
        "bag-info.txt", lambda data: b"\xef\xbb\xbf" + data
    ),
}
