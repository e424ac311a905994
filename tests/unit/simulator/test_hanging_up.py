"""Senders who hang up."""

import pytest

from client import NoAnswer, Request, Service
from simulator import hanging_up
from tests.unit.simulator.scripted import OK, scripted


async def test_who_hangs_up_has_sent_everything_and_learns_nothing() -> None:
    async with scripted(OK) as server, hanging_up.new_http() as http, Service(server.url, http=http) as service:
        for path in ("/x", "/y"):
            with pytest.raises(NoAnswer, match="ReadError"):
                await service.attempt(Request("POST", path, {"A": "b"}, b"body"))
        async with Service(server.url) as patient:
            assert (await patient.attempt(Request("GET", "/z"))).content == b"ok"
    assert server.connections == 3
    assert sorted(request.partition(b" HTTP")[0] for request in server.requests) == [b"GET /z", b"POST /x", b"POST /y"]
    assert all(request.endswith(b"body") for request in server.requests if request.startswith(b"POST"))
