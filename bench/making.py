"""Bags for benches, made as tar bytes on the fly."""

from __future__ import annotations

import hashlib
import io
import random
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1024 * 1024
BLOCK = 512
TAGS = {
    "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
    "bag-info.txt": b"Source-Organization: Bench\n",
    "aptrust-info.txt": b"Title: Bench\nAccess: Institution\nStorage-Option: Standard\n",
}


@dataclass(frozen=True)
class BenchBag:
    """A valid APTrust bag of `files` files of `file_bytes` each, payload before manifests."""

    name: str
    files: int
    file_bytes: int
    algorithms: tuple[str, ...] = ("md5", "sha256")
    storage_option: str = "Standard"

    @property
    def tags(self) -> dict[str, bytes]:
        """The bodies of its tag files, by path."""
        chosen = TAGS["aptrust-info.txt"].replace(b"Standard", self.storage_option.encode())
        return TAGS | {"aptrust-info.txt": chosen}

    @property
    def tar_bytes(self) -> int:
        """How long the tar will be."""
        bodies = [len(body) for body in self.tags.values()] + [self.file_bytes] * self.files
        for name in self.algorithms:
            line = f"{hashlib.new(name).hexdigest()}  {_path(0)}\n"
            bodies.append(len(line) * self.files)
        return sum(BLOCK + size + -size % BLOCK for size in bodies) + 2 * BLOCK

    def chunks(self) -> Iterator[bytes]:
        """The tar's bytes; in memory only one file's block and the manifests."""
        listings = {name: bytearray() for name in self.algorithms}
        block = random.Random(self.name).randbytes(min(self.file_bytes, MIB))
        for path, body in self.tags.items():
            yield self._header(path, len(body)) + _padded(body)
        for number in range(self.files):
            path = _path(number)
            hashes = {n: hashlib.new(n, usedforsecurity=False) for n in self.algorithms}
            yield self._header(path, self.file_bytes)
            for piece in self._body(number, block):
                for each in hashes.values():
                    each.update(piece)
                yield piece
            yield bytes(-self.file_bytes % BLOCK)
            for name, each in hashes.items():
                listings[name] += f"{each.hexdigest()}  {path}\n".encode()
        for name, listing in listings.items():
            yield self._header(f"manifest-{name}.txt", len(listing)) + _padded(bytes(listing))
        yield bytes(2 * BLOCK)

    def _body(self, number: int, block: bytes) -> Iterator[bytes]:
        mark = number.to_bytes(8, "little")
        for start in range(0, self.file_bytes, len(block) or 1):
            some = min(len(block), self.file_bytes - start)
            yield mark[:some] + block[8:some]

    def _header(self, path: str, size: int) -> bytes:
        info = tarfile.TarInfo(f"{self.name}/{path}")
        info.size, info.mtime = size, 1_700_000_000
        return info.tobuf(tarfile.GNU_FORMAT)


def _path(number: int) -> str:
    """Of the file of that number; all are of the same length."""
    return f"data/series-{number // 1000:04d}/item-{number:07d}.tif"


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % BLOCK)


def gathered(chunks: Iterator[bytes], size: int = 4 * MIB) -> Iterator[bytes]:
    """The same bytes in chunks of at least `size`, but for the last."""
    held: list[bytes] = []
    count = 0
    for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        if count >= size:
            yield b"".join(held)
            held, count = [], 0
    yield b"".join(held)


def tiny_bag(name: str) -> bytes:
    """A valid APTrust bag with one payload file."""
    payload = {"data/hello.txt": f"Hello from {name}.\n".encode()}
    tags = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": b"Source-Organization: Bench\n",
        "aptrust-info.txt": b"Title: Tiny\nAccess: Institution\nStorage-Option: Standard\n",
        "manifest-md5.txt": manifest("md5", payload),
        "manifest-sha256.txt": manifest("sha256", payload),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, body in (tags | payload).items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def manifest(algorithm: str, files: dict[str, bytes]) -> bytes:
    """The lines of a manifest of those files."""
    return b"".join(
        f"{hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()}  {path}\n".encode()
        for path, body in files.items()
    )


if __name__ == "__main__":  # name, files, bytes of each, algorithm …: the tar on standard output
    bag = BenchBag(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), tuple(sys.argv[4:]))
    for part in gathered(bag.chunks()):
        sys.stdout.buffer.write(part)
