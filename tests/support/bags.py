"""The bag maker: tarred bags of any goodness and badness, in memory or on disk.

    BagBuilder().payload("a.txt", b"..").tar()            a valid APTrust bag, as bytes
    BagBuilder().payload("a.txt", b"..").wrong_digest("data/a.txt").tar()

Everything that is not said is right: bagit.txt, bag-info.txt with its Payload-Oxum,
aptrust-info.txt, manifests (md5, sha256) and tag manifests of what the bag then holds.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
MODIFIED = 1_700_000_000

BTR_IDENTIFIER = (
    "https://github.com/dpscollaborative/btr_bagit_profile/releases/download/1.0"
    "/btr-bagit-profile.json"
)


class BagBuilder:
    """Collects what the bag is to hold; every method returns the builder itself."""

    def __init__(self, name: str = "bag", *, profile: str = "aptrust") -> None:
        self.name = name
        self._files: dict[str, bytes] = {}
        self._tags: dict[str, list[tuple[str, str]]] = {
            "bagit.txt": [("BagIt-Version", "1.0"), ("Tag-File-Character-Encoding", "UTF-8")],
            "bag-info.txt": [("Source-Organization", "Example Archive")],
        }
        if profile == "aptrust":
            self._tags["aptrust-info.txt"] = [
                ("Title", "A bag"),
                ("Access", "Institution"),
                ("Storage-Option", "Standard"),
            ]
        elif profile == "btr":
            self._tags["bag-info.txt"] += [
                ("Bagging-Date", "2026-01-02"),
                ("BagIt-Profile-Identifier", BTR_IDENTIFIER),
            ]
        self._algorithms: tuple[str, ...] = ("md5", "sha256")
        self._tag_algorithms: tuple[str, ...] = ("md5", "sha256")
        self._has_oxum = True
        self._encoding = "utf-8"
        self._raw_tag_files: dict[str, bytes] = {}
        self._line_end = "\n"
        self._listed_as: dict[str, str] = {}
        self._unlisted: set[tuple[str, str]] = set()
        self._wrong: set[tuple[str, str]] = set()
        self._left_out: set[str] = set()
        self._more_lines: dict[str, list[bytes]] = {}
        self._members: list[tuple[tarfile.TarInfo, bytes]] = []
        self._names: dict[str, str] = {}

    # What it holds

    def payload(self, path: str, data: bytes = b"some bytes\n") -> Self:
        self._files[f"data/{path}"] = data
        return self

    def tag_file(self, path: str, data: bytes) -> Self:
        """A tag file with exactly these bytes (in place of a generated one, if so named)."""
        self._raw_tag_files[path] = data
        self._tags.pop(path, None)
        return self

    def tag(self, tag_file: str, name: str, value: str) -> Self:
        """Set a tag: replaces the first of that name, or is added."""
        tags = self._tags.setdefault(tag_file, [])
        for at, (known, _) in enumerate(tags):
            if known == name:
                tags[at] = (name, value)
                return self
        tags.append((name, value))
        return self

    def repeat_tag(self, tag_file: str, name: str, value: str) -> Self:
        self._tags.setdefault(tag_file, []).append((name, value))
        return self

    def without_tag(self, tag_file: str, name: str) -> Self:
        self._tags[tag_file] = [t for t in self._tags[tag_file] if t[0] != name]
        return self

    def without_tag_file(self, tag_file: str) -> Self:
        self._tags.pop(tag_file, None)
        self._raw_tag_files.pop(tag_file, None)
        return self

    def without_oxum(self) -> Self:
        self._has_oxum = False
        return self

    def version(self, version: str) -> Self:
        return self.tag("bagit.txt", "BagIt-Version", version)

    def encoding(self, declared: str) -> Self:
        """Declare an encoding and write tag files and manifests in it (not bagit.txt)."""
        self._encoding = declared
        return self.tag("bagit.txt", "Tag-File-Character-Encoding", declared)

    def line_end(self, line_end: str) -> Self:
        self._line_end = line_end
        return self

    def manifest(self, *algorithms: str) -> Self:
        self._algorithms = algorithms
        return self

    def tag_manifest(self, *algorithms: str) -> Self:
        self._tag_algorithms = algorithms
        return self

    # What is wrong with it

    def wrong_digest(self, path: str, algorithm: str = "") -> Self:
        """Manifests of the algorithm (or all) list another digest."""
        self._wrong.add((path, algorithm))
        return self

    def unlisted(self, path: str, algorithm: str = "") -> Self:
        self._unlisted.add((path, algorithm))
        return self

    def listed_as(self, path: str, spelling: str) -> Self:
        """Manifests spell the path so."""
        self._listed_as[path] = spelling
        return self

    def left_out(self, path: str) -> Self:
        """The tar lacks the file; manifests list it."""
        self._left_out.add(path)
        return self

    def manifest_line(self, manifest: str, line: bytes) -> Self:
        """One more line, as it is, in that manifest (`manifest-md5.txt`)."""
        self._more_lines.setdefault(manifest, []).append(line)
        return self

    def named(self, path: str, name: str) -> Self:
        """The tar has the file under this whole name."""
        self._names[path] = name
        return self

    def member(self, name: str, data: bytes = b"", *, kind: bytes = b"0", link: str = "") -> Self:
        """One more tar member at the end, whatever its name and type byte."""
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data)
        self._members.append((info, data))
        return self

    def symlink(self, path: str, target: str) -> Self:
        return self.member(f"{self.name}/{path}", kind=tarfile.SYMTYPE, link=target)

    def hard_link(self, path: str, target: str) -> Self:
        link = f"{self.name}/{target}"
        return self.member(f"{self.name}/{path}", kind=tarfile.LNKTYPE, link=link)

    def fifo(self, path: str) -> Self:
        return self.member(f"{self.name}/{path}", kind=tarfile.FIFOTYPE)

    # The bag

    def files(self) -> dict[str, bytes]:
        """Path → bytes of everything, manifests too, in the order of the tar."""
        tag_files = {**self._generated_tag_files(), **self._raw_tag_files}
        files = {**tag_files, **self._files}
        linked = self._linked(files)
        for algorithm in self._algorithms:
            listed = {p: d for p, d in {**files, **linked}.items() if p.startswith("data/")}
            files[f"manifest-{algorithm}.txt"] = self._manifest("manifest", algorithm, listed)
        outside = {p: d for p, d in files.items() if not p.startswith("data/")}
        for algorithm in self._tag_algorithms:
            files[f"tagmanifest-{algorithm}.txt"] = self._manifest(
                "tagmanifest", algorithm, outside
            )
        return {path: data for path, data in files.items() if path not in self._left_out}

    def _linked(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Hard links inside the bag have their target's bytes."""
        linked = {}
        for info, _ in self._members:
            if info.type == tarfile.LNKTYPE:
                target = info.linkname.removeprefix(f"{self.name}/")
                if target in files:
                    linked[info.name.removeprefix(f"{self.name}/")] = files[target]
        return linked

    def _generated_tag_files(self) -> dict[str, bytes]:
        tags = {name: list(pairs) for name, pairs in self._tags.items()}
        if self._has_oxum and "bag-info.txt" in tags:
            payload = {**self._files, **self._linked(dict(self._files))}
            if not any(name == "Payload-Oxum" for name, _ in tags["bag-info.txt"]):
                size = sum(len(data) for data in payload.values())
                tags["bag-info.txt"].append(("Payload-Oxum", f"{size}.{len(payload)}"))
        made = {}
        for name, pairs in tags.items():
            text = "".join(f"{tag}: {value}{self._line_end}" for tag, value in pairs)
            made[name] = text.encode("utf-8" if name == "bagit.txt" else self._encoding)
        return made

    def _manifest(self, prefix: str, algorithm: str, files: dict[str, bytes]) -> bytes:
        text = ""
        for path, data in files.items():
            if {(path, algorithm), (path, "")} & self._unlisted:
                continue
            if {(path, algorithm), (path, "")} & self._wrong:
                data = b"other bytes than " + data
            digest = digest_of(algorithm, data)
            text += f"{digest}  {self._listed_as.get(path, path)}{self._line_end}"
        raw = text.encode(self._encoding, "surrogateescape")
        end = self._line_end.encode()
        return raw + b"".join(
            line + end for line in self._more_lines.get(f"{prefix}-{algorithm}.txt", [])
        )

    def tar(self, format: str = "pax", *, top: bool = True, directories: bool = False) -> bytes:
        """The tar's bytes. `top` False: without the bag's directory in the names."""
        buffer = io.BytesIO()
        with tarfile.open(
            fileobj=buffer, mode="w", format=FORMATS[format], errors="surrogateescape"
        ) as tar:
            if directories:
                info = tarfile.TarInfo(self.name)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            for path, data in self.files().items():
                name = self._names.get(path, f"{self.name}/{path}" if top else path)
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), MODIFIED
                tar.addfile(info, io.BytesIO(data))
            for info, data in self._members:
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def write(self, path: Path, **options: object) -> Path:
        """The tar on disk at `path`, or as `{name}.tar` in that directory."""
        target = path / f"{self.name}.tar" if path.is_dir() else path
        target.write_bytes(self.tar(**options))  # type: ignore[arg-type]
        return target


def digest_of(algorithm: str, data: bytes) -> str:
    """Hex digest, by the names of RFC 8493 (2.4); of an algorithm that hashlib lacks, 64 digits."""
    for kind, make in (("blake2b", hashlib.blake2b), ("blake2s", hashlib.blake2s)):
        bits = algorithm.removeprefix(kind)
        if algorithm.startswith(kind) and bits.isdigit():
            return make(data, digest_size=int(bits) // 8).hexdigest()
    if len(algorithm) == len("sha3256") and algorithm.startswith("sha3"):
        algorithm = f"sha3_{algorithm[4:]}"
    try:
        return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    except ValueError:
        return hashlib.sha256(data).hexdigest()


def valid_bag(name: str = "bag", **options: str) -> BagBuilder:
    """A small valid bag with three payload files."""
    return (
        BagBuilder(name, **options)
        .payload("letters/1.txt", b"Dear Ada\n")
        .payload("photo.tif", bytes(range(256)) * 8)
        .payload("empty", b"")
    )


def chunked(raw: bytes, size: int = 4096) -> Iterable[memoryview]:
    """The bytes as a source of chunks."""
    view = memoryview(raw)
    return [view[start : start + size] for start in range(0, len(raw), size)]


def patched_header(raw: bytes, offset: int, change: Callable[[bytearray], None]) -> bytes:
    """The tar with the header at `offset` changed and its checksum made right again."""
    header = bytearray(raw[offset : offset + 512])
    change(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return raw[:offset] + bytes(header) + raw[offset + 512 :]


def header(name: bytes, size: int = 0, kind: bytes = b"0", *, link: bytes = b"") -> bytes:
    """One ustar header block of hand-made fields."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % MODIFIED
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extension(kind: bytes, records: dict[str, bytes | int | str]) -> bytes:
    """A PAX header (`x` for the next member, `g` for all that follow) with these records."""
    body = b""
    for name, value in records.items():
        data = value if isinstance(value, bytes) else str(value).encode()
        rest = b" " + name.encode() + b"=" + data + b"\n"
        length = len(rest) + 1
        while len(rest) + len(str(length)) != length:
            length += 1
        body += str(length).encode() + rest
    return header(b"pax", len(body), kind) + padded(body)


def pax(**records: bytes | int | str) -> bytes:
    """A PAX header for the next member; `GNU_sparse_major` stands for dots."""
    return extension(b"x", {name.replace("_", "."): value for name, value in records.items()})


def padded(data: bytes) -> bytes:
    """The data filled up to whole blocks."""
    return data + bytes(-len(data) % 512)


END = bytes(1024)
"""The two blocks of zeros that close a tar."""
