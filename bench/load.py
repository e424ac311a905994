"""The load generator: raw asyncio and httptools, in a process of its own, so that it costs the server little.

`python -m bench.load` reads a job (JSON) from standard input and prints what it measured (JSON). Closed: each connection
sends as soon as it has its answer. Open: requests start at fixed instants whatever the answers do, and latency counts from
the instant a request was due, so a stalled server is not excused from what it would have been asked meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal, cast

import httptools
import msgspec
import uvloop

from bench.figures import percentile
from bench.requests import Target, make

ANSWER_SECONDS = 20.0
KEPT_SECONDS = 20.0  # without a request
REFUSALS = ("429", "503")
NO_ANSWER = "no answer"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. `per_second` is for open load; `first` is the number of the first request, unique over a whole run.

    Of open load `connections` is the most: they are made when all others are busy.
    """

    mode: Literal["closed", "open"]
    target: Target
    connections: int
    seconds: float
    first: int
    per_second: float = 0.0
    keep: bool = False


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """One request: when it was due, began and was answered (monotonic seconds of this machine), and the answer's body."""

    due: float
    began: float
    answered: float
    body: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Milliseconds, of what was accepted; `sent` only when the job asked to keep it.

    `statuses` counts answers by status, and under "no answer" what was cut off or took longer than ANSWER_SECONDS;
    `unadvised` those of 429 and 503 that did not say with Retry-After when to come again.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]
    next: int
    unadvised: int = 0
    first_refusal: str = ""
    sent: list[Sent] = []

    @property
    def accepted(self) -> int:
        """How many were answered with success."""
        return sum(count for status, count in self.statuses.items() if status.startswith("2"))


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""
        self.advised = False
        self._idle_since = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server closed the connection"))

    def on_message_begin(self) -> None:
        """Part of httptools' callbacks."""
        self._body, self.advised = b"", False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Part of httptools' callbacks."""
        if name.lower() == b"retry-after":
            self.advised = True

    def on_body(self, body: bytes) -> None:
        """Part of httptools' callbacks."""
        self._body += body

    def on_message_complete(self) -> None:
        """Part of httptools' callbacks."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((self._parser.get_status_code(), self._body))

    @property
    def usable(self) -> bool:
        """Whether another request can be sent on it. The server closes one that is idle for 30 s, and a request that crosses that
        is lost (RFC 9112, 9.5): clients let go of it before.
        """
        fresh = time.monotonic() - self._idle_since < KEPT_SECONDS
        return fresh and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send and wait for status and body. Raises ConnectionError, TimeoutError."""
        if self._transport is None or not self.usable:
            raise ConnectionError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await self._waiting
        self._idle_since = time.monotonic()
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Pool:
    """Connections to one server, made when all are busy, at most so many at once."""

    def __init__(self, host: str, port: int, most: int) -> None:
        self._place = (host, port)
        self._free: deque[Connection] = deque()
        self._room = asyncio.Semaphore(most)

    async def exchange(self, request: bytes) -> tuple[int, bytes, bool]:
        """Status, body, and whether the answer had Retry-After. Raises OSError, TimeoutError; then the connection is gone."""
        async with self._room:
            connection = await self._taken()
            try:
                status, body = await connection.exchange(request)
            except BaseException:
                connection.close()
                raise
            self._free.append(connection)
            return status, body, connection.advised

    async def _taken(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
            connection.close()
        async with asyncio.timeout(ANSWER_SECONDS):
            _, made = await asyncio.get_running_loop().create_connection(Connection, *self._place)
        return made

    def close(self) -> None:
        """Hang up all."""
        for connection in self._free:
            connection.close()


class Run:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.made: Callable[[int], bytes] = make(job.target)
        self.pool = Pool(job.target.host, job.target.port, job.connections)
        self.number = job.first
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.sent: list[Sent] = []
        self.refusal = ""
        self.unadvised = 0
        self.ended = 0.0

    async def go(self) -> Outcome:
        """Do the job."""
        job, began = self.job, time.monotonic()
        if job.mode == "closed":
            await asyncio.gather(*(self._closed(began + job.seconds) for _ in range(job.connections)))
        else:
            await self._open(began)
        took = (self.ended or time.monotonic()) - began
        self.pool.close()
        return Outcome(
            rate=len(self.latencies) / took,
            p50_ms=percentile(self.latencies, 0.5) * 1000 if self.latencies else 0.0,
            p99_ms=percentile(self.latencies, 0.99) * 1000 if self.latencies else 0.0,
            statuses=dict(self.statuses),
            next=self.number,
            unadvised=self.unadvised,
            first_refusal=self.refusal,
            sent=self.sent,
        )

    async def _closed(self, until: float) -> None:
        while time.monotonic() < until:
            await self._one(time.monotonic())

    async def _open(self, began: float) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(round(self.job.per_second * self.job.seconds)):
                due = began + n / self.job.per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._one(due))

    async def _one(self, due: float) -> None:
        request = self.made(self.number)
        self.number += 1
        began = time.monotonic()
        body, advised = b"", True
        try:
            code, body, advised = await self.pool.exchange(request)
            status = str(code)
        except (OSError, TimeoutError) as error:
            status = f"{NO_ANSWER} ({type(error).__name__})"
        self.ended = time.monotonic()
        self.statuses[status] += 1
        if not status.startswith("2"):
            self.refusal = self.refusal or body.decode("utf-8", "replace")[:400]
            self.unadvised += status in REFUSALS and not advised
            return
        self.latencies.append(self.ended - due)
        if self.job.keep:
            self.sent.append(Sent(due, began, self.ended, body.decode()))


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Run(job).go())))


if __name__ == "__main__":
    main()
