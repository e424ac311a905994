"""The order of work on a real database: what is first in line is found by index, whatever waits behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from services.routing.store import matching
from services.routing.store.matching import TAKE_TURN
from shared import db
from shared.clock import clock
from shared.events.base import Priority, derived_id
from shared.events.people import CustomerProfileChanged
from shared.events.sla import ClockPaused, ClockStarted
from shared.events.ticket import TicketCustomerChanged, TicketOpened
from tests.counts import PROOF
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
    await narrow.edit("rina", young, priority=3)
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


async def test_a_ticket_that_turns_out_to_be_a_vip_s_moves_up_while_it_waits(narrow: House) -> None:
    await narrow.queue(vip_bonus_seconds=600)
    await narrow.hear("c-vip", CustomerProfileChanged(vip=True))
    await came(narrow, "older", 100)
    theirs = await came(narrow, "vip", 0)
    await narrow.hear(theirs, TicketCustomerChanged(customer_id="c-vip", previous=CUSTOMER, reason="merged"))
    await narrow.ticker.once()
    await narrow.agent(capacity_units=2)
    assert await first(narrow) == theirs


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


async def clock_starts(house: House, ticket_id: str, due_in_seconds: int) -> dict[str, object]:
    """Sla promises something. Returns what all facts about the promise say."""
    async with db.transaction(house.parts.engine) as conn:
        now = await clock(conn)
    promise = {
        "clock_id": derived_id("clock", ticket_id),
        "target": "first_response",
        "cycle": 1,
        "policy_id": "p",
        "policy_version": 1,
        "dedup_key": "k",
        "channel": "email",
        "priority": 2,
    }
    started = ClockStarted(started_at=now, deadline=now + timedelta(seconds=due_in_seconds), target_us=5, **promise)  # type: ignore[arg-type]
    await house.hear(ticket_id, started, writer="sla")
    return promise


async def test_whose_promise_is_due_soon_goes_before_who_came_earlier_until_the_clock_stops(narrow: House) -> None:
    await narrow.queue(due_lead_seconds=3600)
    await narrow.agent(capacity_units=2)
    old = await came(narrow, "old", 600)
    young = await came(narrow, "young", 1)
    await clock_starts(narrow, old, 86_400)
    promise = await clock_starts(narrow, young, 900)
    await narrow.ticker.once()
    offer = await narrow.offered()
    assert offer["ticket_id"] == young
    await narrow.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/decline", {})
    paused = ClockPaused(remaining_us=3, reason="pending", **promise)  # type: ignore[arg-type]
    await narrow.hear(young, paused, writer="sla")
    await narrow.ticker.once()
    assert await first(narrow) == old


async def test_where_promises_do_not_count_a_clock_files_nothing_anew(narrow: House) -> None:
    await narrow.queue()
    ticket_id = await came(narrow, "t", 1)
    await clock_starts(narrow, ticket_id, 900)
    assert [row.filed_under for row in await narrow.rows("SELECT filed_under FROM routing.ticket")] == [1]


async def test_what_is_to_be_filed_again_stays_so_whatever_else_happens_to_the_ticket(narrow: House) -> None:
    await narrow.queue(due_lead_seconds=3600)
    ticket_id = await came(narrow, "t", 1)
    await narrow.ticker.once()
    await clock_starts(narrow, ticket_id, 900)
    await narrow.edit("rina", ticket_id, priority=3)
    assert [row.filed_under for row in await narrow.rows("SELECT filed_under FROM routing.ticket")] == [-1]
    await narrow.ticker.once()
    assert [row.filed_under for row in await narrow.rows("SELECT filed_under FROM routing.ticket")] == [1]


async def test_however_many_wait_the_first_of_each_lane_are_read_in_their_order(house: House) -> None:
    await house.rows(
        "INSERT INTO routing.ticket (ticket_id, number, customer_id, status, queue_id, lane, priority, rank, age_from,"
        " entered_at, filed_under, state, updated_at)"
        " SELECT 't' || n, n, 'c', 'new', 'support', 'support|email|' || n % 5, 2, n, now(), now(), 1, 'x', now()"
        " FROM generate_series(1, :waiting) n",
        waiting=100_000 if PROOF else 5_000,
    )
    await house.rows("ANALYZE routing.ticket")
    plan = "\n".join(row[0] for row in await house.rows(f"EXPLAIN {TAKE_TURN.replace('$1', '200')}"))
    assert plan.count("using ticket_waiting") == 2, plan
    assert "Sort" not in plan
    assert "Seq Scan on ticket" not in plan
    async with db.transaction(house.parts.engine) as conn:
        found = await matching.take_turn(conn, 2)
    assert sorted(ticket_id for ticket_id, _ in found.tickets) == sorted(f"t{n}" for n in range(1, 11))
