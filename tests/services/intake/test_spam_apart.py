"""Spam on a ticket that is there: what is blocked or infected stays out of it, and what is no spam never lands in quarantine."""

import sqlalchemy as sa

from shared import db
from shared.events.base import Event, Fact
from shared.events.message import MessageReceived, SpamSaid
from shared.events.ticket import SpamMarked, SpamUnmarked, TicketAssigned, TicketLinked, TicketOpened, TicketResolved
from shared.events.topics import CUSTOMERS, TICKETS, TOPIC_OF
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.test_recalled_merges import lose, recall
from tests.services.intake.test_spam_rules import put, remove
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, mail_port

NUMBER = {"verdict": "block", "part": "number", "values": ["+40 721 234 567"]}
ANSWER = {"Message_ID": "<2@c>", "In_Reply_To": "<first@customers.example>"}
CLEARED = SpamUnmarked(by="agent", agent_id="rina")
STANDING = {
    "conversations": "SELECT id, conversation FROM intake.ticket",
    "refs": "SELECT value, ticket_id FROM intake.ref",
}


async def written(world: World) -> list[Event[MessageReceived]]:
    return await world.events(MessageReceived)


async def status(world: World, ticket_id: str) -> str:
    async with db.transaction(world.parts.engine) as conn:
        found = await conn.execute(sa.text("SELECT status FROM intake.ticket WHERE id = :id"), {"id": ticket_id})
        return str(found.scalar_one())


async def test_a_blocked_number_neither_reopens_its_conversation_nor_writes_into_it(world: World) -> None:
    await sms(world)
    [first] = await written(world)
    rested = TicketAssigned(agent_id="dana", how="taken"), TicketResolved(agent_id="dana")
    assert await world.say(first.key, *rested, seen=first.position) == []
    await put(world, "numbers", NUMBER)
    for sid in ("SM2", "SM3"):
        await sms(world, MessageSid=sid)
    _, second, third = await written(world)
    assert second.key == third.key != first.key
    assert (second.data.spam, second.data.kept_from_ticket_id) == (SpamSaid(by="rule", rule_id="numbers"), first.key)
    assert [(event.key, event.data.rule_id) for event in await world.events(SpamMarked)] == [(second.key, "numbers")]
    links = [(event.key, event.data.ticket_id, event.data.relation) for event in await world.events(TicketLinked)]
    assert links == [(second.key, first.key, "related"), (first.key, second.key, "related")]
    assert await status(world, first.key) == "resolved"
    assert await remove(world, "numbers", 1) == 204
    await sms(world, MessageSid="SM4")
    assert (await written(world))[-1].key == first.key
    assert await status(world, first.key) == "open"


async def test_what_an_agent_clears_goes_on_as_the_conversation_until_its_sender_is_blocked_again(world: World) -> None:
    await put(world, "numbers", NUMBER)
    await sms(world)
    await remove(world, "numbers", 1)
    [first] = await written(world)
    assert await world.say(first.key, CLEARED) == []
    await sms(world, MessageSid="SM2")
    assert (await written(world))[-1].key == first.key
    await put(world, "numbers", NUMBER)
    await sms(world, MessageSid="SM3")
    blocked = (await written(world))[-1]
    assert (blocked.key != first.key, blocked.data.kept_from_ticket_id) == (True, first.key)
    assert await world.say(blocked.key, CLEARED) == []
    assert await world.count("ticket", f"id = '{blocked.key}' AND conversation IS NULL") == 1, "it goes on in the other one"
    await sms(world, MessageSid="SM4")
    assert (await written(world))[-1].key not in (first.key, blocked.key)


async def test_what_comes_after_the_block_is_lifted_is_not_lost_in_quarantine(world: World) -> None:
    await put(world, "numbers", NUMBER)
    await sms(world)
    await remove(world, "numbers", 1)
    await sms(world, MessageSid="SM2")
    first, second = await written(world)
    assert first.key != second.key
    assert [event.key for event in await world.events(SpamMarked)] == [first.key]


async def test_an_infected_answer_is_quarantined_on_a_ticket_of_its_own_and_what_answers_it_is_not(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(**ANSWER, X_SES_Virus_Verdict="FAIL"))
        await deliver(port, mail(Message_ID="<3@c>", In_Reply_To="<2@c>"))
    first, infected, answer = await written(world)
    assert answer.key == first.key != infected.key
    assert (infected.data.spam, infected.data.kept_from_ticket_id) == (SpamSaid(by="provider", rule_id="virus"), first.key)
    assert [event.key for event in await world.events(SpamMarked)] == [infected.key]
    assert len(await world.events(TicketOpened)) == 2


async def test_a_mere_score_keeps_nothing_from_a_ticket_and_is_told(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(**ANSWER, X_Spam_Status="Yes, score=9.1 required=5.0"))
    first, second = await written(world)
    assert first.key == second.key
    assert (first.data.spam, second.data.spam) == (None, SpamSaid(by="provider", score_millis=9100))
    assert await world.events(SpamMarked) == []


async def standing(world: World) -> dict[str, set[tuple[object, ...]]]:
    async with db.transaction(world.parts.engine) as conn:
        return {name: {tuple(row) for row in await conn.execute(sa.text(query))} for name, query in STANDING.items()}


async def test_after_a_restore_it_is_as_far_apart_as_before_in_whichever_order_it_is_read(world: World) -> None:
    await sms(world)
    await put(world, "numbers", NUMBER)
    await sms(world, MessageSid="SM2")
    async with mail_port(world) as port:
        await deliver(port, mail())
        await deliver(port, mail(**ANSWER, X_SES_Virus_Verdict="FAIL"))
    before, spam = await standing(world), [event.key for event in await world.events(SpamMarked)]
    told: dict[object, list[Event[Fact]]] = {CUSTOMERS: [], TICKETS: []}
    for event in await world.log():
        told.setdefault(TOPIC_OF[type(event.data)], []).append(event)
    for quarantine_first in (True, False):
        await lose(world)
        tickets = sorted(told[TICKETS], key=lambda event: (event.key in spam) != quarantine_first)
        await recall(world, [told[CUSTOMERS]], [[event] for event in tickets])
        assert await standing(world) == before
    await sms(world, MessageSid="SM3")
    assert (await written(world))[-1].key == spam[0]
    await remove(world, "numbers", 1)
    await sms(world, MessageSid="SM4")
    assert (await written(world))[-1].key == (await written(world))[0].key
