"""The order of work on a real database: what is first in line is found by index, whatever waits behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from shared import db
from shared.clock import clock
from shared.events.base import Priority, derived_id
from shared.events.people import CustomerProfileChanged
from shared.events.ticket import TicketOpened
from tests.services.routing.conftest import CUSTOMER, House, open_house

pytestmark = pytest.mark.timeout(60)


@pytest_asyncio.fixture
async def narrow(routing_database: str) -> AsyncIterator[House]:
    """A house that looks at one waiting ticket of a kind at a time, so that the database's order is what counts."""
    async with open_house(routing_database, routing_match_tickets=1) as opened:
        yield opened


async def came(house: House, name: str, seconds_ago: int, *, priority: Priority = 2, vip: bool = False) -> str:
    """A ticket comes in whose customer waits for so long."""
    async with db.transaction(house.parts.engine) as conn:
        since = await clock(conn) - timedelta(seconds=seconds_ago)
    ticket_id = derived_id("ticket", name)
    opened = TicketOpened(
        number=7, customer_id=CUSTOMER, channel="email", inbox="help", priority=priority, vip=vip, unanswered_since=since
    )
    await house.hear(ticket_id, opened)
    return ticket_id


async def first(house: House) -> str:
    """The ticket that the agent, who has room for one, is offered."""
    return str((await house.offered())["ticket_id"])


async def test_who_waited_long_enough_is_before_who_is_more_urgent(narrow: House) -> None:
    await narrow.queue(ageing_seconds=60)
    await narrow.agent(capacity_units=2)
    await came(narrow, "urgent", 1, priority=4)
    old = await came(narrow, "old", 1000, priority=1)
    await came(narrow, "normal", 10)
    assert await first(narrow) == old


async def test_without_ageing_the_most_urgent_is_first_and_of_those_the_vip(narrow: House) -> None:
    await narrow.queue(vip_bonus_seconds=600)
    await narrow.agent(capacity_units=2)
    await came(narrow, "old", 1000, priority=1)
    await came(narrow, "urgent", 300, priority=4)
    vip = await came(narrow, "vip", 1, priority=4, vip=True)
    assert await first(narrow) == vip


async def test_a_ticket_that_becomes_urgent_while_it_waits_goes_to_the_front(narrow: House) -> None:
    await narrow.queue()
    await narrow.agent(capacity_units=2)
    await came(narrow, "old", 1000)
    young = await came(narrow, "young", 1)
    await narrow.done("rina", "POST", f"/v1/tickets/{young}/priority", {"priority": 3})
    assert await first(narrow) == young


async def test_a_queue_that_begins_to_age_orders_those_who_wait_already(narrow: House) -> None:
    await narrow.queue()
    await narrow.agent(capacity_units=2)
    old = await came(narrow, "old", 1000, priority=1)
    await came(narrow, "urgent", 1, priority=4)
    ageing = {"name": {"en": "support"}, "position": 1, "ageing_seconds": 60}
    assert (await narrow.ask("admin", "PUT", "/v1/queues/support", ageing, {"If-Match": '"1"'})).status_code == 200
    await narrow.ticker.once()
    assert await narrow.types(old) == ["ticket.queued"], "nothing is said of it"
    assert await first(narrow) == old


async def test_a_customer_who_becomes_a_vip_while_waiting_moves_up(narrow: House) -> None:
    await narrow.queue(vip_bonus_seconds=600)
    await narrow.agent(capacity_units=2)
    await narrow.hear("c-2", CustomerProfileChanged(vip=False))
    other = TicketOpened(number=7, customer_id="c-2", channel="email", inbox="help")
    await narrow.hear(derived_id("ticket", "other"), other)
    vip = await came(narrow, "vip", 0)
    await narrow.hear(CUSTOMER, CustomerProfileChanged(vip=True))
    await narrow.ticker.once()
    assert await first(narrow) == vip
