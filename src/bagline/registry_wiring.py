"""Builds the Registry from settings, and nothing else: for commands that only ask it something.

Together with `wiring`, which builds the rest, the only place that builds implementations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bagline.config import BucketSettings, Settings
from bagline.embedded.privacy import close_to_others, make_private
from bagline.embedded.room import shortage
from bagline.errors import Misconfigured, Unknown
from bagline.model.registry import INSTITUTION_NAME, Institution
from bagline.services.registry.base import Registry

if TYPE_CHECKING:
    from bagline.services.registry.database import Database
    from bagline.services.registry.http.speaking import RegistryClient


def shortage_of(settings: Settings) -> str:
    """What to say while a disk of this machine's engines or database is full; "" while none is."""
    database = _database_file(settings)
    if settings.is_embedded:
        return shortage(settings.data_dir, *([database.parent] if database else []))
    return shortage(database.parent) if database else ""


def _database_file(settings: Settings) -> Path | None:
    url = settings.database_url.reveal()
    if not url.startswith("sqlite"):
        return None
    from bagline.services.registry.database import sqlite_path

    return sqlite_path(url)


def registry_file(settings: Settings) -> Path | None:
    """The Registry's database, where that is a file of this machine."""
    if settings.registry.url:
        return None
    if not settings.database_url:
        return settings.data_dir / "registry.db"
    return _database_file(settings)


def check_is_there(settings: Settings) -> None:
    """Raises Unknown where nothing of Bagline is: who only looks makes nothing."""
    database = registry_file(settings)
    if database is not None and not database.is_file():
        raise Unknown(
            f"there is no Bagline in {database.parent}: name its directory with --data-dir or "
            "BAGLINE_DATA_DIR (`bagline registry institution add DOMAIN` makes a new one)"
        )


@contextmanager
def open_registry(settings: Settings) -> Iterator[Registry]:
    """Only the Registry, as it is there: for questions that need no engine. Raises Unknown."""
    check_is_there(settings)
    registry = build_registry(settings)
    try:
        yield registry
    finally:
        registry.close()


def _sql_registry(settings: Settings) -> Registry:
    # Ten MiB that workers of a Registry over HTTP never need.
    from bagline.services.registry.sql import SqlRegistry

    return SqlRegistry(open_database(settings), policy=settings.deletion_policy)


def _http_registry(settings: Settings) -> Registry:
    from bagline.services.registry.http.over_http import HttpRegistry

    return HttpRegistry(build_client(settings))


def build_client(settings: Settings, *, api: str = "admin-api") -> RegistryClient:
    """What speaks to the Registry's API that the settings name, or to its `member-api`. Raises
    Misconfigured."""
    from bagline.services.registry.http.speaking import RegistryClient

    named = settings.registry
    return RegistryClient(
        named.url,
        user=named.user,
        key=named.key.reveal(),
        version=named.api_version,
        api=api,
        new_key=named.key.reveal if named.key.may_change else None,
    )


REGISTRIES: dict[str, Callable[[Settings], Registry]] = {
    "sql": _sql_registry,
    "http": _http_registry,
}
"""What may stand behind the Registry's seam, by kind. They raise Misconfigured."""


def build_registry(settings: Settings) -> Registry:
    """The Registry's API where one is named, else its database."""
    return REGISTRIES["http" if settings.registry.url else "sql"](settings)


def open_database(settings: Settings) -> Database:
    """The Registry's database, at this version's schema; made where there is none. One that this
    user may read, and not write, is only read."""
    from bagline.services.registry.database import Database, sqlite_url

    url = settings.database_url.reveal()
    file = registry_file(settings)
    if file is not None and file.is_file() and not os.access(file.parent, os.W_OK):
        return Database(sqlite_url(file), may_write=False)
    if not url:
        if file is None or not file.is_file():
            make_data_dir(settings)
        url = sqlite_url(settings.data_dir / "registry.db")
    opened = Database(url)
    opened.migrate()
    return opened


def new_institution(identifier: str, buckets: BucketSettings) -> Institution:
    """Not yet saved, with its buckets by the settings' patterns. Raises Misconfigured where
    nothing can be called so."""
    if not INSTITUTION_NAME.fullmatch(identifier):
        raise Misconfigured(
            f"{identifier!r} cannot name an institution: use its domain, such as test.edu "
            "(lower-case letters, digits, dots and dashes, at most 40)"
        )
    return Institution(
        identifier=identifier,
        name=identifier,
        receiving_bucket=buckets.receiving.format(institution=identifier),
        restore_bucket=buckets.restore.format(institution=identifier),
    )


def make_data_dir(settings: Settings) -> None:
    """Make the data directory unless it is there, and close it to others; that is said in the
    log. Raises Misconfigured with the remedy."""
    try:
        make_private(settings.data_dir)
    except OSError as fault:
        raise Misconfigured(
            f"the data directory {settings.data_dir} cannot be made ({fault.strerror}): "
            "mend the permissions, or name another with --data-dir"
        ) from None
    mended = close_to_others(settings.data_dir).sentence(settings.data_dir)
    if mended:
        import structlog  # nothing is mended in most runs

        structlog.get_logger(__name__).warning("data_directory_closed", what=mended)
