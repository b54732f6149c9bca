"""The door: who asks, and whether they may, before anything else is done for them.

Only `/ping` and the pages about the API are answered without a key, and only where no body is
sent. A stranger's body is not kept, and their connection ends with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bagline.config import ServerSettings
from bagline.errors import ServiceFault
from bagline.listening.attending import Application, Receive, Scope, Send, answer
from bagline.listening.connections import Connections
from bagline.model import wire
from bagline.problems import shown
from bagline.server.keyring import KeyRing
from bagline.server.pacing import WINDOW_SECONDS, Failures, Pace, Turns
from bagline.server.pages import DOCS, HOME, STYLE
from bagline.server.visits import PING, VISIT, Visit, find
from bagline.services.registry.users import ApiUser
from bagline.units import MIB

USER_HEADER = b"x-pharos-api-user"
KEY_HEADER = b"x-pharos-api-key"
FORWARDED = b"x-forwarded-for"
OPEN = frozenset({PING, HOME, DOCS, STYLE})
THROWN_AWAY = MIB
"""Bytes of a stranger's body that are read, and not kept, so that the answer arrives."""
THROWN_AWAY_SECONDS = 2.0
LOGGED_FAILURES = 10
"""Lines a minute and address; after them one whenever the count has doubled."""
MEMBERS_AT_ONCE = 4
WORKERS_AT_ONCE = 64
"""Requests of one key that are in work at once."""

Failed = Callable[[str], None]
"""Told of each failed sign-in: `wrong`, or `too-many`."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Refusal:
    """Why somebody is not let in."""

    status: int
    sentence: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


UNKNOWN = Refusal(401, "Unknown API user, or wrong key.")
TOO_MANY_FAILURES = Refusal(
    429,
    "Too many wrong keys from this address: wait a minute.",
    ((b"retry-after", b"%d" % WINDOW_SECONDS),),
)
TOO_FAST = Refusal(429, "Too many requests with this key.", ((b"retry-after", b"1"),))
NOT_FOR_MEMBERS = Refusal(403, "This API is for system administrators.")
NOT_FOR_WORKERS = Refusal(403, "Workers may not do this: it takes a system administrator.")
NO_DATABASE = Refusal(503, "The Registry's database does not answer: try again later.")


class Door:
    """Lets in who has a right key, at their pace, to what is theirs to do."""

    def __init__(
        self,
        app: Application,
        keys: KeyRing,
        connections: Connections,
        settings: ServerSettings,
        *,
        failed: Failed = lambda _: None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._connections = connections
        self._settings = settings
        self._failed = failed
        self._failures = Failures(settings.failures_a_minute)
        self._pace = Pace()
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit: Visit = scope[VISIT]
        if _is_open(scope):
            await self._app(scope, receive, send)
            return
        try:
            visit.user = await self._user(scope)
        except ServiceFault:
            await _refuse(NO_DATABASE, receive, send)
            return
        if visit.user is None:
            await _refuse(self._stranger(scope, visit), receive, send)
            return
        self._connections.is_known(scope["client"])
        refusal = may_not(visit.user, visit) or self._too_fast(visit.user)
        if refusal is not None:
            await _refuse(refusal, receive, send)
            return
        most = MEMBERS_AT_ONCE if visit.user.is_member else WORKERS_AT_ONCE
        async with self._turns.of(visit.user.key_id, most):
            await self._app(scope, receive, send)

    async def _user(self, scope: Scope) -> ApiUser | None:
        email, key = _header(scope, USER_HEADER), _header(scope, KEY_HEADER)
        return await self._keys.find(email, key)

    def _too_fast(self, user: ApiUser) -> Refusal | None:
        settings = self._settings
        a_second = (
            settings.member_requests_a_second
            if user.is_member
            else settings.worker_requests_a_second
        )
        return None if self._pace.take(user.key_id, a_second) else TOO_FAST

    def _stranger(self, scope: Scope, visit: Visit) -> Refusal:
        """Count and log the failure. A flood of them is not a flood of lines."""
        count = self._failures.note(visit.address)
        is_too_many = self._failures.is_too_many(count)
        self._failed("too-many" if is_too_many else "wrong")
        if count <= LOGGED_FAILURES or count & (count - 1) == 0:
            log.warning(
                "sign_in_failed",
                address=shown(visit.address, 80),
                claimed=shown(_header(scope, USER_HEADER), 80),
                method=shown(visit.method, 20),
                route=visit.template,
                failures=count,
            )
        return TOO_MANY_FAILURES if is_too_many else UNKNOWN


def may_not(user: ApiUser, visit: Visit) -> Refusal | None:
    """Why the user may not ask this; None when they may."""
    if visit.route is None or user.is_sys_admin:
        return None
    if user.is_worker:
        return None if visit.route.workers else NOT_FOR_WORKERS
    return NOT_FOR_MEMBERS if visit.is_admin_api else None


class Visiting:
    """Makes the Visit, with the address that counts. A proxy's word for the address is taken
    only from `trusted_proxies`, and then the last address that is none of these."""

    def __init__(self, app: Application, trusted: Callable[[str], bool]) -> None:
        self._app = app
        self._is_trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(self._address(scope), scope["method"])
        found = find(scope["method"], scope["path"])
        if found is not None:
            visit.template, visit.route, visit.is_admin_api = found
        scope[VISIT] = visit
        await self._app(scope, receive, send)

    def _address(self, scope: Scope) -> str:
        address = str((scope.get("client") or ("",))[0])
        forwarded = [value for name, value in scope["headers"] if name == FORWARDED]
        said = b",".join(forwarded).decode("latin-1").split(",")
        while said and self._is_trusted(address):
            address = said.pop().strip() or address
        return address


def _is_open(scope: Scope) -> bool:
    """Whether it is answered without a key. What has a body is not: bodies take memory."""
    if scope["path"] not in OPEN or scope["method"] not in ("GET", "HEAD"):
        return False
    has_body = _header(scope, b"content-length") not in ("", "0")
    return not has_body and not _header(scope, b"transfer-encoding")


def _header(scope: Scope, name: bytes) -> str:
    for found, value in scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return ""


async def _refuse(refusal: Refusal, receive: Receive, send: Send) -> None:
    await _throw_away(receive)
    body = wire.encode({"error": refusal.sentence})
    await answer(send, refusal.status, body, refusal.headers, closing=True)


async def _throw_away(receive: Receive) -> None:
    """Read a little of the body, if it comes at once: who is still sending when the
    connection ends does not see the answer."""
    left = THROWN_AWAY
    try:
        async with asyncio.timeout(THROWN_AWAY_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
