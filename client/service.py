"""One service of Patchbay: where it is, with which key it is called, how long that may take and when it is tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import msgspec

from .exchange import IDEMPOTENCY_KEY, Answer, NoAnswer, ProblemError, Request, problem_of

T = TypeVar("T")
ACCEPT = {"Accept": "application/json"}
JSON = ACCEPT | {"Content-Type": "application/json"}
REFUSALS = 400  # statuses from here on
Heard = Callable[[Request, Answer | NoAnswer], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Seconds. An attempt is given `attempt_seconds`; all attempts at a call and the waits between them, `call_seconds`.

    What is safe to repeat is tried up to `attempts` times, where no answer came or it was 429 or 503. The waits double from
    the first to the longest, with jitter; where `Retry-After` asks for more, so much, and not at all where that is too late.
    """

    attempt_seconds: float = 10.0
    call_seconds: float = 30.0
    attempts: int = 10
    first_wait_seconds: float = 0.2
    longest_wait_seconds: float = 5.0

    def wait(self, failures: int, asked_seconds: float | None) -> float:
        """How long to wait after so many failed attempts in a row (1 for the first)."""
        doubled = self.first_wait_seconds * 2 ** min(failures - 1, 16)
        own = min(doubled, self.longest_wait_seconds) * random.uniform(0.5, 1.0)
        return float(max(own, asked_seconds or 0.0))


PATIENT = Waiting()


def new_http() -> httpx.AsyncClient:
    """Connections that are kept, as many as are needed; the environment's proxies are not used. For several services at once."""
    return httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=100))


def at(path: str, /, *names: str, **query: object) -> str:
    """A path with each `{}` filled in, whatever letters the names have, and its query: lists repeated, None left out."""
    given = ((name, value if isinstance(value, list | tuple) else [value]) for name, value in query.items() if value is not None)
    pairs = [(name, _text(one)) for name, several in given for one in several]
    return path.format(*(quote(name, safe="") for name in names)) + (f"?{urlencode(pairs)}" if pairs else "")


class Service:
    """A service at `base_url`, called with an API key where there is one. Close it, or use it with `async with`.

    `http` brings connections that are shared with others, and is left open. `heard` is told what each attempt brought.
    """

    def __init__(
        self,
        base_url: str,
        key: str = "",
        *,
        waiting: Waiting = PATIENT,
        http: httpx.AsyncClient | None = None,
        heard: Heard | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.waiting = waiting
        self._key = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = http or new_http()
        self._shared = http is not None
        self._heard = heard or _nothing

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections, unless they are shared."""
        if not self._shared:
            await self._http.aclose()

    async def attempt(self, request: Request) -> Answer:
        """Send it once. Whatever the status, it is an answer. Raises NoAnswer."""
        return await self._attempt(request, self.waiting.attempt_seconds)

    async def send(self, request: Request) -> Answer:
        """Send it, again where that is safe. Raises ProblemError, NoAnswer: those of the last attempt."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.waiting.call_seconds
        failures = 0
        while True:
            try:
                answer = await self._attempt(request, min(self.waiting.attempt_seconds, deadline - clock()))
                if answer.status >= REFUSALS:
                    raise problem_of(answer)
                return answer
            except (NoAnswer, ProblemError) as failure:
                failures += 1
                wait = self.waiting.wait(failures, failure.retry_after_seconds)
                again = request.repeatable and failure.passing and failures < self.waiting.attempts
                if not again or clock() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def opened(self, request: Request, silence_seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of an answer that goes on; NoAnswer is raised when it ends, or is silent for so long.

        Raises ProblemError for a refusal.
        """
        limits = httpx.Timeout(self.waiting.attempt_seconds, read=silence_seconds)
        headers = {**self._key, **request.headers}
        sent = self._http.build_request(request.method, self.base_url + request.path, headers=headers, timeout=limits)
        try:
            async with asyncio.timeout(self.waiting.attempt_seconds):
                told = await self._http.send(sent, stream=True)
        except (httpx.RequestError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from error
        try:
            if told.status_code != httpx.codes.OK:
                raise problem_of(Answer(told.status_code, told.headers, await told.aread()))
            yield told.aiter_bytes()
            raise NoAnswer("the stream ended")
        except httpx.RequestError as error:
            raise NoAnswer(type(error).__name__) from error
        finally:
            await told.aclose()

    async def _attempt(self, request: Request, seconds: float) -> Answer:
        url, headers = self.base_url + request.path, {**self._key, **request.headers}
        try:
            async with asyncio.timeout(seconds):
                told = await self._http.request(request.method, url, headers=headers, content=request.content, timeout=None)
        except (httpx.RequestError, TimeoutError) as error:
            none = NoAnswer(type(error).__name__)
            self._heard(request, none)
            raise none from error
        answer = Answer(told.status_code, told.headers, told.content)
        self._heard(request, answer)
        return answer

    async def _get(self, shape: type[T], path: str) -> T:
        """What is there."""
        return _read(await self.send(Request("GET", path, ACCEPT)), shape)

    async def _post(
        self, shape: type[T], path: str, body: object = None, idempotency_key: str | None = None, *, method: str = "POST"
    ) -> T:
        """A command under a key: the caller's, or one that is made for this call and stays the same over its attempts."""
        headers = ACCEPT | {IDEMPOTENCY_KEY: idempotency_key or str(uuid4())}
        if body is None:
            return _read(await self.send(Request(method, path, headers)), shape)
        return _read(await self.send(Request(method, path, headers | JSON, msgspec.json.encode(body))), shape)

    async def _post_file(self, shape: type[T], path: str, content: bytes, content_type: str, idempotency_key: str | None) -> T:
        """A file, as it is, under a key as `_post` has it."""
        headers = ACCEPT | {"Content-Type": content_type, IDEMPOTENCY_KEY: idempotency_key or str(uuid4())}
        return _read(await self.send(Request("POST", path, headers, content)), shape)

    async def _post_once(self, shape: type[T], path: str, body: object = None) -> T:
        """A command that takes no key, and so is not repeated."""
        content = msgspec.json.encode(body) if body is not None else b""
        return _read(await self.send(Request("POST", path, JSON if body is not None else ACCEPT, content)), shape)

    async def _put(self, shape: type[T], path: str, body: object, if_match: int | None, *, method: str = "PUT") -> T:
        """An edit of the version `if_match`, or (None) of what is not there yet."""
        return _read(await self.send(Request(method, path, JSON | _match(if_match), msgspec.json.encode(body))), shape)

    async def _delete(self, path: str, if_match: int | None = None) -> None:
        """It is there no more."""
        await self.send(Request("DELETE", path, _match(if_match)))


def _nothing(_request: Request, _outcome: Answer | NoAnswer) -> None:
    """Nobody wants to hear it."""


def _match(version: int | None) -> dict[str, str]:
    """The services' ETags are their versions."""
    return {"If-Match": f'"{version}"'} if version is not None else {}


def _read(answer: Answer, shape: type[T]) -> T:
    return msgspec.json.decode(answer.content, type=shape)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
