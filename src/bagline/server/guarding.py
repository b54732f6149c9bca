"""The API with all that stands before it, from the outside in: connections, the visit, the
log, the door, the body; then the framework. All of it plain ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from bagline.config import ServerSettings
from bagline.errors import Misconfigured, ServiceFault
from bagline.listening.attending import Application, Receive, Scope, Send
from bagline.listening.connections import Connections
from bagline.listening.listener import ListenerLimits
from bagline.model import times
from bagline.model.times import Timestamp
from bagline.server.access_log import AccessLog
from bagline.server.bodies import RequestBodies
from bagline.server.endpoints import Api
from bagline.server.keyring import KeyRing
from bagline.server.metrics import ServerMeter
from bagline.server.outgoing import Outgoing
from bagline.server.signing_in import Door, Visiting
from bagline.server.visits import VISIT
from bagline.services.registry.catalogue import Catalogue
from bagline.services.registry.users import ApiUsers, Keys

NOTED_SECONDS = 60.0
"""How often the database is told when keys were used."""


def limits_of(settings: ServerSettings) -> ListenerLimits:
    return ListenerLimits(
        connections=settings.connections,
        head_seconds=settings.head_seconds,
        answer_seconds=settings.answer_seconds,
    )


def guarded(
    catalogue: Catalogue,
    options: tuple[str, ...],
    users: ApiUsers,
    connections: Connections,
    settings: ServerSettings,
    meter: ServerMeter,
    outgoing: Outgoing,
    batch_key: Callable[[], str] = str,
) -> Application:
    """The whole application. `options`: the storage options known here; `batch_key` tells
    `deletion.batch_key` as it is now. Raises Misconfigured."""

    async def load() -> Keys:
        return await asyncio.to_thread(users.open_keys)

    api = Api(catalogue, options, users, outgoing, batch_key).application()
    bodies = RequestBodies(
        Noting(api, users), large_bytes=settings.body_bytes, seconds=settings.body_seconds
    )
    door = Door(bodies, KeyRing(load), connections, settings, failed=meter.sign_in_failed)
    logged = AccessLog(door, counted=meter.answered)
    return Visiting(logged, trusted_by(settings.trusted_proxies))


def trusted_by(text: str) -> Callable[[str], bool]:
    """Whether an address is one of the proxies. Raises Misconfigured."""
    try:
        networks = [ip_network(word.strip()) for word in text.split(",") if word.strip()]
    except ValueError as fault:
        raise Misconfigured(
            f"server.trusted_proxies: {fault}: write addresses or networks, such as 10.0.0.0/8"
        ) from None

    def is_trusted(address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in networks)

    return is_trusted


class Noting:
    """Tells the database now and then when keys were used. What it cannot tell it tells later."""

    def __init__(self, app: Application, users: ApiUsers) -> None:
        self._app = app
        self._users = users
        self._moments: dict[int, Timestamp] = {}
        self._telling: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope[VISIT].user
        if user is not None:
            self._moments[user.key_id] = times.now()
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell())
        await self._app(scope, receive, send)

    async def _tell(self) -> None:
        moments, self._moments = self._moments, {}
        try:
            await asyncio.to_thread(self._users.were_used, moments)
        except ServiceFault:
            self._moments = moments | self._moments
        await asyncio.sleep(NOTED_SECONDS)
