"""Every Registry there is, with nothing in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bagline.model.registry import Institution, IntellectualObject
from bagline.services.registry.base import Registry
from bagline.services.registry.database import Database, sqlite_url
from bagline.services.registry.http.over_http import HttpRegistry
from bagline.services.registry.http.speaking import RegistryClient
from bagline.services.registry.sql import SqlRegistry
from support.older.registry import older_registry
from support.postgres import Postgres, temporary_postgres
from support.registry import ADMIN, RegistryServer
from support.registry_records import save_institution, save_object


@contextmanager
def _sqlite(folder: Path, _: pytest.FixtureRequest) -> Iterator[Registry]:
    with _over(sqlite_url(folder / "registry.db")) as registry:
        yield registry


@contextmanager
def _postgres(_: Path, request: pytest.FixtureRequest) -> Iterator[Registry]:
    server: Postgres = request.getfixturevalue("postgres")
    with _over(server.create(f"registry_{next(NUMBERS)}", language="en")) as registry:
        yield registry


@contextmanager
def _over(url: str) -> Iterator[Registry]:
    database = Database(url)
    database.migrate()
    registry = SqlRegistry(database)
    yield registry
    registry.close()


@contextmanager
def _http(folder: Path, _: pytest.FixtureRequest) -> Iterator[Registry]:
    with _served(folder, "") as registry:
        yield registry


@contextmanager
def _http_postgres(folder: Path, request: pytest.FixtureRequest) -> Iterator[Registry]:
    database: Postgres = request.getfixturevalue("postgres")
    with _served(folder, database.create(f"registry_{next(NUMBERS)}")) as registry:
        yield registry


@contextmanager
def _served(folder: Path, database_url: str) -> Iterator[Registry]:
    server = RegistryServer(folder / "data", database_url)
    key = server.add_user()
    server.start()
    registry = HttpRegistry(RegistryClient(server.url, user=ADMIN, key=key))
    yield registry
    registry.close()
    server.stop()


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Registry]:
    """A client of ours before a Registry that knows nothing of Bagline's own."""
    server = RegistryServer(tmp_path / "older")
    key = server.add_user()
    server.start()
    with older_registry(server.url) as before:
        registry = HttpRegistry(RegistryClient(before.url, user=ADMIN, key=key))
        yield registry
        registry.close()
    server.stop()


IMPLEMENTATIONS = {
    "sqlite": _sqlite,
    "postgres": _postgres,
    "http": _http,
    "http-postgres": _http_postgres,
}
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with temporary_postgres() as server:
        yield server


@pytest.fixture(params=IMPLEMENTATIONS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    with IMPLEMENTATIONS[request.param](tmp_path, request) as registry:
        yield registry


@pytest.fixture(params=["sqlite", "postgres"])
def database_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """What only the database tells."""
    with IMPLEMENTATIONS[request.param](tmp_path, request) as registry:
        yield registry


@pytest.fixture
def institution(registry: Registry) -> Institution:
    return save_institution(registry)


@pytest.fixture
def kept(registry: Registry, institution: Institution) -> IntellectualObject:
    return save_object(registry, institution)
