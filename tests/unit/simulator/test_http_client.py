"""The simulator's HTTP client: kept connections, event streams, answers that never come."""

import pytest

from simulator.http_client import HttpClient, NoAnswer
from tests.unit.simulator.scripted import CUT, LATER, OK, scripted

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nid: 1\ndat\r\n6\r\na: {}\n\r\n1\r\n\n\r\n0\r\n\r\n"


async def test_one_connection_serves_many_requests() -> None:
    async with scripted(OK) as server:
        http = HttpClient(server.url)
        for _ in range(3):
            assert (await http.request("POST", "/x", {"A": "b"}, b"body")).body == b"ok"
        http.close()
    assert server.connections == 1
    assert server.requests[0].endswith(b"A: b\r\n\r\nbody")


async def test_what_the_server_asks_us_to_wait_is_read_and_the_status_told() -> None:
    async with scripted(LATER) as server:
        reply = await HttpClient(server.url).request("GET", "/x", {})
    assert (reply.status, reply.retry_after_seconds) == (503, 0.0)


async def test_a_cut_connection_is_no_answer_and_the_next_request_has_a_new_one() -> None:
    async with scripted(OK, CUT, OK) as server:
        http = HttpClient(server.url)
        await http.request("GET", "/1", {})
        with pytest.raises(NoAnswer):
            await http.request("GET", "/2", {})
        assert (await http.request("GET", "/3", {})).status == 200
    assert server.connections == 2


async def test_nobody_there_and_nobody_in_time_are_no_answer() -> None:
    async with scripted(b"HTTP/1.1 200 OK\r\n") as server:
        with pytest.raises(NoAnswer):
            await HttpClient(server.url, answer_seconds=0.05).request("GET", "/", {})
        url = server.url
    with pytest.raises(NoAnswer):
        await HttpClient(url).request("GET", "/", {})


async def test_who_hangs_up_has_sent_everything_and_learns_nothing() -> None:
    async with scripted(OK) as server:
        http = HttpClient(server.url)
        with pytest.raises(NoAnswer):
            await http.request("POST", "/x", {}, b"body", hang_up=True)
        await http.request("GET", "/y", {})
        assert [request.partition(b" HTTP")[0] for request in server.requests] == [b"POST /x", b"GET /y"]


async def heard(url: str, silence_seconds: float, lines: list[bytes]) -> None:
    async with HttpClient(url).stream("/s", {}, silence_seconds) as told:
        async for line in told:
            lines.append(line)  # noqa: PERF401 - what came before it broke off counts


async def test_a_stream_is_read_line_by_line_however_it_is_cut_and_its_end_is_no_answer() -> None:
    lines: list[bytes] = []
    async with scripted(STREAM) as server:
        with pytest.raises(NoAnswer):
            await heard(server.url, 1.0, lines)
    assert lines == [b"id: 1", b"data: {}", b""]


async def test_a_stream_that_is_silent_for_too_long_is_no_answer() -> None:
    lines: list[bytes] = []
    async with scripted(STREAM[:-14]) as server:
        with pytest.raises(NoAnswer):
            await heard(server.url, 0.05, lines)
    assert lines == [b"id: 1"]
