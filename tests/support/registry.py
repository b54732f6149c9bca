"""A Registry's REST API for tests, served as an operator does it."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bagline.config import Secret, Settings, load_settings
from bagline.services.registry.database import Database
from bagline.services.registry.users import ApiUsers
from bagline.wiring import open_database
from support.tools import Server, free_port

ADMIN = "system@bagline.local"
WORKERS = "workers@bagline.local"


class RegistryServer(Server):
    """`bagline registry serve` over the database at `database_url` ("": SQLite).

    `server`: settings of `[server]`."""

    def __init__(
        self, folder: Path, database_url: str = "", *, port: int = 0, **server: object
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings: Settings = load_settings(data_dir=folder, environ={})
        self.settings.database_url = Secret(database_url)
        argv = [
            *(sys.executable, "-m", "bagline", "registry", "serve"),
            *("--port", str(self.port)),
            *("--data-dir", str(folder)),
        ]
        environ = {f"BAGLINE_SERVER_{name.upper()}": str(value) for name, value in server.items()}
        if database_url:
            environ["BAGLINE_DATABASE_URL"] = database_url
        super().__init__(argv, folder, self._answers, environ=environ)

    def database(self) -> Database:
        return open_database(self.settings)

    def add_user(self, email: str = ADMIN, role: str = "admin", institution: int = 0) -> str:
        """A user's new key."""
        database = self.database()
        try:
            return ApiUsers(database).add(email, role, institution)
        finally:
            database.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def temporary_registry(database_url: str = "", **settings: object) -> Iterator[RegistryServer]:
    """A server with nothing in it, that is gone afterwards."""
    with TemporaryDirectory(prefix="bagline-registry-") as folder:
        server = RegistryServer(Path(folder) / "data", database_url, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def run(*arguments: str, data_dir: Path) -> str:
    """What a `bagline registry` command prints. Raises CalledProcessError."""
    argv = [sys.executable, "-m", "bagline", "registry", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
