"""`bagline registry dump FILE` and `bagline registry load FILE`: the Registry's database saved."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bagline.cli.common import AsJson, ConfigFile, DataDir, out, safe, settings_for, size_text
from bagline.config import Settings
from bagline.errors import Gone, Misconfigured
from bagline.registry_wiring import open_database, registry_file

Saved = Annotated[Path, typer.Argument(metavar="FILE")]
TOLD = ("institutions", "intellectual_objects", "generic_files", "premis_events", "work_items")


def dump(
    file: Saved, json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None
) -> None:
    """Save the Registry's database to a new file, while the line runs; FILE is a SQLite database,
    whatever the Registry's is. Without it nobody knows what the keys in the buckets are."""
    from bagline.services.registry import database_file

    settings = _of_a_database(settings_for(data_dir, config), "saved")
    _check_is_there(settings)
    with closing(open_database(settings)) as database:
        found = database_file.dump(database, file)
    _tell(f"Saved to {safe(file)}, {size_text(file.stat().st_size)}", found, json=json)


def load(
    file: Saved, json: AsJson = False, data_dir: DataDir = None, config: ConfigFile = None
) -> None:
    """Fill an empty Registry from what `dump` saved, also from an older release, and also into
    another kind of database. What is preserved is not touched."""
    from bagline.services.registry import database_file

    if not file.is_file():
        raise Gone(f"there is no file {file}")
    settings = _of_a_database(settings_for(data_dir, config), "loaded")
    place = registry_file(settings)
    is_new = place is not None and not place.exists()
    try:
        with closing(open_database(settings)) as database:
            found = database_file.load(file, database)
    except BaseException:
        if is_new and place is not None:  # nothing came into it
            for part in ("", "-wal", "-shm"):
                place.with_name(place.name + part).unlink(missing_ok=True)
        raise
    _tell(f"Loaded from {safe(file)}", found, json=json)


def _of_a_database(settings: Settings, what: str) -> Settings:
    if settings.registry.url:
        raise Misconfigured(
            f"the Registry is {what} where its database is: these settings name its API "
            "(registry.url)"
        )
    return settings


def _check_is_there(settings: Settings) -> None:
    """Raises Gone for a file that is not there: nothing is made to be saved."""
    from bagline.services.registry.database import sqlite_path

    url = settings.database_url.reveal()
    file = sqlite_path(url) if url else settings.data_dir / "registry.db"
    if file is not None and not file.is_file():
        raise Gone(f"there is no Registry in {file.parent}: name its directory with --data-dir")


def _tell(sentence: str, found: dict[str, int], *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(found).decode())
        return
    rows = ", ".join(f"{found[name]:,} {name.replace('_', ' ')}" for name in TOLD)
    out.print(f"{sentence}: {rows}")
