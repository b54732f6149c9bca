"""The connection to the Registry's database: SQLite here, PostgreSQL in a fleet.

SQLite runs in WAL mode and every write begins with BEGIN IMMEDIATE: with a deferred
BEGIN, nine writers met "database is locked" hundreds of thousands of times in seconds.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from bagline.errors import NoRoom, Refused, Unreachable
from bagline.services.registry.act_rows import NOTED, add_acts, were_told

HEAD = "0015"
"""The schema that this version works with."""
BUSY_SECONDS = 30
FULL = ("disk is full", "no space left on device", "disk quota exceeded")
_WRITING = "bagline_writing"
_MIGRATING = 0x6261676C


class Database:
    """Transactions over one engine; SQLAlchemy's faults become ours. Thread-safe.

    `may_write`: not where its file, of SQLite, is only to be read; nothing is made beside it.
    """

    def __init__(self, url: str, *, may_write: bool = True) -> None:
        path = None if may_write else sqlite_path(url)
        self.engine = _engine(url) if path is None else _reading_engine(path)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view. Raises Unreachable or Refused."""
        with _faults(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """All that is read in the block, however much, is of one moment. Raises Unreachable or
        Refused."""
        with _faults(), self.engine.connect() as plain:
            is_postgres = self.engine.dialect.name == "postgresql"  # SQLite's BEGIN does it
            options = {"isolation_level": "REPEATABLE READ"} if is_postgres else {}
            yield plain.execution_options(**options)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it when the block ends, nothing when it raises. What was noted of
        an act (`act_rows.note`) is part of it."""
        noted: list[Any] = []
        with _faults(), self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITING: True, NOTED: noted})
            with connection.begin():
                yield connection
                add_acts(connection, noted)
            were_told(noted)

    def migrate(self) -> None:
        """Bring the schema to this version's; several processes may try at once.

        Raises Misconfigured when the schema is newer than this version knows.
        """
        current = self.schema()
        if current == HEAD:
            return
        from bagline.services.registry.migrating import upgrade

        with self.writing() as connection:
            if self.engine.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE is a lock
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            upgrade(connection, current)

    def one_at_a_time(self, connection: Connection, name: str) -> None:
        """Let no other transaction that asks for the same name pass until this one ends. On
        SQLite, where one writes at a time, there is nothing to do."""
        if connection.dialect.name == "postgresql":
            lock = int.from_bytes(
                hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True
            )
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})

    def schema(self) -> str:
        """The schema's revision; "" before the first migration."""
        with self.reading() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return ""
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return str(found or "")

    def try_write(self) -> None:
        """Commit a write that changes nothing. Raises what keeps it from being written."""
        with self.writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def close(self) -> None:
        self.engine.dispose()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def sqlite_path(url: str) -> Path | None:
    """The file of such an address; None for any other, and for a database in memory."""
    if not url.startswith("sqlite"):
        return None
    named = make_url(url).database
    return Path(named).absolute() if named and named != ":memory:" else None


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, hide_parameters=True
        )
    _make_private(sqlite_path(url))
    engine = create_engine(
        parsed,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=0,  # without an end: as many as threads ask at once
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _reading_engine(path: Path) -> Engine:
    """Of a file that may not be written, in a directory where nothing may be made. Where nobody
    has it open it is read as it lies; else beside its writers."""
    log = path.with_name(f"{path.name}-wal")
    lies_still = not log.exists() or not log.stat().st_size
    address = f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if lies_still else "")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, timeout=BUSY_SECONDS, check_same_thread=False, uri=True)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _make_private(path: Path | None) -> None:
    """The file is its owner's alone before its first byte; SQLite gives what it makes beside it
    the same mode. What cannot be made here is told when it is opened."""
    if path is not None:
        with suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as fault:
        raise _classified(str(fault.orig)) from None
    except PoolTimeout:
        raise Unreachable(
            "the Registry's database has no connection free: this process asks it too much at once"
        ) from None
    except DBAPIError as fault:
        if fault.connection_invalidated:
            raise Unreachable(f"the Registry's database went away: {fault.orig}") from None
        raise


def _classified(text: str) -> Exception:
    lowered = text.lower()
    if any(words in lowered for words in FULL):
        return NoRoom(
            f"the Registry's database cannot be written ({text}): free space on its disk, "
            "and all goes on by itself"
        )
    if "unable to open" in lowered or "disk i/o error" in lowered:  # as on a full disk, too
        return Unreachable(
            f"the Registry's database cannot be used ({text}): look at its disk's room, "
            "permissions and health"
        )
    if "readonly" in lowered or "permission denied" in lowered:
        return Refused(
            f"the Registry's database cannot be written ({text}): mend the permissions in the "
            "data directory"
        )
    if "index row" in lowered:
        return Refused(f"a name is too long for the Registry's database: {text}")
    if "password" in lowered or "no such table" in lowered or "does not exist" in lowered:
        return Refused(f"the Registry's database refused us: {text}")
    return Unreachable(f"the Registry's database did not answer: {text}")
