"""Words about what went out, through the acceptor: told once on the ticket, kept, and read back from the log."""

from __future__ import annotations

import asyncio

from services.intake.domain.contacts import DeliveryWord
from services.intake.recalled_ticket import Heard
from services.intake.store import recalled_deliveries
from shared import db
from shared.events.message import MessageBounced, MessageComplained, MessageDelivered, MessageRead, MessageReceived
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import World, mail_port, mail_server, process


async def answered(world: World) -> str:
    """A customer's mail is answered, and the answer is on its way out. Returns its id."""
    await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
    async with mail_port(world) as port:
        await deliver(port, mail())
    [received] = await world.events(MessageReceived)
    return await world.reply(received.key, received.data.customer_id, "It arrives tomorrow.", "email")


async def hear(world: World, *words: DeliveryWord) -> list[object]:
    """The process is told."""
    return list(await world.intake.acceptor.accept(words))


async def test_words_are_told_once_however_often_and_in_whichever_order_they_come(database: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port) as world, process(database) as other:
        message_id = await answered(world)
        await world.sender.send_due()
        words = [
            DeliveryWord("mailgun", "1", "read", message_id=message_id, raw=b"{}"),
            DeliveryWord("mailgun", "2", "bounced", message_id=message_id, code="550", raw=b"{}"),
            DeliveryWord("mailgun", "3", "complained", message_id=message_id, raw=b"{}"),
            DeliveryWord("mailgun", "4", "delivered", message_id=message_id, raw=b"{}"),
        ]
        await asyncio.gather(*(hear(one, *words[n % 2 :: -1], *words) for n in range(5) for one in (world, other)))
        for kind in (MessageRead, MessageBounced, MessageComplained):
            assert len(await world.events(kind)) == 1, kind
        assert [event.data.final for event in await world.events(MessageDelivered)] == [False], "read and bounced: arrived"
        assert await world.count("word") == 4


async def test_what_a_provider_says_before_the_attempt_is_written_down_stands(database: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port) as world:
        message_id = await answered(world)
        await hear(world, DeliveryWord("mailgun", "1", "delivered", message_id=message_id))
        await world.sender.send_due()
        assert [event.data.final for event in await world.events(MessageDelivered)] == [True]
        assert await world.count("delivery", "state = 'delivered' AND kind = 'reply'") == 1


async def test_a_word_about_what_never_went_out_is_said_to_be_unknown(world: World) -> None:
    [placed] = await hear(world, DeliveryWord("mailgun", "1", "delivered", message_id="nobody"))
    assert placed.unknown  # type: ignore[attr-defined]
    assert await world.log() == []


async def test_a_database_read_back_from_the_log_is_not_told_twice(database: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port) as world:
        message_id = await answered(world)
        await world.sender.send_due()
        bounced = DeliveryWord("mailgun", "1", "bounced", message_id=message_id, code="550")
        await hear(world, bounced)
        events = await world.events(MessageBounced)
        await world.execute("UPDATE intake.delivery SET told = NULL")
        await world.execute("DELETE FROM intake.word")
        async with db.transaction(world.parts.engine) as conn:
            await recalled_deliveries.told(conn, [Heard(message_id, event.data, event.time) for event in events])
        await hear(world, bounced)
        assert len(await world.events(MessageBounced)) == 1
