"""Facts into desk's tables: every type is taken, each once, in any batching; and the log can be read anew."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.desk.handlers import HANDLERS
from services.desk.projections import all_projections
from services.desk.store.forgetting import READ, TOLD, forget_all
from shared import db
from shared.events import topics
from shared.events.base import Event
from shared.events.codec import decode
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.people import CustomerCreated, CustomerPersonal, CustomerProfileChanged, OrderRecorded
from shared.events.sla import ClockMet, ClockStarted, SlaBreached
from shared.events.ticket import TicketAssigned, TicketOpened, TicketPersonal, TicketQueued, TicketResolved
from shared.events.topics import TOPIC_OF
from tests.contract.examples import type_of
from tests.services.desk.conftest import Desk
from tests.services.desk.test_lists import CLOCK

EXAMPLES = sorted((db.ROOT / "shared" / "events" / "examples").glob("*.json"))
OPENED = db.ROOT / "shared" / "events" / "examples" / "ticket.opened.v1.json"
CONSUMED = {fact.TYPE for projection in all_projections() for fact in projection.topic.facts}
TICKET_FACTS = {fact.TYPE for fact in topics.TICKETS.facts}
# What the log says of a ticket, without the order in which rows of different tickets were written.
TABLES = {
    "ticket": "SELECT * FROM desk.ticket ORDER BY ticket_id",
    "entry": "SELECT ticket_id, row_number() OVER (PARTITION BY ticket_id ORDER BY id), event_id, type, writer, at, person, box,"
    " data FROM desk.entry ORDER BY ticket_id, id",
    "customer": "SELECT * FROM desk.customer ORDER BY customer_id",
    "customer_order": "SELECT * FROM desk.customer_order ORDER BY customer_id, order_id",
    "promised": "SELECT * FROM desk.promised ORDER BY ticket_id",
    "document": "SELECT * FROM desk.document ORDER BY ticket_id",
    "key_position": "SELECT * FROM desk.key_position WHERE topic <> 'agents' ORDER BY topic, key, writer",
}


async def tables(desk: Desk) -> dict[str, list[Any]]:
    """All that desk tells, once it is indexed."""
    await desk.index()
    return {name: [tuple(row) for row in await desk.rows(statement)] for name, statement in TABLES.items()}


def an_example(path: Path, key: str, seq: int) -> Event[Any]:
    """The example as the nth fact of its writer on a key of its own."""
    return decode(json.dumps({**json.loads(path.read_text()), "seq": seq, "subject": key}).encode())


@pytest.mark.parametrize("path", [path for path in EXAMPLES if type_of(path.name) in CONSUMED], ids=lambda path: path.stem)
async def test_the_example_of_each_fact_is_taken_and_told(module_desk: Desk, path: Path) -> None:
    events = []
    if type_of(path.name) in TICKET_FACTS and path.stem != OPENED.stem:
        events.append(an_example(OPENED, path.stem, 1))
    seq = 2 if events and an_example(path, path.stem, 1).writer == "intake" else 1
    events.append(an_example(path, path.stem, seq))
    assert await module_desk.fold(events) == []
    await module_desk.index()
    if events[0].type == "ticket.opened.v1":
        page = await module_desk.told("rina", f"tickets/{path.stem}/timeline")
        shown = [event.type for event in events if type(event.data) in HANDLERS]
        if "ticket.merged_into" not in path.stem:
            assert sorted(item["type"] for item in page["items"]) == sorted(shown)


async def a_log(desk: Desk) -> list[list[Event[Any]]]:
    """What each writer said on each key of each topic, in its order."""
    at = await desk.now()
    streams = []
    for n in range(6):
        ticket, customer = f"t{n}", f"c{n % 3}"
        named: dict[str, Any] = {"customer_id": customer, "channel": "email", "inbox": "help"}
        personal = TicketPersonal(subject=f"subject{n}", customer_name="Ruth")
        intake = [await desk.event(ticket, TicketOpened(number=n + 1, **named), personal, person=customer, at=at)]
        for m in range(3):
            fact = MessageReceived(message_id=f"{ticket}-{m}", provider="smtp", **named)
            when = at + timedelta(seconds=10 * m)
            intake.append(await desk.event(ticket, fact, MessagePersonal(text=f"word{m}"), person=customer, at=when))
        routing = [
            await desk.event(ticket, TicketQueued(queue_id="q", visit=1, reason="opened", age_from=at), at=at),
            await desk.event(ticket, TicketAssigned(agent_id="dana", how="taken"), at=at + timedelta(seconds=5)),
            await desk.event(ticket, TicketResolved(agent_id="dana"), at=at + timedelta(seconds=30)),
        ]
        clocks = [
            await desk.event(ticket, ClockStarted(**CLOCK, started_at=at, deadline=at, target_us=1), at=at),
            await desk.event(ticket, ClockMet(**CLOCK, met_at=at, elapsed_us=1, deadline=at), at=at),
        ]
        broken = [await desk.event(ticket, SlaBreached(**CLOCK, deadline=at, target_us=1), at=at)]
        streams += [[intake[0], *_mixed(n, intake[1:], routing)], clocks, broken]
    for n in range(3):
        customer = f"c{n}"
        streams.append(
            [
                await desk.event(
                    customer, CustomerCreated(channel="email"), CustomerPersonal(name="Ruth"), person=customer, at=at
                ),
                await desk.event(customer, CustomerProfileChanged(vip=n == 0, plan="gold"), at=at),
                await desk.event(customer, OrderRecorded(order_id="A", kind="order", status="paid"), at=at),
            ]
        )
    return streams


def _mixed(seed: int, one: list[Event[Any]], other: list[Event[Any]]) -> list[Event[Any]]:
    """Two writers on one partition, in one of the ways in which they cross."""
    dice, rest, mixed = random.Random(seed), [list(one), list(other)], []
    while rest := [stream for stream in rest if stream]:
        mixed.append(dice.choice(rest).pop(0))
    return mixed


def interleaved(streams: list[list[Event[Any]]], seed: int) -> list[Event[Any]]:
    """One of the ways in which topics and partitions can come: each in its order, some facts twice."""
    dice, rest, mixed = random.Random(seed), [list(stream) for stream in streams], list[Event[Any]]()
    while rest := [stream for stream in rest if stream]:
        mixed.append(dice.choice(rest).pop(0))
        if dice.random() < 0.1:
            mixed.append(dice.choice(mixed))
    return mixed


async def empty(desk: Desk) -> None:
    async with db.transaction(desk.parts.engine) as conn:
        await forget_all(conn)


async def test_every_interleaving_and_batching_tells_the_same(desk: Desk) -> None:
    streams = await a_log(desk)
    assert await desk.fold([event for stream in streams for event in stream]) == []
    whole = await tables(desk)
    assert len(whole["entry"]) == 6 * 7
    assert len(whole["document"]) == 6
    for seed in range(3):
        await empty(desk)
        dice, events = random.Random(seed), interleaved(streams, seed)
        while events:
            size = dice.choice((1, 2, 7, 40))
            assert await desk.fold(events[:size]) == []
            events = events[size:]
        again = await tables(desk)
        # An entitlement that is told after a ticket was resolved is not written on it any more.
        assert {**again, "ticket": _without_entitlement(again)} == {**whole, "ticket": _without_entitlement(whole)}


def _without_entitlement(told: dict[str, list[Any]]) -> list[Any]:
    return [(*row[:16], *row[19:]) for row in told["ticket"]]


async def test_two_processes_that_read_side_by_side_lose_nothing(desk: Desk) -> None:
    """What is said of one ticket on several topics comes by different ones."""
    streams = await a_log(desk)
    assert await desk.fold([event for stream in streams for event in stream]) == []
    whole = await tables(desk)
    await empty(desk)
    by_topic: dict[str, list[Event[Any]]] = {}
    for stream in streams:
        by_topic.setdefault(TOPIC_OF[type(stream[0].data)].name, []).extend(stream)

    async def replica(events: list[Event[Any]]) -> None:
        for start in range(0, len(events), 3):
            assert await desk.fold(events[start : start + 3]) == []

    await asyncio.gather(*(replica(events) for events in by_topic.values()))
    again = await tables(desk)
    for name in ("promised", "entry", "customer_order", "key_position"):
        assert again[name] == whole[name]


async def test_the_log_is_read_anew_and_views_stay(desk: Desk) -> None:
    streams = await a_log(desk)
    events = [event for stream in streams for event in stream]
    assert await desk.fold(events) == []
    whole = await tables(desk)
    await desk.rows("INSERT INTO desk.consumer_offset (topic, partition, next_offset) VALUES ('tickets', 0, 17)")
    view = {"name": "Mine"}
    assert (await desk.ask("dana", "views", "POST", view)).status_code == 201
    await empty(desk)
    assert await desk.listed("rina") == []
    assert await desk.rows("SELECT * FROM desk.consumer_offset") == []
    assert [one.name for one in (await desk.rows("SELECT name FROM desk.view"))] == ["Mine"]
    assert await desk.fold(events) == []
    assert await tables(desk) == whole


async def test_all_tables_are_told_by_the_log_or_stay(desk: Desk) -> None:
    there = {row[0] for row in await desk.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'desk'")}
    assert there - set(TOLD) - set(READ) == {"view", "erased", "outbox", "incarnation", "idempotency_key", "alembic_version"}


async def test_a_ticket_without_an_opening_is_parked_and_is_in_no_list(desk: Desk) -> None:
    wrote = MessageReceived(message_id="m", customer_id="c", channel="email", inbox="help", provider="smtp")
    [failure] = await desk.fold([await desk.event("t", wrote)])
    assert failure.reason == "failed"
    assert await desk.listed("rina") == []
