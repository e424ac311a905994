"""Sla on a database of the test's own, fed without Kafka: records straight into the folder, the log's ends said by the test."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sla.settings import SlaSettings
from services.sla.store import definitions
from services.sla.store.tickets import Tickets
from services.sla.store.timers import partition_of
from services.sla.timers import Ticker
from shared import db
from shared.clock import clock
from shared.events.base import NOTHING_SEEN, Event, Fact, Position, Writer
from shared.events.codec import decode, encode
from shared.events.config import CalendarConfigured, PolicyConfigured, SlaTarget
from shared.folding import Folder
from shared.outbox import Outbox
from shared.parking import Parking
from shared.personal import KeyRing
from shared.records import Failure, Record
from tests.infra import create_template, fresh_database
from tests.unit.sla.desk import LONG_AGO, message, opened

PARTITIONS = 4


@dataclass
class Log:
    """What has been written about tickets: facts of the two writers, each with all the other's seen."""

    positions: dict[tuple[str, Writer], int] = field(default_factory=dict)

    def say(self, ticket_id: str, writer: Writer, when: datetime, *facts: Fact) -> list[Event[Fact]]:
        """Facts of one writer at an instant."""
        other: Writer = "routing" if writer == "intake" else "intake"
        events = []
        for fact in facts:
            n = self.positions.get((ticket_id, writer), 0) + 1
            self.positions[ticket_id, writer] = n
            seen = self.positions.get((ticket_id, other), 0)
            events.append(
                Event(
                    id=f"{ticket_id}-{writer}-{n}",
                    type=fact.TYPE,
                    writer=writer,
                    position=Position(1, n),
                    key=ticket_id,
                    time=when,
                    data=fact,
                    seen=Position(1, seen) if seen else NOTHING_SEEN,
                )
            )
        return events

    def asked(self, ticket_id: str, when: datetime) -> list[Event[Fact]]:
        """A new ticket with its first message."""
        return self.say(ticket_id, "intake", when, opened(), message())


@dataclass
class Sla:
    """The service's folding and timers on one database."""

    settings: SlaSettings
    engine: AsyncEngine
    log: Log = field(default_factory=Log)
    tickets: Tickets = field(default_factory=lambda: Tickets(PARTITIONS))
    _offset: int = 0

    @property
    def outbox(self) -> Outbox:
        keys = KeyRing(self.settings.master_key_bytes())
        return Outbox(schema="sla", incarnation=1, keys=keys, wake=asyncio.Event())

    def folder(self) -> Folder:
        return Folder(self.outbox, Parking("sla", "test"))

    def ticker(self, ends: Mapping[int, int] | None = None, *, away: bool = False, **more: object) -> Ticker:
        """A ticker for which the log ends where the test says: at nothing, unless told."""

        async def ask() -> Mapping[int, int] | None:
            return None if away else {p: (ends or {}).get(p, 0) for p in range(PARTITIONS)}

        return Ticker(self.engine, self.outbox, self.settings.model_copy(update=more), ask)

    async def define(self, *facts: PolicyConfigured | CalendarConfigured) -> None:
        async with db.transaction(self.engine) as conn:
            for fact in facts:
                kind: definitions.Kind = "policy" if isinstance(fact, PolicyConfigured) else "calendar"
                await definitions.add_definition(conn, kind, fact.id, fact)

    async def promise(self, seconds: int, warn_at_percent: tuple[int, ...] = ()) -> None:
        """A policy that promises a first response within so many seconds of calendar time."""
        at_each = {str(priority): seconds for priority in range(1, 5)}
        target = SlaTarget(kind="first_response", seconds=at_each, hours="calendar", warn_at_percent=warn_at_percent)
        await self.define(
            PolicyConfigured(id="standard", version=1, effective_from=LONG_AGO, name="Standard", position=1, targets=(target,))
        )

    async def fold(self, events: Sequence[Event[Fact]]) -> list[Failure]:
        """One batch in one transaction."""

        async def work() -> list[Failure]:
            async with db.transaction(self.engine) as conn:
                return await self.folder().fold(conn, self.tickets, records)

        records = [self._record(event) for event in events]
        return await db.retrying(work)

    async def now(self) -> datetime:
        async with db.transaction(self.engine) as conn:
            return await clock(conn)

    async def ago(self, **span: float) -> datetime:
        return await self.now() - timedelta(**span)

    async def rows(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        async with db.transaction(self.engine) as conn:
            result = await conn.execute(sa.text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def said(self, ticket_id: str | None = None) -> list[Event[Fact]]:
        """What stands in the outbox of clocks, warnings and breaches, in the order of writing."""
        rows = await self.rows("SELECT value FROM sla.outbox WHERE topic LIKE 'sla-%' ORDER BY id")
        events = [decode(row[0]) for row in rows]  # type: ignore[arg-type]
        return [event for event in events if ticket_id in (None, event.key)]

    async def types(self, ticket_id: str | None = None) -> list[str]:
        return [event.type.removesuffix(".v1") for event in await self.said(ticket_id)]

    async def state(self) -> dict[str, list[tuple[object, ...]]]:
        """All that the service holds of tickets, without the times of writing."""
        stories = await self.rows("SELECT ticket_id, state FROM sla.ticket ORDER BY ticket_id")
        return {
            "ticket": [(row[0], msgspec.json.decode(bytes(row[1]))) for row in stories],  # type: ignore[call-overload]
            "clock": await self.rows("SELECT * FROM sla.clock ORDER BY ticket_id, target, cycle"),
            "timer": await self.rows("SELECT * FROM sla.timer ORDER BY ticket_id"),
        }

    async def read_to(self, partition: int, offset: int) -> None:
        """The consumer has committed so far."""
        await self.rows(
            "INSERT INTO sla.consumer_offset (topic, partition, next_offset) VALUES ('tickets', :p, :o)"
            " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
            p=partition,
            o=offset,
        )

    def _record(self, event: Event[Fact]) -> Record:
        self._offset += 1
        return Record("tickets", partition_of(event.key, PARTITIONS), self._offset, event.key, encode(event))


def _migrate(url: str) -> None:
    for schema in ("auth", "keys", "sla"):
        db.migrate(url, schema)


@pytest_asyncio.fixture(scope="session")
async def sla_template(database_url: str) -> str:
    """A database with only what sla needs: it must not need another service's tables."""
    return await create_template(database_url, _migrate, "template_sla")


@pytest_asyncio.fixture
async def sla(database_url: str, sla_template: str) -> AsyncIterator[Sla]:
    """A service without policies."""
    async with fresh_database(database_url, sla_template) as url:
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        settings = SlaSettings.model_validate(
            {"database": url, "master_key": key, "kafka": "127.0.0.1:1", "partitions": PARTITIONS}
        )
        engine = db.make_engine(settings, "sla-test")
        yield Sla(settings, engine)
        await engine.dispose()
