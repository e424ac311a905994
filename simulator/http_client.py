"""A small HTTP/1.1 client: keep-alive, event streams, and senders who hang up before the answer.

It costs a tenth of what a general client does, so that the load does not slow down what it loads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools

CHUNK = 65_536
IDLE_CAP = 32  # connections kept for the next request


class NoAnswer(Exception):
    """No answer came: refused, reset, cut, or too late. Whether the request was carried out is not known."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, the headers in lower case, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body. Raises ValueError."""
        return json.loads(self.body)

    @property
    def retry_after_seconds(self) -> float | None:
        """`Retry-After`, where it is given in seconds."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isascii() and value.isdigit() else None


@dataclass(slots=True)
class _Reading:
    """What httptools says about one answer."""

    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    begun: bool = False
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of httptools' callbacks."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Part of httptools' callbacks."""
        self.begun = True

    def on_body(self, body: bytes) -> None:
        """Part of httptools' callbacks."""
        self.parts.append(body)

    def on_message_complete(self) -> None:
        """Part of httptools' callbacks."""
        self.complete = True


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def usable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()

    async def read_into(self, parser: httptools.HttpResponseParser) -> None:
        data = await self.reader.read(CHUNK)
        if not data:
            raise NoAnswer("the server closed the connection")
        parser.feed_data(data)


@dataclass(slots=True)
class HttpClient:
    """Requests to one base URL. Every wait ends after `answer_seconds`; `close` ends the kept connections."""

    base_url: str
    answer_seconds: float = 15.0
    _idle: list[_Connection] = field(default_factory=list)

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, hang_up: bool = False
    ) -> Reply:
        """Send a request and wait for its answer. `hang_up`: close the connection once it is sent. Raises NoAnswer."""
        try:
            async with asyncio.timeout(self.answer_seconds):
                return await self._exchange(self._head(method, path, headers, body) + body, hang_up)
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            raise NoAnswer(type(error).__name__) from None

    async def _exchange(self, data: bytes, hang_up: bool) -> Reply:
        connection = await self._connection()
        kept = False
        try:
            connection.writer.write(data)
            await connection.writer.drain()
            if hang_up:
                raise NoAnswer("hung up")
            reading = _Reading()
            parser = httptools.HttpResponseParser(reading)
            while not reading.complete:
                await connection.read_into(parser)
            kept = reading.headers.get("connection", "").lower() != "close" and len(self._idle) < IDLE_CAP
            return Reply(parser.get_status_code(), reading.headers, b"".join(reading.parts))
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.writer.close()

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str], silence_seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that does not end; NoAnswer is raised when it does, or is silent for so long.

        Raises NoAnswer also for any status but 200.
        """
        connection: _Connection | None = None
        reading = _Reading()
        try:
            async with asyncio.timeout(self.answer_seconds):
                connection = await self._connection()
                connection.writer.write(self._head("GET", path, headers, b""))
                parser = httptools.HttpResponseParser(reading)
                while not reading.begun:
                    await connection.read_into(parser)
            if parser.get_status_code() != 200:
                raise NoAnswer(f"status {parser.get_status_code()}")
            yield _lines(connection, reading, parser, silence_seconds)
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            raise NoAnswer(type(error).__name__) from None
        finally:
            if connection is not None:
                connection.writer.close()

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.writer.close()
        parts = urlsplit(self.base_url)
        return _Connection(*await asyncio.open_connection(parts.hostname, parts.port or 80))

    def _head(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(self.base_url).netloc}"]
        if body or method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().writer.close()


async def _lines(
    connection: _Connection, reading: _Reading, parser: httptools.HttpResponseParser, silence_seconds: float
) -> AsyncIterator[bytes]:
    rest = b""
    while True:
        *lines, rest = (rest + b"".join(reading.parts)).split(b"\n")
        reading.parts.clear()
        for line in lines:
            yield line.rstrip(b"\r")
        if reading.complete:
            raise NoAnswer("the stream ended")
        async with asyncio.timeout(silence_seconds):
            await connection.read_into(parser)
