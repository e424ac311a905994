"""The load generator: raw asyncio and httptools, in a process of its own, so that it costs the server little.

`python -m bench.load` reads a job (JSON) from standard input and prints what it measured (JSON). Closed: each connection
sends as soon as it has its answer. Open: requests start at fixed instants whatever the answers do, and latency counts from
the instant a request was due, so a stalled server is not excused from what it would have been asked meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal, cast

import httptools
import msgspec
import uvloop

from bench.figures import percentile
from bench.requests import Target, make

ANSWER_SECONDS = 20.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. `per_second` is for open load; `first` is the number of the first request, unique over a whole run."""

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
    """What came back. Milliseconds; `sent` only when the job asked to keep it."""

    rate: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]
    next: int
    first_refusal: str = ""
    sent: list[Sent] = []


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""

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
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """Part of httptools' callbacks."""
        self._body += body

    def on_message_complete(self) -> None:
        """Part of httptools' callbacks."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((self._parser.get_status_code(), self._body))

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send and wait for status and body. Raises ConnectionError, TimeoutError."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Run:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.made: Callable[[int], bytes] = make(job.target)
        self.number = job.first
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.sent: list[Sent] = []
        self.refusal = ""
        self.ended = 0.0

    async def go(self) -> Outcome:
        """Do the job."""
        loop = asyncio.get_running_loop()
        job = self.job
        made = [await loop.create_connection(Connection, job.target.host, job.target.port) for _ in range(job.connections)]
        connections = [protocol for _, protocol in made]
        began = time.monotonic()
        if job.mode == "closed":
            await asyncio.gather(*(self._closed(connection, began + job.seconds) for connection in connections))
        else:
            await self._open(connections, began)
        took = (self.ended or time.monotonic()) - began
        for connection in connections:
            connection.close()
        return Outcome(
            rate=len(self.latencies) / took,
            p50_ms=percentile(self.latencies, 0.5) * 1000,
            p99_ms=percentile(self.latencies, 0.99) * 1000,
            statuses=dict(self.statuses),
            next=self.number,
            first_refusal=self.refusal,
            sent=self.sent,
        )

    async def _closed(self, connection: Connection, until: float) -> None:
        while time.monotonic() < until:
            await self._one(connection, time.monotonic())

    async def _open(self, connections: list[Connection], began: float) -> None:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            free.put_nowait(connection)

        async def send(due: float) -> None:
            connection = await free.get()
            try:
                await self._one(connection, due)
            finally:
                free.put_nowait(connection)

        async with asyncio.TaskGroup() as group:
            for n in range(round(self.job.per_second * self.job.seconds)):
                due = began + n / self.job.per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(send(due))

    async def _one(self, connection: Connection, due: float) -> None:
        request = self.made(self.number)
        self.number += 1
        began = time.monotonic()
        status, body = await connection.exchange(request)
        self.ended = time.monotonic()
        self.statuses[str(status)] += 1
        if not 200 <= status < 300:
            self.refusal = self.refusal or body.decode("utf-8", "replace")[:400]
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
