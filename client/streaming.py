"""Live streams: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2), resumed when cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from .exchange import NoAnswer, ProblemError, Request
from .service import Service

SILENCE_SECONDS = 25.0  # a service says something at least every 15 s
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # what may be the half of \r\n waits for the next piece


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What was told. `id` is where the stream goes on after it; `data` is JSON, with the server's instants as it said them."""

    id: str
    kind: str
    data: Any


class Decoder:
    """Makes events of the pieces that come. `last_id` is that of the last whole event; `retry_seconds` what the server asks."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_seconds: float | None = None
        self.begin()

    def begin(self) -> None:
        """A new connection: what was half told on the one before is told again."""
        self._rest = b""
        self._data: list[str] = []
        self._kind = ""
        self._id = self.last_id
        self._first = True

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """The events that this piece completes. Raises msgspec.DecodeError."""
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        for line in lines:
            told = line.removeprefix(BYTE_ORDER_MARK) if self._first else line
            self._first = False
            if told:
                self._take(*_field(told))
            elif (event := self._event()) is not None:
                yield event

    def _take(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\x00" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value) / 1000

    def _event(self) -> StreamEvent | None:
        data, kind = self._data, self._kind or "message"
        self._data, self._kind = [], ""
        self.last_id = self._id
        return StreamEvent(self.last_id, kind, msgspec.json.decode("\n".join(data))) if data else None


def _field(line: bytes) -> tuple[str, str]:
    """Name and value; a comment has no name."""
    name, _, value = line.decode("utf-8", "replace").partition(":")
    return name, value.removeprefix(" ")


async def follow(service: Service, path: str, last_id: str = "", *, resume: bool = True) -> AsyncGenerator[StreamEvent, None]:
    """What is told on a stream from after `last_id`, nothing of it twice. Raises ProblemError.

    When it is cut or silent it is connected again and goes on behind the last event, after waits that double while it keeps
    being cut at once. With `resume=False` NoAnswer is raised instead.
    """
    decoder, failures = Decoder(last_id), 0
    clock = asyncio.get_running_loop().time
    while True:
        asked: float | None = None
        began = clock()
        decoder.begin()
        try:
            async with service.opened(_asking(path, decoder.last_id), SILENCE_SECONDS) as pieces:
                async for piece in pieces:
                    for event in decoder.feed(piece):
                        yield event
        except (NoAnswer, ProblemError) as failure:
            if not (resume and failure.passing):
                raise
            asked = failure.retry_after_seconds
        lasted = clock() - began > service.waiting.longest_wait_seconds
        failures = 1 if lasted else failures + 1
        await asyncio.sleep(service.waiting.wait(failures, asked or decoder.retry_seconds))


def _asking(path: str, last_id: str) -> Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return Request("GET", path, headers | ({"Last-Event-ID": last_id} if last_id else {}))
