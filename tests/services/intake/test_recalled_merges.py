"""After a restore who was merged, parted and erased, what was merged and split, is so again, in whichever order it is read."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled, TicketsRecalled
from services.intake.store import recalling
from shared import db
from shared.clock import clock
from shared.events.base import Event, Fact, Position
from shared.events.message import MessageReceived
from shared.events.ticket import TicketMergeRequested, TicketOpened, TicketSplitRequested, TicketUnmerged, TicketUnmergeRequested
from shared.events.topics import TICKETS, TOPIC_OF
from tests.services.intake.test_crossings import taken_for_one
from tests.services.intake.test_customers import ANA, call, posted, put
from tests.services.intake.test_twilio import post
from tests.services.intake.world import World

ALL = Position(1, 99)
PHONE, CALLER = "+40721123456", "+40722345678"
LOST = "ticket, message, ref, delivery, attachment, call, word, customer, handle, customer_order, suggestion"
STATE = {
    "tickets": "SELECT id, number, customer_id, status, closed, merged_into, followed_up_by, coalesce(subject, '')"
    " FROM intake.ticket",
    "conversations": r"SELECT id, conversation FROM intake.ticket WHERE conversation NOT LIKE E'split\x1f%'",
    "messages": "SELECT id, ticket_id, customer_id, handle FROM intake.message",
    "customers": "SELECT id, merged_into, erased_at IS NOT NULL, vip, plan FROM intake.customer",
    "handles": "SELECT kind, scope, value, id, customer_id, coalesce(verified_by = 'not', false) FROM intake.handle",
    "orders": "SELECT customer_id, order_id FROM intake.customer_order",
    "suggestions": "SELECT customer_id, other_id, state FROM intake.suggestion",
    "calls": "SELECT id, ticket_id, convert_from(state, 'UTF8')::json ->> 'person' FROM intake.call",
}
Batches = Sequence[Sequence[Event[Fact]]]


async def state(world: World) -> dict[str, set[tuple[object, ...]]]:
    async with db.transaction(world.parts.engine) as conn:
        return {name: {tuple(row) for row in await conn.execute(sa.text(query))} for name, query in STATE.items()}


async def lose(world: World) -> None:
    await world.execute(f"TRUNCATE {', '.join(f'intake.{table}' for table in LOST.split(', '))}")


async def recall(world: World, customers: Batches, tickets: Batches) -> None:
    """Read these back, batch by batch."""
    for batch in customers:
        told = {key: tuple(event for event in batch if event.key == key) for key in {event.key for event in batch}}
        async with db.transaction(world.parts.engine) as conn:
            await CustomersRecalled(world.parts.keys).save(conn, told, await clock(conn))
    reading = TicketsRecalled(world.parts.keys)
    for batch in tickets:
        async with db.transaction(world.parts.engine) as conn:
            loaded = await reading.load(conn, batch)
            states = dict(loaded.states)
            for event in batch:
                states[event.key], _ = reading.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
            await reading.save(conn, states, await clock(conn))
    async with db.transaction(world.parts.engine) as conn:
        await recalling.leave_open(conn)


async def much_happens(world: World) -> None:
    """People come, write, call, are merged (one into one into one), parted and erased; a claim comes to its owner."""
    ana, claim = await posted(world, "email", "email", ANA), await posted(world, "form", "email", ANA)
    texted = await posted(world, "sms", "phone", PHONE)
    bob = await posted(world, "email", "email", "bob@example.com")
    await put(world, f"phone:{PHONE}", handles=[{"kind": "email", "value": "a.second@example.com"}], vip=True)
    await post(
        world, "/v1/providers/twilio/voice", {"CallSid": "CA1", "From": CALLER, "To": "+40312295501", "CallStatus": "ringing"}
    )
    await put(world, f"phone:{CALLER}", handles=[{"kind": "email", "value": "a.caller@example.com"}])
    headers = await world.key("intake:write")
    for ref in (f"email:{ANA}", "email:bob@example.com"):
        await world.http.put(f"/v1/customers/{ref}/orders/A-1", json={"kind": "order", "status": "paid"}, headers=headers)
    await call(world, f"{ana['customer_id']}/suggestions/{claim['customer_id']}", scope="agent:dana", same=True)
    await call(world, f"{bob['customer_id']}/merge", into_customer_id=texted["customer_id"])
    await call(world, f"{texted['customer_id']}/merge", into_customer_id=ana["customer_id"])
    await call(world, f"{bob['customer_id']}/unmerge")
    shown = await put(world, "external:gone", handles=[{"kind": "email", "value": "old@example.com"}])
    [old] = [one["id"] for one in shown["handles"] if one["kind"] == "email"]  # type: ignore[attr-defined]
    await posted(world, "email", "email", "old@example.com")
    await world.http.delete(f"/v1/customers/external:gone/handles/{old}", headers=headers)
    eve, mallory = await posted(world, "email", "email", "eve@example.com"), await posted(world, "sms", "phone", "+40723123456")
    await world.http.put(
        "/v1/customers/email:eve@example.com/orders/E-1", json={"kind": "order", "status": "paid"}, headers=headers
    )
    await call(world, f"{eve['customer_id']}/merge", into_customer_id=mallory["customer_id"])
    await world.http.post(f"/v1/customers/{mallory['customer_id']}/erase", headers=await world.key("admin"))


async def tickets_change(world: World) -> None:
    """A conversation is merged, its other ticket closed and followed up; messages are split off. Then the merge is undone."""
    chat = await posted(world, "chat", "visitor", "v-1")
    other = await posted(world, "chat", "visitor", "v-1", inbox="other")
    wish = TicketMergeRequested(agent_id="dana", into_ticket_id=other["ticket_id"])
    assert await world.say(chat["ticket_id"], wish, seen=ALL) == []
    await world.close(other["ticket_id"])
    assert (await posted(world, "chat", "visitor", "v-1", "again"))["opened"]
    talk = await posted(world, "chat", "visitor", "v-2", "one thing")
    await posted(world, "chat", "visitor", "v-2", "another thing")
    second = (await world.events(MessageReceived))[-1].data.message_id
    assert await world.say(talk["ticket_id"], TicketSplitRequested(agent_id="dana", message_ids=(second,)), seen=ALL) == []
    assert (await world.events(TicketOpened))[-1].data.split_from == talk["ticket_id"]
    assert await world.say(chat["ticket_id"], TicketUnmergeRequested(agent_id="dana"), seen=ALL, start=2) == []


def by_key(events: Sequence[Event[Fact]]) -> list[list[Event[Fact]]]:
    return [[event for event in events if event.key == key] for key in dict.fromkeys(event.key for event in events)]


@pytest.mark.parametrize("order", ["at once", "key by key", "key by key from the last"])
async def test_people_and_tickets_are_as_they_were(world: World, order: str) -> None:
    await much_happens(world)
    await tickets_change(world)
    before, log = await state(world), await world.log()
    customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    tickets = [event for event in log if TOPIC_OF[type(event.data)] is TICKETS]
    step = -1 if order == "key by key from the last" else 1
    await lose(world)
    await recall(
        world,
        [customers] if order == "at once" else by_key(customers)[::step],
        [tickets] if order == "at once" else by_key(tickets)[::step],
    )
    after = await state(world)
    assert {name: sorted(after[name] ^ before[name], key=repr) for name in STATE} == {name: [] for name in STATE}
    written = await posted(world, "chat", "visitor", "v-2", "and more")
    assert written["ticket_id"] in {row[0] for row in before["conversations"]}, "not on what was split off"


async def test_a_merge_undone_after_the_backup_leaves_the_conversation_to_who_has_it(world: World) -> None:
    await tickets_change(world)
    before, log = await state(world), await world.log()
    customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    tickets = [event for event in log if TOPIC_OF[type(event.data)] is TICKETS]
    undone = next(n for n, event in enumerate(tickets) if isinstance(event.data, TicketUnmerged))
    await lose(world)
    await recall(world, [customers], [tickets[:undone]])
    await recall(world, [], [tickets[undone:]])
    assert (await state(world))["conversations"] == before["conversations"]


@pytest.mark.parametrize("parted", [True, False])
async def test_what_somebody_wrote_while_they_were_taken_for_another_is_whose_it_was(world: World, parted: bool) -> None:
    if parted:
        await taken_for_one(world)
    else:
        ana, bob = await posted(world, "email", "email", ANA), await posted(world, "email", "email", "bob@example.com")
        await call(world, f"{bob['customer_id']}/merge", into_customer_id=ana["customer_id"])
        await posted(world, "email", "email", "bob@example.com")
    before, log = await state(world), await world.log()
    await lose(world)
    customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    await recall(world, [customers], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
    after = await state(world)
    assert {name: sorted(after[name] ^ before[name], key=repr) for name in STATE} == {name: [] for name in STATE}


async def test_a_confirmation_is_of_who_wrote_while_they_were_taken_for_another(world: World) -> None:
    await world.inbox("in", channel="email", address="in@patchbay.example")
    _, bobs, meanwhile = await taken_for_one(world)
    his = f"ticket_id = '{meanwhile['ticket_id']}' AND customer_id = '{bobs['customer_id']}' AND kind = 'confirmation'"
    assert await world.count("delivery", his) == 1
    log = await world.log()
    await lose(world)
    customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    await recall(world, [customers], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
    assert await world.count("delivery", his) == 1
