"""Tickets with a promise, as sla keeps them, written by the hundred thousand: for measuring timers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from services.sla.domain.policies import Book
from services.sla.domain.story import Story
from services.sla.handlers import HANDLERS
from services.sla.store import definitions
from shared import db
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.config import PolicyConfigured, SlaTarget
from shared.events.message import MessageReceived
from shared.events.ticket import TicketOpened
from shared.settings import Settings

PARTITIONS = 12
STATEMENT_SECONDS = 300
PROMISED = timedelta(hours=1)
OPENED = datetime(2001, 1, 1, 0, 0, 0, 1, UTC)  # found again in the JSON of a story, as is the deadline, and replaced
TICKET = "the-ticket"
POLICY = PolicyConfigured(
    id="standard",
    version=1,
    effective_from=OPENED - timedelta(days=1),
    name="Standard",
    position=1,
    targets=(
        SlaTarget(
            kind="first_response",
            seconds={str(priority): int(PROMISED.total_seconds()) for priority in range(1, 5)},
            hours="calendar",
            warn_at_percent=(),
        ),
    ),
)
# Ids in no order, as real ones. $1 names the lot, $2 counts its tickets.
NUMBERED = "SELECT n, CAST(md5($1 || n) AS uuid)::text AS id FROM generate_series(1, $2::bigint) AS n"
DUE = f"{NUMBERED[:6]} n, id, $3::timestamptz + n * $4::interval AS deadline FROM ({NUMBERED}) AS numbered"
ISO = "to_char(({}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
TICKETS = f"""
    INSERT INTO sla.ticket (ticket_id, state, updated_at)
    SELECT id, convert_to(replace(replace(replace($5, '{TICKET}', id), $6, {ISO.format("deadline")}),
                                  $7, {ISO.format("deadline - $8::interval")}), 'UTF8'), now()
    FROM ({DUE}) AS due
"""
CLOCKS = f"""
    INSERT INTO sla.clock (ticket_id, target, cycle, state, policy_id, channel, priority, started_at, target_us, deadline)
    SELECT id, 'first_response', 1, 'running', 'standard', 'chat', 2, deadline - $5::interval, 3600000000, deadline
    FROM ({DUE}) AS due
"""
TIMERS = f"INSERT INTO sla.timer (ticket_id, partition, due_at) SELECT id, n % {PARTITIONS}, deadline FROM ({DUE}) AS due"
SLEEPERS = f"INSERT INTO sla.ticket (ticket_id, state, updated_at) SELECT id, '', now() FROM ({NUMBERED}) AS numbered"


async def promise(settings: Settings) -> None:
    """Configure the policy."""
    engine = db.make_engine(settings, "bench")
    async with db.transaction(engine) as conn:
        await definitions.add_definition(conn, "policy", POLICY.id, POLICY)
    await engine.dispose()


async def asked(connection: asyncpg.Connection, lot: str, count: int, deadline: datetime, step: timedelta = timedelta(0)) -> None:
    """Tickets whose first response is due at `deadline` and every `step` after it; without their timers."""
    around = (lot, count, deadline, step)
    story = msgspec.json.encode(_story()).decode()
    instants = [msgspec.json.encode(at).decode().strip('"') for at in (OPENED + PROMISED, OPENED)]
    await connection.execute(TICKETS, *around, story, *instants, PROMISED, timeout=STATEMENT_SECONDS)
    await connection.execute(CLOCKS, *around, PROMISED, timeout=STATEMENT_SECONDS)


async def set_timers(connection: asyncpg.Connection, lot: str, count: int, due: datetime, step: timedelta = timedelta(0)) -> None:
    """The timers of a lot, due at an instant and every `step` after it."""
    await connection.execute(TIMERS, lot, count, due, step, timeout=STATEMENT_SECONDS)


async def sleepers(connection: asyncpg.Connection, count: int, due: datetime) -> None:
    """Timers that will not come due while somebody measures; their tickets are rows without a story, to be quick."""
    await connection.execute(SLEEPERS, "asleep", count, timeout=STATEMENT_SECONDS)
    await set_timers(connection, "asleep", count, due, timedelta(milliseconds=1))


def _story() -> Story:
    """A ticket that waits for its first response, told by the service's own handlers."""
    book, story = Book({POLICY.id: (POLICY,)}), Story(TICKET)
    facts: tuple[Fact, ...] = (
        TicketOpened(number=1, customer_id="c", channel="chat", inbox="bench", language="en"),
        MessageReceived(message_id="m", customer_id="c", channel="chat", inbox="bench", provider="generic"),
    )
    for n, fact in enumerate(facts, 1):
        event = Event(f"e{n}", fact.TYPE, "intake", Position(1, n), TICKET, OPENED, fact, NOTHING_SEEN)
        story, _ = HANDLERS[type(fact)](book, story, event, OPENED)
    return story
