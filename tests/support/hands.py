"""Bare hands in a data directory: S3 by boto3, the Registry by sqlite3, Redis by its client.

Nothing of Bagline's is used here: what it says of itself is what is to be judged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import valkey
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SILENT = (
    BotoCoreError,
    ClientError,
    valkey.exceptions.ValkeyError,
    sqlite3.OperationalError,
    OSError,
    KeyError,
)
"""What is raised while an engine is down, or is not there yet."""


PROBE = "bagline-probe/"
"""What a process that was killed while it asked a store leaves there; a later one removes it
after an hour (docs/decisions/store-copies-and-proves.md)."""


class Hands:
    """Ports may change whenever the engines start: they are looked up for each use."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._clients: dict[int, Any] = {}
        self._connected: sqlite3.Connection | None = None

    def s3(self) -> Any:
        port = self._port("seaweedfs", "s3")
        if port not in self._clients:
            secrets = self._credentials()
            self._clients[port] = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id=secrets["s3_access_key"],
                aws_secret_access_key=secrets["s3_secret_key"],
                region_name="us-east-1",
                config=Config(
                    retries={"max_attempts": 1},
                    connect_timeout=3,
                    read_timeout=30,
                    max_pool_connections=4,
                ),
            )
        return self._clients[port]

    def answers(self) -> bool:
        """Whether every engine does, just now."""
        try:
            self.s3().list_buckets()
            self.redis_keys()
            self.rows("SELECT 1 FROM work_items LIMIT 1")
        except SILENT:
            return False
        return True

    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self.s3().list_buckets()["Buckets"]]

    def keys(self, bucket: str) -> set[str]:
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        found = (each["Key"] for page in pages for each in page.get("Contents", []))
        return {key for key in found if not key.startswith(PROBE)}

    def read(self, bucket: str, key: str) -> bytes | None:
        """The object's bytes; None where there is none."""
        try:
            return bytes(self.s3().get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as fault:
            if fault.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def reads(self) -> bool:
        """Whether the store reads what lies in each bucket: just started it may list, and not know
        yet where the bytes are."""
        try:
            for bucket in self.buckets():
                for key in list(self.keys(bucket))[:1]:
                    self.read(bucket, key)
        except SILENT:
            return False
        return True

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.s3().put_object(Bucket=bucket, Key=key, Body=body)

    def delete(self, bucket: str, key: str) -> None:
        self.s3().delete_object(Bucket=bucket, Key=key)

    def uploads(self, bucket: str) -> list[str]:
        """The keys of unfinished multipart uploads."""
        answer = self.s3().list_multipart_uploads(Bucket=bucket)
        keys = (upload["Key"] for upload in answer.get("Uploads") or [])
        return [key for key in keys if not key.startswith(PROBE)]

    def redis_keys(self) -> list[str]:
        with closing(self.redis()) as client:
            return sorted(key.decode(errors="replace") for key in client.scan_iter())

    def redis(self) -> Any:
        return valkey.Valkey(
            port=self._port("valkey", "valkey"),
            password=self._credentials()["redis_password"],
            socket_timeout=5,
        )

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._database().execute(query, values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        with self._database() as database:
            database.execute(statement, values)

    def _database(self) -> sqlite3.Connection:
        """One that is there already: making it is not our part."""
        if self._connected is None:
            place = f"file:{self.data_dir / 'registry.db'}?mode=rw"
            self._connected = sqlite3.connect(place, uri=True, timeout=30)
            self._connected.row_factory = sqlite3.Row
        return self._connected

    def log_lines(self, *events: str) -> Iterator[str]:
        """Of what the workers and `up` logged, the lines with any of these words."""
        places = [*self.data_dir.glob("logs/*"), *self.data_dir.parent.glob("*.log")]
        for path in places:
            for line in path.read_text(errors="replace").splitlines():
                if any(event in line for event in events):
                    yield f"{path.name}: {line}"

    def _port(self, engine: str, name: str) -> int:
        running = json.loads((self.data_dir / "engines" / "running.json").read_text())
        return int(running[engine]["ports"][name])

    def _credentials(self) -> dict[str, str]:
        text = (self.data_dir / "engines" / "credentials.json").read_text()
        return dict(json.loads(text))
