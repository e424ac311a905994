"""Who looks at a ticket or writes on it: seen by its other agents on whichever process, while it lasts, and by nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_ports
from services.routing.attending import Attendance
from services.routing.hub import Subscriber
from shared import kafka
from shared.events.base import Event, Fact, Position
from shared.events.signals import PresenceChanged
from shared.events.topics import SIGNALS
from shared.http import make_server
from tests.services.routing.conftest import House, open_house
from tests.services.routing.people import browser, person, token_of

pytestmark = pytest.mark.timeout(60)
SERVICES = Path(__file__).resolve().parents[3] / "services"


def path(ticket_id: str) -> str:
    return f"/v1/tickets/{ticket_id}/presence"


def attendance(house: House) -> Attendance:
    found: Attendance = house.app.state.room.attendance
    return found


async def at_work(house: House) -> str:
    """A ticket that dana has."""
    await house.queue()
    await house.agent()
    await house.agent("noa", available=False)
    return await house.owned()


async def doing(house: House, ticket_id: str, role: str = "dana") -> list[tuple[str, str]]:
    items = (await house.done(role, "GET", path(ticket_id)))["items"]
    return [(one["agent_id"], one["doing"]) for one in items]


async def test_agents_see_who_else_is_at_a_ticket_until_they_leave_or_say_nothing(house: House) -> None:
    ticket_id = await at_work(house)
    first = await house.done("noa", "PUT", path(ticket_id), {"doing": "viewing"})
    assert first["ends_after_seconds"] == 30
    both = await house.done("dana", "PUT", path(ticket_id), {"doing": "replying"})
    assert [(one["agent_id"], one["doing"]) for one in both["items"]] == [("noa", "viewing"), ("dana", "replying")]
    await house.done("rina", "PUT", path(ticket_id), {"doing": "viewing"})
    await house.done("noa", "PUT", path(ticket_id), {"doing": "noting"})
    assert await doing(house, ticket_id) == [("dana", "replying"), ("rina", "viewing"), ("noa", "noting")]
    assert (await house.ask("rina", "DELETE", path(ticket_id))).status_code == 204
    assert (await house.ask("rina", "DELETE", path(ticket_id))).status_code == 204, "who is not there leaves nothing"
    await house.rows("UPDATE routing.attending SET until = now() - interval '1 second' WHERE agent_id = 'noa'")
    assert await doing(house, ticket_id) == [("dana", "replying")]
    assert (await house.ask("dana", "PUT", path("nothing"), {"doing": "viewing"})).status_code == 404
    assert (await house.ask("dana", "PUT", path(ticket_id), {"doing": "away"})).status_code == 422


async def test_a_sign_is_written_only_when_it_is_news_or_half_of_the_lease_is_over(house: House) -> None:
    ticket_id = await at_work(house)
    statement = "SELECT doing, since, until FROM routing.attending"
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    before = await house.rows(statement)
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    assert await house.rows(statement) == before
    await house.rows("UPDATE routing.attending SET until = until - interval '16 seconds'")
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    [renewed] = await house.rows(statement)
    assert (renewed.since, renewed.until > before[0].until) == (before[0].since, True)
    await house.done("dana", "PUT", path(ticket_id), {"doing": "replying"})
    [changed] = await house.rows(statement)
    assert (changed.doing, changed.since > before[0].since) == ("replying", True)


async def test_who_goes_offline_or_signs_out_is_at_no_ticket(house: House) -> None:
    ticket_id = await at_work(house)
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    await house.done("dana", "POST", "/v1/agents/dana/state", {"state": "offline"})
    assert await doing(house, ticket_id, "rina") == []
    await person(house)
    token = await token_of(house)
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    async with browser(house) as client:
        out = await client.delete("/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})
    assert out.status_code == 204
    assert await doing(house, ticket_id, "rina") == []


async def test_nothing_of_it_is_kept_on_the_log_or_in_the_streams_rows(house: House) -> None:
    ticket_id = await at_work(house)
    before = len(await house.said()), len(await house.rows("SELECT 1 FROM routing.stream"))
    await house.done("noa", "PUT", path(ticket_id), {"doing": "replying"})
    await house.ask("noa", "DELETE", path(ticket_id))
    assert (len(await house.said()), len(await house.rows("SELECT 1 FROM routing.stream"))) == before


def test_no_service_that_customers_see_knows_of_it() -> None:
    named = {file.relative_to(SERVICES).parts[0] for file in SERVICES.rglob("*.py") if "PresenceChanged" in file.read_text()}
    assert named == {"routing"}


async def heard(house: House, ticket_id: str, agent_id: str, by: str, ends_after_seconds: int = 9) -> list[str]:
    """What an agent who is connected here is told of a sign that any process said."""
    now = (await house.rows("SELECT now() AS now"))[0].now
    fact = PresenceChanged(agent_id=by, doing="replying", until=now + timedelta(seconds=ends_after_seconds))
    event: Event[Fact] = Event("e", fact.TYPE, "routing", Position(0, 0), ticket_id, now, fact)
    with house.hub.subscribed(agent_id, 0, present=False) as subscriber:
        await attendance(house).pass_on(event)
        return _kinds(subscriber)


def _kinds(subscriber: Subscriber) -> list[str]:
    return [told.kind for told in subscriber.told]


async def test_the_agents_of_a_ticket_are_told_and_others_are_not(house: House) -> None:
    ticket_id = await at_work(house)
    await house.done("noa", "PUT", path(ticket_id), {"doing": "replying"})
    assert await heard(house, ticket_id, "dana", by="noa") == ["presence.changed"], "the owner"
    assert await heard(house, ticket_id, "noa", by="noa") == [], "not whose it is"
    assert await heard(house, ticket_id, "ghost", by="noa") == [], "nor who has nothing to do with it"
    assert await heard(house, ticket_id, "noa", by="dana") == ["presence.changed"], "who looks at it"
    assert await heard(house, ticket_id, "dana", by="noa", ends_after_seconds=-1) == [], (
        "what ended on its way is not told as going on"
    )


async def test_leases_that_are_over_are_ended_by_one_of_several_processes(house: House) -> None:
    ticket_id = await at_work(house)
    await house.done("noa", "PUT", path(ticket_id), {"doing": "replying"})
    await house.done("dana", "PUT", path(ticket_id), {"doing": "viewing"})
    await house.rows("UPDATE routing.attending SET until = now() - interval '1 second' WHERE agent_id = 'noa'")
    attendance(house)._unsaid.clear()
    await asyncio.gather(*(attendance(house).end_lapsed() for _ in range(3)))
    assert list(attendance(house)._unsaid) == [(ticket_id, PresenceChanged(agent_id="noa", doing="away"))]
    assert [row.agent_id for row in await house.rows("SELECT agent_id FROM routing.attending")] == ["dana"]


@dataclass(frozen=True)
class Heard:
    """One event of a stream; what passes by has no id."""

    id: str | None
    kind: str
    data: dict[str, Any]


@asynccontextmanager
async def listening(house: House, agent_id: str) -> AsyncIterator[AsyncIterator[Heard]]:
    """The agent's stream on a port of this process's, which hears and says signals."""
    port = free_ports(1)[0]
    server = make_server(house.app, "127.0.0.1", port)
    tasks = [asyncio.create_task(run()) for run in (server.serve, house.hub.run, *_share(house))]
    try:
        await eventually(lambda: _is(server.started))
        headers = {"Authorization": f"Bearer {house.keys[agent_id]}"}
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=httpx.Timeout(5, read=30)) as client,
            client.stream("GET", f"/v1/agents/{agent_id}/stream", headers=headers) as answer,
        ):
            yield events(answer)
    finally:
        house.hub.close()
        server.should_exit = True
        await asyncio.wait(tasks[:1], timeout=10)
        await _cancelled(tasks[1:])


def _share(house: House) -> tuple[Callable[[], Any], ...]:
    return attendance(house).run, attendance(house).hear


async def _cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def events(answer: httpx.Response) -> AsyncIterator[Heard]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.strip()
        elif "event" in fields:
            yield Heard(fields.get("id"), fields["event"], json.loads(fields["data"]))
            fields = {}


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    """Until the check finds something; fails after so many seconds."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for happens in another task
            await asyncio.sleep(0.05)


async def _is(value: bool) -> bool:
    return value


async def test_it_is_told_on_another_process_s_stream_and_ends_when_its_own_process_is_killed(
    routing_database: str, kafka_bootstrap: str
) -> None:
    async with open_house(routing_database, kafka=kafka_bootstrap, routing_attending_seconds=1.5) as house:
        await kafka.create_topics(house.settings, (SIGNALS,))
        assert house.settings.master_key is not None
        master = house.settings.master_key.get_secret_value()
        ticket_id = await at_work(house)
        async with (
            open_house(routing_database, house.keys, master, kafka=kafka_bootstrap) as other,
            listening(other, "dana") as stream,
        ):
            assert (await anext(stream)).kind == "ready"
            own = [asyncio.create_task(run()) for run in _share(house)]
            told: asyncio.Queue[Heard] = asyncio.Queue()
            listener = asyncio.create_task(_into(stream, told))

            async def said_and_heard() -> bool:
                await house.ask("noa", "DELETE", path(ticket_id))
                await house.done("noa", "PUT", path(ticket_id), {"doing": "noting"})
                await asyncio.sleep(0.2)
                return any(one.data["doing"] == "noting" for one in _drained(told))

            await eventually(said_and_heard)
            await _cancelled(own)  # its process says nothing any more
            since: list[Heard] = []

            async def ended() -> bool:
                since.extend(_drained(told))
                return bool(since) and since[-1].data["doing"] == "away" and await doing(other, ticket_id) == []

            await eventually(ended)
            away = {"ticket_id": ticket_id, "agent_id": "noa", "doing": "away", "until": None}
            assert since[-1] == Heard(None, "presence.changed", away)
            await _cancelled([listener])


async def _into(stream: AsyncIterator[Heard], queue: asyncio.Queue[Heard]) -> None:
    async for one in stream:
        queue.put_nowait(one)


def _drained(queue: asyncio.Queue[Heard]) -> list[Heard]:
    return [queue.get_nowait() for _ in range(queue.qsize())]
