"""A thousand agents come at once: one pass gives each of them a ticket that waited, however many processes there are."""

from __future__ import annotations

import asyncio

import pytest

from bench import floor
from services.routing.ticking import set_states
from shared import db
from tests.services.routing.conftest import House, open_house

pytestmark = pytest.mark.timeout(60)
MANY = 1_000


async def away(house: House) -> list[str]:
    """So many agents, who are there and take nothing just now, and as many tickets that wait. Returns the agents."""
    async with db.transaction(house.parts.engine) as conn:
        await floor.furnish(conn, MANY)
        await floor.wait_in_line(conn, MANY, floor.COMMON)
    await house.rows("UPDATE routing.agent SET state = 'break'")
    await house.rows("UPDATE routing.seat SET ready = false")
    return [row.agent_id for row in await house.rows("SELECT agent_id FROM routing.agent")]


async def test_a_thousand_agents_who_come_at_once_are_matched_in_one_pass(house: House, routing_database: str) -> None:
    assert house.settings.master_key is not None
    master = house.settings.master_key.get_secret_value()
    agents = await away(house)
    async with (
        open_house(routing_database, house.keys, master, routing_match_tickets=MANY + 1) as one,
        open_house(routing_database, house.keys, master, routing_match_tickets=MANY + 1) as other,
    ):
        assert await one.matcher.once() == "nobody"
        async with db.transaction(house.parts.engine) as conn:
            await set_states(conn, house.parts.outbox, agents, "available", "all_at_once")
        outcomes = await asyncio.gather(one.matcher.once(), other.matcher.once())
    # Whoever had the turn left nothing to do; the other found the turn taken, or nothing that waits.
    assert "done" in outcomes
    assert set(outcomes) <= {"done", "soon"}
    offered = await house.rows("SELECT ticket_id, agent_id, CAST(xmin AS text) FROM routing.offer WHERE state = 'live'")
    assert len(offered) == len({row.ticket_id for row in offered}) == len({row.agent_id for row in offered}) == MANY
    assert len({row.xmin for row in offered}) == 1, "one transaction offered them all"
