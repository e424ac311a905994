"""The simulator's transport: kept connections, streams, answers that never come, senders who hang up."""

import pytest

from client import NoAnswer, Request, Service, Waiting
from simulator.transport import new_http
from tests.unit.simulator.scripted import CUT, OK, scripted

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nid: 1\ndat\r\n6\r\na: {}\n\r\n1\r\n\n\r\n0\r\n\r\n"
POST, GET = Request("POST", "/x?a=b", {"A": "b"}, b"body"), Request("GET", "/y")


async def test_one_connection_serves_many_requests() -> None:
    async with scripted(OK) as server, new_http() as http, Service(server.url, http=http) as service:
        for _ in range(3):
            assert (await service.attempt(POST)).content == b"ok"
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /x?a=b HTTP/1.1\r\n")
    assert b"\r\nA: b\r\n" in server.requests[0]
    assert server.requests[0].endswith(b"\r\n\r\nbody")


async def test_a_cut_connection_is_no_answer_and_the_next_request_has_a_new_one() -> None:
    async with scripted(OK, CUT, OK) as server, new_http() as http, Service(server.url, http=http) as service:
        await service.attempt(POST)
        with pytest.raises(NoAnswer, match="ReadError"):
            await service.attempt(POST)
        assert (await service.attempt(POST)).status == 200
    assert server.connections == 2


async def test_nobody_there_and_nobody_in_time_are_no_answer() -> None:
    soon = Waiting(attempt_seconds=0.05)
    async with new_http() as http:
        async with scripted(b"HTTP/1.1 200 OK\r\n") as server:
            with pytest.raises(NoAnswer, match="TimeoutError"):
                await Service(server.url, http=http, waiting=soon).attempt(GET)
        with pytest.raises(NoAnswer, match="ConnectError"):
            await Service(server.url, http=http).attempt(GET)


async def test_who_hangs_up_has_sent_everything_and_learns_nothing() -> None:
    async with scripted(OK) as server, new_http(hangs_up=True) as http, Service(server.url, http=http) as service:
        for _ in range(2):
            with pytest.raises(NoAnswer, match="ReadError"):
                await service.attempt(POST)
        async with Service(server.url) as patient:
            assert (await patient.attempt(GET)).content == b"ok"
    assert server.connections == 3
    assert sorted(request.partition(b" HTTP")[0] for request in server.requests) == [b"GET /y", b"POST /x?a=b", b"POST /x?a=b"]
    assert all(request.endswith(b"body") for request in server.requests if request.startswith(b"POST"))


async def heard(service: Service, pieces: list[bytes]) -> None:
    async with service.opened(GET, 0.05) as told:
        async for piece in told:
            pieces.append(piece)  # noqa: PERF401 - what came before it broke off counts


@pytest.mark.parametrize(
    ("stream", "end", "all_of_it"),
    [(STREAM, "the stream ended", b"id: 1\ndata: {}\n\n"), (STREAM[:-14], "ReadTimeout", b"id: 1\ndata: {}")],
)
async def test_a_stream_is_told_as_it_comes_until_it_ends_or_is_silent(stream: bytes, end: str, all_of_it: bytes) -> None:
    pieces: list[bytes] = []
    async with scripted(stream) as server, new_http() as http, Service(server.url, http=http) as service:
        with pytest.raises(NoAnswer, match=end):
            await heard(service, pieces)
    assert b"".join(pieces).startswith(all_of_it)
