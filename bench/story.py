"""Tickets as they look on the log: opened, queued, offered, accepted, assigned, answered, resolved. For filling topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bench.requests import TEXT
from bench.world import World
from shared import db, kafka
from shared.events.base import NOTHING_SEEN, Event, Fact, PersonalFact, Position, Sealed, Writer, derived_id
from shared.events.codec import encode
from shared.events.message import MessagePersonal, MessageReceived, ReplyRequested
from shared.events.ticket import TicketAssigned, TicketOpened, TicketQueued, TicketReleased, TicketResolved
from shared.events.topics import TICKETS
from shared.events.work import OfferAccepted, TicketOffered
from shared.personal import KeyRing, Seals

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TICKETS_AT_ONCE = 200  # whose lives overlap on the log
EVENTS_OF_A_TICKET = 9
CUSTOMER = "somebody"
WRITTEN_BY_INTAKE = (TicketOpened, MessageReceived)


def _facts(ticket_id: str, n: int) -> list[Fact]:
    customer, agent, offer = derived_id("customer", str(n)), f"agent-{n % 20}", derived_id("offer", ticket_id)
    return [
        TicketOpened(number=n + 1, customer_id=customer, channel="chat", inbox="bench", language="en"),
        MessageReceived(
            message_id=derived_id(ticket_id, "1"), customer_id=customer, channel="chat", inbox="bench", provider="api"
        ),
        TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START),
        TicketOffered(offer_id=offer, agent_id=agent, queue_id="support", visit=1, expires_at=START + timedelta(minutes=1)),
        OfferAccepted(offer_id=offer, agent_id=agent, queue_id="support", answered_us=2_000_000),
        TicketAssigned(
            agent_id=agent, how="accepted", queue_id="support", team_id="care", visit=1, offer_id=offer, waited_us=3_000_000
        ),
        ReplyRequested(
            message_id=derived_id(ticket_id, "2"), agent_id=agent, customer_id=customer, channel="chat", queue_id="support"
        ),
        TicketResolved(agent_id=agent, queue_id="support", team_id="care"),
        TicketReleased(agent_id=agent, reason="resolved"),
    ]


def life(n: int, seals: Seals) -> Iterator[Event[Fact]]:
    """The nth ticket's events. Their personal data is sealed with one customer's key, for all the same."""
    ticket_id = derived_id("bench ticket", str(n))
    counted: dict[Writer, int] = {"intake": 0, "routing": 0}
    for step, fact in enumerate(_facts(ticket_id, n)):
        writer: Writer = "intake" if isinstance(fact, WRITTEN_BY_INTAKE) else "routing"
        counted[writer] += 1
        identity = derived_id(ticket_id, str(step))
        yield Event(
            id=identity,
            type=fact.TYPE,
            writer=writer,
            position=Position(1, counted[writer]),
            key=ticket_id,
            time=START + timedelta(seconds=n + step),
            data=_with_personal(fact, seals.seal(CUSTOMER, MessagePersonal(text=TEXT), identity)),
            seen=Position(1, counted["intake"]) if writer == "routing" else NOTHING_SEEN,
        )


def _with_personal(fact: Fact, sealed: Sealed) -> Fact:
    if not isinstance(fact, PersonalFact):
        return fact
    values = {name: getattr(fact, name) for name in fact.__struct_fields__}
    return type(fact)(**{**values, "personal": sealed})


def on_the_log(tickets: int, seals: Seals) -> Iterator[Event[Fact]]:
    """The events of many tickets, TICKETS_AT_ONCE of them side by side."""
    for first in range(0, tickets, TICKETS_AT_ONCE):
        lives = [list(life(n, seals)) for n in range(first, min(first + TICKETS_AT_ONCE, tickets))]
        for step in range(EVENTS_OF_A_TICKET):
            for events in lives:
                yield events[step]


async def fill(here: World, database: str, tickets: int) -> int:
    """Put the events of this many tickets on the log; how many events that are. `database` holds the customer's key."""
    settings = here.settings(database)
    engine = db.make_engine(settings, "bench")
    keys = KeyRing(settings.master_key_bytes())
    async with db.transaction(engine) as conn:
        seals = await keys.seals(conn, [CUSTOMER])
    await engine.dispose()
    producer = await kafka.start_producer(settings, "bench")
    try:
        sent = [await producer.send(TICKETS.name, encode(event), event.key.encode()) for event in on_the_log(tickets, seals)]
        await asyncio.wait_for(_all(sent), 60)
    finally:
        await kafka.stop(producer)
    return len(sent)


async def _all(futures: Sequence[asyncio.Future[object]]) -> None:
    await asyncio.gather(*futures)
