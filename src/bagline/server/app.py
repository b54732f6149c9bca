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
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from bagline.errors import ServiceFault, Unreachable
from bagline.listening.sharing import Shared
from bagline.model import wire
from bagline.server.answers import Answer, Asked, Denied, Fault
from bagline.server.desk import Desk
from bagline.server.openapi import document
from bagline.server.routes import ADMIN_API, MEMBER_API, ROUTES, Route
from bagline.server.signing_in import KEY_HEADER, UNKNOWN, USER_HEADER, may_not
from bagline.server.visits import PING, is_served, visit_of
from bagline.services.registry.users import ApiUser, ApiUsers

PULSE_SECONDS = 1.0
AT_ONCE = 12
"""Requests that work with the database at one time; not above what its pool holds."""

log = structlog.get_logger()


class Api:
    """The routes of one API over one desk."""

    def __init__(self, desk: Desk, users: ApiUsers) -> None:
        self._desk = desk
        self._users = users
        self._limit: CapacityLimiter | None = None
        self._pulse = Shared(self._beats, age_seconds=PULSE_SECONDS)
        self._document = wire.encode(document())

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            StarletteRoute(
                f"{base}{route.path}", self._endpoint(route, base), methods=[route.method]
            )
            for base in (ADMIN_API, MEMBER_API)
            for route in ROUTES
            if is_served(route, base)
        ]
        routes += [
            StarletteRoute("/openapi.json", self._openapi),
            StarletteRoute(PING, self._ping),
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
            asked = Asked(
                user,
                request.path_params,
                request.query_params.multi_items(),
                body,
                request.headers,
            )
            answer = route.handle(self._desk, asked)
            visit.wrote(request.path_params, answer.body)
        except Fault as fault:
            name = "error" if isinstance(fault, Denied) else "Error"
            return _fault(fault.status, fault.sentence, name)
        except Unreachable as fault:
            log.warning("registry_unreachable", why=str(fault))
            return _fault(503, "The Registry's database does not answer: try again later.")
        except (ServiceFault, SQLAlchemyError):
            log.error("registry_fault", route=route.path, trace=_trace())
            return _fault(500, "The Registry could not do that; its log says why.")
        return _answered(answer)

    def _user(self, request: Request) -> ApiUser | None:
        email = request.headers.get(USER_HEADER.decode(), "")
        key = request.headers.get(KEY_HEADER.decode(), "")
        return self._users.with_key(email, key)

    async def _openapi(self, _: Request) -> Response:
        return Response(self._document, 200, media_type="application/json")

    async def _ping(self, _: Request) -> Response:
        """For probes: 200 while the database answers. Says nothing else, and asks it at most
        once a second, however often it is asked itself."""
        if await self._pulse.answer():
            return _json(200, {"result": "OK"})
        return _json(503, {"error": "The Registry's database does not answer."})

    def _beats(self) -> bool:
        try:
            self._desk.registry.ping()
        except ServiceFault:
            return False
        return True

    async def _in_thread(self, work: Callable[[], Response]) -> Response:
        if self._limit is None:
            self._limit = CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(work, limiter=self._limit)


def _answered(answer: Answer) -> Response:
    return Response(answer.encoded(), answer.status, media_type="application/json")


def _fault(status: int, sentence: str, name: str = "Error") -> Response:
    if name == "error":
        return _json(status, {"error": sentence})
    return _json(status, {"StatusCode": status, "Error": sentence})


def _json(status: int, body: object) -> Response:
    return Response(wire.encode(body), status, media_type="application/json")


def _trace() -> str:
    """Where it happened. Not what SQLAlchemy says beside it: that has the values."""
    return traceback.format_exc()


def _framework_fault(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    headers = dict(fault.headers or {})
    response = _json(fault.status_code, {"error": fault.detail})
    response.headers.update(headers)
    return response


def _our_fault(_: Request, fault: Exception) -> Response:
    log.error("registry_fault", trace="".join(traceback.format_exception(fault)))
    return _fault(500, "The Registry could not do that; its log says why.")
