"""The Registry's database as one file, and back: a SQLite database, whatever the Registry's is.

So what was saved from PostgreSQL can be looked at with any SQLite tool, and loaded into either.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Integer, func, insert, select

from bagline.errors import Misconfigured
from bagline.services.registry import act_rows, deletion_tables
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database, sqlite_path, sqlite_url

ROWS_AT_ONCE = 2_000
OWN_TABLES = (act_rows.acts, deletion_tables.deletion_requests)
"""Of modules of their own: imported here, so that `tables.metadata` has them all."""
EMPTY_AT_FIRST = (t.institutions, t.work_items, t.api_users)


def dump(database: Database, path: Path) -> dict[str, int]:
    """Write all of it to a new file, as it was at one moment; others may go on writing. Returns how
    many rows of each table there are. Raises Misconfigured where the file is there, or cannot be
    written; Unreachable or Refused of the database."""
    with _new_file(path) as part:
        source = sqlite_path(str(database.engine.url))
        if source is None:
            with closing(Database(sqlite_url(part))) as copy:
                copy.migrate()
                with database.snapshot() as reading, copy.writing() as writing:
                    _copy(reading, writing)
        else:
            with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(part)) as other:
                one.backup(other)
                other.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        with closing(Database(sqlite_url(part))) as copy, copy.reading() as reading:
            found = _counts(reading)
        _in_one_file(part)
    return found


def load(path: Path, database: Database) -> dict[str, int]:
    """Fill the database, in which there is nothing yet, from such a file: all of it or nothing.
    Also of an older schema. Returns how many rows of each table there are. Raises Misconfigured
    where the file is none such, or is damaged, or the Registry is not empty."""
    with tempfile.TemporaryDirectory(prefix="bagline-load-") as folder:
        part = Path(folder) / "registry.db"
        try:
            with (
                closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)) as one,
                closing(sqlite3.connect(part)) as other,
            ):
                one.backup(other)
                (verdict,) = other.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise Misconfigured(f"{path} is damaged: {verdict}")
                other.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as fault:
            raise Misconfigured(f"{path} holds no Registry that was saved: {fault}") from None
        with closing(Database(sqlite_url(part))) as copy:
            copy.migrate()
            with copy.reading() as reading, database.writing() as writing:
                _check_empty(writing)
                _copy(reading, writing)
                return _counts(writing)


def _check_empty(connection: Connection) -> None:
    for table in EMPTY_AT_FIRST:
        if connection.execute(select(table.c.id).limit(1)).first() is not None:
            raise Misconfigured(
                f"this Registry has {table.name.replace('_', ' ')} already: load into an empty "
                "one (another --data-dir, or another database)"
            )


def _copy(reading: Connection, writing: Connection) -> None:
    """Every row of every table, those first that others refer to."""
    is_postgres = writing.dialect.name == "postgresql"
    for table in t.metadata.sorted_tables:
        rows = reading.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table))
        for some in rows.mappings().partitions(ROWS_AT_ONCE):
            writing.execute(insert(table), [dict(row) for row in some])
        key = list(table.primary_key)
        if is_postgres and len(key) == 1 and isinstance(key[0].type, Integer):
            _count_on(writing, key[0])


def _count_on(writing: Connection, key: Column[Any]) -> None:
    """New rows get numbers behind those that were loaded."""
    sequence = writing.scalar(select(func.pg_get_serial_sequence(key.table.name, key.name)))
    last = writing.scalar(select(func.max(key)))
    if sequence and last:
        writing.execute(select(func.setval(sequence, last)))


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
        for table in t.metadata.sorted_tables
    }


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file beside it, its owner's alone, that takes its name when the block has ended."""
    if path.exists():
        raise Misconfigured(f"{path} stands already: name another file")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            part = Path(folder) / "registry.db"
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.link(part, path)
    except FileExistsError:
        raise Misconfigured(f"{path} stands already: name another file") from None
    except OSError as fault:
        raise Misconfigured(f"{path} cannot be written: {fault.strerror or fault}") from None


def _in_one_file(part: Path) -> None:
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    for beside in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            part.with_name(part.name + beside).unlink()
