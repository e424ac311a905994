"""Tickets that agents merge and unmerge: said on both, and nothing lost on the way."""

import asyncio
from datetime import datetime

import pytest

from services.intake.store import tickets
from shared import db
from shared.events.base import Position
from shared.events.message import MessageFailed, MessageReceived, ReplyRequested
from shared.events.ticket import (
    RequestRefused,
    TicketAbsorbed,
    TicketCloseRequested,
    TicketExpelled,
    TicketMergedInto,
    TicketMergeRequested,
    TicketOpened,
    TicketResolved,
    TicketUnmerged,
    TicketUnmergeRequested,
)
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process

ALL = Position(1, 99)


async def write(world: World, text: str, channel: str = "email", who: str = "dan@customers.example", **more: object) -> str:
    """A customer writes. Returns the ticket."""
    kind = "email" if "@" in who else "visitor"
    body = {"channel": channel, "inbox": "web", "handle": {"kind": kind, "value": who}, "text": text, **more}
    answer = await world.http.post("/v1/contacts", json=body, headers=await world.key("intake:write"))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket_id"])


async def merge(world: World, one: str, into: str, start: int = 1) -> None:
    assert await world.say(one, TicketMergeRequested(agent_id="dana", into_ticket_id=into), seen=ALL, start=start) == []


async def refused(world: World) -> list[str]:
    return [event.data.code for event in await world.events(RequestRefused)]


async def test_a_merge_is_said_on_both_with_what_the_customer_still_waits_for(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    asked = (await world.events(MessageReceived))[1]
    await merge(world, second, first)
    [merged], [absorbed] = await world.events(TicketMergedInto), await world.events(TicketAbsorbed)
    assert (merged.key, merged.data.into_ticket_id, merged.data.requested_by) == (second, first, "dana")
    assert (absorbed.key, absorbed.data.ticket_id, absorbed.data.unanswered_since) == (first, second, asked.time)
    assert (absorbed.data.interactions, absorbed.data.replies, absorbed.data.first_responded_at) == (1, 0, None)
    assert (str(merged.seen), str(absorbed.seen)) == ("1:1", "0:0"), "a fact says what its writer had seen"
    assert await world.count("ticket", f"id = '{second}' AND status = 'closed' AND merged_into = '{first}'") == 1


async def test_what_answers_the_merged_ticket_comes_to_the_one_that_goes_on_and_stays_there(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(message_id="<1@c>"))
        await deliver(port, mail(message_id="<2@c>"))
        first, second = [event.key for event in await world.events(TicketOpened)]
        await merge(world, second, first)
        await deliver(port, mail(message_id="<3@c>", in_reply_to="<2@c>"))
        assert (await world.events(MessageReceived))[-1].key == first
        assert await world.say(second, TicketUnmergeRequested(agent_id="dana"), start=2) == []
        await deliver(port, mail(message_id="<4@c>", in_reply_to="<2@c>"))
        await deliver(port, mail(message_id="<5@c>", in_reply_to="<3@c>"))
    assert [event.key for event in await world.events(MessageReceived)][-2:] == [second, first]
    [unmerged], [expelled] = await world.events(TicketUnmerged), await world.events(TicketExpelled)
    assert (unmerged.key, expelled.key, expelled.data.ticket_id) == (second, first, second)
    assert await world.count("message", f"ticket_id = '{second}'") == 2, "what came before the merge, and after its end"


async def test_a_conversation_goes_on_in_the_ticket_it_was_merged_into_and_after_that_one_is_closed_in_a_new_one(
    world: World,
) -> None:
    chat = await write(world, "hello", "chat", "v-1")
    other = await write(world, "again", "chat", "v-1", inbox="other")
    await merge(world, chat, other)
    assert await write(world, "more", "chat", "v-1") == other
    await world.close(other)
    follow_up = await write(world, "still there?", "chat", "v-1")
    assert follow_up not in (chat, other)
    assert await write(world, "hello?", "chat", "v-1") == follow_up
    assert await world.say(chat, TicketUnmergeRequested(agent_id="dana"), start=2) == []
    assert await world.count("ticket", f"id = '{chat}' AND merged_into IS NULL") == 1
    assert await write(world, "yes", "chat", "v-1") == follow_up


@pytest.mark.parametrize("case", ["itself", "unknown", "a circle", "twice", "another customer", "closed", "closed target"])
async def test_a_merge_that_cannot_be_is_refused_with_its_reason(world: World, case: str) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    if case == "itself":
        await merge(world, first, first)
    elif case == "unknown":
        await merge(world, first, "nothing")
    elif case == "a circle":
        await merge(world, first, second)
        await merge(world, second, first)
    elif case == "twice":
        await merge(world, first, second)
        await merge(world, first, second, start=2)
    elif case == "another customer":
        await merge(world, first, await write(world, "c", who="ana@customers.example"))
    elif case == "closed":
        await world.close(first)
        await merge(world, first, second, start=2)
    else:
        await world.close(second)
        await merge(world, first, second)
    codes = {
        "itself": "same-ticket",
        "unknown": "unknown-ticket",
        "a circle": "same-ticket",
        "twice": "merged-already",
        "another customer": "different-customers",
        "closed": "not-allowed-now",
        "closed target": "target-closed",
    }
    assert await refused(world) == [codes[case]]
    assert (await world.events(RequestRefused))[0].data.requested_by == "dana"


async def test_merges_follow_each_other_and_are_undone_from_the_last(world: World) -> None:
    one, two, three = [await write(world, text) for text in "abc"]
    await merge(world, one, two)
    await merge(world, two, three)
    absorbed = await world.events(TicketAbsorbed)
    assert [event.data.unanswered_since for event in absorbed][1] == (await world.events(MessageReceived))[0].time
    assert await world.say(one, TicketUnmergeRequested(agent_id="dana"), start=2) == []
    assert await refused(world) == ["merged-onward"]
    assert await world.say(two, TicketUnmergeRequested(agent_id="dana"), start=2) == []
    assert await world.say(one, TicketUnmergeRequested(agent_id="dana"), start=3) == []
    assert len(await world.events(TicketUnmerged)) == 2
    assert await world.count("ticket", "merged_into IS NOT NULL") == 0


async def test_a_merge_that_crosses_a_close_of_the_other_ticket_leaves_nobody_in_a_closed_one(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    wish = TicketCloseRequested(agent_id="noa")
    seen = Position(1, 2)  # as far as routing had come before it asked: it knew nothing of the merge
    await merge(world, second, first)
    assert await world.say(first, wish, seen=seen) == []
    assert await refused(world) == ["customer-wrote-meanwhile"]


async def test_a_resolution_that_crossed_the_merge_does_not_cover_what_came_with_it(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    await merge(world, second, first)
    assert await world.say(first, TicketResolved(agent_id="noa"), seen=Position(1, 2)) == []
    assert await world.count("ticket", f"id = '{first}' AND status IN ('new', 'open')") == 1


async def test_a_reply_on_its_way_from_the_merged_ticket_goes_out(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        first, second = await write(world, "a"), await write(world, "b")
        customer_id = (await world.events(TicketOpened))[0].data.customer_id
        await merge(world, second, first)
        await world.reply(second, customer_id, "An answer that crossed the merge", "email", seq=2)
        await _sent(world, server, "An answer that crossed the merge")


async def waits(world: World, ticket_id: str) -> datetime | None:
    """Since when the ticket's customer waits, as intake has it."""
    async with db.transaction(world.parts.engine) as conn:
        return (await tickets.locked(conn, [ticket_id]))[ticket_id].waiting_since


def answered(seq: int = 1) -> ReplyRequested:
    return ReplyRequested(message_id=f"r-{seq}", agent_id="dana", customer_id="c", channel="email")


async def test_what_was_answered_on_a_merged_ticket_is_waited_for_no_more_where_it_goes_on(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    [one, other] = await world.events(MessageReceived)
    await merge(world, second, first)
    assert await waits(world, first) == one.time
    assert await world.say(first, answered(9), seen=one.position) == []  # it had seen what was asked there, not the merge
    assert await waits(world, first) == other.time
    assert await world.say(second, answered(), seen=ALL, start=2) == []
    again = (await world.events(TicketAbsorbed))[1:]
    assert [(event.key, event.data.ticket_id, event.data.unanswered_since) for event in again] == [(first, second, None)]
    assert again[0].data.first_responded_at is not None
    assert await waits(world, first) is None


async def test_a_resolution_of_a_merged_ticket_that_crossed_the_merge_answers_too(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    await merge(world, second, first)
    assert await world.say(second, TicketResolved(agent_id="dana"), seen=ALL, start=2) == []
    assert [event.data.unanswered_since for event in await world.events(TicketAbsorbed)][1:] == [None]
    assert await world.count("ticket", f"id = '{first}' AND status = 'new'") == 1, "what was asked there is still to be answered"


async def test_an_answer_to_some_of_it_says_since_when_the_rest_waits(world: World) -> None:
    chat, other = await write(world, "a", "chat", "v-1"), await write(world, "x", "chat", "v-1", inbox="other")
    await write(world, "b", "chat", "v-1")
    last = (await world.events(MessageReceived))[-1]
    seen = Position(1, last.position.seq - 1)
    await merge(world, chat, other)
    assert await world.say(chat, answered(), seen=seen, start=2) == []
    assert [event.data.unanswered_since for event in await world.events(TicketAbsorbed)][1:] == [last.time]


async def test_an_answer_goes_all_the_way_of_merges(world: World) -> None:
    one, two, three = [await write(world, text) for text in "abc"]
    await merge(world, one, two)
    await merge(world, two, three)
    asked = [event.time for event in await world.events(MessageReceived)]
    assert await world.say(one, answered(), seen=ALL, start=2) == []
    again = (await world.events(TicketAbsorbed))[2:]
    assert [(e.key, e.data.ticket_id, e.data.unanswered_since) for e in again] == [(two, one, None), (three, two, asked[1])]
    assert await waits(world, three) == asked[1]


async def test_what_was_answered_where_it_goes_on_is_not_said_again(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    await merge(world, second, first)
    assert await world.say(first, answered(9), seen=ALL) == []
    assert await world.say(second, answered(), seen=ALL, start=2) == []
    assert len(await world.events(TicketAbsorbed)) == 1


async def test_a_ticket_that_comes_back_waits_again_and_the_other_one_for_its_own_only(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    asked = [event.time for event in await world.events(MessageReceived)]
    await merge(world, first, second)
    assert (await waits(world, second)) == asked[0]
    assert await world.say(first, TicketUnmergeRequested(agent_id="dana"), start=2) == []
    assert [await waits(world, ticket_id) for ticket_id in (first, second)] == asked
    assert await world.count("ticket", "status = 'new'") == 2


async def test_a_reply_that_could_not_be_delivered_is_said_on_both_tickets(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        first, second = await write(world, "a"), await write(world, "b")
        customer_id = (await world.events(TicketOpened))[0].data.customer_id
        await world.reply(second, customer_id, "An answer", "email")
        await merge(world, second, first, start=2)
        server.answers = ["550 no such user"] * 3
        async with asyncio.timeout(10):
            while not await world.events(MessageFailed):
                await world.sender.send_due()
                await asyncio.sleep(0.01)
        assert {event.key for event in await world.events(MessageFailed)} == {first, second}


async def _sent(world: World, server: MailServer, text: str) -> None:
    async with asyncio.timeout(10):
        while not any(text in str(one.get_body()) for one in server.mails):
            await world.sender.send_due()
            await asyncio.sleep(0.01)


async def test_a_request_that_comes_twice_is_answered_once(world: World) -> None:
    first, second = await write(world, "a"), await write(world, "b")
    await merge(world, second, first)
    await merge(world, second, first)
    assert (len(await world.events(TicketMergedInto)), await refused(world)) == (1, [])


async def test_a_message_that_crosses_a_merge_is_never_left_on_the_merged_ticket(database: str) -> None:
    async with process(database) as world, process(database) as other:
        for n in range(6):
            who = f"v-{n}"
            chat, survivor = await write(world, "a", "chat", who), await write(world, "b", "chat", who, inbox="other")
            start = asyncio.gather(*(write(other, f"m{k}", "chat", who) for k in range(4)))
            await merge(world, chat, survivor)
            await start
            merged = next(e for e in await world.events(TicketMergedInto) if e.key == chat)
            late = [e for e in await world.events(MessageReceived) if e.key == chat and e.position > merged.position]
            assert late == []
            assert await world.count("message", f"ticket_id IN ('{chat}', '{survivor}')") == 6


async def test_many_first_messages_of_one_sender_at_once_over_four_processes_are_one_ticket(database: str) -> None:
    async with process(database) as one, process(database) as two, process(database) as three, process(database) as four:
        key = await one.key("intake:write")

        async def first(world: World, n: int) -> None:
            handle = {"kind": "visitor", "value": "v-1"}
            body = {"channel": "chat", "inbox": "web", "handle": handle, "text": f"first {n}"}
            answer = await world.http.post("/v1/contacts", json=body, headers=key)
            assert answer.status_code == 201, answer.text

        await asyncio.gather(*(first((one, two, three, four)[n % 4], n) for n in range(100)))
        assert (await one.count("ticket"), await one.count("customer"), await one.count("message")) == (1, 1, 100)
        assert {event.key for event in await one.events(MessageReceived)} == {
            event.key for event in await one.events(TicketOpened)
        }
