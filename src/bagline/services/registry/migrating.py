"""Migrations, by Alembic; imported only when a schema must change, for it takes a while."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bagline.errors import Misconfigured

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, current: str) -> None:
    """Bring the schema from `current` ("": an empty database) to the newest, inside the
    connection's transaction. Raises Misconfigured when `current` is unknown here."""
    config = _config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current and current not in known:
        raise Misconfigured(
            f"the Registry's database has schema {current}, newer than this version "
            "of Bagline knows: install the version that made it, or a newer one"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def downgrade_to(connection: Connection, revision: str) -> None:
    """Bring the schema back to an older one, inside the connection's transaction: for who
    must go back to the release before."""
    config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


def newest() -> str:
    """The revision that `upgrade` ends at."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
