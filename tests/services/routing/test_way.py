"""One ticket's way: queued, offered, accepted, answered, resolved; and what happens beside the way."""

from __future__ import annotations

import pytest

from shared.events.call import CallEnded, CallReceived
from shared.events.message import MessageReceived
from shared.events.people import CustomerErased, CustomerProfileChanged
from shared.events.sla import ClockPaused, ClockStarted, SlaBreached
from shared.events.ticket import TicketClosed, TicketMergedInto
from tests.services.routing.conftest import CUSTOMER, House

pytestmark = pytest.mark.timeout(60)


async def test_a_ticket_goes_from_its_queue_over_an_offer_to_its_resolution(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open()
    offer = await house.offered()
    accepted = await house.done("dana", "POST", f"/v1/offers/{offer['offer_id']}/accept")
    assert accepted["ticket_id"] == ticket_id
    replied = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "It is on its way."})
    assert replied["status"] == "open"
    resolved = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {"code": "answered"})
    assert (resolved["status"], resolved["agent_id"]) == ("resolved", None)
    assert await house.types(ticket_id) == [
        "ticket.queued",
        "ticket.offered",
        "offer.accepted",
        "ticket.assigned",
        "reply.requested",
        "ticket.resolved",
        "ticket.released",
    ]
    positions = [(event.position.seq, str(event.seen)) for event in await house.said(ticket_id)]
    assert positions == [(1, "1:1"), *((n, "1:2") for n in range(2, 8))]
    assert await house.types("dana") == ["agent.enrolled", "agent.state_changed", "agent.load_changed", "agent.load_changed"]
    agent = await house.done("dana", "GET", "/v1/agents/dana")
    assert (agent["used_units"], agent["tickets"]) == (0, 0)


async def test_the_history_holds_the_texts_sealed_and_shows_them_to_those_whose_ticket_it_is(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/reply", {"text": "בדרך אליך"})
    await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/note", {"text": "asked the courier"})
    shown = await house.done("dana", "GET", f"/v1/tickets/{ticket_id}")
    assert (shown["subject"], shown["customer_name"], shown["agent_id"]) == ("Where is it?", "Ruth", "dana")
    texts = [entry["personal"]["text"] for entry in shown["timeline"] if "text" in (entry.get("personal") or {})]
    assert texts == ["Where is my parcel?", "בדרך אליך", "asked the courier"]
    stored = await house.rows("SELECT CAST(data AS text) AS data FROM routing.entry")
    assert not any("parcel" in row.data or "בדרך" in row.data or "courier" in row.data for row in stored)
    assert (await house.ask("noa", "GET", f"/v1/tickets/{ticket_id}")).status_code == 403
    assert (await house.ask("rina", "GET", f"/v1/tickets/{ticket_id}")).status_code == 200
    assert (await house.ask("rina", "GET", "/v1/tickets/nothing")).json()["code"] == "ticket-not-found"


async def test_who_is_erased_is_gone_from_the_history_and_the_ticket_stays(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    async with house.parts.engine.begin() as conn:
        await house.parts.keys.destroy(conn, [CUSTOMER])
    await house.hear(CUSTOMER, CustomerErased(customer_ids=(CUSTOMER,), requested_by="admin"))
    shown = await house.done("dana", "GET", f"/v1/tickets/{ticket_id}")
    assert (shown["subject"], shown["customer_name"]) == (None, None)
    assert not any(entry.get("personal") for entry in shown["timeline"])
    left = await house.rows("SELECT 1 FROM routing.entry WHERE data ? 'personal'")
    assert not left


async def test_a_message_on_a_pending_ticket_comes_back_to_its_owner(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    pended = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/pend")
    assert pended["status"] == "pending"
    await house.write(ticket_id, "Here is the number")
    assert (await house.done("dana", "GET", f"/v1/tickets/{ticket_id}"))["status"] == "open"
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["tickets"] == 1
    kinds = [row.kind for row in await house.rows("SELECT kind FROM routing.stream ORDER BY n")]
    assert kinds == ["offer.made", "ticket.assigned", "message.received"]


async def test_tickets_of_one_batch_never_wake_more_than_their_owner_can_carry(house: House) -> None:
    await house.queue()
    await house.agent(capacity_units=2)
    tickets = []
    for name in ("a", "b"):
        ticket_id = await house.owned(name)
        await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/pend")
        tickets.append(ticket_id)
    events = []
    for ticket_id in tickets:
        fact = MessageReceived(message_id=ticket_id, customer_id=CUSTOMER, channel="email", inbox="help", provider="smtp")
        events.append(await house.event(ticket_id, fact))
    await house.fold(events)
    states = {ticket_id: await house.done("rina", "GET", f"/v1/tickets/{ticket_id}") for ticket_id in tickets}
    assert sorted(str(state["agent_id"]) for state in states.values()) == ["None", "dana"]
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["used_units"] == 2


async def test_a_caller_who_hangs_up_in_the_queue_is_abandoned_and_the_offer_taken_back(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open(channel="phone")
    call = CallReceived(call_id="call", customer_id=CUSTOMER, inbox="help", provider="twilio", provider_ref="CA1")
    await house.hear(ticket_id, call)
    await house.offered()
    await house.hear(ticket_id, CallEnded(call_id="call", outcome="abandoned"))
    assert await house.types(ticket_id) == ["ticket.queued", "ticket.offered", "offer.rescinded", "ticket.left_queue"]
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["used_units"] == 0


@pytest.mark.parametrize("fact", [TicketClosed(reason="requested"), TicketMergedInto(into_ticket_id="other")])
async def test_a_ticket_that_is_over_leaves_its_owner(house: House, fact: TicketClosed | TicketMergedInto) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    await house.hear(ticket_id, fact)
    shown = await house.done("rina", "GET", f"/v1/tickets/{ticket_id}")
    assert (shown["status"], shown["agent_id"]) == ("closed", None)
    assert (await house.done("dana", "GET", "/v1/agents/dana"))["used_units"] == 0


async def test_a_ticket_that_no_queue_takes_waits_for_one_and_is_placed_when_it_comes(house: House) -> None:
    ticket_id = await house.open()
    assert await house.types(ticket_id) == ["action.required"]
    assert (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["attention"] == "no_queue"
    await house.queue()
    await house.agent()
    await house.ticker.once()
    await house.offered()
    assert await house.types(ticket_id) == ["action.required", "ticket.queued", "ticket.offered"]


async def test_a_customer_s_new_plan_counts_when_the_ticket_is_routed_again(house: House) -> None:
    await house.queue("gold", when={"is": "test", "field": "plan", "op": "equals", "value": "gold"})
    await house.queue("rest", position=2)
    await house.agent()
    ticket_id = await house.owned()
    await house.hear(CUSTOMER, CustomerProfileChanged(plan="gold"))
    released = await house.done("dana", "POST", f"/v1/tickets/{ticket_id}/release")
    assert released["queue_id"] == "gold"


async def test_a_ticket_shows_what_sla_promised(house: House) -> None:
    await house.queue()
    ticket_id = await house.open()
    opened = (await house.said(ticket_id))[0].time
    clock = {
        "clock_id": "k",
        "target": "first_response",
        "cycle": 1,
        "policy_id": "p",
        "policy_version": 1,
        "dedup_key": "k",
        "channel": "email",
        "priority": 2,
    }
    started = ClockStarted(started_at=opened, deadline=opened, target_us=5, **clock)  # type: ignore[arg-type]
    await house.hear(ticket_id, started, writer="sla")
    await house.hear(ticket_id, SlaBreached(deadline=opened, target_us=5, **clock), writer="sla")  # type: ignore[arg-type]
    await house.hear(ticket_id, ClockPaused(remaining_us=3, reason="pending", **clock), writer="sla")  # type: ignore[arg-type]
    promise = (await house.done("rina", "GET", f"/v1/tickets/{ticket_id}"))["promises"][0]
    assert (promise["state"], promise["remaining_us"], promise["breached"]) == ("paused", 3, True)
