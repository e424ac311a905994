"""Commands that arrive together are one transaction: in their order, each by itself, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
import msgspec
import pytest

from services.routing.commanding import Command, Commander, NoSuchOffer, NoSuchTicket, Queues, Target
from services.routing.domain import commands, offers
from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.work import Turn
from shared import db
from shared.http import Problem
from shared.idempotency import Answer, Asked
from tests.services.routing.conftest import House, open_house

pytestmark = pytest.mark.timeout(60)


def command(
    agent_id: str, decide: Callable[[Turn], object], *, ticket: str = "", offer: str = "", key: str = "", digest: bytes = b"same"
) -> Command:
    def body(turn: Turn, _queues: Queues) -> Mapping[str, object]:
        return {"said": decide(turn)}

    cause = key or f"{agent_id} {ticket}{offer} {id(decide)}"
    asked = Asked(agent_id, key, digest) if key else None
    return Command(agent_id, Target(ticket, offer), cause, body, 200, asked, None)


def reply(ticket: str, agent_id: str = "dana", key: str = "") -> Command:
    return command(
        agent_id,
        lambda turn: commands.reply(turn, Actor(agent_id), commands.Answer("Hello"), commands.Signatures()),
        ticket=ticket,
        key=key,
    )


def note(ticket: str, agent_id: str = "noa") -> Command:
    return command(agent_id, lambda turn: commands.note(turn, Actor(agent_id), "Hm", ()), ticket=ticket)


def resolve(ticket: str, agent_id: str = "dana") -> Command:
    return command(agent_id, lambda turn: commands.resolve(turn, Actor(agent_id), None), ticket=ticket)


async def together(house: House, *asked: Command) -> list[Answer | BaseException]:
    """All of them are waiting before the first is looked at."""
    commander = Commander(house.parts, house.settings)
    return await asyncio.gather(*(commander.carry_out(one) for one in asked), return_exceptions=True)


async def transactions(house: House, *types: str) -> int:
    """How many transactions wrote these entries of the history."""
    names = [f"{name}.v1" for name in types]
    statement = "SELECT count(DISTINCT CAST(xmin AS text)) AS n, count(*) AS entries FROM routing.entry WHERE type = ANY(:names)"
    [row] = await house.rows(statement, names=names)
    assert row.entries >= len(types)
    return int(row.n)


async def test_a_ticket_is_accepted_answered_and_resolved_in_one_transaction_when_all_is_asked_at_once(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.open()
    offer_id = (await house.offered())["offer_id"]
    accept = command("dana", lambda turn: offers.accept(turn, offer_id, "dana", None), offer=offer_id)
    answers = await together(house, accept, reply(ticket_id), resolve(ticket_id))
    assert [type(answer) for answer in answers] == [Answer] * 3, answers
    said = ["offer.accepted", "ticket.assigned", "reply.requested", "ticket.resolved"]
    assert [kind for kind in await house.types(ticket_id) if kind in said] == said
    assert await transactions(house, *said) == 1
    seqs = [event.position.seq for event in await house.said(ticket_id)]
    assert seqs == list(range(1, len(seqs) + 1))
    agent = await house.done("rina", "GET", "/v1/agents/dana")
    assert (agent["used_units"], agent["tickets"]) == (0, 0)
    told = await house.rows("SELECT n, kind FROM routing.stream WHERE agent_id = 'dana' ORDER BY n")
    assert [row.n for row in told] == list(range(1, len(told) + 1))


async def test_one_agent_s_commands_on_several_tickets_count_together(house: House) -> None:
    await house.queue()
    await house.agent()
    mine = [await house.owned(f"t{n}") for n in range(3)]
    answers = await together(house, *(resolve(ticket_id) for ticket_id in mine[:2]))
    assert [type(answer) for answer in answers] == [Answer] * 2, answers
    agent = await house.done("rina", "GET", "/v1/agents/dana")
    assert (agent["used_units"], agent["tickets"]) == (2, 1)


async def test_what_is_refused_leaves_no_trace_and_what_came_with_it_is_carried_out(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    before = len(await house.said())
    answers = await together(
        house,
        resolve(ticket_id, "noa"),
        reply(ticket_id),
        note("nowhere"),
        command("dana", lambda _turn: None, offer="of nobody"),
        note(ticket_id),
    )
    assert [type(answer) for answer in answers] == [NotYours, Answer, NoSuchTicket, NoSuchOffer, Answer]
    assert [event.type for event in (await house.said())[before:]] == ["reply.requested.v1", "note.added.v1"]


async def test_a_key_that_comes_twice_at_once_is_carried_out_once_and_refused_with_another_body(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    first, second = reply(ticket_id, key="k"), reply(ticket_id, key="k")
    other = command("dana", lambda _turn: "never", ticket=ticket_id, key="k", digest=b"another")
    made, again, refused = await together(house, first, second, other)
    assert isinstance(made, Answer)
    assert isinstance(again, Answer)
    assert (made.body, again.body, again.headers) == (made.body, made.body, {"Idempotency-Replayed": "true"})
    assert isinstance(refused, Problem)
    assert (refused.status, refused.code) == (422, "idempotency-key-reused")
    assert (await house.types(ticket_id)).count("reply.requested") == 1
    [later] = await together(house, reply(ticket_id, key="k"))
    assert isinstance(later, Answer)
    assert later.body == made.body


async def test_a_key_that_comes_to_two_processes_at_once_is_carried_out_once(house: House, routing_database: str) -> None:
    await house.queue()
    await house.agent()
    ticket_id = await house.owned()
    master = house.settings.master_key
    assert master is not None
    async with open_house(routing_database, house.keys, master.get_secret_value()) as second:
        found = await asyncio.gather(
            *(together(place, reply(ticket_id, key=f"k{n}")) for n in range(10) for place in (house, second))
        )
    assert [type(answer) for [answer] in found] == [Answer] * 20, found
    assert (await house.types(ticket_id)).count("reply.requested") == 10


async def test_what_no_table_takes_fails_alone(house: House) -> None:
    await house.queue()
    await house.agent()
    ticket_id, other = await house.owned("a"), await house.owned("b")

    def overload(turn: Turn) -> None:
        turn.put(msgspec.structs.replace(turn.known["dana"], used_units=1_000))

    broken = command("dana", overload, ticket=other)
    answers = await together(house, note(ticket_id), broken, reply(ticket_id), resolve(ticket_id))
    assert [type(answer) for answer in answers] == [Answer, asyncpg.CheckViolationError, Answer, Answer]
    types = await house.types(ticket_id)
    assert [types.count(kind) for kind in ("note.added", "reply.requested", "ticket.resolved")] == [1, 1, 1]
    assert (await house.done("rina", "GET", "/v1/agents/dana"))["used_units"] == 2


async def test_a_ticket_that_somebody_holds_holds_up_its_own_commands_only_and_these_in_their_order(house: House) -> None:
    await house.queue()
    await house.agent()
    held, free = [await house.owned(f"t{n}") for n in range(2)]
    commander = Commander(house.parts, house.settings)

    def asked(*commands: Command) -> list[asyncio.Task[Answer]]:
        return [asyncio.create_task(commander.carry_out(one)) for one in commands]

    async with db.transaction(house.parts.engine) as conn:
        await db.fetch(conn, "SELECT 1 FROM routing.ticket WHERE ticket_id = $1 FOR UPDATE", held)
        waiting = asked(reply(held), note(held))
        free_to_go = asked(*(note(free) for _ in range(20)))
        answered, _ = await asyncio.wait(free_to_go, timeout=5)
        assert len(answered) == 20, "the others go on while the ticket is held"
        waiting += asked(resolve(held))
        free_to_go += asked(reply(free), note(free))
        answered, _ = await asyncio.wait(free_to_go, timeout=5)
        assert len(answered) == 22
        assert not any(task.done() for task in waiting)
    answers = await asyncio.wait_for(asyncio.gather(*waiting, *free_to_go), 10)
    assert {type(answer) for answer in answers} == {Answer}
    said = [kind for kind in await house.types(held) if kind in ("reply.requested", "note.added", "ticket.resolved")]
    assert said == ["reply.requested", "note.added", "ticket.resolved"]
    await asyncio.wait_for(commander.carry_out(note(held)), 5)
