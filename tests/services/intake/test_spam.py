"""Spam is quarantined: kept and told, and never confirmed."""

from shared.events.message import ConfirmationSkipped, MessageReceived
from shared.events.ticket import SpamMarked, TicketOpened
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import World, mail_port


async def test_a_ticket_that_spam_opens_is_marked_in_the_same_breath_and_not_confirmed(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as port:
        for _ in range(3):
            await deliver(port, mail(X_Spam_Status="Yes, score=9.1 required=5.0"))
        await deliver(port, mail(Message_ID="<good@c>", X_Spam_Status="No, score=0.1 required=5.0"))
    spam, good = await world.events(TicketOpened)
    [marked] = await world.events(SpamMarked)
    assert (marked.key, marked.data, marked.time) == (spam.key, SpamMarked(by="provider", score_millis=9100), spam.time)
    assert marked.position.seq < (await world.events(MessageReceived))[0].position.seq
    assert [(event.key, event.data.reason) for event in await world.events(ConfirmationSkipped)] == [(spam.key, "spam")]
    assert await world.count("delivery", f"ticket_id = '{spam.key}'") == 0
    assert await world.count("delivery", f"ticket_id = '{good.key}'") == 1
    assert await world.count("message", "body IS NOT NULL") == 2


async def test_what_is_called_spam_on_a_ticket_of_a_customer_marks_nothing(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(Message_ID="<2@c>", In_Reply_To="<first@customers.example>", X_Spam_Flag="YES"))
    assert len(await world.events(TicketOpened)) == 1
    assert await world.events(SpamMarked) == []
