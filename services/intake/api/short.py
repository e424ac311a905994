"""The short way to the routes that take contacts: past FastAPI's search for the route and its handling of dependencies, which
cost as much as storing a contact. The routes stay what they are: found by FastAPI too, and in its OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.api.edge import overloaded

AT_ONCE = 400  # two groups of the acceptor: one being committed, one that comes next
Endpoint = Callable[[Request], Awaitable[Response]]
ErrorHandlers = Mapping[Any, Callable[[Request, Any], Response | Awaitable[Response]]]


@dataclass(frozen=True, slots=True)
class Short:
    """A route by its name and what answers it."""

    name: str
    endpoint: Endpoint


class ShortWay:
    """Takes requests to `routes` (by method and path) directly; all others go on to `app`.

    At most AT_ONCE of them are being answered: more are told to come again before anything of them is read, so that under a
    flood who is let in is answered in time, and what waits has a bound.
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
        self.busy += 1
        try:
            if self.busy > AT_ONCE:
                raise overloaded()
            response = await route.endpoint(request)
        except Exception as error:  # noqa: BLE001 - whatever the app has an answer to is answered; the rest is raised again
            response = await self._refusal(request, error)
        finally:
            self.busy -= 1
        await response(scope, receive, send)

    async def _refusal(self, request: Request, error: Exception) -> Response:
        for kind in type(error).__mro__:
            if kind in self.errors:
                answer = self.errors[kind](request, error)
                return await answer if isawaitable(answer) else answer
        raise error


def shorten(app: FastAPI, routers: Iterable[APIRouter], endpoints: Collection[Endpoint]) -> None:
    """Let requests to these endpoints of the routers go the short way. They take the request and nothing else, and answer with
    a Response; what they raise is answered as the app answers it.
    """
    routes = {
        (method, route.path): Short(route.name, route.endpoint)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.endpoint in endpoints
        for method in route.methods or ()
    }
    app.user_middleware.append(Middleware(ShortWay, routes=routes, errors=app.exception_handlers))  # the innermost
