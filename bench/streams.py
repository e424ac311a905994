"""Live streams (server-sent events) followed with next to no cost of our own: raw asyncio and httptools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import httptools

from bench.world import BenchFailed

OPEN_SECONDS = 20.0
Told = Callable[[str, str], None]


class Stream(asyncio.Protocol):
    """One stream. `told` is called with kind and data of each event; `ready` is set by the first."""

    def __init__(self, request: bytes, told: Told) -> None:
        self.ready = asyncio.Event()
        self.status = 0
        self._request = request
        self._told = told
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's own is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        """Part of httptools' callbacks."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Part of httptools' callbacks."""
        *events, self._rest = (self._rest + body.replace(b"\r\n", b"\n")).split(b"\n\n")
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n") if ": " in line and line[0] != ":")
            self.ready.set()
            self._told(fields.get("event", "message"), fields.get("data", ""))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def following(host: str, port: int, paths: Mapping[str, str], told: Callable[[str, str, str], None]) -> AsyncIterator[None]:
    """Follow streams of one server, `paths` with the API key of each, for as long as the context lasts. `told` is called
    with path, kind and data. Raises BenchFailed when one does not open.
    """
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    try:
        for path, key in paths.items():
            make = partial(Stream, _request(host, port, path, key), partial(told, path))
            _, stream = await loop.create_connection(make, host, port)
            streams.append(stream)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await asyncio.gather(*(stream.ready.wait() for stream in streams))
        except TimeoutError:
            answers = sorted({stream.status for stream in streams if not stream.ready.is_set()})
            raise BenchFailed(f"a live stream did not open within {OPEN_SECONDS:.0f} s; answers: {answers}") from None
        yield
    finally:
        for stream in streams:
            stream.close()


def _request(host: str, port: int, path: str, key: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\n\r\n"
    ).encode()
