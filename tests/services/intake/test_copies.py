"""Mail that goes to others too: who they are, what they answer, how they are answered, and that they can be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa

from services.intake.domain.contacts import Copy, DeliveryWord, Handle, InboundMessage
from services.intake.mail import MailTaker
from services.intake.recalling import OF_CUSTOMERS
from services.intake.store import known
from services.intake.store.parked import Arrival
from shared import db
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerCreated, CustomerPersonal, CustomerProfileChanged
from shared.events.ticket import SpamMarked, TicketOpened
from shared.events.topics import TICKETS, TOPIC_OF
from tests.services.intake.test_customers import call, got, posted, put
from tests.services.intake.test_erasure import erase, traces
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_recalled_merges import lose, recall, state
from tests.services.intake.test_replies_out import answer
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process
from tests.waiting import until

DAN, ANA = "dan@customers.example", "ana@customers.example"
COPIED = "Ana Popescu <Ana@Customers.example>, Help <support+x@patchbay.example>"


@asynccontextmanager
async def written(database: str, **headers: str) -> AsyncIterator[tuple[World, MailServer, int]]:
    """Dan wrote, and Ana has a copy."""
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as listening:
            await deliver(listening, mail(**{"Cc": COPIED, **headers}))
            yield world, sink, listening


async def received(world: World) -> list[MessageReceived]:
    return [event.data for event in await world.events(MessageReceived)]


async def test_who_has_a_copy_is_an_id_on_the_log_a_customer_to_agents_and_can_be_answered(database: str) -> None:
    async with written(database) as (world, sink, _):
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        shown = await got(world, ana)
        assert [(one["value"], one["verified_by"]) for one in shown["handles"]] == [(ANA, "not")]  # type: ignore[attr-defined]
        created = (await world.events(CustomerCreated))[-1]
        assert created.key == ana
        assert await world.opened(created, CustomerPersonal) == CustomerPersonal(name="Ana Popescu")
        [event] = await world.events(MessageReceived)
        personal = await world.opened(event, MessagePersonal)
        assert "ana@" not in repr(personal).lower()
        await answer(world, cc=(ana,))
        assert (sink.mails[0]["To"], sink.mails[0]["Cc"], sink.recipients) == (DAN, ANA, [[DAN, ANA]])
        assert await world.count("delivery", "kind = 'confirmation'") == 0


async def test_who_had_a_copy_answers_on_the_same_ticket_as_themselves(database: str) -> None:
    async with written(database) as (world, sink, port):
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        await answer(world, cc=(ana,))
        ours = sink.mails[0]
        by_ref = mail("Re: My parcel", From=f"Ana <{ANA}>", Message_ID="<2@c>", In_Reply_To="<first@customers.example>", Cc=DAN)
        by_token = mail("Re: My parcel", From=f"Ana <{ANA}>", Message_ID="<3@c>", To=str(ours["Reply-To"]), Cc=DAN)
        by_number = mail("AW: My parcel [#100001]", From=f"Ana <{ANA}>", Message_ID="<4@c>")
        for message in (by_ref, by_token, by_number):
            await deliver(port, message, sender=ANA)
        _, *answers = await received(world)
        assert [(one.customer_id, one.participant) for one in answers] == [(ana, False)] * 3
        assert [one.cc_customer_ids for one in answers] == [(first.customer_id,), (first.customer_id,), ()]
        assert len(await world.events(TicketOpened)) == 1
        assert len(await world.events(CustomerCreated)) == 2
        shown = await got(world, ana)
        assert [one["verified_by"] for one in shown["handles"]] == ["wrote_from_it"]  # type: ignore[attr-defined]
        await deliver(port, mail("AW: My parcel [#100001]", From="eve@other.example", Message_ID="<5@c>"))
        assert len(await world.events(TicketOpened)) == 2, "a stranger may not name it"


async def test_spam_copies_nobody(database: str) -> None:
    async with written(database, X_Spam_Flag="YES") as (world, _, _):
        assert len(await world.events(SpamMarked)) == 1
        assert [one.cc_customer_ids for one in await received(world)] == [()]
        assert len(await world.events(CustomerCreated)) == 1


async def test_first_mails_at_once_with_the_same_copy_make_one_customer_of_it(database: str) -> None:
    async with process(database) as one, process(database) as other:
        await one.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(one) as first, mail_port(other) as second:
            mails = [mail(From=f"p{n}@c.example", Message_ID=f"<{n}@c>", Cc=COPIED) for n in range(10)]
            mails += [mail(From=ANA, Message_ID=f"<{n}@c>") for n in (10, 11)]
            said = await asyncio.gather(*(deliver((first, second)[n % 2], message) for n, message in enumerate(mails)))
        assert all("ticket #" in answer for answer in said)
        messages = await received(one)
        owner = {message.customer_id for message in messages if not message.cc_customer_ids}
        assert {message.cc_customer_ids for message in messages} == {(), tuple(owner)}
        assert await one.count("customer") == 11


async def test_a_mail_with_copies_that_comes_back_says_of_no_address_that_it_takes_none(database: str) -> None:
    async with written(database) as (world, _, _):
        [first] = await received(world)
        await answer(world, cc=first.cc_customer_ids)
        [message_id] = await world.reply_ids()
        await world.intake.acceptor.accept([DeliveryWord("mailgun", "1", "bounced", message_id=message_id, code="550")])
        assert await world.count("handle", "returned_at IS NOT NULL") == 0


async def test_who_had_a_copy_is_forgotten_and_what_the_writer_wrote_stays(database: str) -> None:
    text = f"I told Ana Popescu <{ANA}>\nand xana@customers.example,\nnot ana@customers.example.org."
    async with mail_server() as (_, port), process(database, intake_mail_port=port) as world:
        async with mail_port(world) as listening:
            await deliver(listening, mail(text=text, Cc=COPIED))
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        assert {trace.column for trace in await traces(world, ANA)} >= {"intake.message.body", "intake.handle.value"}
        assert await erase(world, ana) == [ana]
        assert await traces(world, "Ana Popescu <", f"<{ANA}>", f" {ANA},", f" {ANA}\r") == []
        assert await world.count("handle", f"value = '{ANA}'") == 0
        kept = ("my parcel", "dan@customers.example", "xana@customers.example", "ana@customers.example.org", "erased@")
        for word in kept:
            assert "intake.message.body" in {trace.column for trace in await traces(world, word)}, word


async def test_who_had_a_copy_of_very_much_is_forgotten_whatever_its_lines_and_while_nobody_waits(database: str) -> None:
    async with process(database, transaction_seconds=1) as world:
        async with mail_port(world) as listening:
            await deliver(listening, mail(Cc=COPIED))
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        columns = "ticket_id, customer_id, content_hash, human, opened, participant, media_type, received_at, cc"
        await world.execute(
            f"INSERT INTO intake.message (id, body, {columns})"
            f" SELECT 'm' || n, convert_to(repeat('a b', n * 100) || CAST(:said AS text), 'UTF8'), {columns}"
            " FROM intake.message, generate_series(1, 250) n",
            said=f"Ana <{ANA}>",
        )
        assert await erase(world, ana) == [ana]
        assert await traces(world, ANA) == []
        assert await world.count("message", "cc IS NOT NULL") == 0
        assert await world.count("message", "body IS NOT NULL") == 251


async def test_an_answer_to_all_goes_to_the_address_that_had_the_copy_or_wrote_last(database: str) -> None:
    others = [{"kind": "email", "value": f"ana.{n}@home.example"} for n in range(5)]
    async with written(database, Cc="ana.3@home.example") as (world, sink, port):
        await put(world, "email:ana.3@home.example", handles=others)
        [first] = await received(world)
        assert first.cc_customer_ids != ()
        assert len(first.cc_handle_ids) == 1
        await answer(world, cc=first.cc_customer_ids)
        again = mail(From=others[1]["value"], Message_ID="<2@c>", In_Reply_To="<first@customers.example>")
        await deliver(port, again)
        [opened] = await world.events(TicketOpened)
        await world.reply(opened.key, first.customer_id, "So", "email", 2, cc=first.cc_customer_ids)
        assert await world.sender.send_due() == 1
        assert [sent["Cc"] for sent in sink.mails] == ["ana.3@home.example", "ana.1@home.example"]


async def test_whom_a_forged_mail_names_is_no_customer(database: str) -> None:
    found = "Authentication-Results: mx.ours.example; dmarc=fail header.from=customers.example"
    border = "Received: from a.evil.example (a.evil.example [192.0.2.1]) by mx.ours.example; x"
    forged = f"{found}\n{border}\n".encode() + bytes(mail(Cc=COPIED))
    async with process(database, intake_authserv_ids="mx.ours.example", intake_border_hosts="mx.ours.example") as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        intake = world.intake
        taker = MailTaker(intake.acceptor, world.signer, intake.inboxes, intake.limiter, world.settings.border)
        arrival = Arrival("smtp", forged, "eve@evil.example", (SUPPORT,))
        assert await taker.take(arrival, intake.inboxes.current.by_id["support"]) is not None
        assert [one.cc_customer_ids for one in await received(world)] == [()]
        assert await world.count("customer") == 1


async def test_who_typed_the_address_in_and_is_taken_for_its_owner_has_not_written_from_it(database: str) -> None:
    async with written(database) as (world, _, port):
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        claim = await posted(world, "form", "email", ANA)
        assert claim["customer_id"] != ana
        await call(world, f"{claim['customer_id']}/merge", into_customer_id=ana)
        shown = await got(world, ana)
        assert [one["verified_by"] for one in shown["handles"]] == ["not"]  # type: ignore[attr-defined]
        await deliver(port, mail(From=ANA, Message_ID="<2@c>"), sender=ANA)
        shown = await got(world, ana)
        assert [one["verified_by"] for one in shown["handles"]] == ["wrote_from_it"]  # type: ignore[attr-defined]


async def languages(world: World) -> set[tuple[str, str]]:
    async with db.transaction(world.parts.engine) as conn:
        rows = await conn.execute(sa.text("SELECT id, language FROM intake.customer"))
        return {(row.id, row.language) for row in rows}


async def test_who_had_a_copy_and_writes_is_spoken_to_in_their_language_also_after_a_restore(database: str) -> None:
    async with written(database) as (world, _, port):
        [ana] = (await received(world))[0].cc_customer_ids
        assert (ana, "und") in await languages(world)
        text = "Bună ziua, aș vrea să știu unde este coletul meu, pentru că nu a sosit încă."
        await deliver(port, mail("Coletul", text, From=f"Ana P <{ANA}>", Message_ID="<2@c>"), sender=ANA)
        before, log = await languages(world), await world.log()
        assert (ana, "ro") in before
        [said] = await world.events(CustomerProfileChanged)
        assert (said.key, said.data.language) == (ana, "ro")
        assert await world.opened(said, CustomerPersonal) == CustomerPersonal(name="Ana P", handles=(ANA,))
        await lose(world)
        customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
        await recall(world, [customers], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
        assert await languages(world) == before
        assert (await got(world, ana))["version"] == 0, "their record was filled by nobody"


async def test_after_a_restore_who_had_copies_is_known_again(database: str) -> None:
    async with written(database) as (world, _, port):
        [first] = await received(world)
        before, log = await state(world), await world.log()
        await lose(world)
        customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
        await recall(world, [customers], [[event for event in log if TOPIC_OF[type(event.data)] is TICKETS]])
        assert await state(world) == before
        assert await world.count("message", f"cc = ARRAY['{first.cc_customer_ids[0]}']") == 1
        assert await world.count("message", f"cc_handles = ARRAY['{first.cc_handle_ids[0]}']") == 1
        assert await world.count("handle", "verified_by = 'not'") == 1
        await deliver(port, mail("AW: [#100001]", From=f"Ana <{ANA}>", Message_ID="<2@c>"), sender=ANA)
        assert [one.customer_id for one in await received(world)] == [first.customer_id, first.cc_customer_ids[0]]


async def test_a_copy_for_somebody_who_is_known_holds_up_no_other_mail_and_their_erasure_waits_for_it(database: str) -> None:
    async with written(database) as (world, _, port):
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        to_ana = (Copy(Handle("email", ANA)),)
        on_its_way = InboundMessage("smtp", "9", "", "email", "support", Handle("email", "p@c.example"), "hi", copies=to_ana)
        async with db.transaction(world.parts.engine) as conn:
            await known.hold(conn, [on_its_way])
            async with asyncio.timeout(5):
                await deliver(port, mail(From="q@c.example", Message_ID="<2@c>", Cc=COPIED))
            erasing = asyncio.create_task(erase(world, ana))
            await until("the erasure waits", world.somebody_waits)
        assert await erasing == [ana]
