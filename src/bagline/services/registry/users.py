"""Who may speak to the Registry's API: users, what they may do, and their keys (hashed)."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from msgspec import Struct
from sqlalchemy import func, insert, select, update

from bagline.errors import Misconfigured
from bagline.model import times
from bagline.model.times import NEVER, Timestamp
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database
from bagline.services.registry.rows import record_of

SYS_ADMIN = "sys_admin"
INST_ADMIN = "inst_admin"
INST_USER = "inst_user"
ROLES = (SYS_ADMIN, INST_ADMIN, INST_USER)
KEY_BYTES = 32


class ApiUser(Struct, kw_only=True):
    """`institution_id` 0: of none, as system administrators are."""

    id: int = 0
    email: str = ""
    role: str = INST_USER
    institution_id: int = 0
    enabled: bool = True
    created_at: Timestamp = NEVER

    @property
    def is_sys_admin(self) -> bool:
        return self.role == SYS_ADMIN


class ApiUsers:
    """The users in the Registry's database. Keys are 256 random bits, so one SHA-256 hides
    them; a key is told once, when it is made. Raises Unreachable or Refused."""

    def __init__(self, database: Database, *, clock: times.Clock = times.now) -> None:
        self._database = database
        self._clock = clock

    def add(self, email: str, role: str, institution_id: int = 0) -> str:
        """Make the user, or give an existing one another role and a new key; returns the
        key. Raises Misconfigured for a role without its institution, or the reverse."""
        email = email.strip().lower()
        if "@" not in email:
            raise Misconfigured(f"{email!r} is no e-mail address")
        if role not in ROLES:
            raise Misconfigured(f"{role!r} is no role: use {', '.join(ROLES)}")
        if (role == SYS_ADMIN) == bool(institution_id):
            raise Misconfigured(
                "a system administrator belongs to no institution; every other user to one"
            )
        key = secrets.token_urlsafe(KEY_BYTES)
        table = t.api_users
        values = {
            "role": role,
            "institution_id": institution_id or None,
            "key_hash": _hashed(key),
            "enabled": True,
        }
        with self._database.writing() as connection:
            changed = connection.execute(
                update(table).where(table.c.email == email).values(values)
            ).rowcount
            if not changed:
                row = values | {"email": email, "created_at": self._clock()}
                connection.execute(insert(table).values(row))
        return key

    def disable(self, email: str) -> bool:
        """Let the user in no more; False when there is none."""
        table = t.api_users
        with self._database.writing() as connection:
            found = connection.execute(
                update(table).where(table.c.email == email.strip().lower()).values(enabled=False)
            )
        return bool(found.rowcount)

    def all(self) -> list[ApiUser]:
        """By e-mail address."""
        query = select(t.api_users).order_by(t.api_users.c.email)
        with self._database.reading() as connection:
            return [record_of(row, ApiUser) for row in connection.execute(query)]

    def with_key(self, email: str, key: str) -> ApiUser | None:
        """The user, when the key is theirs and they are let in; takes as long for a wrong
        key as for an unknown user."""
        table = t.api_users
        query = select(table).where(func.lower(table.c.email) == email.strip().lower())
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        expected = row.key_hash if row is not None else _hashed("")
        is_right = hmac.compare_digest(_hashed(key), expected)
        return record_of(row, ApiUser) if row is not None and is_right and row.enabled else None


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
