"""Somebody at the counter or on the telephone whom nobody knows: an agent makes them a customer, opens a ticket, and answers."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from typing import cast

from services.intake.recalling import OF_CUSTOMERS
from services.intake.store import deliveries
from shared import db
from shared.events.message import MessageFailed, MessageReceived
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerPersonal, MergeSuggested
from shared.events.ticket import TicketOpened, TicketOpenRequested
from shared.events.topics import TICKETS, TOPIC_OF
from tests.services.intake.test_customer_merges import owner_of
from tests.services.intake.test_customers import ANA, call, got, posted, put
from tests.services.intake.test_mail import deliver
from tests.services.intake.test_recalled_merges import lose, recall, state
from tests.services.intake.world import World, mail_port

PHONE = "+40721234567"
TICKET = "6f1c1d1e-8a4b-5c59-9d0a-3a1f8f0f5b11"


async def made(world: World, status: int = 200, scope: str = "agent:dana", **body: object) -> dict[str, object]:
    return await call(world, "by-hand", status, scope, **body)


async def opened(world: World, customer_id: object, ticket_id: str = TICKET) -> TicketOpened:
    """A ticket for them, as routing asks for it."""
    wish = TicketOpenRequested(agent_id="dana", customer_id=str(customer_id), channel="in_person")
    assert await world.say(ticket_id, wish) == []
    return next(event.data for event in await world.events(TicketOpened) if event.key == ticket_id)


async def ways(world: World, *message_ids: str) -> dict[str, str | None]:
    """Where these replies go."""
    async with db.transaction(world.parts.engine) as conn:
        claimed = await deliveries.claim(conn, 10, 30.0)
    return {one.delivery.message_id: one.handle for one in claimed if one.delivery.message_id in message_ids}


async def test_an_agent_makes_a_customer_of_a_walk_in_and_opens_a_ticket_for_them(world: World) -> None:
    who = await made(world, name="Ilinca Pop", email=" Ilinca@Customers.example", phone="+40 721 234 567", language="ro")
    assert who["made"] is True
    ticket = await opened(world, who["customer_id"])
    assert (ticket.customer_id, ticket.language, ticket.vip) == (who["customer_id"], "ro", False)
    [created] = await world.events(CustomerCreated)
    assert (created.key, created.data.channel) == (who["customer_id"], "in_person")
    assert await world.opened(created, CustomerPersonal) == CustomerPersonal(name="Ilinca Pop")
    added = await world.events(CustomerHandleAdded)
    assert {(event.data.kind, event.data.verified_by) for event in added} == {("email", "not"), ("phone", "not")}
    shown = await got(world, str(who["customer_id"]))
    assert (shown["name"], shown["fields"]) == (
        "Ilinca Pop",
        {"email": "Ilinca@Customers.example", "phone": "+40 721 234 567"},
    )
    assert await made(world, name="Ilinca", email="ilinca@customers.example") == {**who, "made": False}
    assert (await got(world, str(who["customer_id"])))["name"] == "Ilinca Pop"


async def test_what_an_agent_types_proves_no_address_and_brings_nobody_into_its_owners_story(world: World) -> None:
    owner = await posted(world, "email", "email", ANA)
    await put(world, f"email:{ANA}", vip=True, plan="gold")
    who = await made(world, email=ANA)
    assert who["customer_id"] != owner["customer_id"]
    ticket = await opened(world, who["customer_id"])
    assert (ticket.vip, ticket.plan) == (False, None)
    [said] = await world.events(MergeSuggested)
    assert (said.key, said.data.customer_id, said.data.evidence) == (
        who["customer_id"],
        owner["customer_id"],
        "claimed_address",
    )
    assert await world.ticker().merge_proven() == 0
    await call(world, f"{owner['customer_id']}/suggestions/{who['customer_id']}", scope="agent:dana", same=True)
    assert await owner_of(world, TICKET) == owner["customer_id"]
    await call(world, f"{who['customer_id']}/unmerge")
    assert await owner_of(world, TICKET) == who["customer_id"], "it was opened for them, before anybody took them for another"
    assert (await got(world, str(who["customer_id"])))["fields"] == {"email": ANA}


async def test_a_ticket_by_hand_that_was_opened_while_two_were_one_stays_with_whom_it_was_opened_for(world: World) -> None:
    owner, who = await posted(world, "email", "email", ANA), await made(world, email=ANA)
    await call(world, f"{who['customer_id']}/merge", into_customer_id=owner["customer_id"])
    await opened(world, who["customer_id"])
    await call(world, f"{who['customer_id']}/unmerge")
    assert await owner_of(world, TICKET) == owner["customer_id"]


async def test_they_are_answered_where_they_said_and_their_answer_proves_the_address(world: World) -> None:
    await world.inbox("support", channel="email", address="support@patchbay.example")
    await world.inbox("texts", channel="sms", address="+40312295500")
    owner = await posted(world, "email", "email", ANA, inbox="support")
    who = str((await made(world, email=ANA, phone=PHONE))["customer_id"])
    await opened(world, who)
    mail, text = [await world.reply(TICKET, who, "Hello", *way) for way in (("email", 2), ("sms", 3))]
    assert await ways(world, mail, text) == {mail: ANA, text: PHONE}
    answer = EmailMessage()
    answer["From"], answer["Message-ID"], answer["Subject"] = ANA, "<1@customers.example>", "Re: you were here"
    answer["To"] = address = world.signer.reply_address(TICKET, "support@patchbay.example")
    answer.set_content("It is I.")
    async with mail_port(world) as port:
        await deliver(port, answer, address)
    received = (await world.events(MessageReceived))[-1]
    assert (received.key, received.data.participant) == (TICKET, True)
    assert await world.ticker().merge_proven() == 1
    assert (await got(world, who))["id"] == owner["customer_id"]


async def test_a_form_goes_on_being_answered_by_no_number_that_was_only_typed_in_beside_an_address(world: World) -> None:
    await world.inbox("texts", channel="sms", address="+40312295500")
    form = {"email": "dan@customers.example", "phone": PHONE, "text": "Hello, where is my parcel?"}
    assert (await world.http.post("/v1/forms/contact", json=form)).status_code == 201
    [received] = await world.events(MessageReceived)
    reply = await world.reply(received.key, received.data.customer_id, "Hello", "sms")
    await world.sender.send_due()
    assert [(event.data.message_id, event.data.code) for event in await world.events(MessageFailed)] == [(reply, "no-number")]


async def test_the_same_claim_by_form_and_by_hand_is_one_customer_also_at_once(world: World) -> None:
    whos = await asyncio.gather(*(made(world, name="Ana", email=ANA, phone=PHONE) for _ in range(5)))
    assert sorted(who["made"] is True for who in whos) == [False] * 4 + [True]
    assert {who["customer_id"] for who in whos} == {(await posted(world, "form", "email", ANA))["customer_id"]}
    assert (await posted(world, "form", "phone", PHONE))["customer_id"] == whos[0]["customer_id"]
    assert await world.count("customer") == 1


async def test_a_key_makes_one_customer_and_who_may_not_or_says_nothing_is_refused(world: World) -> None:
    headers = {**await world.key("agent:dana"), "Idempotency-Key": "k"}
    answers = [await world.http.post("/v1/customers/by-hand", json={"name": "Ana"}, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert await world.count("customer") == 1
    await made(world, 403, "intake:write", name="Ana")
    for body, field in (
        ({}, "body.name"),
        ({"name": " \u0000\n"}, "body.name"),
        ({"email": "nonsense"}, "body.email"),
        ({"phone": "0721 234 567"}, "body.phone"),
        ({"name": "Ana", "vip": True}, "body.vip"),
    ):
        refused = cast("list[dict[str, str]]", (await made(world, 422, **body))["errors"])
        assert [error["field"] for error in refused] == [field]
    assert await world.count("customer") == 1


async def test_after_a_restore_they_and_their_ticket_are_there_again_and_who_is_erased_is_gone(world: World) -> None:
    owner = await posted(world, "email", "email", ANA)
    who = str((await made(world, name="Ilinca", email=ANA, phone=PHONE))["customer_id"])
    await opened(world, who)
    before, log = await state(world), await world.log()
    await lose(world)
    people = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    await recall(world, [people], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
    assert await state(world) == before
    assert ((await got(world, who))["name"], await owner_of(world, TICKET)) == ("Ilinca", who)
    assert (await world.http.post(f"/v1/customers/{who}/erase", headers=await world.key("admin"))).status_code == 200
    assert await world.count("handle", f"customer_id <> '{owner['customer_id']}'") == 0
    assert await world.count("customer", "profile::text LIKE '%Ilinca%' OR profile::text LIKE '%721%'") == 0
