"""Customers who turn out to be one: claims, suggestions, merges and their undoing, over HTTP on a real database."""

from email.message import EmailMessage

import aiosmtplib
import sqlalchemy as sa

from services.intake.domain.contacts import DeliveryWord
from services.intake.recalling import OF_CUSTOMERS, CustomersRecalled
from services.intake.store import deliveries
from shared import db
from shared.events.message import MessageReceived
from shared.events.people import (
    CustomerAbsorbed,
    CustomerMergedInto,
    CustomerProfileChanged,
    CustomerUnmerged,
    MergeSuggested,
)
from shared.events.ticket import TicketCustomerChanged, TicketOpened
from tests.services.intake.test_customers import ANA, call, got, posted, put
from tests.services.intake.test_twilio import CALL, post
from tests.services.intake.world import World, mail_port


async def test_who_types_an_address_into_a_form_is_not_taken_for_its_owner(world: World) -> None:
    owner = await posted(world, "email", "email", ANA)
    await put(world, f"email:{ANA}", vip=True, plan="gold")
    claim = await posted(world, "form", "email", ANA, "Send my data elsewhere")
    assert claim["customer_id"] != owner["customer_id"]
    assert claim["ticket_id"] != owner["ticket_id"]
    opened = (await world.events(TicketOpened))[-1].data
    assert (opened.vip, opened.plan) == (False, None)
    [said] = await world.events(MergeSuggested)
    assert (said.key, said.data.customer_id) == (claim["customer_id"], owner["customer_id"])
    shown = await world.http.get(f"/v1/customers/{owner['customer_id']}/suggestions", headers=await world.key("agent:dana"))
    assert [one["customer_id"] for one in shown.json()["suggestions"]] == [claim["customer_id"]]
    assert await world.ticker().merge_proven() == 0


async def test_a_suggestion_is_accepted_by_an_agent_or_dismissed_for_good(world: World) -> None:
    owner = await posted(world, "email", "email", ANA)
    claim = await posted(world, "form", "email", ANA)
    path = f"{owner['customer_id']}/suggestions/{claim['customer_id']}"
    await call(world, path, scope="agent:dana", same=False)
    await call(world, path, 404, scope="agent:dana", same=True)
    other = await posted(world, "form", "email", "bob@example.com")
    bob = await posted(world, "email", "email", "bob@example.com")
    await call(world, f"{bob['customer_id']}/suggestions/{other['customer_id']}", 404, scope="agent:dana", same=True)
    third = await posted(world, "sms", "phone", "+40721123456")
    claimed = await posted(world, "form", "phone", "+40721123456")
    await call(world, f"{third['customer_id']}/suggestions/{claimed['customer_id']}", scope="agent:dana", same=True)
    [merged] = await world.events(CustomerMergedInto)
    assert (merged.key, merged.data.into_customer_id) == (claimed["customer_id"], third["customer_id"])
    assert (merged.data.evidence, merged.data.by_agent_id) == ("agent", "dana")


async def owner_of(world: World, ticket_id: str) -> str:
    async with db.transaction(world.parts.engine) as conn:
        statement = sa.text("SELECT customer_id FROM intake.ticket WHERE id = :id")
        return (await conn.execute(statement, {"id": ticket_id})).scalar_one()  # type: ignore[no-any-return]


async def test_a_merge_moves_all_that_is_theirs_and_undoing_it_loses_nothing(world: World) -> None:
    mail = await posted(world, "email", "email", ANA)
    sms = await posted(world, "sms", "phone", "+40721123456")
    await put(world, "phone:+40721123456", name="Ana by phone", vip=True, consents={"sms": False})
    await call(world, f"{sms['customer_id']}/merge", into_customer_id=mail["customer_id"])
    assert await owner_of(world, sms["ticket_id"]) == mail["customer_id"]
    changed = (await world.events(TicketCustomerChanged))[-1]
    assert (changed.key, changed.data.reason, changed.data.previous) == (sms["ticket_id"], "merged", sms["customer_id"])
    assert [e.key for e in await world.events(CustomerAbsorbed)] == [mail["customer_id"]]
    told = (await world.events(CustomerProfileChanged))[-1]
    assert (told.key, told.data.vip, told.data.consents) == (mail["customer_id"], True, {"sms": False})
    since = await posted(world, "sms", "phone", "+40721123456", inbox="other")
    assert since["customer_id"] == mail["customer_id"]
    shown = await got(world, sms["customer_id"])
    assert (shown["id"], shown["merged_ids"], shown["vip"]) == (mail["customer_id"], [sms["customer_id"]], True)
    await call(world, f"{sms['customer_id']}/unmerge")
    assert [await owner_of(world, one["ticket_id"]) for one in (mail, sms, since)] == [
        mail["customer_id"],
        sms["customer_id"],
        sms["customer_id"],
    ]
    assert {e.key for e in await world.events(CustomerUnmerged)} == {mail["customer_id"], sms["customer_id"]}
    assert (await got(world, mail["customer_id"]))["vip"] is False
    assert (await got(world, "phone:+40721123456"))["name"] == "Ana by phone"
    assert (await posted(world, "sms", "phone", "+40721123456"))["customer_id"] == sms["customer_id"]


async def test_a_chain_of_merges_is_parted_in_any_order_and_circles_are_refused(world: World) -> None:
    a, b, c = [(await posted(world, "sms", "phone", f"+4072112345{n}"))["customer_id"] for n in range(3)]
    await call(world, f"{a}/merge", into_customer_id=b)
    await call(world, f"{b}/merge", into_customer_id=c)
    assert (await call(world, f"{c}/merge", 409, into_customer_id=a))["code"] == "already-merged"
    assert (await call(world, f"{c}/merge", 409, into_customer_id=c))["code"] == "same-customer"
    assert (await got(world, a))["id"] == c
    await call(world, f"{a}/unmerge")
    assert [(await posted(world, "sms", "phone", f"+4072112345{n}"))["customer_id"] for n in range(3)] == [a, c, c]
    await call(world, f"{b}/unmerge")
    assert [(await posted(world, "sms", "phone", f"+4072112345{n}"))["customer_id"] for n in range(3)] == [a, b, c]
    assert (await call(world, f"{b}/unmerge", 409))["code"] == "not-merged"
    await call(world, "nobody/unmerge", 404)


async def test_different_external_ids_are_two_people(world: World) -> None:
    one, two = await put(world, "external:1", name="A"), await put(world, "external:2", name="B")
    refused = await call(world, f"{one['id']}/merge", 409, into_customer_id=two["id"])
    assert refused["code"] == "external-ids-differ"


async def test_erasing_one_erases_all_that_were_merged_with_their_records(world: World) -> None:
    mail = await posted(world, "email", "email", ANA)
    sms = await posted(world, "sms", "phone", "+40721123456")
    await put(world, f"email:{ANA}", name="Ana Pop", fields={"nick": "Anuta"})
    await call(world, f"{mail['customer_id']}/merge", into_customer_id=sms["customer_id"])
    headers = await world.key("intake:write")
    order = {"kind": "document", "status": "sent"}
    await world.http.put(f"/v1/customers/{sms['customer_id']}/orders/D-1", json=order, headers=headers)
    answer = await world.http.post(f"/v1/customers/{mail['customer_id']}/erase", headers=await world.key("admin"))
    assert sorted(answer.json()["customer_ids"]) == sorted([mail["customer_id"], sms["customer_id"]])
    assert await world.count("customer_order") == await world.count("handle") == 0
    assert await world.count("customer", "profile <> '{}'") == 0
    await got(world, mail["customer_id"], 410)


async def proven_claim(world: World) -> tuple[dict[str, str], str]:
    """A form by somebody who only typed an address in, then an answer from that address. Returns the claim and the owner."""
    await world.inbox("support", channel="email", address="support@example.com")
    claim = await posted(world, "form", "email", ANA, "Where is my order?")
    address = world.signer.reply_address(claim["ticket_id"], "support@example.com")
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"], mail["Subject"] = ANA, address, "<1@example.com>", "Re: order"
    mail.set_content("It is I.")
    async with mail_port(world) as port:
        await aiosmtplib.send(mail, hostname="127.0.0.1", port=port, timeout=10, start_tls=False)
    received = (await world.events(MessageReceived))[-1]
    assert received.key == claim["ticket_id"]
    assert received.data.participant
    return claim, received.data.customer_id


async def test_an_answer_from_the_claimed_address_makes_them_one(world: World) -> None:
    claim, owner = await proven_claim(world)
    assert owner != claim["customer_id"]
    assert await world.ticker().merge_proven() == 1
    assert await world.ticker().merge_proven() == 0
    assert await owner_of(world, claim["ticket_id"]) == owner
    assert (await got(world, claim["customer_id"]))["id"] == owner
    assert (await posted(world, "form", "email", ANA))["customer_id"] not in (owner, claim["customer_id"])


async def test_a_reply_to_a_merged_customer_reaches_them(world: World) -> None:
    sms = await posted(world, "sms", "phone", "+40721123456")
    mail = await posted(world, "email", "email", ANA)
    await call(world, f"{sms['customer_id']}/merge", into_customer_id=mail["customer_id"])
    message_id = await world.reply(sms["ticket_id"], mail["customer_id"], "Hello", "sms")
    async with db.transaction(world.parts.engine) as conn:
        claimed = await deliveries.claim(conn, 10, 30.0)
    assert [one.handle for one in claimed if one.delivery.message_id == message_id] == ["+40721123456"]


async def test_what_is_said_of_a_ticket_that_began_with_a_call_is_of_who_rang(world: World) -> None:
    await post(world, "/v1/providers/twilio/voice", CALL)
    [opened] = await world.events(TicketOpened)
    caller, mail = opened.data.customer_id, await posted(world, "email", "email", ANA)
    await call(world, f"{caller}/merge", into_customer_id=mail["customer_id"])
    message_id = await world.reply(opened.key, mail["customer_id"], "Hello", "email")
    await world.intake.acceptor.accept([DeliveryWord("mailgun", "1", "bounced", message_id=message_id, code="550")])
    assert await world.count("word", f"customer_id = '{caller}'") == 2, "that it rang, and what became of the reply"


async def test_records_and_merges_are_read_back_from_the_log(world: World) -> None:
    mail = await posted(world, "email", "email", ANA)
    sms = await posted(world, "sms", "phone", "+40721123456")
    other = await posted(world, "sms", "phone", "+40721123457")
    made = await put(world, "external:9", name="Ana", vip=True, plan="gold", fields={"size": "M"})
    headers = await world.key("intake:write")
    await world.http.put("/v1/customers/external:9/orders/A-1", json={"kind": "order", "status": "paid"}, headers=headers)
    await call(world, f"{sms['customer_id']}/merge", into_customer_id=mail["customer_id"])
    await call(world, f"{other['customer_id']}/merge", into_customer_id=mail["customer_id"])
    await call(world, f"{other['customer_id']}/unmerge")
    facts = [event for event in await world.log() if isinstance(event.data, OF_CUSTOMERS)]
    refs = ["external:9", sms["customer_id"], other["customer_id"], f"email:{ANA}"]
    before = [await got(world, ref) for ref in refs]
    await world.execute("TRUNCATE intake.customer, intake.handle, intake.customer_order, intake.suggestion")
    told = {key: tuple(event for event in facts if event.key == key) for key in {event.key for event in facts}}
    async with db.transaction(world.parts.engine) as conn:
        await CustomersRecalled(world.parts.keys).save(conn, told, facts[0].time)
    after = [await got(world, ref) for ref in refs]
    for one in (*before, *after):
        one.pop("version")
    assert [{k: v for k, v in one.items() if k != "handles"} for one in after] == [
        {k: v for k, v in one.items() if k != "handles"} for one in before
    ]
    assert [len(one["handles"]) for one in after] == [len(one["handles"]) for one in before]  # type: ignore[arg-type]
    orders = await world.http.get(f"/v1/customers/{made['id']}/orders", headers=headers)
    assert [one["status"] for one in orders.json()["orders"]] == ["paid"]
