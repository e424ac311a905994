"""An agent's live stream: told at once, nothing twice, nothing lost between two connections or two processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_ports
from shared.http import make_server
from tests.services.routing.conftest import House, open_house

pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True)
class Heard:
    """One event of a stream."""

    id: int
    kind: str
    data: dict[str, Any]


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[str]:
    """The house's API on a port, with its hub and matcher running."""
    port = free_ports(1)[0]
    server = make_server(house.app, "127.0.0.1", port)
    tasks = [asyncio.create_task(run()) for run in (server.serve, house.hub.run, house.hub.renew, house.matcher.run)]
    try:
        await eventually(lambda: _is(server.started))
        yield f"http://127.0.0.1:{port}"
    finally:
        house.hub.close()
        server.should_exit = True
        await asyncio.wait(tasks[:1], timeout=10)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)


@asynccontextmanager
async def listening(house: House, url: str, agent_id: str = "dana", **headers: str) -> AsyncIterator[AsyncIterator[Heard]]:
    """The agent's stream."""
    sent = {"Authorization": f"Bearer {house.keys[agent_id]}", **headers}
    async with (
        httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(5, read=30)) as client,
        client.stream("GET", f"/v1/agents/{agent_id}/stream", headers=sent) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def events(answer: httpx.Response) -> AsyncIterator[Heard]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.strip()
        elif "event" in fields:
            yield Heard(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    """Until the check finds something; fails after so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    found = await check()
    while not found and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
        found = await check()
    assert found


async def _is(value: bool) -> bool:
    return value


async def take(stream: AsyncIterator[Heard], count: int) -> list[Heard]:
    """The next so many events, in at most ten seconds."""
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def test_an_offer_is_on_the_agent_s_stream_as_soon_as_it_is_made(house: House) -> None:
    await house.queue()
    await house.agent()
    async with serving(house) as url, listening(house, url) as stream:
        assert [heard.kind for heard in await take(stream, 1)] == ["ready"]
        ticket_id = await house.open()
        (heard,) = await take(stream, 1)
        assert (heard.kind, heard.data["ticket_id"], heard.data["channel"]) == ("offer.made", ticket_id, "email")
        await house.done("dana", "POST", f"/v1/offers/{heard.data['offer_id']}/accept")
        assert [heard.kind for heard in await take(stream, 1)] == ["ticket.assigned"]


async def test_a_stream_goes_on_after_the_last_event_on_another_process_too(house: House) -> None:
    await house.queue()
    await house.agent()
    async with serving(house) as url, listening(house, url) as stream:
        ready, *_ = await take(stream, 1)
        ticket_id = await house.open()
        (offer,) = await take(stream, 1)
    await house.done("dana", "POST", f"/v1/offers/{offer.data['offer_id']}/accept")
    await house.write(ticket_id, "anybody there?")
    assert house.settings.master_key is not None
    master = house.settings.master_key.get_secret_value()
    async with (
        open_house(house.settings.database.get_secret_value(), house.keys, master) as other,
        serving(other) as url,
        listening(other, url, **{"Last-Event-ID": str(offer.id)}) as stream,
    ):
        heard = await take(stream, 3)
    assert [one.kind for one in heard] == ["ready", "ticket.assigned", "message.received"]
    assert [one.id for one in heard] == [offer.id, offer.id + 1, offer.id + 2]
    assert ready.id == offer.id - 1


async def test_who_comes_back_after_what_was_told_is_gone_is_told_to_read_the_lists_again(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.owned()
    await house.rows("DELETE FROM routing.stream")
    async with serving(house) as url:
        async with listening(house, url, **{"Last-Event-ID": "0"}) as stream:
            assert [(heard.kind, heard.id) for heard in await take(stream, 1)] == [("reset", 2)]
        async with listening(house, url, **{"Last-Event-ID": "999"}) as stream:
            assert [heard.kind for heard in await take(stream, 1)] == ["reset"]
        async with httpx.AsyncClient(base_url=url) as client:
            headers = {"Authorization": f"Bearer {house.keys['dana']}", "Last-Event-ID": "x"}
            assert (await client.get("/v1/agents/dana/stream", headers=headers)).status_code == 422


async def test_an_open_stream_keeps_its_agent_present(house: House) -> None:
    await house.queue()
    await house.agent()
    await house.rows("UPDATE routing.presence SET until = now() + interval '3 seconds'")
    async with serving(house) as url, listening(house, url) as stream:
        await take(stream, 1)
        await eventually(lambda: house.rows("SELECT 1 FROM routing.presence WHERE until > now() + interval '10 seconds'"))


async def test_streams_end_when_the_process_is_told_to_stop(house: House) -> None:
    await house.queue()
    await house.agent()
    async with serving(house) as url, listening(house, url) as stream:
        await take(stream, 1)
        house.hub.close()
        with pytest.raises(StopAsyncIteration):
            await take(stream, 1)
