"""Spam is quarantined: kept and told, and never confirmed."""

from collections.abc import Sequence
from email.message import EmailMessage

from services.intake.recalling import TicketsRecalled
from shared import db
from shared.clock import clock
from shared.events.base import Event, Fact
from shared.events.message import ConfirmationSkipped, MessageReceived
from shared.events.ticket import SpamMarked, SpamUnmarked, TicketOpened
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


CLEARED = SpamUnmarked(by="agent", agent_id="rina")
SPAM = mail(X_Spam_Flag="YES")


async def spam(world: World, raw: EmailMessage = SPAM) -> str:
    async with mail_port(world) as port:
        await deliver(port, raw)
    return (await world.events(TicketOpened))[-1].key


async def test_a_ticket_that_is_no_spam_after_all_is_confirmed_once(world: World) -> None:
    ticket_id = await spam(world)
    marked = SpamMarked(by="agent", agent_id="rina")
    assert await world.say(ticket_id, marked) == []
    assert await world.count("delivery") == 0
    assert await world.say(ticket_id, CLEARED, marked, start=2) == []
    assert await world.count("delivery") == 0, "spam again by the end"
    assert await world.say(ticket_id, CLEARED, start=4) == []
    assert await world.say(ticket_id, marked, CLEARED, start=5) == []
    waiting = "kind = 'confirmation' AND channel = 'email' AND state = 'waiting'"
    assert await world.count("delivery", f"{waiting} AND ticket_id = '{ticket_id}'") == await world.count("delivery") == 1


async def test_nothing_is_confirmed_afterwards_that_was_not_to_be_or_was_already(world: World) -> None:
    ticket_id = await spam(world, mail(X_Spam_Flag="YES", Auto_Submitted="auto-generated"))
    assert await world.say(ticket_id, CLEARED) == []
    assert await world.count("delivery") == 0
    await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
    silent = await spam(world, mail(Message_ID="<2@c>", X_Spam_Flag="YES"))
    assert await world.say(silent, CLEARED) == []
    assert await world.count("delivery") == 0


async def recall(world: World, batches: Sequence[Sequence[Event[Fact]]]) -> None:
    """The database is lost, and the log is read back in these batches."""
    for table in ("ticket", "message", "delivery"):
        await world.execute(f"DELETE FROM intake.{table}")
    told = TicketsRecalled(world.parts.keys)
    for batch in batches:
        async with db.transaction(world.parts.engine) as conn:
            loaded = await told.load(conn, batch)
            states = dict(loaded.states)
            for event in batch:
                states[event.key], _ = told.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
            await told.save(conn, states, await clock(conn))


async def test_after_a_restore_spam_stays_unconfirmed_and_what_was_cleared_is_to_be_confirmed(world: World) -> None:
    ticket_id = await spam(world)
    told = [event for event in await world.log() if event.key == ticket_id]
    [opened] = [event for event in told if isinstance(event.data, TicketOpened)]
    cleared = Event(
        id="e", type=CLEARED.TYPE, writer="routing", position=opened.position, key=ticket_id, time=opened.time, data=CLEARED
    )
    for spam_only in ([told], [[event] for event in told]):
        await recall(world, spam_only)
        assert await world.count("delivery") == 0
    for whole in ([[*told, cleared]], [[event] for event in (*told, cleared)]):
        await recall(world, whole)
        assert await world.count("delivery", "kind = 'confirmation' AND state = 'waiting'") == 1
