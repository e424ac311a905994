"""A plumbing of two services on a database of the test's own, and topics of its own broker."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import pytest_asyncio
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.events.base import Draft, Event, Fact, Writer
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened
from shared.events.topics import TICKETS, Topic
from shared.folding import Folder, Handler, Loaded
from shared.outbox import Outbox
from shared.parking import Parking
from shared.personal import KeyRing
from shared.settings import Settings
from tests.infra import create_template, execute, fresh_database

# A process has one provider for good: here one that records, made before a test's log set-up chooses one that does not.
trace.set_tracer_provider(TracerProvider())


@dataclass(frozen=True, slots=True)
class Seen:
    """What the test's service keeps of a ticket: the ids of the events applied, in order."""

    key: str
    ids: tuple[str, ...] = ()


def note(_context: None, state: Seen, event: Event[Fact], _now: datetime) -> tuple[Seen, Sequence[Draft[Fact]]]:
    """Applies any event, but fails on a message whose provider is `poison`."""
    if isinstance(event.data, MessageReceived) and event.data.provider == "poison":
        raise RuntimeError("cannot take this")
    return Seen(state.key, (*state.ids, event.id)), []


@dataclass
class SeenProjection:
    """A small service: table `seen` holds the ids applied per ticket."""

    schema: str = "routing"
    topic: Topic = TICKETS
    handlers: Mapping[type[Fact], Handler[None, Seen]] = field(
        default_factory=lambda: {TicketOpened: note, MessageReceived: note}
    )

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Seen]:
        keys = sorted({event.key for event in events})
        rows = await conn.execute(
            sa.text(f"SELECT key, ids FROM {self.schema}.seen WHERE key = ANY(:keys) ORDER BY key FOR UPDATE"), {"keys": keys}
        )
        found = {row.key: Seen(row.key, tuple(row.ids)) for row in rows}
        return Loaded({key: found.get(key, Seen(key)) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Seen], now: datetime) -> None:
        for key, state in sorted(states.items()):
            await conn.execute(
                sa.text(f"INSERT INTO {self.schema}.seen VALUES (:key, :ids) ON CONFLICT (key) DO UPDATE SET ids = excluded.ids"),
                {"key": key, "ids": list(state.ids)},
            )


@dataclass
class Plumbing:
    """Two services' worth of plumbing on one database."""

    settings: Settings
    engine: AsyncEngine
    keys: KeyRing

    def outbox(self, schema: Writer, incarnation: int = 1) -> Outbox:
        return Outbox(schema=schema, incarnation=incarnation, keys=self.keys, wake=asyncio.Event())

    def folder(self, schema: Writer, version: str = "test") -> Folder:
        return Folder(self.outbox(schema), Parking(schema, version))

    async def publish(self, schema: Writer, *drafts: Draft[Fact], incarnation: int = 1) -> list[Event[Fact]]:
        async with db.transaction(self.engine) as conn:
            return await self.outbox(schema, incarnation).publish(conn, drafts, datetime.now(UTC))

    async def rows(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        async with db.transaction(self.engine) as conn:
            return [tuple(row) for row in await conn.execute(sa.text(statement), values)]

    async def seen(self, key: str) -> tuple[str, ...]:
        rows = await self.rows("SELECT ids FROM routing.seen WHERE key = :key", key=key)
        return tuple(rows[0][0]) if rows else ()  # type: ignore[arg-type]


class _Op:
    """Collects a migration's statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute(self, sqltext: str, /) -> None:
        self.statements.append(sqltext)


def _migrate(url: str) -> None:
    """The schemas of keys, and the plumbing of two services."""
    for schema in ("auth", "keys"):
        db.migrate(url, schema)
    op = _Op()
    for schema in ("intake", "routing"):
        op.execute(f"CREATE SCHEMA {schema}")
        db.create_plumbing(op, schema)
    op.execute("CREATE TABLE routing.seen (key text PRIMARY KEY, ids text[] NOT NULL)")
    asyncio.run(execute(url, *op.statements))


@pytest_asyncio.fixture(scope="session")
async def plumbing_template(database_url: str) -> str:
    return await create_template(database_url, _migrate, f"template_plumbing_{secrets.token_hex(4)}")  # for each who imports it


@pytest_asyncio.fixture
async def plumbing(database_url: str, plumbing_template: str) -> AsyncIterator[Plumbing]:
    async with fresh_database(database_url, plumbing_template) as url:
        settings = Settings(database=url, master_key=base64.b64encode(secrets.token_bytes(32)).decode(), kafka="127.0.0.1:1")
        engine = db.make_engine(settings, "test")
        yield Plumbing(settings, engine, KeyRing(settings.master_key_bytes()))
        await engine.dispose()


@pytest.fixture
def name() -> str:
    """A name that no other test uses on the broker that all share."""
    return secrets.token_hex(6)


def opened(key: str, number: int = 1) -> Draft[Fact]:
    """A ticket's opening."""
    return Draft(
        key=key,
        data=TicketOpened(number=number, customer_id=f"customer-{key}", channel="email", inbox="support"),
        cause=f"open {key}",
    )


def received(key: str, n: int, provider: str = "smtp", text: str = "") -> Draft[Fact]:
    """The nth message of a ticket's customer."""
    fact = MessageReceived(
        message_id=f"{key}-{n}", customer_id=f"customer-{key}", channel="email", inbox="support", provider=provider
    )
    return Draft(
        key=key,
        data=fact,
        cause=f"message {key} {n}",
        person=f"customer-{key}",
        personal=MessagePersonal(text=text or f"text {n}"),
    )
