"""Two routers: whoever has the turn to match may die or freeze in it. And an agent who is gone: chats go back, mails stay."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

import pytest

from tests.faults.house import House
from tests.faults.houses import Houses
from tests.faults.routers import Routers, Worker, in_the_way, two_routers, worker
from tests.system import until

TAKEN_OVER_SECONDS = 5.0
CHATS, MAILS = 5, 2
# What it all takes of one agent: chats three units each, mails two, and one more chat that is only offered.
UNITS = 3 * (CHATS + 1) + 2 * MAILS
WAY = ("ticket.queued", "ticket.offered", "offer.accepted", "ticket.assigned", "ticket.resolved")
STATE = "SELECT agent_id, queue_id, offer_agent_id, age_from FROM routing.ticket WHERE ticket_id = ANY($1)"


async def assert_all_is_well(house: House) -> None:
    wrong = await house.wrong()
    assert not wrong, "\n".join(wrong)


async def is_so(house: House, ticket_ids: list[str], **wanted: object) -> bool:
    """Whether routing knows all of these tickets and holds this of each of them."""
    rows = await house.system.rows(STATE, ticket_ids)
    return len(rows) == len(ticket_ids) and all(row[name] == value for row in rows for name, value in wanted.items())


async def waits(house: House, key: str) -> str:
    """A ticket that waits because nobody is there."""
    for agent_id in ("dana", "omar"):
        async with worker(house, agent_id) as agent:
            await agent.is_({"state": "offline"})
    ticket_id = await house.write(key)
    await until("it waits", lambda: is_so(house, [ticket_id], agent_id=None, queue_id="support", offer_agent_id=None))
    return ticket_id


@pytest.mark.parametrize("number", [signal.SIGSTOP, pytest.param(signal.SIGKILL, marks=pytest.mark.proof)])
async def test_when_the_router_that_has_the_turn_freezes_or_dies_in_it_the_other_matches(
    houses: Houses, number: signal.Signals
) -> None:
    async with houses.whole() as house:
        async with two_routers(house) as routers:
            ticket_id = await waits(house, f"turn-{number.name}")
            async with in_the_way(house, ticket_id):
                async with worker(house, "dana") as dana:
                    await dana.is_({"state": "available"})
                holder = await routers.holding()
                logged = len(routers.process(holder).log.read_bytes())
                routers.process(holder).signal(number)
            await taken_over(house, routers, routers.other(holder), ticket_id)
            if number == signal.SIGSTOP:
                await wakes(house, routers, holder, ticket_id, logged)
        await assert_all_is_well(house)


async def taken_over(house: House, routers: Routers, other: str, ticket_id: str) -> None:
    """The other router offers the ticket in time, and it is accepted and resolved there."""
    began = time.monotonic()
    async with worker(house, "dana", routers.urls[other]) as dana:
        await dana.offered(ticket_id, TAKEN_OVER_SECONDS)
        print(f"taken over after {time.monotonic() - began:.2f} s")
        await dana.accept(ticket_id)
        await dana.resolve(ticket_id)


async def wakes(house: House, routers: Routers, holder: str, ticket_id: str, logged: int) -> None:
    """The frozen one changes nothing of what the other did, and says that it could not."""
    assert await told(house, ticket_id) == list(WAY)
    process = routers.process(holder)
    process.signal(signal.SIGCONT)
    await until("it has noticed", lambda: b"matching waits" in process.log.read_bytes()[logged:])
    assert await told(house, ticket_id) == list(WAY)
    assert len(await house.system.rows("SELECT 1 FROM routing.offer WHERE ticket_id = $1", ticket_id)) == 1


async def told(house: House, ticket_id: str) -> list[str]:
    """Of what is on its way, what routing said of the ticket, in order."""
    rows = await house.system.rows("SELECT type FROM routing.entry WHERE ticket_id = $1 ORDER BY id", ticket_id)
    return [kind for row in rows if (kind := row["type"].removesuffix(".v1")) in WAY]


async def chat(house: House, name: str) -> str:
    """A chat comes in. Returns the id of its ticket."""
    return await house.write(f"gone-{name}", "chat", channel="chat")


async def test_an_agent_who_is_gone_loses_the_offer_at_once_and_the_chats_after_a_while_but_no_mail(houses: Houses) -> None:
    async with houses.whole() as house, worker(house, "dana") as dana, worker(house, "omar") as omar:
        mails = [await waits(house, f"gone-mail-{n}") for n in range(MAILS)]
        before = await carries(house, UNITS)
        await dana.is_({"state": "available"})
        chats = [await chat(house, f"chat-{n}") for n in range(CHATS)]
        for ticket_id in (*mails, *chats):
            await dana.accept(ticket_id)
        ages = await ages_of(house, chats)
        offered = await chat(house, "offered")
        await dana.offered(offered)
        await omar.is_({"state": "available"})
        await house.system.rows("UPDATE routing.presence SET until = until - interval '1 hour' WHERE agent_id = 'dana'")
        await omar.offered(offered, 3)
        assert await is_so(house, chats, agent_id="dana"), "they wait a while for dana"
        later = await chat(house, "later")
        await until("the chats are nobody's", lambda: is_so(house, chats, agent_id=None), 10)
        assert await is_so(house, mails, agent_id="dana")
        assert await ages_of(house, chats) == ages
        await until("routing knows the later one", lambda: is_so(house, [later]))
        ranks = await house.system.rows("SELECT ticket_id FROM routing.ticket WHERE queue_id IS NOT NULL ORDER BY rank")
        places = [row["ticket_id"] for row in ranks if row["ticket_id"] in (*chats, later)]
        assert places == [*chats, later], "where they were, before who came after them"
        await dana.is_({"state": "available"})
        await worked_off(house, [*mails, *chats, offered, later], dana, omar)
        await carries(house, before)
        await assert_all_is_well(house)


async def ages_of(house: House, ticket_ids: list[str]) -> Mapping[str, object]:
    """From when each counts as waiting: as it was queued last."""
    statement = (
        "SELECT ticket_id, data->>'age_from' AS since FROM routing.entry WHERE type = 'ticket.queued.v1'"
        " AND ticket_id = ANY($1) ORDER BY id"
    )
    return {row["ticket_id"]: row["since"] for row in await house.system.rows(statement, ticket_ids)}


async def carries(house: House, units: int) -> int:
    """Have dana carry so much at most. Returns what it was before."""
    admin = house.system.client("routing", "admin")
    found = (await admin.get("/v1/agents/dana")).json()
    body = {name: found[name] for name in ("display_name", "team_ids", "languages")} | {"capacity_units": units}
    answer = await admin.put("/v1/agents/dana", json=body, headers={"If-Match": f'"{found["version"]}"'})
    answer.raise_for_status()
    return int(found["capacity_units"])


async def worked_off(house: House, ticket_ids: list[str], *agents: Worker) -> None:
    """The agents accept and resolve all there is, until these are resolved; then they leave."""

    async def done() -> bool:
        for agent in agents:
            await agent.work_off()
        statement = "SELECT 1 FROM routing.ticket WHERE ticket_id = ANY($1) AND status <> 'resolved'"
        return not await house.system.rows(statement, ticket_ids)

    await until("all is resolved", done)
    for agent in agents:
        await agent.is_({"state": "offline"})
