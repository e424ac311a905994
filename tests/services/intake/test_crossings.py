"""What crosses: people who are merged, parted and erased, while answers are on their way and tickets are merged."""

import asyncio

import pytest
import sqlalchemy as sa

from deploy.erasure import live_keys
from services.intake import merging
from services.intake.domain import looking
from services.intake.domain.contacts import DeliveryWord, Handle, InboundMessage
from services.intake.domain.spam import NO_RULES
from services.intake.domain.word_lists import NO_WORDS
from services.intake.store import deliveries
from shared import db
from shared.events.base import Position
from shared.events.message import MessageDelivered, MessageFailed, MessagePersonal, MessageReceived, SurveyAnswered, SurveySent
from shared.events.people import CustomerAbsorbed, CustomerPersonal, CustomerProfileChanged
from shared.events.ticket import (
    RequestRefused,
    SpamMarked,
    SpamUnmarked,
    TicketMergeRequested,
    TicketOpened,
    TicketOpenRequested,
    TicketPersonal,
    TicketSplitRequested,
    TicketUnmergeRequested,
)
from shared.personal import Erased
from tests.services.intake.connector import connector
from tests.services.intake.test_customer_merges import owner_of, proven_claim
from tests.services.intake.test_customers import ANA, call, got, posted, put
from tests.services.intake.test_edge import _all_rows as all_rows
from tests.services.intake.test_imap import until
from tests.services.intake.test_replies_out import uploaded
from tests.services.intake.test_surveys import CSAT, configure, resolve
from tests.services.intake.test_twilio import sms
from tests.services.intake.test_words import answered
from tests.services.intake.world import World, mail_server, process

BOB = "bob@example.com"
ALL = Position(1, 99)


async def mailed(world: World, who: str, message_id: str, text: str, *answers: str) -> dict[str, str]:
    """Somebody writes a mail."""
    return await posted(world, "email", "email", who, text, id=message_id, in_reply_to=list(answers))


async def reached(world: World) -> dict[str, str | None]:
    """Whereto the replies go that are due, by their ids."""
    async with db.transaction(world.parts.engine) as conn:
        return {one.delivery.message_id: one.handle for one in await deliveries.claim(conn, 20, 0.0)}


async def taken_for_one(world: World) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Ana and Bob are taken for one for a while, and Bob writes: an answer on Ana's ticket, and a mail of his own. Then they are
    two again. Returns what they wrote: Ana's first, Bob's own before, Bob's own in the meantime.
    """
    anas, bobs = await mailed(world, ANA, "a1", "Ana asks"), await mailed(world, BOB, "b1", "Bob asks")
    await call(world, f"{bobs['customer_id']}/merge", into_customer_id=anas["customer_id"])
    on_anas = await mailed(world, BOB, "b2", "Bob butts in", "a1")
    meanwhile = await mailed(world, BOB, "b3", "Bob goes on")
    assert on_anas["ticket_id"] == anas["ticket_id"]
    assert on_anas["customer_id"] == meanwhile["customer_id"] == anas["customer_id"]
    await call(world, f"{bobs['customer_id']}/unmerge")
    assert await owner_of(world, meanwhile["ticket_id"]) == bobs["customer_id"]
    return anas, bobs, meanwhile


async def test_after_two_are_parted_an_answer_goes_to_whose_ticket_it_is_and_quotes_them(world: World) -> None:
    anas, bobs, meanwhile = await taken_for_one(world)
    to_ana = await world.reply(anas["ticket_id"], anas["customer_id"], "Hello Ana", "email")
    to_bob = await world.reply(meanwhile["ticket_id"], bobs["customer_id"], "Hello Bob", "email")
    async with db.transaction(world.parts.engine) as conn:
        claimed = {one.delivery.message_id: one for one in await deliveries.claim(conn, 20, 30.0)}
        quoted = {name: await deliveries.last_written(conn, one) for name, one in claimed.items()}
    assert (claimed[to_ana].handle, claimed[to_bob].handle) == (ANA, BOB)
    assert b"Ana asks" in quoted[to_ana].body  # type: ignore[union-attr]
    assert b"Bob goes on" in quoted[to_bob].body  # type: ignore[union-attr]


async def test_erasing_one_of_two_who_were_taken_for_one_leaves_nothing_of_them_and_all_of_the_other(world: World) -> None:
    anas, bobs, _ = await taken_for_one(world)
    answer = await world.http.post(f"/v1/customers/{bobs['customer_id']}/erase", headers=await world.key("admin"))
    assert answer.json() == {"customer_ids": [bobs["customer_id"]]}
    rows = await all_rows(world)
    assert [word for word in ("bob@", "bob asks", "bob butts in", "bob goes on") if word in rows] == []
    assert "ana asks" in rows
    await world.http.post(f"/v1/customers/{anas['customer_id']}/erase", headers=await world.key("admin"))
    rows = await all_rows(world)
    assert [word for word in ("ana@", "ana asks") if word in rows] == []


async def texts(world: World) -> dict[str, str]:
    """What can still be read on the log of what was written."""
    found = {}
    for event in await world.events(MessageReceived):
        content = await world.opened(event, MessagePersonal)
        if not isinstance(content, Erased):
            found[content.text] = event.data.customer_id
    return found


@pytest.mark.parametrize("erased", ["Ana", "Bob"])
async def test_what_two_wrote_while_they_were_taken_for_one_goes_with_each_ones_key(world: World, erased: str) -> None:
    anas, bobs, meanwhile = await taken_for_one(world)
    assert set(await texts(world)) == {"Ana asks", "Bob asks", "Bob butts in", "Bob goes on"}
    customer_id = {"Ana": anas, "Bob": bobs}[erased]["customer_id"]
    answer = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
    assert answer.json() == {"customer_ids": [customer_id]}
    left = {"Bob asks", "Bob butts in", "Bob goes on"} if erased == "Ana" else {"Ana asks"}
    assert set(await texts(world)) == left
    opened = {event.key: event for event in await world.events(TicketOpened)}
    subject = await world.opened(opened[meanwhile["ticket_id"]], TicketPersonal)
    assert isinstance(subject, Erased) == (erased == "Bob")
    assert await live_keys(world.parts.engine, [customer_id]) == []


async def test_while_two_are_taken_for_one_the_erasure_of_either_is_of_both(world: World) -> None:
    anas, bobs = await mailed(world, ANA, "a1", "Ana asks"), await mailed(world, BOB, "b1", "Bob asks")
    await call(world, f"{bobs['customer_id']}/merge", into_customer_id=anas["customer_id"])
    await mailed(world, BOB, "b2", "Bob goes on")
    await world.http.post(f"/v1/customers/{anas['customer_id']}/erase", headers=await world.key("admin"))
    assert await texts(world) == {}


@pytest.mark.parametrize("erased", ["Ana", "Bob"])
async def test_replies_and_what_became_of_them_are_again_of_whose_ticket_they_are_on(world: World, erased: str) -> None:
    anas, bobs = await mailed(world, ANA, "a1", "Ana asks"), await mailed(world, BOB, "b1", "Bob asks")
    ids = {"Ana": anas["customer_id"], "Bob": bobs["customer_id"]}
    await call(world, f"{ids['Bob']}/merge", into_customer_id=ids["Ana"])
    for name, ticket in (("Ana", anas), ("Bob", bobs)):
        message_id = await world.reply(ticket["ticket_id"], ids["Ana"], f"Hello {name}", "email")
        word = DeliveryWord("mailgun", name, "bounced", message_id=message_id, code="550", raw=f"to {name}".encode())
        await world.intake.acceptor.accept_one(word)
    await call(world, f"{ids['Bob']}/unmerge")
    await world.http.post(f"/v1/customers/{ids[erased]}/erase", headers=await world.key("admin"))
    other = "Bob" if erased == "Ana" else "Ana"
    assert await world.count("delivery", f"customer_id = '{ids[other]}' AND sealed IS NOT NULL") == 1
    assert await world.count("delivery", f"customer_id = '{ids[erased]}' AND sealed IS NULL") == 1
    assert await world.count("word", f"body = 'to {other}'") == await world.count("word", "body IS NOT NULL") == 1


async def test_a_score_and_a_stop_are_sealed_for_who_gave_them(world: World) -> None:
    await world.inbox("texts", channel="sms", address="+40312295500", confirm=False)
    await sms(world)
    texted, ana = (await world.events(MessageReceived))[-1].data.customer_id, await mailed(world, ANA, "a1", "Ana asks")
    await call(world, f"{texted}/merge", into_customer_id=ana["customer_id"])
    await configure(world, CSAT)
    ticket_id = (await world.events(TicketOpened))[0].key
    await resolve(world, ticket_id)
    await world.execute("UPDATE intake.survey SET asked_at = now(), open_until = now() + interval '1 hour'")
    await sms(world, MessageSid="SM2", Body="4")
    await sms(world, MessageSid="SM3", Body="STOP", OptOutType="STOP")
    [scored] = await world.events(SurveyAnswered)
    stopped = (await world.events(CustomerProfileChanged))[-1]
    assert (stopped.key, stopped.data.consents) == (ana["customer_id"], {"sms": False})
    for event in (scored, stopped):
        assert event.data.personal is not None
        assert event.data.personal.customer_id == texted


async def test_a_name_that_was_said_of_one_is_never_sealed_for_the_other(world: World) -> None:
    anas = await mailed(world, ANA, "a1", "Ana asks")
    bob = await put(world, f"email:{BOB}", name="Bob of the figs", plan="gold", fields={"size": "M"})
    await call(world, f"{bob['id']}/merge", into_customer_id=anas["customer_id"])
    told = (await world.events(CustomerProfileChanged))[-1]
    assert (told.key, told.data.plan) == (anas["customer_id"], "gold")
    assert await world.opened(told, CustomerPersonal) == CustomerPersonal()
    assert (await got(world, anas["customer_id"]))["name"] == "Bob of the figs"
    await put(world, f"email:{ANA}", if_match='"1"', name="Bob of the figs")
    said = (await world.events(CustomerProfileChanged))[-1]
    assert await world.opened(said, CustomerPersonal) == CustomerPersonal(name="Bob of the figs"), "now it is said of Ana, too"


async def test_erasing_the_owner_of_an_address_erases_what_they_answered_on_the_ticket_of_who_claimed_it(world: World) -> None:
    _, owner = await proven_claim(world)
    await world.http.post(f"/v1/customers/{owner}/erase", headers=await world.key("admin"))
    assert await world.count("message", "position('It is I' IN convert_from(body, 'UTF8')) > 0") == 0
    assert await world.ticker().merge_proven() == 0


async def test_parked_mail_is_erased_with_whose_address_stands_in_it_and_with_nobody_else(world: World) -> None:
    ana = await mailed(world, ANA, "a1", "Hello")
    await put(world, f"email:{ANA}", handles=[{"kind": "external_id", "value": "7"}])
    for body in (b"sender=Ana%40Example.com", b"From: ANA@EXAMPLE.COM", b"From: bob@example.com 7"):
        await world.intake.park("mailgun", "not understood", "text/plain", body)
    await world.http.post(f"/v1/customers/{ana['customer_id']}/erase", headers=await world.key("admin"))
    async with db.transaction(world.parts.engine) as conn:
        left = (await conn.execute(sa.text("SELECT body FROM intake.parked_contact"))).scalars().all()
    assert left == [b"From: bob@example.com 7"]


async def test_a_file_of_an_answer_that_came_after_the_erasure_is_not_kept(world: World) -> None:
    ana = await mailed(world, ANA, "a1", "Hello")
    file = await uploaded(world)
    await world.http.post(f"/v1/customers/{ana['customer_id']}/erase", headers=await world.key("admin"))
    await world.reply(ana["ticket_id"], ana["customer_id"], "For Ana", "email", files=((file, "ana.pdf"),))
    assert await world.count("file", "content IS NULL AND message_id IS NOT NULL") == 1


async def test_an_answer_that_crosses_a_merge_finds_its_customer_and_those_in_copy(world: World) -> None:
    texted = await posted(world, "sms", "phone", "+40721123456")
    await put(world, "phone:+40721123456", handles=[{"kind": "email", "value": ANA}])
    other, copied = await mailed(world, "ana.pop@example.com", "a1", "Hello"), await mailed(world, BOB, "b1", "Hello")
    boss = await put(world, "external:boss", name="Boss")
    reply = await world.reply(texted["ticket_id"], texted["customer_id"], "Hello", "email", cc=(copied["customer_id"],))
    await call(world, f"{texted['customer_id']}/merge", into_customer_id=other["customer_id"])
    await call(world, f"{copied['customer_id']}/merge", into_customer_id=boss["id"])
    assert (await reached(world))[reply] in (ANA, "ana.pop@example.com")
    async with db.transaction(world.parts.engine) as conn:
        [claimed] = [one for one in await deliveries.claim(conn, 20, 0.0) if one.delivery.message_id == reply]
        assert await deliveries.addresses(conn, claimed) == {copied["customer_id"]: BOB}


async def test_who_is_one_with_another_on_a_merged_ticket_is_parted_only_when_the_tickets_are(world: World) -> None:
    anas, bobs = await mailed(world, ANA, "a1", "Ana asks"), await mailed(world, BOB, "b1", "Bob asks")
    await call(world, f"{bobs['customer_id']}/merge", into_customer_id=anas["customer_id"])
    wish = TicketMergeRequested(agent_id="dana", into_ticket_id=anas["ticket_id"])
    assert await world.say(bobs["ticket_id"], wish, seen=ALL) == []
    refused = await call(world, f"{bobs['customer_id']}/unmerge", 409)
    assert refused["code"] == "tickets-merged"
    assert str(bobs["ticket_number"]) in str(refused["detail"])
    assert await owner_of(world, bobs["ticket_id"]) == anas["customer_id"]
    assert await world.say(bobs["ticket_id"], TicketUnmergeRequested(agent_id="dana"), seen=ALL, start=2) == []
    await call(world, f"{bobs['customer_id']}/unmerge")
    assert (await mailed(world, BOB, "b2", "And?", "b1"))["ticket_id"] == bobs["ticket_id"]
    assert await owner_of(world, bobs["ticket_id"]) == bobs["customer_id"]


async def test_an_order_is_found_and_changed_also_under_the_id_that_goes_on(world: World) -> None:
    one, two = await put(world, "external:1", name="A"), await put(world, f"email:{ANA}", name="A")
    headers = await world.key("intake:write")
    order = {"kind": "order", "status": "paid"}
    assert (await world.http.put("/v1/customers/external:1/orders/A-1", json=order, headers=headers)).status_code == 200
    await call(world, f"{one['id']}/merge", into_customer_id=two["id"])
    found = await world.http.get(f"/v1/customers/{two['id']}/orders/A-1", headers=headers)
    assert (found.status_code, found.headers["etag"]) == (200, '"1"')
    edit = {**headers, "If-Match": '"1"'}
    changed = await world.http.put("/v1/customers/external:1/orders/A-1", json={**order, "status": "sent"}, headers=edit)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    page = await world.http.get(f"/v1/customers/{two['id']}/orders", headers=headers)
    assert [one["status"] for one in page.json()["orders"]] == ["sent"]


async def test_a_suggestion_about_who_was_merged_since_is_answered_all_the_same(world: World) -> None:
    owner = await mailed(world, ANA, "a1", "Hello")
    claim = await posted(world, "form", "email", ANA)
    other = await mailed(world, BOB, "b1", "Hello")
    await call(world, f"{owner['customer_id']}/merge", into_customer_id=other["customer_id"])
    path = f"{other['customer_id']}/suggestions"
    shown = await world.http.get(f"/v1/customers/{path}", headers=await world.key("agent:dana"))
    [suggested] = [one["customer_id"] for one in shown.json()["suggestions"]]
    assert suggested == claim["customer_id"]
    await call(world, f"{path}/{suggested}", scope="agent:dana", same=True)
    assert await owner_of(world, claim["ticket_id"]) == other["customer_id"]
    assert (await call(world, f"{path}/{suggested}", 404, scope="agent:dana", same=True))["code"] == "unknown-suggestion"


async def somebody_waits(world: World) -> None:
    """Until a transaction waits for the locks of another."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while True:
            async with db.transaction(world.parts.engine) as conn:
                if (await conn.execute(sa.text(waiting))).scalar_one():
                    return
            await asyncio.sleep(0.02)


async def test_what_is_written_of_somebody_who_is_merged_meanwhile_is_of_who_goes_on(world: World) -> None:
    one, two = await mailed(world, ANA, "a1", "Hello"), await mailed(world, BOB, "b1", "Hello")
    phone = {"kind": "phone", "value": "+40721123456"}
    async with db.transaction(world.parts.engine) as conn:
        await merging.merge(conn, world.parts.outbox, one["customer_id"], two["customer_id"], "by_hand")
        writing = asyncio.create_task(put(world, one["customer_id"], handles=[phone]))
        await somebody_waits(world)
    assert (await writing)["id"] == two["customer_id"]
    assert (await posted(world, "sms", "phone", "+40721123456"))["customer_id"] == two["customer_id"]


async def test_two_answers_to_a_closed_ticket_at_once_are_on_one_that_follows(world: World) -> None:
    closed = await mailed(world, ANA, "a1", "Hello")
    await mailed(world, ANA, "a2", "Hello?", "a1")
    await world.close(closed["ticket_id"])
    second_address = await mailed(world, BOB, "b1", "Another matter")
    await call(world, f"{second_address['customer_id']}/merge", into_customer_id=closed["customer_id"])
    first = InboundMessage("test", "m1", "h1", "email", "in", Handle("email", BOB), "About it", reply_refs=("a1",))
    async with db.transaction(world.parts.engine) as conn:
        plan = await world.intake.acceptor._place(conn, looking.look([first], NO_RULES, NO_WORDS))
        second = asyncio.create_task(mailed(world, ANA, "a3", "And?", "a2"))
        await somebody_waits(world)
    assert plan.placements[0].opened
    assert (await second)["ticket_id"] == plan.placements[0].ticket_id


async def test_a_merge_that_is_asked_for_again_is_done_already(world: World) -> None:
    one, two = await mailed(world, ANA, "a1", "Hello"), await mailed(world, BOB, "b1", "Hello")
    for _ in range(2):
        merged = await call(world, f"{one['customer_id']}/merge", into_customer_id=two["customer_id"])
        assert merged == {"customer_id": two["customer_id"]}
    assert len(await world.events(CustomerAbsorbed)) == 1


async def test_a_ticket_by_hand_is_for_the_customer_that_goes_on(world: World) -> None:
    one, two = await mailed(world, ANA, "a1", "Hello"), await mailed(world, BOB, "b1", "Hello")
    await call(world, f"{one['customer_id']}/merge", into_customer_id=two["customer_id"])
    asked = TicketOpenRequested(agent_id="dana", customer_id=one["customer_id"], channel="in_person")
    assert await world.say("by-hand", asked) == []
    assert await world.events(RequestRefused) == []
    assert (await world.events(TicketOpened))[-1].data.customer_id == two["customer_id"]


async def test_nothing_is_split_out_of_quarantine(world: World) -> None:
    spam = await mailed(world, ANA, "a1", "Buy this")
    await mailed(world, ANA, "a2", "And that", "a1")
    wish = TicketSplitRequested(agent_id="dana", message_ids=(spam["message_id"],))
    assert await world.say(spam["ticket_id"], SpamMarked(by="agent", agent_id="dana"), wish, seen=ALL) == []
    assert [refused.data.code for refused in await world.events(RequestRefused)] == ["spam"]
    assert await world.say(spam["ticket_id"], SpamUnmarked(by="agent", agent_id="dana"), wish, seen=ALL, start=3) == []
    assert (await world.events(TicketOpened))[-1].data.split_from == spam["ticket_id"]


async def test_a_ticket_that_cannot_be_read_holds_up_no_house_keeping(world: World) -> None:
    await mailed(world, ANA, "a1", "Hello")
    await world.intake.park("mailgun", "not understood", "text/plain", b"?")
    await world.execute("UPDATE intake.ticket SET story = 'poison', rested_at = now() - interval '30 days'")
    await world.execute("UPDATE intake.parked_contact SET parked_at = now() - interval '99 days'")

    async def forgotten() -> bool:
        return await world.count("parked_contact") == 0

    ticking = asyncio.create_task(world.ticker().run())
    await until(forgotten)
    assert not ticking.done()
    ticking.cancel()


async def test_who_wants_no_more_messages_gets_none_by_a_connector_either(world: World) -> None:
    await world.inbox("own", channel="sms", address="+40700000001", webhook="https://connector.example/out")
    ticket = await posted(world, "sms", "phone", "+40721123456", inbox="own")
    stopped = await sms(world, From="+40721123456", Body="STOP", MessageSid="SM1")
    assert stopped.status_code == 200, stopped.text
    await world.reply(ticket["ticket_id"], ticket["customer_id"], "Hello", "sms")
    while await world.sender.send_due():
        continue
    assert [failed.data.code for failed in await world.events(MessageFailed)] == ["opted-out"]


async def test_who_wants_no_more_messages_is_not_asked_by_a_connector_how_it_was(database: str) -> None:
    secret = "whsec_" + "a" * 32
    async with connector() as (played, url), process(database, intake_webhook_secrets=f"own={secret}") as world:
        await world.inbox("own", channel="sms", address="+40700000001", webhook=url)
        await configure(world, {**CSAT, "queue_ids": []})
        ticket = await posted(world, "sms", "phone", "+40721123456", inbox="own")
        assert (await sms(world, From="+40721123456", Body="STOP", MessageSid="SM1")).status_code == 200
        await resolve(world, ticket["ticket_id"])
        while await world.sender.send_due():
            continue
        assert await world.count("delivery", "kind = 'survey' AND state = 'failed'") == 1
        assert (played.posted, await world.events(SurveySent)) == ([], [])


async def test_what_anybody_may_send_has_a_size_and_a_name_that_can_be_kept(world: World) -> None:
    form = {"email": ANA, "text": "Hello", "more": "x" * 3_000_000}
    assert (await world.http.post("/v1/forms/contact", json=form)).status_code == 413
    assert (await world.http.post("/v1/forms/a%00b", json={"email": ANA, "text": "Hello"})).status_code == 404
    large = await world.http.post("/v1/providers/twilio/sms", content=b"Body=" + b"x" * 300_000)
    assert large.status_code == 413
    for path in ("/v1/inboxes/support", "/v1/customers/email:ana@b.example"):
        assert (await world.http.put(path, content=b" " * 3_000_000)).status_code == 413, "before it is asked who that is"
    for path in ("/v1/contacts", "/v1/uploads"):
        assert (await world.http.post(path, content=b" " * 3_000_000)).status_code == 401, "those may be large"
    assert await world.count("message") == 0


async def test_an_address_that_our_mail_server_cannot_write_to_is_told_at_once(database: str) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        ticket = await mailed(world, "żółw@example.com", "z1", "Hello")
        await world.reply(ticket["ticket_id"], ticket["customer_id"], "Hello", "email")
        await world.sender.send_due()
        assert [failed.data.code for failed in await world.events(MessageFailed)] == ["smtputf8-not-supported"]
        assert sink.mails == []


async def test_an_inbox_has_an_address_that_can_stand_in_a_header(world: World) -> None:
    for address in ("a@b\r\nBcc: c@d", "support", "a b@c.example"):
        body = {"channel": "email", "address": address}
        answer = await world.http.put("/v1/inboxes/support", json=body, headers=await world.key("admin"))
        assert answer.status_code == 422, address


async def test_what_a_mail_server_says_is_kept_without_addresses(database: str) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await answered(world)
        sink.answers = ["250 2.0.0 queued for <ana@example.com> as 17"]
        await world.sender.send_due()
        assert [event.data.provider_ref for event in await world.events(MessageDelivered)] == ["2.0.0 queued for … as 17"]
