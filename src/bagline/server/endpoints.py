"""The API as an ASGI application: the user's key, which handler, and faults as answers.

Faults of handlers are `{"StatusCode", "Error"}`, those before them `{"error"}`
(contract D). A client's mistake is never a 5xx: workers try those again. What stands
before it (the door, limits, the log) is in `guarding`.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from bagline.errors import ServiceFault, Unreachable
from bagline.listening.sharing import Shared
from bagline.model import wire
from bagline.server.api.asking import NOWHERE, Asked, BadRequest, Denied
from bagline.server.api.openapi import document
from bagline.server.api.routing import ADMIN_API, Route
from bagline.server.api.table import ROUTES
from bagline.server.outgoing import Outgoing
from bagline.server.pages import HEADERS, pages
from bagline.server.signing_in import KEY_HEADER, UNKNOWN, USER_HEADER, may_not
from bagline.server.visits import PING, visit_of
from bagline.services.registry.acts import acting
from bagline.services.registry.base import Conflict, Missing, NotAllowed, Unfit
from bagline.services.registry.catalogue import Catalogue
from bagline.services.registry.users import ApiUser, ApiUsers

OUR_FAULT = "The Registry could not do that; its log says why."
PULSE_SECONDS = 1.0
AT_ONCE = 12
"""Requests that work with the database at one time; not above what its pool holds."""

STATUSES: dict[type[Exception], int] = {
    BadRequest: 400,
    Unfit: 400,
    Denied: 403,
    NotAllowed: 403,
    Missing: 404,
    Conflict: 409,
}
"""What a refusal of the catalogue, or of a noun's checks, is in HTTP."""

log = structlog.get_logger()


class Api:
    """The routes of the API over one catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        options: tuple[str, ...],
        users: ApiUsers,
        outgoing: Outgoing = NOWHERE,
        batch_key: Callable[[], str] = str,
    ) -> None:
        self._batch_key = batch_key
        self._outgoing = outgoing
        self._catalogue = catalogue
        self._options = options
        self._users = users
        self._limit: CapacityLimiter | None = None
        self._pulse = Shared(self._beats, age_seconds=PULSE_SECONDS)
        self._document = wire.encode(document())
        self._pages = pages(document())

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            StarletteRoute(
                f"{base}{route.path}", self._endpoint(route, base), methods=[route.method]
            )
            for route in ROUTES
            for base in route.bases
        ]
        routes += [
            StarletteRoute("/openapi.json", self._openapi),
            StarletteRoute(PING, self._ping),
            *(StarletteRoute(path, self._page) for path in self._pages),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: _framework_fault, Exception: _our_fault},
        )

    def _endpoint(self, route: Route, base: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                body = await request.body()
            except ClientDisconnect:
                return Response(status_code=400)
            return await self._in_thread(lambda: self._answer(route, base, request, body))

        return endpoint

    def _answer(self, route: Route, base: str, request: Request, body: bytes) -> Response:
        visit = visit_of(request.scope)
        try:
            # The door looked into memory; whether the key is still right, the database knows.
            user = self._user(request)
            if user is None:
                return _json(401, {"error": UNKNOWN.sentence})
            visit.user, visit.route, visit.is_admin_api = user, route, base == ADMIN_API
            refusal = may_not(user, visit)
            if refusal is not None:
                return _json(refusal.status, {"error": refusal.sentence})
            query, headers = request.query_params.multi_items(), request.headers
            asked = Asked(
                self._catalogue,
                self._options,
                user,
                request.path_params,
                query,
                body,
                headers,
                self._outgoing,
                batch_key=self._batch_key,
                address=visit.address,
            )
            with acting(asked.person if route.act else None, route.act):
                answer = route.handle(asked)
            visit.wrote(request.path_params, answer)
            return _json(route.status_of(answer), answer)
        except tuple(STATUSES) as fault:
            sentence = str(fault) or "Record not found."
            if isinstance(fault, Denied | NotAllowed):
                return _json(403, {"error": sentence})
            return _fault(STATUSES[type(fault)], sentence)
        except Unreachable as fault:
            log.warning("registry_unreachable", why=str(fault))
            return _fault(503, "The Registry's database does not answer: try again later.")
        except Exception:  # noqa: BLE001 - the client gets an answer, and the log one line
            log.error("registry_fault", route=route.path, trace=traceback.format_exc())
            return _fault(500, OUR_FAULT)

    def _user(self, request: Request) -> ApiUser | None:
        email = request.headers.get(USER_HEADER.decode(), "")
        key = request.headers.get(KEY_HEADER.decode(), "")
        return self._users.with_key(email, key)

    async def _openapi(self, _: Request) -> Response:
        return Response(self._document, 200, media_type="application/json")

    async def _page(self, request: Request) -> Response:
        kind, body = self._pages[request.scope["path"]]
        return Response(body, 200, HEADERS, media_type=kind)

    async def _ping(self, _: Request) -> Response:
        """For probes: 200 while the database answers. Says nothing else, and asks it at most
        once a second, however often it is asked itself."""
        if await self._pulse.answer():
            return _json(200, {"result": "OK"})
        return _json(503, {"error": "The Registry's database does not answer."})

    def _beats(self) -> bool:
        try:
            self._catalogue.registry.ping()
        except ServiceFault:
            return False
        return True

    async def _in_thread(self, work: Callable[[], Response]) -> Response:
        if self._limit is None:
            self._limit = CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(work, limiter=self._limit)


def _fault(status: int, sentence: str) -> Response:
    return _json(status, {"StatusCode": status, "Error": sentence})


def _json(status: int, body: object) -> Response:
    return Response(wire.encode(body), status, media_type="application/json")


def _framework_fault(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    headers = dict(fault.headers or {})
    response = _json(fault.status_code, {"error": fault.detail})
    response.headers.update(headers)
    return response


def _our_fault(_: Request, fault: Exception) -> Response:
    log.error("registry_fault", trace="".join(traceback.format_exception(fault)))
    return _fault(500, OUR_FAULT)
