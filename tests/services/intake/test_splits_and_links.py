"""Tickets that agents split, link and open: said on both tickets, and messages wait where they went."""

from shared.events.message import MessageReceived
from shared.events.ticket import (
    TicketLinked,
    TicketLinkRequested,
    TicketOpened,
    TicketOpenRequested,
    TicketPersonal,
    TicketSplit,
    TicketSplitRequested,
    TicketUnlinked,
)
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.test_requests import ALL, refused, write
from tests.services.intake.world import World, mail_port


async def test_messages_split_off_are_on_one_ticket_of_their_own_and_wait_there_since_they_came(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(message_id="<1@c>"))
        await deliver(port, mail(message_id="<2@c>", in_reply_to="<1@c>", subject="Re: something else"))
        first, second = await world.events(MessageReceived)
        wish = TicketSplitRequested(agent_id="dana", message_ids=(second.data.message_id,))
        assert await world.say(first.key, wish, seen=ALL) == []
        [split] = await world.events(TicketSplit)
        opened = (await world.events(TicketOpened))[-1]
        assert (split.key, split.data.into_ticket_id, split.data.message_ids) == (first.key, opened.key, wish.message_ids)
        assert (opened.data.split_from, opened.data.unanswered_since) == (first.key, second.time)
        assert opened.data.number == (await world.events(TicketOpened))[0].data.number + 1
        links = {(event.key, event.data.ticket_id, event.data.relation) for event in await world.events(TicketLinked)}
        assert links == {(opened.key, first.key, "split_from"), (first.key, opened.key, "related")}
        await deliver(port, mail(message_id="<3@c>", in_reply_to="<2@c>"))
        await deliver(port, mail(message_id="<4@c>", in_reply_to="<1@c>"))
    assert [event.key for event in await world.events(MessageReceived)][-2:] == [opened.key, first.key]
    assert await world.count("message", f"ticket_id = '{opened.key}'") == 2


async def test_a_split_of_everything_or_of_what_is_elsewhere_is_refused(world: World) -> None:
    ticket_id = await write(world, "a")
    await write(world, "b")
    mine, others = [event.data.message_id for event in await world.events(MessageReceived)]
    for start, ids in enumerate(((mine,), (others,), ("nothing",)), start=1):
        assert await world.say(ticket_id, TicketSplitRequested(agent_id="dana", message_ids=ids), start=start) == []
    assert await refused(world) == ["whole-ticket", "unknown-message", "unknown-message"]
    assert await world.count("ticket") == 2


async def test_a_link_is_said_on_both_tickets_and_taken_away_on_both(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b", who="ana@customers.example")
    assert await world.say(first, TicketLinkRequested(agent_id="dana", ticket_id=second)) == []
    assert {(e.key, e.data.ticket_id) for e in await world.events(TicketLinked)} == {(first, second), (second, first)}
    assert await world.say(first, TicketLinkRequested(agent_id="dana", ticket_id=second, undo=True), start=2) == []
    assert {e.key for e in await world.events(TicketUnlinked)} == {first, second}
    assert await world.say(first, TicketLinkRequested(agent_id="dana", ticket_id="nothing"), start=3) == []
    assert await refused(world) == ["unknown-ticket"]


async def test_an_agent_opens_a_ticket_for_a_customer(world: World) -> None:
    await write(world, "a")
    customer_id = (await world.events(TicketOpened))[0].data.customer_id
    wish = TicketOpenRequested(agent_id="dana", customer_id=customer_id, channel="in_person", priority=3)
    assert await world.say("t-new", wish) == []
    opened = (await world.events(TicketOpened))[-1]
    assert (opened.key, opened.data.customer_id, opened.data.channel) == ("t-new", customer_id, "in_person")
    assert (opened.data.opened_by, opened.data.priority, opened.data.number) == ("dana", 3, 100002)
    assert await world.opened(opened, TicketPersonal) == TicketPersonal()
    assert await world.say("t-other", TicketOpenRequested(agent_id="dana", customer_id="nobody", channel="phone")) == []
    assert await refused(world) == ["unknown-customer"]
    assert await world.count("ticket") == 2
