"""What carries the client's requests in a simulation, and senders who hang up before the answer.

It costs a tenth of what httpx's own transport does, so that the load does not slow down what it loads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httptools
import httpx

CHUNK = 65_536
IDLE_CAP = 32  # connections to one place kept for the next request
Place = tuple[str, int]


def new_http(*, hangs_up: bool = False) -> httpx.AsyncClient:
    """A client of plain HTTP with this transport."""
    return httpx.AsyncClient(transport=Lean(hangs_up=hangs_up), trust_env=False)


@dataclass(slots=True)
class _Exchange:
    """One connection, and what httptools says about the answer that is read from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    begun: bool = False
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of httptools' callbacks."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Part of httptools' callbacks."""
        self.begun = True

    def on_body(self, body: bytes) -> None:
        """Part of httptools' callbacks."""
        self.parts.append(body)

    def on_message_complete(self) -> None:
        """Part of httptools' callbacks."""
        self.complete = True

    async def read_into(self, parser: httptools.HttpResponseParser, seconds: float | None) -> None:
        """Some more of the answer. Raises httpx.ReadError, httpx.ReadTimeout."""
        try:
            async with asyncio.timeout(seconds):
                data = await self.reader.read(CHUNK)
            if not data:
                raise httpx.ReadError("the server closed the connection")
            parser.feed_data(data)
        except TimeoutError:
            raise httpx.ReadTimeout("silent") from None
        except (OSError, httptools.HttpParserError) as error:
            raise httpx.ReadError(type(error).__name__) from None


class Lean(httpx.AsyncBaseTransport):
    """Connections that are kept. With `hangs_up` each is closed once its request is sent, and httpx.ReadError raised."""

    def __init__(self, *, hangs_up: bool = False) -> None:
        self.hangs_up = hangs_up
        self._idle: defaultdict[Place, list[_Exchange]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Part of httpx.AsyncBaseTransport."""
        place = (request.url.host, request.url.port or 80)
        exchange = await self._exchange(place)
        try:
            parser = httptools.HttpResponseParser(exchange)
            await _send(exchange.writer, request)
            if self.hangs_up:
                raise httpx.ReadError("hung up")
            seconds = request.extensions["timeout"].get("read")
            while not exchange.begun:
                await exchange.read_into(parser, seconds)
        except BaseException:
            exchange.writer.close()
            raise
        body = _Body(self, place, exchange, parser, seconds)
        return httpx.Response(parser.get_status_code(), headers=exchange.headers, stream=body)

    async def _exchange(self, place: Place) -> _Exchange:
        idle = self._idle[place]
        while idle:
            last = idle.pop()
            if not last.reader.at_eof() and not last.writer.is_closing():
                return _Exchange(last.reader, last.writer)
            last.writer.close()
        try:
            return _Exchange(*await asyncio.open_connection(*place))
        except OSError as error:
            raise httpx.ConnectError(type(error).__name__) from None

    def leave(self, place: Place, exchange: _Exchange) -> None:
        """Keep the connection for the next request, where it can be used again."""
        closes = tuple(value.lower() for name, value in exchange.headers if name.lower() == b"connection") == (b"close",)
        if exchange.complete and not closes and len(self._idle[place]) < IDLE_CAP:
            self._idle[place].append(exchange)
        else:
            exchange.writer.close()

    async def aclose(self) -> None:
        """Close the kept connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().writer.close()


@dataclass(slots=True)
class _Body(httpx.AsyncByteStream):
    """An answer's body as it comes."""

    transport: Lean
    place: Place
    exchange: _Exchange
    parser: httptools.HttpResponseParser
    seconds: float | None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Part of httpx.AsyncByteStream."""
        exchange = self.exchange
        while True:
            parts, exchange.parts = exchange.parts, []
            if parts:
                yield b"".join(parts)
            if exchange.complete:
                return
            await exchange.read_into(self.parser, self.seconds)

    async def aclose(self) -> None:
        """Part of httpx.AsyncByteStream."""
        self.transport.leave(self.place, self.exchange)


async def _send(writer: asyncio.StreamWriter, request: httpx.Request) -> None:
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in request.headers.raw]
    try:
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + request.content)
        await writer.drain()
    except OSError as error:
        raise httpx.WriteError(type(error).__name__) from None
