"""The tables that matter, of every schema, as they stood at one instant: what the services hold for true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import msgspec

from shared.events.base import Position
from shared.records import Place
from shared.ticket import Ticket

DECIDING = ("intake", "routing", "sla", "metrics")  # of every run
SCHEMAS = (*DECIDING, "desk")  # that is judged where it runs


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket as intake has it."""

    ticket_id: str
    number: int
    customer_id: str
    status: str
    closed: bool
    story: Ticket


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """Something that intake carries out, or carried out."""

    message_id: str
    ticket_id: str
    kind: str
    channel: str
    state: str


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A ticket as routing has it."""

    ticket_id: str
    status: str
    agent_id: str | None
    queue_id: str | None
    offer_agent_id: str | None
    attention: str | None
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class AgentRow:
    """What an agent carries, as routing has it."""

    agent_id: str
    used_units: int
    tickets: int
    by_channel: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer as routing has it."""

    offer_id: str
    ticket_id: str
    agent_id: str
    state: str


@dataclass(frozen=True, slots=True)
class ClockRow:
    """A promise as sla has it."""

    ticket_id: str
    target: str
    cycle: int
    state: str
    deadline: datetime
    breached_at: datetime | None


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """A record that a service could not take."""

    service: str
    topic: str
    key: str
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a service holds that a writer has come on a key of a topic."""

    service: str
    topic: str
    key: str
    writer: str
    position: Position


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables. `at` is the database's clock then. By id: `messages` and `calls` (ref) → ticket, `told_by` (service) →
    ticket → the ticket as that service folded it (sla, metrics and desk). `phones`: customer → numbers.
    """

    at: datetime
    tickets: tuple[TicketRow, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)
    customers: frozenset[str] = frozenset()
    phones: Mapping[str, frozenset[str]] = field(default_factory=dict)
    deliveries: tuple[DeliveryRow, ...] = ()
    works: tuple[WorkRow, ...] = ()
    agents: tuple[AgentRow, ...] = ()
    offers: tuple[OfferRow, ...] = ()
    clocks: tuple[ClockRow, ...] = ()
    timers: Mapping[str, datetime] = field(default_factory=dict)
    told_by: Mapping[str, Mapping[str, Ticket]] = field(default_factory=dict)
    measures: Mapping[str, int] = field(default_factory=dict)
    positions: tuple[Standing, ...] = ()
    offsets: Mapping[tuple[str, Place], int] = field(default_factory=dict)
    outbox: Mapping[str, int] = field(default_factory=dict)
    parked: tuple[ParkedRow, ...] = ()
    callers: tuple[str, ...] = ()


class _Work(msgspec.Struct):
    """What of routing's work on a ticket is looked at."""

    ticket: Ticket = Ticket()


class _Promised(msgspec.Struct):
    """What of sla's story is looked at: the ticket, where something was promised."""

    standing: _Work = msgspec.field(default_factory=_Work)
    promise: dict[str, object] | None = None


class _Measured(msgspec.Struct, array_like=True):
    """What of metrics' story is looked at: its first element."""

    ticket: Ticket = Ticket()


_tickets = msgspec.json.Decoder(Ticket)
_works = msgspec.json.Decoder(_Work)
_promised = msgspec.json.Decoder(_Promised)
_measured = msgspec.json.Decoder(_Measured)

OF_EACH = " UNION ALL ".join
OFFSETS = OF_EACH(f"SELECT '{s}' AS service, topic, partition, next_offset FROM {s}.consumer_offset" for s in SCHEMAS)
POSITIONS = OF_EACH(f"SELECT '{s}' AS service, topic, key, writer, incarnation, seq FROM {s}.key_position" for s in SCHEMAS)
OUTBOX = OF_EACH(f"SELECT '{s}' AS service, count(*) AS rows FROM {s}.outbox" for s in SCHEMAS)
PARKED = OF_EACH(f"SELECT '{s}' AS service, topic, key, reason, error FROM {s}.parked" for s in SCHEMAS)


async def load_tables(database: str) -> Tables:
    """All of them in one snapshot. Raises what asyncpg raises."""
    connection = await asyncpg.connect(database, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _load(connection)
    finally:
        await connection.close(timeout=5)


async def _load(connection: asyncpg.Connection) -> Tables:
    async def rows(statement: str) -> list[asyncpg.Record]:
        return list(await connection.fetch(statement, timeout=30))

    return Tables(
        at=(await rows("SELECT clock_timestamp() AS at"))[0]["at"],
        tickets=tuple(map(_ticket, await rows("SELECT id, number, customer_id, status, closed, story FROM intake.ticket"))),
        messages={row["id"]: row["ticket_id"] for row in await rows("SELECT id, ticket_id FROM intake.message")},
        calls={row["ref"]: row["ticket_id"] for row in await rows("SELECT ref, ticket_id FROM intake.call")},
        customers=frozenset(row["id"] for row in await rows("SELECT id FROM intake.customer")),
        phones=_phones(await rows("SELECT customer_id, value FROM intake.handle WHERE kind = 'phone'")),
        deliveries=tuple(
            DeliveryRow(**row)
            for row in await rows("SELECT message_id, ticket_id, kind, channel, state FROM intake.delivery ORDER BY n")
        ),
        works=tuple(
            map(
                _work_row,
                await rows("SELECT ticket_id, status, agent_id, queue_id, offer_agent_id, attention, state FROM routing.ticket"),
            )
        ),
        agents=tuple(map(_agent, await rows("SELECT agent_id, used_units, tickets, by_channel FROM routing.agent"))),
        offers=tuple(OfferRow(**row) for row in await rows("SELECT offer_id, ticket_id, agent_id, state FROM routing.offer")),
        clocks=tuple(
            ClockRow(**row) for row in await rows("SELECT ticket_id, target, cycle, state, deadline, breached_at FROM sla.clock")
        ),
        timers={row["ticket_id"]: row["due_at"] for row in await rows("SELECT ticket_id, due_at FROM sla.timer")},
        told_by=await _told_by(connection),
        measures={
            row["measure"]: int(row["n"]) for row in await rows("SELECT measure, sum(n) AS n FROM metrics.cell GROUP BY measure")
        },
        positions=tuple(map(_position, await rows(POSITIONS))),
        offsets={(row["service"], Place(row["topic"], row["partition"])): row["next_offset"] for row in await rows(OFFSETS)},
        outbox={row["service"]: row["rows"] for row in await rows(OUTBOX)},
        parked=tuple(ParkedRow(**row) for row in await rows(PARKED)),
        callers=tuple(row["id"] for row in await rows("SELECT id FROM auth.api_key ORDER BY id")),
    )


async def _told_by(connection: asyncpg.Connection) -> dict[str, dict[str, Ticket]]:
    """Where sla promised nothing it keeps no story."""
    promised = {
        row["ticket_id"]: _promised.decode(row["state"])
        for row in await connection.fetch("SELECT ticket_id, state FROM sla.ticket", timeout=30)
    }
    measured = await connection.fetch("SELECT key, state FROM metrics.fold WHERE kind = 'tickets'", timeout=30)
    listed = await connection.fetch("SELECT ticket_id, state FROM desk.ticket", timeout=30)
    return {
        "desk": {row["ticket_id"]: _works.decode(row["state"]).ticket for row in listed},
        "sla": {ticket_id: story.standing.ticket for ticket_id, story in promised.items() if story.promise is not None},
        "metrics": {row["key"]: _measured.decode(row["state"]).ticket for row in measured},
    }


def _ticket(row: asyncpg.Record) -> TicketRow:
    story = _tickets.decode(row["story"])
    return TicketRow(row["id"], row["number"], row["customer_id"], row["status"], row["closed"], story)


def _work_row(row: asyncpg.Record) -> WorkRow:
    columns = {name: value for name, value in row.items() if name != "state"}
    return WorkRow(**columns, ticket=_works.decode(row["state"]).ticket)


def _agent(row: asyncpg.Record) -> AgentRow:
    by_channel = msgspec.json.decode(row["by_channel"], type=dict[str, int])
    return AgentRow(row["agent_id"], row["used_units"], row["tickets"], by_channel)


def _position(row: asyncpg.Record) -> Standing:
    return Standing(row["service"], row["topic"], row["key"], row["writer"], Position(row["incarnation"], row["seq"]))


def _phones(rows: list[asyncpg.Record]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["customer_id"], set()).add(row["value"])
    return {customer_id: frozenset(numbers) for customer_id, numbers in found.items()}
