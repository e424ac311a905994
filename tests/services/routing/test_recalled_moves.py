"""After a restore what went on with tickets besides their queues and owners goes on, read back from the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.routing.recalling import TicketsRecalled, carry_afresh
from shared import db
from shared.clock import clock
from shared.events.base import Event, Fact
from shared.events.people import CustomerProfileChanged
from shared.events.topics import TICKETS
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)
STATE = {
    "tickets": "SELECT ticket_id, status, agent_id, queue_id, offer_agent_id, age_from, due_at, live_agent_id, besides"
    " FROM routing.ticket",
    "ways": "SELECT ticket_id, s ->> 'age_from', s ->> 'tier', s ->> 'path', s ->> 'rules', s ->> 'transfers', s ->> 'resolved',"
    " s ->> 'besides', s ->> 'units'"
    " FROM (SELECT ticket_id, CAST(convert_from(state, 'UTF8') AS jsonb) AS s FROM routing.ticket) t",
    "agents": "SELECT agent_id, used_units, tickets, CAST(by_channel AS text) FROM routing.agent",
}


async def state(house: House) -> dict[str, set[tuple[object, ...]]]:
    return {name: {tuple(row) for row in await house.rows(query)} for name, query in STATE.items()}


async def log_of_tickets(house: House) -> list[Event[Fact]]:
    """What both writers said of tickets, in order."""
    said = [event for event in [*house.heard, *await house.said()] if type(event.data) in TICKETS.facts]
    return sorted(said, key=lambda event: event.time)


async def much_goes_on(house: House) -> None:
    """A wrap-up, a hand-over, a question, a callback, a ticket that rose, a chat that somebody has."""
    await house.queue("support", wrap_up_seconds=600, consult_units=1)
    await house.queue("second", position=2, tier=2)
    await house.agent("dana", capacity_units=30)
    await house.agent("noa", available=False, capacity_units=30)
    resolved, handed, asked, risen = [await house.owned(name) for name in ("resolved", "handed", "asked", "risen")]
    await house.done("rina", "POST", "/v1/agents/noa/state", {"state": "available"})
    await house.done("dana", "POST", f"/v1/tickets/{resolved}/resolve", {"code": "answered"})
    await house.done("dana", "POST", f"/v1/tickets/{handed}/transfer", {"to": "agent", "id": "noa", "warm": True})
    await house.done("dana", "POST", f"/v1/tickets/{asked}/consults", {"text": "How?", "agent_id": "noa"})
    await house.done("dana", "POST", f"/v1/tickets/{risen}/escalate", {})
    chat, call, sent = (
        await house.open("chat", channel="chat"),
        await house.open("call", channel="phone"),
        await house.open("sent"),
    )
    await house.done("noa", "POST", f"/v1/tickets/{chat}/take")
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await house.done("rina", "POST", f"/v1/tickets/{call}/callback", {"not_before": later})
    await house.done("rina", "POST", f"/v1/tickets/{sent}/assign", {"agent_id": "noa"})
    await house.done("noa", "POST", f"/v1/tickets/{sent}/transfer", {"to": "agent", "id": "dana"})


async def test_what_is_counted_afresh_keeps_its_place_in_line_and_is_filed_again_where_it_was_to_be(house: House) -> None:
    await house.queue("support", wrap_up_seconds=600, vip_bonus_seconds=3600)
    await house.agent("dana")
    ticket_id = await house.owned()
    await house.hear(CUSTOMER, CustomerProfileChanged(vip=True))
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "queue", "id": "support"})
    await house.rows("UPDATE routing.ticket SET filed_under = -filed_under")
    place = "SELECT rank, filed_under FROM routing.ticket"
    before = await house.rows(place)
    await house.rows(
        "UPDATE routing.ticket SET state = convert_to(jsonb_set(CAST(convert_from(state, 'UTF8') AS jsonb),"
        " '{besides,wrap_ups,0,units}', '0')::text, 'UTF8')"
    )
    async with db.transaction(house.parts.engine) as conn:
        await carry_afresh(conn)
    [units] = await house.rows(
        "SELECT CAST(convert_from(state, 'UTF8') AS jsonb) #>> '{besides,wrap_ups,0,units}' FROM routing.ticket"
    )
    assert units[0] == "2"
    assert await house.rows(place) == before


async def test_what_went_on_besides_goes_on_after_a_restore_and_agents_carry_what_they_carried(house: House) -> None:
    await much_goes_on(house)
    before, log = await state(house), await log_of_tickets(house)
    await house.rows("TRUNCATE routing.ticket, routing.offer, routing.entry")
    await house.rows("UPDATE routing.agent SET used_units = 0, tickets = 0, by_channel = '{}'")
    reading = TicketsRecalled()
    async with db.transaction(house.parts.engine) as conn:
        loaded = await reading.load(conn, log)
        states = dict(loaded.states)
        for event in log:
            states[event.key], _ = reading.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
        await reading.save(conn, states, await clock(conn))
        await carry_afresh(conn)
    assert await state(house) == before
