"""What a mail server takes of a mail that goes out, for whom and from whom; and mail that comes in without a sender."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.intake import recalled
from services.intake.domain.contacts import DeliveryWord
from services.intake.domain.delivery import BACK_OFF_SECONDS
from services.intake.recalled_ticket import Context, Recalled
from services.intake.store import recalled_deliveries
from shared import db
from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageBounced,
    MessageDelivered,
    MessageFailed,
)
from shared.events.ticket import TicketOpened
from shared.ticket import Ticket, apply
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_replies_out import answer, last, written
from tests.services.intake.world import BREAKS_OFF, MailServer, World, mail_port, mail_server, process

ANA, DAN = "ana@customers.example", "dan@customers.example"


@asynccontextmanager
async def copied(database: str) -> AsyncIterator[tuple[World, MailServer, str]]:
    """Ana wrote; Dan, whose id comes along, is to have copies."""
    async with written(database) as (world, sink):
        dan = (await last(world)).data.customer_id
        async with mail_port(world) as listening:
            await deliver(listening, mail(Message_ID="<2@c>", From=f"Ana <{ANA}>"), sender=ANA)
        yield world, sink, dan


async def told_of_copies(world: World) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """What was said of copies: by which attempt, who gets none, who is still to get one."""
    said = [event.data for event in await world.events(MessageDelivered)]
    return [(one.attempts, one.refused_cc_customer_ids, one.awaited_cc_customer_ids) for one in said]


async def again(world: World) -> None:
    """It is time for the next attempt."""
    await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")
    assert await world.sender.send_due() == 1


async def test_where_the_customers_address_is_refused_the_reply_failed_and_no_copy_went_out(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {ANA: f"550 5.1.1 no such user {ANA}"}
        await answer(world, cc=(dan,))
        [failed] = await world.events(MessageFailed)
        assert (failed.data.code, failed.data.detail) == ("smtp-550", "the mail server refused it")
        assert (await world.events(MessageDelivered), sink.mails) == ([], [])


@pytest.mark.parametrize("said", ["451 4.2.0 try later", "421 4.3.2 closing", "530 5.7.0 log in first"])
async def test_where_the_customers_address_is_put_off_everybody_gets_the_reply_once_later(database: str, said: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {ANA: said}
        await answer(world, cc=(dan,))
        assert [await world.events(kind) for kind in (MessageFailed, MessageDelivered, DeliveryUncertain)] == [[], [], []]
        sink.refused = {}
        await again(world)
        assert sink.recipients == [[ANA, DAN]]
        [delivered] = await world.events(MessageDelivered)
        assert (delivered.data.attempts, delivered.data.refused_cc_customer_ids) == (2, ())


async def test_a_copy_that_is_refused_is_told_and_does_not_hold_the_customers_mail_back(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "550 5.1.1 no such user"}
        await answer(world, cc=(dan,))
        assert sink.recipients == [[ANA]]
        [delivered] = await world.events(MessageDelivered)
        assert (delivered.data.attempts, delivered.data.refused_cc_customer_ids) == (1, (dan,))
        assert await world.events(MessageFailed) == []


async def test_a_copy_that_is_put_off_is_tried_again_alone_under_the_same_name_and_told_when_it_is_taken(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        await again(world)
        assert (sink.recipients, await told_of_copies(world)) == ([[ANA]], [(1, (), (dan,))])
        sink.refused = {}
        await again(world)
        assert sink.recipients == [[ANA], [DAN]]
        first, second = sink.mails
        assert [first[name] for name in ("Message-ID", "To", "Cc")] == [second[name] for name in ("Message-ID", "To", "Cc")]
        assert await told_of_copies(world) == [(1, (), (dan,)), (3, (), ())]
        assert await world.count("delivery", "state = 'delivered' AND due_at IS NULL AND copies_left IS NULL") == 1
        assert [await world.events(kind) for kind in (MessageFailed, DeliveryUncertain)] == [[], []]


@pytest.mark.parametrize("last", ["451 4.2.0 try later", "421 4.3.2 closing", "550 5.1.1 no such user"])
async def test_a_copy_that_is_put_off_until_the_last_attempt_or_then_refused_is_told(database: str, last: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        sink.refused = {DAN: last}
        await world.execute(f"UPDATE intake.delivery SET attempts = {len(BACK_OFF_SECONDS)}")
        await again(world)
        assert await told_of_copies(world) == [(1, (), (dan,)), (len(BACK_OFF_SECONDS) + 1, (dan,), ())]
        assert (sink.recipients, await world.events(MessageFailed)) == ([[ANA]], [])
        assert await world.count("delivery", "state = 'delivered'") == 1


async def test_a_copy_of_which_nobody_knows_whether_it_was_taken_goes_again_and_no_other(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        sink.refused, sink.answers = {}, [BREAKS_OFF]
        await again(world)
        await again(world)
        assert sink.recipients == [[ANA], [DAN], [DAN]]
        assert await world.events(DeliveryUncertain) == [], "the customer has the message for certain"
        assert await told_of_copies(world) == [(1, (), (dan,)), (3, (), ())]


async def test_who_in_copy_was_erased_meanwhile_ends_no_copy_of_another(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        async with mail_port(world) as listening:
            await deliver(listening, mail(Message_ID="<3@c>", From="eve@c.example"), sender="eve@c.example")
            eve = (await last(world)).data.customer_id
            await deliver(listening, mail(Message_ID="<4@c>", From=f"Ana <{ANA}>"), sender=ANA)
        sink.refused = {DAN: "451 4.2.0 try later", "eve@c.example": "451 4.2.0 try later"}
        await answer(world, cc=(dan, eve))
        erased = await world.http.post(f"/v1/customers/{eve}/erase", headers=await world.key("admin"))
        assert erased.status_code == 200
        await again(world)
        sink.refused = {}
        await again(world)
        assert sink.recipients == [[ANA], [DAN]]
        both = tuple(sorted((dan, eve)))
        assert await told_of_copies(world) == [(1, (), both), (2, (eve,), (dan,)), (3, (), ())]


async def test_a_copy_that_is_put_off_holds_no_later_reply_back(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        await answer(world, "And one more thing.", seq=2)
        assert sink.recipients == [[ANA], [ANA]]


async def test_that_a_copy_is_put_off_is_told_also_where_the_provider_was_quicker(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        received = await last(world)
        message_id = await world.reply(received.key, received.data.customer_id, "Tomorrow.", "email", cc=(dan,))
        await world.intake.acceptor.accept([DeliveryWord("mailgun", "1", "delivered", message_id=message_id)])
        assert await world.sender.send_due() == 1
        sink.refused = {}
        await again(world)
        assert (await told_of_copies(world))[1:] == [(1, (), (dan,)), (2, (), ())]


async def test_after_a_restore_a_copy_that_was_put_off_is_still_to_go_and_the_customers_mail_is_not(database: str) -> None:
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "451 4.2.0 try later"}
        await answer(world, cc=(dan,))
        [message_id] = await world.reply_ids()
        await world.intake.acceptor.accept([DeliveryWord("mailgun", "1", "delivered", message_id=message_id)])
        said = await world.events(MessageDelivered)
        [opening] = [event for event in await world.events(TicketOpened) if event.key == said[0].key]
        for batches in ([said], [[event] for event in said]):
            await world.execute("UPDATE intake.delivery SET state = 'waiting', due_at = now(), attempts = 0, copies_left = NULL")
            for batch in batches:
                state = Recalled(apply(Ticket(), opening))
                for event in batch:
                    state, _ = recalled.HANDLERS[MessageDelivered](Context({}, {}), state, event, event.time)
                async with db.transaction(world.parts.engine) as conn:
                    await recalled_deliveries.outcomes(conn, [(event.key, one) for one in state.ended])
        async with db.transaction(world.parts.engine) as conn:
            await recalled_deliveries.leave_open(conn)
        assert await world.count("delivery", "attempts = 2 AND state = 'sending'") == 1, "one of which nobody knows"
        sink.refused = {}
        await again(world)
        assert sink.recipients == [[ANA], [DAN]]
        assert (await told_of_copies(world))[-1] == (3, (), ())
        assert await world.events(DeliveryUncertain) == []


async def test_a_mail_server_that_breaks_off_before_it_has_the_mail_makes_nothing_uncertain(database: str) -> None:
    """421 to a copy: the server closes the connection after it."""
    async with copied(database) as (world, sink, dan):
        sink.refused = {DAN: "421 4.3.2 closing"}
        await answer(world, cc=(dan,))
        assert [await world.events(kind) for kind in (MessageFailed, MessageDelivered, DeliveryUncertain)] == [[], [], []]
        sink.refused = {}
        await again(world)
        assert sink.recipients == [[ANA, DAN]]


async def test_a_mail_server_that_breaks_off_in_the_mail_makes_it_uncertain_and_it_goes_again_under_its_name(
    database: str,
) -> None:
    async with written(database) as (world, sink):
        sink.answers = [BREAKS_OFF]
        await answer(world)
        [uncertain] = await world.events(DeliveryUncertain)
        assert (uncertain.data.attempt, await world.events(MessageDelivered)) == (1, [])
        await again(world)
        assert [sent["Message-ID"] for sent in sink.mails] == [sink.mails[0]["Message-ID"]] * 2
        assert [event.data.attempts for event in await world.events(MessageDelivered)] == [2]


async def test_after_a_restore_what_was_said_of_an_attempt_is_not_said_of_it_again(database: str) -> None:
    async with written(database) as (world, sink):
        sink.answers = [BREAKS_OFF]
        await answer(world)
        async with db.transaction(world.parts.engine) as conn:
            await recalled_deliveries.leave_open(conn)
        await again(world)
        told = await world.events(DeliveryUncertain)
        assert [event.data.attempt for event in told] == [1, 2]
        assert len({event.id for event in told}) == 2
        assert [event.data.attempts for event in await world.events(MessageDelivered)] == [3]


@pytest.mark.parametrize(("refused", "senders"), [({}, ["<>", SUPPORT]), ({"<>": "501 5.1.7 bad sender"}, [SUPPORT, SUPPORT])])
async def test_a_confirmation_has_no_sender_where_the_server_takes_that_and_a_reply_has_the_inbox(
    database: str, refused: dict[str, str], senders: list[str]
) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        async with mail_port(world) as listening:
            await deliver(listening, mail())
        sink.refused = refused
        await again(world)
        await answer(world)
        assert sink.senders == senders
        assert [sent["From"] for sent in sink.mails] == [SUPPORT, SUPPORT]
        assert len(await world.events(ConfirmationSent)) == 1


async def test_a_server_that_takes_no_mail_without_a_sender_just_now_gets_it_later(database: str) -> None:
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        async with mail_port(world) as listening:
            await deliver(listening, mail())
        sink.refused = {"<>": "451 4.7.1 later"}
        await again(world)
        assert (sink.mails, await world.events(ConfirmationSkipped)) == ([], [])
        sink.refused = {}
        await again(world)
        assert sink.senders == ["<>"]


async def test_a_letter_without_a_sender_about_mail_of_ours_is_a_bounce_whoever_signs_it(database: str) -> None:
    async with written(database) as (world, sink):
        await answer(world)
        ref = sink.mails[0]["Message-ID"]
        letter = f"Your message could not be delivered: 550 5.1.1 no such user\n\nMessage-ID: {ref}\n"
        returned = mail("Returned mail", letter, Message_ID="<r@mx>", From="Mail system <robot@mx.customers.example>")
        async with mail_port(world) as listening:
            await deliver(listening, returned, sender="")
        [bounced] = await world.events(MessageBounced)
        assert (bounced.data.hard, bounced.data.code) == (True, "5.1.1")
        assert len(await world.events(TicketOpened)) == 1
