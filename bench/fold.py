"""The smallest real consumer: the fold of `shared.ticket` for each ticket, kept in a table. The loop with little in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.base import Draft, Event, Fact, Writer
from shared.events.topics import TICKETS, Topic
from shared.folding import Handler, Loaded
from shared.settings import Settings
from shared.ticket import Ticket, apply

SCHEMA: Writer = "sla"  # stands in for a service that writes nothing on this topic
_encoder = msgspec.json.Encoder()


def folded(_context: None, ticket: Ticket, event: Event[Fact], _now: datetime) -> tuple[Ticket, Sequence[Draft[Fact]]]:
    """The ticket after the event; nothing is decided."""
    return apply(ticket, event), ()


@dataclass(slots=True)
class TicketFold:
    """`applied` collects the ids of the events loaded since it was last emptied, for who measures latency."""

    topic: Topic = TICKETS
    handlers: Mapping[type[Fact], Handler[None, Ticket]] = field(default_factory=lambda: dict.fromkeys(TICKETS.facts, folded))
    applied: list[str] = field(default_factory=list)

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Ticket]:
        """One statement."""
        self.applied = [event.id for event in events]
        keys = sorted({event.key for event in events})
        rows = await conn.execute(
            sa.text(f"SELECT key, state FROM {SCHEMA}.fold WHERE key = ANY(:keys) ORDER BY key FOR UPDATE"), {"keys": keys}
        )
        known = {row.key: msgspec.json.decode(row.state, type=Ticket) for row in rows}
        return Loaded({key: known.get(key, Ticket()) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Ticket], _now: datetime) -> None:
        """One statement."""
        ordered = sorted(states.items())
        await conn.execute(
            sa.text(
                f"INSERT INTO {SCHEMA}.fold (key, state) SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:states AS bytea[]))"
                " ON CONFLICT (key) DO UPDATE SET state = excluded.state"
            ),
            {"keys": [key for key, _ in ordered], "states": [_encoder.encode(state) for _, state in ordered]},
        )


class _Statements:
    def __init__(self) -> None:
        self.all: list[str] = []

    def execute(self, sqltext: str, /) -> None:
        self.all.append(sqltext)


async def create(settings: Settings, *schemas: Writer) -> None:
    """Make the plumbing of these schemas, and the fold's table, in a database that has none of them."""
    statements = _Statements()
    for schema in schemas:
        statements.execute(f"CREATE SCHEMA {schema}")
        db.create_plumbing(statements, schema)
    if SCHEMA in schemas:
        statements.execute(f"CREATE TABLE {SCHEMA}.fold (key text PRIMARY KEY, state bytea NOT NULL)")
    engine = db.make_engine(settings, "bench")
    try:
        async with db.transaction(engine) as conn:
            for statement in statements.all:
                await conn.execute(sa.text(statement))
    finally:
        await engine.dispose()
