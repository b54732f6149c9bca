"""The API as an ASGI application: who asks, which handler, and faults as answers.

Faults of handlers are `{"StatusCode", "Error"}`, those before them `{"error"}`
(contract D). A client's mistake is never a 5xx: workers try those again.
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
from bagline.model import wire
from bagline.server.answers import Answer, Asked, Denied, Fault
from bagline.server.desk import Desk
from bagline.server.openapi import document
from bagline.server.routes import ADMIN_API, MEMBER_API, ROUTES, Route
from bagline.services.registry.users import ApiUser, ApiUsers

USER_HEADER = "X-Pharos-API-User"
KEY_HEADER = "X-Pharos-API-Key"
LARGEST_BODY = 64 * 1024 * 1024
AT_ONCE = 12
"""Requests that work with the database at one time; not above what its pool holds."""

log = structlog.get_logger()


class Api:
    """The routes of one API over one desk."""

    def __init__(self, desk: Desk, users: ApiUsers) -> None:
        self._desk = desk
        self._users = users
        self._limit: CapacityLimiter | None = None

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            StarletteRoute(
                f"{base}{route.path}", self._endpoint(route, base), methods=[route.method]
            )
            for base in (ADMIN_API, MEMBER_API)
            for route in ROUTES
            if base == ADMIN_API or (route.members and route.method == "GET")
        ]
        routes += [
            StarletteRoute("/openapi.json", self._openapi),
            StarletteRoute("/ping", self._ping),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: _framework_fault, Exception: _our_fault},
        )

    def _endpoint(self, route: Route, base: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                body = await _body(request)
            except ClientDisconnect:
                return Response(status_code=400)
            if body is None:
                return _json(413, {"error": f"The body is larger than {LARGEST_BODY} bytes."})
            return await self._in_thread(lambda: self._answer(route, base, request, body))

        return endpoint

    def _answer(self, route: Route, base: str, request: Request, body: bytes) -> Response:
        try:
            user = self._user(request)
            if user is None:
                return _json(401, {"error": "Unknown API user, or wrong key."})
            if base == ADMIN_API and not user.is_sys_admin:
                return _json(403, {"error": "This API is for system administrators."})
            asked = Asked(
                user,
                request.path_params,
                request.query_params.multi_items(),
                body,
                request.headers,
            )
            answer = route.handle(self._desk, asked)
        except Fault as fault:
            name = "error" if isinstance(fault, Denied) else "Error"
            return _fault(fault.status, fault.sentence, name)
        except Unreachable as fault:
            log.warning("registry_unreachable", why=str(fault))
            return _fault(503, "The Registry's database does not answer: try again later.")
        except (ServiceFault, SQLAlchemyError):
            log.error("registry_fault", route=route.path, trace=traceback.format_exc())
            return _fault(500, "The Registry could not do that; its log says why.")
        return _answered(answer)

    def _user(self, request: Request) -> ApiUser | None:
        email, key = request.headers.get(USER_HEADER, ""), request.headers.get(KEY_HEADER, "")
        if not email or not key or "\0" in email:
            return None
        return self._users.with_key(email, key)

    async def _openapi(self, _: Request) -> Response:
        return _json(200, document())

    async def _ping(self, _: Request) -> Response:
        """For probes: 200 while the database answers. Says nothing else."""

        def ping() -> Response:
            try:
                self._desk.registry.ping()
            except ServiceFault:
                return _json(503, {"error": "The Registry's database does not answer."})
            return _json(200, {"result": "OK"})

        return await self._in_thread(ping)

    async def _in_thread(self, work: Callable[[], Response]) -> Response:
        if self._limit is None:
            self._limit = CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(work, limiter=self._limit)


async def _body(request: Request) -> bytes | None:
    """The whole body; None when it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _answered(answer: Answer) -> Response:
    return Response(answer.encoded(), answer.status, media_type="application/json")


def _fault(status: int, sentence: str, name: str = "Error") -> Response:
    if name == "error":
        return _json(status, {"error": sentence})
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
    return _fault(500, "The Registry could not do that; its log says why.")
