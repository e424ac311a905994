"""When the code is wrong the database refuses: here processes decide on what they saw, as if there were no locks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from services.routing import acting
from services.routing.domain import offers
from services.routing.domain.agents import Agent
from services.routing.domain.work import Turn, Work
from services.routing.store import config, desk
from shared import db
from shared.clock import clock
from shared.events.config import QueueConfigured
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(60)
BACK_OFF = timedelta(seconds=60)


@dataclass(frozen=True)
class Seen:
    """What a process saw once. What others do meanwhile it does not see, and no lock of its keeps them from it."""

    house: House
    works: dict[str, Work]
    agents: dict[str, Agent]
    queue: QueueConfigured
    now: datetime

    @classmethod
    async def of(cls, house: House, *agent_ids: str) -> Seen:
        """All tickets, these agents and the one queue, as they are now."""
        ids = [row.ticket_id for row in await house.rows("SELECT ticket_id FROM routing.ticket")]
        async with db.transaction(house.parts.engine) as conn:
            [queue] = await config.queues(conn)
            return cls(house, await desk.works(conn, ids), await desk.agents(conn, agent_ids), queue, await clock(conn))

    def turn(self, ticket_id: str) -> Turn:
        """A decision in the making, on what was seen."""
        return Turn(self.works[ticket_id], f"{id(self)} {ticket_id}", self.now, self.agents)

    def offered(self, ticket_id: str, agent_id: str) -> Turn:
        """The decision to offer it."""
        turn = self.turn(ticket_id)
        offers.make(turn, self.agents[agent_id], self.queue)
        return turn

    async def write(self, turn: Turn) -> None:
        """Write the decision and commit."""
        async with db.transaction(self.house.parts.engine) as conn:
            await acting.write(conn, self.house.parts.outbox, [turn], self.now, wake=False)


async def refused(seen: Seen, turn: Turn, wall: str) -> None:
    """The database does not take the decision, and nothing is left of it."""
    before = await seen.house.said()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await seen.write(turn)
    assert refusal.value.constraint_name == wall
    assert await seen.house.said() == before


async def test_two_who_do_not_see_each_other_cannot_offer_one_ticket_twice(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    await house.agent("noa")
    ticket_id = await house.open()
    one, other = await Seen.of(house, "dana", "noa"), await Seen.of(house, "dana", "noa")
    await one.write(one.offered(ticket_id, "dana"))
    await refused(other, other.offered(ticket_id, "noa"), "offer_one_live")
    await refused(other, other.offered(ticket_id, "dana"), "offer_pkey")


async def test_two_who_do_not_see_each_other_cannot_give_one_agent_too_much(house: House) -> None:
    await house.queue()
    await house.agent("dana", capacity_units=5)
    first, second, third = [await house.open(name) for name in ("a", "b", "c")]
    views = [await Seen.of(house, "dana") for _ in range(3)]
    await views[0].write(views[0].offered(first, "dana"))
    await views[1].write(views[1].offered(second, "dana"))
    await refused(views[2], views[2].offered(third, "dana"), "within_capacity")
    assert (await house.done("rina", "GET", "/v1/agents/dana"))["used_units"] == 4


async def test_a_rule_that_is_wrong_cannot_give_an_agent_too_much(house: House) -> None:
    await house.queue()
    await house.agent("dana", capacity_units=5)
    ticket_id = await house.open()
    seen = await Seen.of(house, "dana")
    turn = seen.offered(ticket_id, "dana")
    turn.put(msgspec.structs.replace(turn.changed["dana"], used_units=6))
    await refused(seen, turn, "within_capacity")


async def test_of_an_acceptance_and_an_expiry_that_do_not_see_each_other_the_second_is_refused(house: House) -> None:
    await house.queue(offer_timeout_seconds=1)
    await house.agent("dana")
    ticket_id = await house.open()
    offer = await house.offered()
    accepting, expiring = await Seen.of(house, "dana"), await Seen.of(house, "dana")
    accepted, expired = accepting.turn(ticket_id), expiring.turn(ticket_id)
    expired.now += timedelta(seconds=2)
    offers.accept(accepted, offer["offer_id"], "dana", accepting.queue)
    offers.expire(expired, BACK_OFF)
    assert expired.drafts
    await accepting.write(accepted)
    await refused(expiring, expired, "offer_ends_once")
    assert (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["agent_id"] == "dana"


async def test_a_ticket_with_an_owner_waits_in_no_queue(house: House) -> None:
    await house.queue()
    await house.agent("dana")
    await house.owned()
    with pytest.raises(IntegrityError, match="ticket_check"):
        await house.rows("UPDATE routing.ticket SET queue_id = 'support'")
