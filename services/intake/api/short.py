"""The short way to the routes that take contacts: past FastAPI's search for the route and its handling of dependencies, which
cost as much as storing a contact. The routes stay what they are: found by FastAPI too, and in its OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.intake.api.edge import body_of, overloaded

AT_ONCE = 400  # two groups of the acceptor: one being committed, one that comes next
Endpoint = Callable[[Request], Awaitable[Response]]
ErrorHandlers = Mapping[Any, Callable[[Request, Any], Response | Awaitable[Response]]]


@dataclass(frozen=True, slots=True)
class Short:
    """A route by its name and what answers it. `most_bytes`: where nobody is known before the whole body is read, of which there
    may be so much; 0 where who calls shows a key first.
    """

    name: str
    endpoint: Endpoint
    most_bytes: int = 0


class ShortWay:
    """Takes requests to `routes` (by method and path) directly; all others go on to `app`.

    At most AT_ONCE of them are being answered: more are told to come again, so that under a flood who is let in is answered in
    time, and what waits has a bound. Whoever may be anybody counts from when their body is here: who sends none, or slowly, keeps
    nobody out.
    """

    def __init__(self, app: ASGIApp, routes: Mapping[tuple[str, str], Short], errors: ErrorHandlers) -> None:
        self.app = app
        self.routes = routes
        self.errors = errors
        self.busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        route = self.routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            if route.most_bytes:
                request = Request(scope, _once_more(await body_of(request, route.most_bytes)))
            response = await self._answered(route, request)
        except Exception as error:  # noqa: BLE001 - whatever the app has an answer to is answered; the rest is raised again
            response = await self._refusal(request, error)
        await response(scope, receive, send)

    async def _answered(self, route: Short, request: Request) -> Response:
        if self.busy >= AT_ONCE:
            raise overloaded()
        self.busy += 1
        try:
            return await route.endpoint(request)
        finally:
            self.busy -= 1

    async def _refusal(self, request: Request, error: Exception) -> Response:
        for kind in type(error).__mro__:
            if kind in self.errors:
                answer = self.errors[kind](request, error)
                return await answer if isawaitable(answer) else answer
        raise error


def _once_more(body: bytes) -> Receive:
    """What gives a body that was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def shorten(app: FastAPI, routers: Iterable[APIRouter], endpoints: Iterable[tuple[Endpoint, int]]) -> None:
    """Let requests to these endpoints of the routers go the short way, each with how long a body of somebody unknown may be
    (`Short.most_bytes`). They take the request and nothing else, and answer with a Response; what they raise is answered as the
    app answers it.
    """
    most_bytes = dict(endpoints)
    routes = {
        (method, route.path): Short(route.name, route.endpoint, most_bytes[route.endpoint])
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.endpoint in most_bytes
        for method in route.methods or ()
    }
    app.user_middleware.append(Middleware(ShortWay, routes=routes, errors=app.exception_handlers))  # the innermost
