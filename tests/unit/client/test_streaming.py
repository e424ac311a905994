"""A live stream goes on where it was cut, without a gap and with nothing told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from client import NoAnswer, ProblemError, Request, Routing, Service, StreamEvent, Waiting
from client.streaming import Decoder

SOON = Waiting(attempt_seconds=2, first_wait_seconds=0.01, longest_wait_seconds=0.02)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
READY = b'id: 4\nevent: ready\ndata: {"agent_id": "dana"}\n\n'
OFFER = b'id: 5\nevent: offer.made\ndata: {"offer_id": "o-1", "expires_at": "2026-01-02T03:04:05+00:00"}\n\n'
ENDED = b'id: 6\nevent: offer.ended\ndata: {"offer_id": "o-1"}\n\n'
END = b"0\r\n\r\n"
LATER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Cutting:
    """What each connection is told before it is cut; one more is kept open in silence. `left` is set when that is left."""

    scripts: list[bytes]
    url: str = ""
    requests: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if self.scripts:
            writer.write(self.scripts.pop(0))
            await writer.drain()
        else:
            writer.write(HEAD + chunk(b": hello\n\n") + chunk(READY))
            await reader.read()
            self.left.set()
        writer.close()

    @property
    def last_ids(self) -> list[str]:
        """The Last-Event-ID of each request."""
        lines = [request.split("\r\n") for request in self.requests]
        return ["".join(line[15:] for line in one if line.lower().startswith("last-event-id: ")) for one in lines]


@asynccontextmanager
async def cutting(*scripts: bytes) -> AsyncIterator[Cutting]:
    told = Cutting(list(scripts))
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()


async def heard(stream: AsyncIterator[StreamEvent], count: int) -> list[tuple[str, str]]:
    """(id, kind) of the next so many, in at most five seconds."""
    async with asyncio.timeout(5):
        return [(event.id, event.kind) for event in [await anext(stream) for _ in range(count)]]


async def test_a_stream_that_is_cut_within_an_event_or_ends_goes_on_behind_the_last_whole_one() -> None:
    cut = HEAD + chunk(READY + OFFER + ENDED[:30])
    ends = HEAD + chunk(READY.replace(b"4", b"5") + ENDED) + END
    async with (
        cutting(cut, LATER, ends) as server,
        Routing(server.url, waiting=SOON) as routing,
        aclosing(routing.stream_agent("dana")) as stream,
    ):
        told = await heard(stream, 5)
    assert told == [("4", "ready"), ("5", "offer.made"), ("5", "ready"), ("6", "offer.ended"), ("4", "ready")]
    assert server.last_ids == ["", "5", "5", "6"]
    assert server.requests[0].startswith("GET /v1/agents/dana/stream HTTP/1.1\r\n")


async def test_what_was_told_keeps_the_server_s_deadline() -> None:
    async with (
        cutting(HEAD + chunk(READY) + chunk(OFFER)) as server,
        Routing(server.url) as routing,
        aclosing(routing.stream_agent("dana", last_event_id="3")) as stream,
    ):
        offer = [await anext(stream) for _ in range(2)][1]
    assert offer.data == {"offer_id": "o-1", "expires_at": "2026-01-02T03:04:05+00:00"}
    assert server.last_ids == ["3"]


async def test_who_is_refused_is_told_so() -> None:
    body = b'{"code": "forbidden", "detail": "Not you"}'
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with cutting(refused) as server, Routing(server.url, waiting=SOON) as routing:
        with pytest.raises(ProblemError, match="403 forbidden: Not you"):
            await anext(routing.stream_agent("dana"))
    assert len(server.requests) == 1


async def test_a_stream_that_is_not_to_be_resumed_ends_as_no_answer() -> None:
    async with cutting(HEAD + chunk(READY) + END, LATER) as server, Routing(server.url) as routing:
        stream = routing.stream_agent("dana", resume=False)
        assert await heard(stream, 1) == [("4", "ready")]
        with pytest.raises(NoAnswer):
            await anext(stream)
        with pytest.raises(ProblemError):
            await anext(routing.stream_agent("dana", resume=False))


async def test_who_leaves_a_stream_hangs_up() -> None:
    async with cutting() as server, Routing(server.url) as routing:
        async with aclosing(routing.stream_agent("dana")) as stream:
            assert await heard(stream, 1) == [("4", "ready")]
        async with asyncio.timeout(5):
            await server.left.wait()


async def test_a_stream_that_is_silent_for_too_long_is_no_answer() -> None:
    pieces: list[bytes] = []

    async def hear(service: Service) -> None:
        async with service.opened(Request("GET", "/v1/live"), 0.1) as told:
            async for piece in told:
                pieces.append(piece)  # noqa: PERF401 - what came before it broke off counts

    async with cutting() as server, Service(server.url) as service:
        with pytest.raises(NoAnswer, match="ReadTimeout"):
            await hear(service)
    assert b"".join(pieces) == b": hello\n\n" + READY


TOLD = (
    b"\xef\xbb\xbf: a comment\nretry: 1500\n\r\n"
    b'id: 1\revent: a\rdata: {"text":\rdata: "\xe2\x80\xa8 \xd7\xa9"}\r\r'
    b"data:2\r\n\r\n"
    b"id: 3\n\n"
    b"id\ndata: 4\n\n"
    b"unknown: x\nid: no\x00thing\nevent: b\ndata: [5]\n\n"
    b"event: never told\nid: 9\ndata: 6\n"
)
EVENTS = [
    StreamEvent("1", "a", {"text": "\u2028 ש"}),
    StreamEvent("1", "message", 2),
    StreamEvent("", "message", 4),
    StreamEvent("", "b", [5]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
def test_events_are_read_however_they_are_cut_into_pieces(size: int) -> None:
    decoder = Decoder()
    pieces = [TOLD[at : at + size] for at in range(0, len(TOLD), size)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS
    assert (decoder.last_id, decoder.retry_seconds) == ("", 1.5)


def test_what_was_half_told_on_one_connection_is_forgotten_on_the_next() -> None:
    decoder = Decoder("1")
    assert list(decoder.feed(b"id: 2\nevent: a\ndata: {")) == []
    decoder.begin()
    assert decoder.last_id == "1"
    assert list(decoder.feed(b"data: 3\n\n")) == [StreamEvent("1", "message", 3)]
