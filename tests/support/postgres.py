"""A PostgreSQL server for tests: Debian's, in a folder of its own, on loopback."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from support.tools import Server, free_port

USER = "bagline"


def postgres_program(name: str) -> str:
    """Its path. Without it the test is skipped, and says how to get it; in CI it fails."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places = os.pathsep.join([*map(str, debian), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found:
        return found
    reason = f"PostgreSQL's {name} is missing; on Debian: apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Postgres(Server):
    """One server with one user, whose password is not to be seen in its URL's repr."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._owner = _owner()
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data"
        if not data.exists():
            self._init(folder, data)
        argv = [
            postgres_program("postgres"),
            *("-D", str(data)),
            *("-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1"),
            *("-c", f"unix_socket_directories={folder}"),
            *("-c", "max_connections=200"),
        ]
        super().__init__(argv, folder, self._answers, user=self._owner)

    def _init(self, folder: Path, data: Path) -> None:
        secret = folder / "password"
        secret.write_text(self.password)
        if self._owner:
            for path in (folder, secret):
                shutil.chown(path, self._owner)
        subprocess.run(
            [
                postgres_program("initdb"),
                *("-D", str(data)),
                *("-U", USER),
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            ],
            check=True,
            capture_output=True,
            user=self._owner,
            cwd=folder,
        )

    def url(self, database: str) -> str:
        """As the setting `database_url` takes it."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, language: str = "") -> str:
        """A fresh database, that sorts texts as the language does; its URL."""
        icu = f" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{language}'"
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{database}"{icu if language else ""}'.encode())
        return self.url(database)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=2,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def temporary_postgres() -> Iterator[Postgres]:
    """A server that is gone afterwards."""
    with TemporaryDirectory(prefix="bagline-postgres-") as folder:
        Path(folder).chmod(0o755)  # its owner is another user when root runs the tests
        server = Postgres(Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _owner() -> str | None:
    """PostgreSQL refuses to run as root; then it runs as Debian's user for it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None
