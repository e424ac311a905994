"""What every HTTP edge does alike: problem+json (RFC 9457), health, figures, traces, conditional edits, serving.

OpenAPI is FastAPI's, with the functions' names as operation ids.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, cast

import asyncpg
import uvicorn
from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import HTTPException as RouteException
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import db, telemetry
from shared.accepting import Doorman
from shared.db import DatabaseAway
from shared.kafka import KafkaAway
from shared.outbox import EventTooLarge
from shared.telemetry import log

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPE = "https://patchbay.invalid/problems/"
DEFAULT_BODY_LIMIT = 2 * 1024 * 1024
NOTHING_LARGE: Mapping[str, int] = {}
CODES = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}
# FastAPI's own spans and logs would keep query strings and what exceptions say, and come between ours; Edge makes the one span.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
# SQLSTATEs: character not in repertoire, untranslatable character (a NUL in text, and in JSON).
UNSTORABLE = frozenset({"22021", "22P05"})
Ready = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: `field` is its path in the request, e.g. `body.contacts[0].email`."""

    field: str
    reason: str


@dataclass(slots=True)
class Problem(Exception):
    """An answer to a request that cannot be carried out. `code` is stable; `detail` says what happened and what to do."""

    status: int
    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, str | int | None] = field(default_factory=dict)

    def response(self) -> Response:
        """As application/problem+json."""
        body: dict[str, object] = {
            "type": PROBLEM_TYPE + self.code,
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        if self.errors:
            body["errors"] = [{"field": error.field, "reason": error.reason} for error in self.errors]
        # What is refused may quote half a surrogate pair, which is no UTF-8.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, PROBLEM_JSON)


def create_app(
    service: str,
    title: str,
    ready: Ready,
    alive: Callable[[], bool] = lambda: True,
    body_limit: int = DEFAULT_BODY_LIMIT,
    large: Mapping[str, int] = NOTHING_LARGE,
    limiting: tuple[str, ...] = (),
) -> FastAPI:
    """An application with everything but its own routes. `ready` answers None, or why no traffic may come. `large`: paths to
    which more than `body_limit` may be sent, and how much; routes below the paths `limiting` limit the bodies that they read
    themselves.
    """
    app = FastAPI(
        title=title,
        version="1",
        telemetry=NO_TELEMETRY,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DatabaseAway, _away)
    app.add_exception_handler(KafkaAway, _away)
    app.add_exception_handler(DBAPIError, _unstorable)
    app.add_exception_handler(asyncpg.PostgresError, _unstorable)
    app.add_exception_handler(EventTooLarge, _too_large)
    app.add_middleware(Edge, service=service, body_limit=body_limit, large=large, limiting=limiting)
    _add_health(app, ready, alive)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _add_health(app: FastAPI, ready: Ready, alive: Callable[[], bool]) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return Response("ok\n" if alive() else "the loop does not turn\n", 200 if alive() else 503, media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        reason = await ready()
        return Response(f"{reason or 'ready'}\n", 503 if reason else 200, media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    for item in error.errors():
        if item["type"] == "json_invalid":
            reason = f"{item['ctx']['error']}, at character {item['loc'][-1]}"
            return Problem(400, "malformed-json", "The body is not valid JSON.", [FieldError("body", reason)]).response()
    errors = [FieldError(path_of(item["loc"]), str(item["msg"])) for item in error.errors()]
    return Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", errors).response()


def path_of(location: Sequence[str | int]) -> str:
    """Where in a request, e.g. `body.contacts[0].email`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refusal(error).response()


def _refusal(error: HTTPException) -> Problem:
    code = CODES.get(error.status_code, "http-error")
    return Problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def _unstorable(_request: Request, error: Exception) -> Response:
    """PostgreSQL holds every text but those with NUL in them; any other error of it is our defect."""
    if db.sqlstate(error) not in UNSTORABLE:
        raise error
    return Problem(422, "invalid-request", "The request has a text with a NUL character (\\u0000); leave it out.").response()


async def _too_large(_request: Request, _error: Exception) -> Response:
    return Problem(413, "too-large", "What this would say is too large for the log; say less at once.").response()


async def _away(_request: Request, _error: Exception) -> Response:
    return away().response()


def away() -> Problem:
    """What a client is told while the database cannot be used."""
    detail = "The service cannot store anything just now. Send the same request again, with the same id or key: it counts once."
    return Problem(503, "temporarily-unavailable", detail, headers={"Retry-After": "2"})


class Edge:
    """Around every request: a span that goes on from the caller's, its time, the body's limit, and no 500 without a word."""

    def __init__(
        self, app: ASGIApp, service: str, body_limit: int, large: Mapping[str, int], limiting: tuple[str, ...] = ()
    ) -> None:
        self.app = app
        self.service = service
        self.body_limit = body_limit
        self.large = large
        self.limiting = limiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in (b"traceparent", b"content-length")}
        limit = self.large.get(scope["path"], self.body_limit)
        answer = _Answer(send)
        started = time.perf_counter()
        traceparent = headers.get(b"traceparent", b"").decode("latin-1") or None
        with telemetry.span(f"{scope['method']} {self.service}", traceparent, SpanKind.SERVER):
            try:
                length = headers.get(b"content-length", b"0")
                if scope["path"].startswith(self.limiting):
                    await self.app(scope, receive, answer.send)
                elif length.isdigit() and int(length) > limit:
                    await _refusal(_TooLarge(limit)).response()(scope, receive, answer.send)
                else:
                    await self.app(scope, _limited(receive, limit), answer.send)
            except Exception as error:  # noqa: BLE001 - the last wall: a person gets a problem, the log gets the cause
                log().error("request failed", path_operation=_route_name(scope), error=type(error).__name__, exc_info=True)
                if not answer.started:
                    detail = "Something went wrong on our side; it has been logged. Send the same request again."
                    await Problem(500, "internal-error", detail).response()(scope, receive, answer.send)
        seconds = time.perf_counter() - started
        telemetry.REQUEST_SECONDS.labels(self.service, _route_name(scope), str(answer.status)).observe(seconds)


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _TooLarge(limit)
        return message

    return limited


class _TooLarge(RouteException):
    """The body went over the limit while it was read. An HTTPException, because FastAPI takes all others for a broken body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body is larger than {limit} bytes; send less at once.")


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
        await self._send(message)


def _route_name(scope: Scope) -> str:
    return getattr(scope.get("route"), "name", None) or "unknown"


def etag(version: int) -> str:
    """The strong ETag of a version."""
    return f'"{version}"'


IfMatch = Annotated[str | None, Header(description="ETag of the version that is edited")]


def check_match(if_match: str | None, version: int | None) -> None:
    """Refuse an edit of what the caller has not seen: 428 without If-Match, 412 when it changed since. Either tells the ETag as
    it is now. Raises Problem.
    """
    if version is None:
        if if_match is not None:
            raise Problem(412, "precondition-failed", "There is nothing to edit yet; leave If-Match out to create it.")
        return
    if if_match is None:
        raise unconditional(version)
    if if_match != etag(version):
        detail = "It was changed since you read it. Read it again, then edit."
        raise Problem(412, "precondition-failed", detail, headers={"ETag": etag(version)}, more={"version": version})


def unconditional(version: int) -> Problem:
    """That an edit did not say which version it edits; this is the one there is."""
    detail = "Send If-Match with the ETag of the version you edit (GET tells it)."
    return Problem(428, "precondition-required", detail, headers={"ETag": etag(version)}, more={"version": version})


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the composition root decides when everything stops. Takes all who wait at once."""

    _doorman: Doorman | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Part of uvicorn.Server. Raises SystemExit when the port is taken."""
        await super().startup(sockets)
        self._doorman = Doorman(self.servers[0], self._protocol)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Part of uvicorn.Server."""
        if self._doorman is not None:
            self._doorman.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes them."""
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def make_server(app: FastAPI, host: str, port: int) -> Server:
    """A server for `app`; `await server.serve()`, and set `should_exit` to drain and end it."""
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=8,
            timeout_keep_alive=30,
            limit_concurrency=None,
            backlog=4096,
        )
    )
