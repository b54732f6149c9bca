"""Who may speak to the Registry's API: users, what they may do, and their keys (hashed)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select, update

from bagline.errors import Misconfigured
from bagline.model import times
from bagline.model.times import NEVER, Timestamp
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note_row, noting_row
from bagline.services.registry.database import Database
from bagline.services.registry.rows import record_of

SYS_ADMIN = "admin"
WORKER = "worker"
INST_ADMIN = "institutional_admin"
INST_USER = "institutional_user"
ROLES = (SYS_ADMIN, WORKER, INST_ADMIN, INST_USER)
"""As contract J has them, and a worker's."""
OLDER_ROLES = {"sys_admin": SYS_ADMIN, "inst_admin": INST_ADMIN, "inst_user": INST_USER}
"""Earlier names of them, still understood where a role is given."""
USER_CHANGED = "user changed"
"""The act of adding a user whom there was."""
OF_ALL_INSTITUTIONS = (SYS_ADMIN, WORKER)
KEY_BYTES = 32
MOST_KEYS = 10
"""Keys that open something, a user."""


class ApiUser(Struct, kw_only=True):
    """`institution_id` 0: of none, as system administrators and workers are. `key_id`: the
    key that was shown, 0 where it does not matter."""

    id: int = 0
    email: str = ""
    role: str = INST_USER
    institution_id: int = 0
    enabled: bool = True
    created_at: Timestamp = NEVER
    key_id: int = 0

    @property
    def is_sys_admin(self) -> bool:
        return self.role == SYS_ADMIN

    @property
    def is_inst_admin(self) -> bool:
        return self.role == INST_ADMIN

    @property
    def is_worker(self) -> bool:
        return self.role == WORKER

    @property
    def is_member(self) -> bool:
        """Held to one institution, and to reading."""
        return self.role not in OF_ALL_INSTITUTIONS


class ApiKey(Struct, kw_only=True):
    """A key, without the key. `last_used_at` is up to a minute behind."""

    id: int = 0
    user_id: int = 0
    created_at: Timestamp = NEVER
    last_used_at: Timestamp = NEVER
    revoked_at: Timestamp = NEVER


KeyName = tuple[str, str]
"""An e-mail address in lower case, and a key's SHA-256."""
Keys = dict[KeyName, ApiUser]


class ApiUsers:
    """The users in the Registry's database. Keys are 256 random bits, so one SHA-256 hides
    them; a key is told once, when it is made. Raises Unreachable or Refused."""

    def __init__(self, database: Database, *, clock: times.Clock = times.now) -> None:
        self._database = database
        self._clock = clock

    def add(self, email: str, role: str, institution_id: int = 0) -> str:
        """Make the user, or give an existing one another role and a new key in place of all
        others; returns the key. Raises Misconfigured for a role without its institution, or
        the reverse."""
        email, role = email.strip().lower(), OLDER_ROLES.get(role, role)
        if "@" not in email:
            raise Misconfigured(f"{email!r} is no e-mail address")
        if role not in ROLES:
            raise Misconfigured(f"{role!r} is no role: use {', '.join(ROLES)}")
        if (role in OF_ALL_INSTITUTIONS) == bool(institution_id):
            raise Misconfigured(
                "a system administrator or a worker belongs to no institution; every other "
                "user to one"
            )
        table = t.api_users
        values = {"role": role, "institution_id": institution_id or None, "enabled": True}
        with self._database.writing() as connection:
            known = self._id(connection, email)
            if known is None:
                row = values | {"email": email, "created_at": self._clock()}
                made = connection.execute(insert(table).values(row).returning(table)).one()
                note_row(connection, table, None, made)
                return self._new_key(connection, made.id)
            with noting_row(connection, table, known, act=USER_CHANGED):
                connection.execute(update(table).where(table.c.id == known).values(values))
            self._revoke(connection, t.api_keys.c.user_id == known)
            return self._new_key(connection, known)

    def new_key(self, email: str) -> str:
        """One more key of the user, beside those there are. Raises Misconfigured."""
        keys = t.api_keys.c
        with self._database.writing() as connection:
            known = self._id(connection, email)
            if known is None:
                raise Misconfigured(f"there is no API user {email!r}")
            live = select(func.count()).where(keys.user_id == known, keys.revoked_at.is_(None))
            if connection.execute(live).scalar_one() >= MOST_KEYS:
                raise Misconfigured(f"{email} has {MOST_KEYS} keys: revoke one first")
            return self._new_key(connection, known)

    def revoke(self, email: str, key_id: int) -> bool:
        """Let the key open nothing from now on; False when the user has no such key."""
        keys = t.api_keys.c
        with self._database.writing() as connection:
            known = self._id(connection, email)
            which = (keys.user_id == known) & (keys.id == key_id)
            if known is None or not self._revoke(connection, which):
                return False
            self._note_key(connection, known, revoked_key=key_id)
            return True

    def keys(self) -> list[ApiKey]:
        """Every key that was ever made, oldest first."""
        query = select(t.api_keys).order_by(t.api_keys.c.id)
        with self._database.reading() as connection:
            return [record_of(row, ApiKey) for row in connection.execute(query)]

    def disable(self, email: str) -> bool:
        """Let the user in no more; False when there is none."""
        table = t.api_users
        with self._database.writing() as connection:
            known = self._id(connection, email)
            if known is None:
                return False
            with noting_row(connection, table, known):
                connection.execute(update(table).where(table.c.id == known).values(enabled=False))
        return True

    def all(self) -> list[ApiUser]:
        """By e-mail address."""
        query = select(t.api_users).order_by(t.api_users.c.email)
        with self._database.reading() as connection:
            return [record_of(row, ApiUser) for row in connection.execute(query)]

    def open_keys(self) -> Keys:
        """Every key that lets somebody in."""
        with self._database.reading() as connection:
            return {
                (row.email.lower(), row.key_hash): record_of(row, ApiUser)
                for row in connection.execute(_OPEN)
            }

    def with_key(self, email: str, key: str) -> ApiUser | None:
        """The user, when the key is theirs and they are let in."""
        email, hashed = key_name(email, key)
        with self._database.reading() as connection:
            row = connection.execute(_ONE, {"email": email, "hashed": hashed}).one_or_none()
        return None if row is None else record_of(row, ApiUser)

    def were_used(self, moments: Mapping[int, Timestamp]) -> None:
        """Note when keys were used last, by key's id."""
        table = t.api_keys
        with self._database.writing() as connection:
            for key_id, moment in moments.items():
                connection.execute(
                    update(table).where(table.c.id == key_id).values(last_used_at=moment)
                )

    def _id(self, connection: Connection, email: str) -> int | None:
        column = t.api_users.c
        query = select(column.id).where(column.email == email.strip().lower())
        return connection.scalar(query)

    def _new_key(self, connection: Connection, user_id: int) -> str:
        key = secrets.token_urlsafe(KEY_BYTES)
        row = {"user_id": user_id, "key_hash": _hashed(key), "created_at": self._clock()}
        made = insert(t.api_keys).values(row).returning(t.api_keys.c.id)
        self._note_key(connection, user_id, made_key=connection.execute(made).scalar_one())
        return key

    def _note_key(self, connection: Connection, user_id: int, **what: Any) -> None:
        with noting_row(connection, t.api_users, user_id, **what):
            pass

    def _revoke(self, connection: Connection, which: ColumnElement[bool]) -> bool:
        table = t.api_keys
        live = which & table.c.revoked_at.is_(None)
        changed = update(table).where(live).values(revoked_at=self._clock())
        return bool(connection.execute(changed).rowcount)


def key_name(email: str, key: str) -> KeyName:
    """What a user's key is looked up by."""
    return email.strip().lower(), _hashed(key)


_OPEN = (
    select(t.api_users, t.api_keys.c.id.label("key_id"), t.api_keys.c.key_hash)
    .join(t.api_keys, t.api_keys.c.user_id == t.api_users.c.id)
    .where(t.api_users.c.enabled, t.api_keys.c.revoked_at.is_(None))
)
"""Users with the keys that let them in."""
_ONE = _OPEN.where(
    t.api_keys.c.key_hash == bindparam("hashed"),
    func.lower(t.api_users.c.email) == bindparam("email"),
)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
