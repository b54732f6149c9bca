"""MinIO over a directory: a third S3 server. It makes copies in parts, and answers no SHA-256."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.nsq import answers
from support.tools import Server, free_port, tool

ACCESS_KEY = "minio-access"
SECRET_KEY = "minio-secret"


class Minio(Server):
    def __init__(self, folder: Path) -> None:
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        data = folder / "data"
        data.mkdir(parents=True)
        argv = [
            tool("minio"),
            "server",
            "--quiet",
            "--address",
            self.endpoint.removeprefix("http://"),
            "--console-address",
            f"127.0.0.1:{free_port()}",
            "--config-dir",
            str(folder / "config"),
            str(data),
        ]
        environ = {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
        }
        super().__init__(
            argv, folder, lambda: answers(f"{self.endpoint}/minio/health/live"), environ=environ
        )


@contextmanager
def minio_running(folder: Path) -> Iterator[Minio]:
    server = Minio(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
