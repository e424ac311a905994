"""Mail on a real SMTP port: accepted, threaded, confirmed, answered."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import aiosmtplib
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.domain.delivery import ALIKE_AT_MOST, CAPS
from services.intake.domain.tokens import Signer
from services.intake.sending import AT_ONCE
from shared import db
from shared.events.base import NOTHING_SEEN, Event, Position, derived_id, event_id
from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageDelivered,
    MessageFailed,
    MessagePersonal,
    MessageReceived,
)
from shared.events.sla import ClockStarted
from shared.events.ticket import TicketLabelled, TicketOpened
from tests.services.intake.test_customers import call, got, put
from tests.services.intake.world import World, mail_port, mail_server, process

SUPPORT = "support@patchbay.example"
DANA_TEXT = "Your parcel is on its way.\n\nIt arrives tomorrow."
DEADLINE = datetime(2026, 1, 15, 15, 30, tzinfo=UTC)


def mail(
    subject: str = "My parcel", text: str = "Hello, my parcel has not arrived yet. Where is it?", **headers: str
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Dan Ionescu <Dan@Customers.example>"
    message["To"] = SUPPORT
    message["Subject"] = subject
    message["Message-ID"] = "<first@customers.example>"
    for name, value in headers.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


async def deliver(port: int, message: EmailMessage, *recipients: str, sender: str = "dan@customers.example") -> str:
    _, answer = await aiosmtplib.send(
        message, sender=sender, recipients=list(recipients or (SUPPORT,)), hostname="127.0.0.1", port=port, timeout=10
    )
    return answer


async def test_a_mail_is_a_ticket_and_250_names_its_number(world: World) -> None:
    async with mail_port(world) as port:
        answer = await deliver(port, mail())
    opened = (await world.events(TicketOpened))[0]
    assert answer == f"2.0.0 OK, ticket #{opened.data.number}"
    assert (opened.data.channel, opened.data.language) == ("email", "en")
    personal = await world.opened((await world.events(MessageReceived))[0], MessagePersonal)
    assert isinstance(personal, MessagePersonal)
    assert (personal.handle, personal.name, personal.subject) == ("dan@customers.example", "Dan Ionescu", "My parcel")


async def test_the_same_mail_twice_is_one_message_and_another_under_its_id_is_not_lost(world: World) -> None:
    async with mail_port(world) as port:
        first = await deliver(port, mail())
        assert await deliver(port, mail()) == first
        assert await world.count("message") == 1
        await deliver(port, mail(text="Something quite different, which must not be lost"))
    assert await world.count("message") == 2


async def test_answers_to_a_mail_find_its_ticket_also_from_another_address(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(Message_ID="<2@c>", In_Reply_To="<first@customers.example>"))
        await deliver(port, mail(Message_ID="<3@c>", References="<0@c> <first@customers.example>", From="else@other.example"))
        await deliver(port, mail(Message_ID="<4@c>"))
    events = await world.events(MessageReceived)
    assert [event.key == events[0].key for event in events] == [True, True, True, False]
    assert [event.data.participant for event in events] == [True, True, False, True]


async def test_an_answer_that_overtakes_its_mail_waits_on_the_same_ticket(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(Message_ID="<2@c>", In_Reply_To="<first@customers.example>"))
        await deliver(port, mail())
    assert len(await world.events(TicketOpened)) == 1


async def test_only_our_own_addresses_are_taken_once_there_are_some(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as port:
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await deliver(port, mail(), "somebody@else.example")
        await deliver(port, mail(), "Support+anything@PATCHBAY.example")
    assert (await world.events(TicketOpened))[0].data.inbox == "support"


async def test_mail_is_refused_for_now_while_postgresql_is_away(world: World) -> None:
    async with mail_port(world) as port:
        await world.parts.engine.dispose()
        world.intake.acceptor.engine = world.sender.engine = _nowhere(world)
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await deliver(port, mail())
    assert refused.value.code == 451


def _nowhere(world: World) -> AsyncEngine:
    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    return db.make_engine(world.settings.model_copy(update={"database": nowhere}), "away")


async def test_a_confirmation_goes_out_in_the_mails_language_with_number_and_link(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        async with mail_port(world) as smtp:
            await deliver(smtp, mail("שלום", "החבילה שלי עדיין לא הגיעה, מה קורה איתה?"))
            await deliver(smtp, mail("Out of office", Message_ID="<auto@c>", Auto_Submitted="auto-replied"))
        assert await world.sender.send_due() == 0  # it waits for the promised time, a second at most
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 1
        opened, automatic = await world.events(TicketOpened)
        [confirmation] = server.mails
        assert f"#{opened.data.number}" in str(confirmation["Subject"])
        plain = confirmation.get_body(("plain",))
        html = confirmation.get_body(("html",))
        assert plain is not None
        assert html is not None
        assert f"\u2068#{opened.data.number}\u2069" in plain.get_content()
        assert f"/status/{world.signer.history_token(opened.key)}" in plain.get_content()
        assert '<html lang="he" dir="rtl">' in html.get_content()
        assert (confirmation["Auto-Submitted"], confirmation["In-Reply-To"]) == ("auto-replied", "<first@customers.example>")
        assert (await world.events(ConfirmationSent))[0].data.language == "he"
        skipped = (await world.events(ConfirmationSkipped))[0]
        assert (skipped.key, skipped.data.reason) == (automatic.key, "automatic_mail")


async def test_who_writes_in_a_language_that_we_do_not_speak_is_confirmed_in_the_one_they_are_known_by_else_in_the_inboxs(
    database: str,
) -> None:
    german = "Guten Tag, meine Bestellung ist leider noch immer nicht angekommen. Wo ist sie?"
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, language="he")
        known = {"language": "ro"}
        put = await world.http.put(
            "/v1/customers/email:dan@customers.example", json=known, headers=await world.key("intake:write")
        )
        assert put.status_code == 200, put.text
        async with mail_port(world) as smtp:
            await deliver(smtp, mail("Bestellung", german))
            await deliver(smtp, mail("Bestellung", german, Message_ID="<2@c>", From="Eva <eva@customers.example>"))
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert await world.sender.send_due() == 2
        assert {event.data.language for event in await world.events(TicketOpened)} == {"de"}
        said = {str(sent["To"]): sent.get_body(("html",)) for sent in server.mails}
        for address, begins in (("dan@", '<html lang="ro" dir="ltr">'), ("eva@", '<html lang="he" dir="rtl">')):
            html = next(body for to, body in said.items() if address in to)
            assert html is not None
            assert begins in html.get_content()


async def test_our_own_mail_come_back_is_kept_apart_and_another_companys_is_a_ticket(world: World) -> None:
    async with mail_port(world) as port:
        came_back = await deliver(port, mail(X_Patchbay_Loop=world.signer.loop_mark()))
        assert (came_back, await world.count("parked_contact")) == ("2.0.0 OK, kept for a person to look at", 1)
        assert await world.log() == []
        assert "ticket #" in await deliver(port, mail(X_Patchbay_Loop=Signer(b"another company").loop_mark()))
    assert await world.count("parked_contact") == 1


async def test_a_burst_in_one_persons_name_is_confirmed_as_often_as_the_cap_says(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        async with mail_port(world) as smtp:
            for n in range(CAPS[0].in_all + 4):
                await deliver(smtp, mail(text=f"This is about parcel {'abc'[n % 3] * n}", Message_ID=f"<{n}@customers.example>"))
        assert await world.count("delivery", "kind = 'confirmation'") == CAPS[0].in_all + 4
        await world.execute("UPDATE intake.delivery SET due_at = clock_timestamp()")
        assert [await world.sender.send_due(), await world.sender.send_due()] == [AT_ONCE, CAPS[0].in_all + 4 - AT_ONCE]
        assert len(server.mails) == CAPS[0].in_all
        assert [event.data.reason for event in await world.events(ConfirmationSkipped)] == ["loop_cap"] * 4


async def test_who_writes_the_same_again_and_again_is_confirmed_a_few_times_and_tagged(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        away = {"position": 1, "words": {"en": ["away"]}, "tags": ["absence"]}
        assert (await world.http.put("/v1/word-lists/away", json=away, headers=await world.key("admin"))).status_code == 200
        async with mail_port(world) as smtp:
            for n in range(ALIKE_AT_MOST + 2):
                await deliver(smtp, mail(text=f"I am away.\nNotice  {n} of 12:{n}0", Message_ID=f"<{n}@customers.example>"))
            await deliver(smtp, mail(text="And something else.", Message_ID="<other@customers.example>"))
        await world.execute("UPDATE intake.delivery SET due_at = clock_timestamp()")
        assert await world.sender.send_due() == ALIKE_AT_MOST + 3
        assert len(server.mails) == ALIKE_AT_MOST + 1
        opened = [event.key for event in await world.events(TicketOpened)]
        tagged = [(event.key, event.data.tags) for event in await world.events(TicketLabelled)]
        assert sorted(tagged) == sorted((key, ("absence", "possible_loop")) for key in opened[ALIKE_AT_MOST:-1])
        assert [event.data.reason for event in await world.events(ConfirmationSkipped)] == ["loop_cap"] * 2


async def test_an_agents_reply_reaches_the_customer_and_the_answer_to_it_comes_back(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            await deliver(smtp, mail("Re: My parcel"))
            [received] = await world.events(MessageReceived)
            message_id = await world.reply(received.key, received.data.customer_id, DANA_TEXT, "email")
            assert await world.sender.send_due() == 1
            [answer] = server.mails
            number = (await world.events(TicketOpened))[0].data.number
            assert (answer["To"], answer["From"], answer["Subject"]) == (
                "dan@customers.example",
                SUPPORT,
                f"Re: My parcel [#{number}]",
            )
            assert answer["References"] == "<first@customers.example>"
            assert str(answer["Reply-To"]).startswith("support+")
            [delivered] = await world.events(MessageDelivered)
            assert (delivered.data.message_id, delivered.data.attempts) == (message_id, 1)
            await deliver(smtp, mail("Something else", Message_ID="<7@c>"), str(answer["Reply-To"]))
            await deliver(smtp, mail("Thanks", Message_ID="<8@c>", In_Reply_To=str(answer["Message-ID"])))
        # They came to a signed address and in answer to a signed Message-ID: nothing of the customer's own was needed.
        keys = [event.key for event in await world.events(MessageReceived)]
        assert keys == [received.key] * 3


async def test_replies_of_a_ticket_leave_in_order_and_a_refusal_for_now_is_tried_again_under_the_same_name(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        received = await _one_mail(world)
        server.answers = ["451 try later"]
        await world.reply(received.key, received.data.customer_id, "one", "email", 1)
        await world.reply(received.key, received.data.customer_id, "two", "email", 2)
        assert await world.sender.send_due() == 1
        assert server.mails == []
        assert await world.sender.send_due() == 0
        await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")
        assert [await world.sender.send_due(), await world.sender.send_due()] == [1, 1]
        assert [_text(one).split()[0] for one in server.mails] == ["one", "two"]
        assert [event.data.attempts for event in await world.events(MessageDelivered)] == [2, 1]


async def test_a_final_refusal_is_told_and_does_not_hold_up_the_next_reply(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        received = await _one_mail(world)
        server.answers = ["550 no such user"]
        await world.reply(received.key, received.data.customer_id, "one", "email", 1)
        await world.reply(received.key, received.data.customer_id, "two", "email", 2)
        assert [await world.sender.send_due(), await world.sender.send_due()] == [1, 1]
        assert (await world.events(MessageFailed))[0].data.code == "smtp-550"
        assert [_text(one).split()[0] for one in server.mails] == ["two"]


async def test_a_process_that_died_in_an_attempt_leaves_it_to_another_which_says_so(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        received = await _one_mail(world)
        await world.reply(received.key, received.data.customer_id, "one", "email")
        await world.execute(
            "UPDATE intake.delivery SET state = 'sending', attempts = 1, leased_until = now() + interval '1 hour'"
        )
        assert await world.sender.send_due() == 0
        await world.execute("UPDATE intake.delivery SET leased_until = now() - interval '1 second'")
        assert await world.sender.send_due() == 1
        assert (await world.events(DeliveryUncertain))[0].data.attempt == 1
        assert (await world.events(MessageDelivered))[0].data.attempts == 2
        assert len(server.mails) == 1


async def test_a_mail_server_that_is_away_costs_no_reply(world: World) -> None:
    received = await _one_mail(world)
    await world.reply(received.key, received.data.customer_id, "one", "email")
    assert await world.sender.send_due() == 1
    assert await world.count("delivery", "state = 'waiting' AND attempts = 1 AND due_at > now()") == 1


async def promise(world: World, ticket_id: str) -> None:
    """sla promises an answer by DEADLINE."""
    fact = ClockStarted(
        clock_id=derived_id("clock"),
        target="first_response",
        cycle=1,
        policy_id="standard",
        policy_version=1,
        dedup_key="d",
        channel="email",
        priority=2,
        started_at=DEADLINE - timedelta(hours=4),
        deadline=DEADLINE,
        target_us=1,
    )
    event = Event(
        id=event_id("x", fact.TYPE, ticket_id),
        type=fact.TYPE,
        writer="sla",
        position=Position(1, 1),
        key=ticket_id,
        time=datetime.now(UTC),
        data=fact,
        seen=NOTHING_SEEN,
    )
    assert await world.fold(world.promise_projection(), [event]) == []


async def test_the_promised_time_reaches_the_confirmation_and_sends_it_at_once(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port, intake_zone="Europe/Bucharest") as world:
        received = await _one_mail(world)
        assert await world.sender.send_due() == 0  # it waits for the promise, a second at most
        await promise(world, received.key)
        assert await world.sender.send_due() == 1
        assert "\u206815.01.2026 17:30\u2069" in _text(server.mails[0])
        assert (await world.events(ConfirmationSent))[0].data.promised_by == DEADLINE


async def test_customers_are_told_times_in_their_own_zone_whichever_of_their_ids_has_one(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port, intake_zone="Europe/Bucharest") as world:
        received = await _one_mail(world)
        await put(world, "external:7", zone="America/New_York")
        await call(world, "external:7/merge", into_customer_id=received.data.customer_id)
        await promise(world, received.key)
        assert await world.sender.send_due() == 1
        assert "\u206815.01.2026 10:30\u2069" in _text(server.mails[0])
        status = f"/status/{world.signer.history_token(received.key)}"
        assert "\u206815.01.2026 10:30\u2069" in (await world.http.get(status, headers={"Accept": "text/html"})).text
        version = (await got(world, "external:7"))["version"]
        await put(world, "email:dan@customers.example", if_match=f'"{version}"', zone="Asia/Tokyo")
        assert "\u206816.01.2026 00:30\u2069" in (await world.http.get(status, headers={"Accept": "text/html"})).text


async def _one_mail(world: World) -> Event[MessageReceived]:
    async with mail_port(world) as smtp:
        await deliver(smtp, mail())
    [received] = await world.events(MessageReceived)
    if world.settings.intake_zone == "UTC":
        await world.execute("DELETE FROM intake.delivery")
    return received


def _text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return part.get_content().strip()  # type: ignore[no-any-return]


async def test_a_client_who_comes_while_too_many_are_there_is_told_to_come_later_and_then_is_heard(world: World) -> None:
    async with mail_port(world, most=1) as port:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, timeout=10):
            with pytest.raises(aiosmtplib.SMTPConnectError) as refused:
                await deliver(port, mail())
            assert "421" in str(refused.value)
        await until_heard(port)
    assert len(await world.events(TicketOpened)) == 1


async def until_heard(port: int) -> None:
    """The end of the other client's connection takes a moment to be known."""
    async with asyncio.timeout(10):
        while True:
            try:
                await deliver(port, mail())
                return
            except aiosmtplib.SMTPConnectError:
                await asyncio.sleep(0.05)
