"""Bags for benches, made as tar bytes on the fly."""

from __future__ import annotations

import hashlib
import io
import tarfile


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
