"""versitygw over a directory: a second S3 server, of another make than the embedded one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.nsq import answers
from support.tools import Server, free_port, tool

ACCESS_KEY = "versity-access"
SECRET_KEY = "versity-secret"


class Versitygw(Server):
    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        data, versions = folder / "data", folder / "versions"
        data.mkdir(parents=True)
        versions.mkdir()
        argv = [
            tool("versitygw"),
            f"--port=127.0.0.1:{port}",
            f"--access={ACCESS_KEY}",
            f"--secret={SECRET_KEY}",
            "--health=/health",
            "--keep-alive",
            "--quiet",
            "posix",
            f"--versioning-dir={versions}",
        ]
        if not has_xattrs(data):
            beside = folder / "metadata"
            beside.mkdir()
            argv.append(f"--sidecar={beside}")
        super().__init__([*argv, str(data)], folder, lambda: answers(f"{self.endpoint}/health"))

    def rotate(self, access_key: str, secret_key: str) -> None:
        """The same store, at the same place, that knows only these keys from now on."""
        self.stop()
        self.argv = [
            {"--access": f"--access={access_key}", "--secret": f"--secret={secret_key}"}.get(
                word.partition("=")[0], word
            )
            for word in self.argv
        ]
        self.start()


def has_xattrs(folder: Path) -> bool:
    """Whether the file system keeps extended attributes; Linux alone can be asked."""
    try:
        os.setxattr(folder, "user.bagline", b"1")
    except (AttributeError, OSError):
        return False
    os.removexattr(folder, "user.bagline")
    return True


@contextmanager
def versitygw_running(folder: Path) -> Iterator[Versitygw]:
    server = Versitygw(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
