"""Routing on a real PostgreSQL: facts of intake go in as records, what it says is read from its outbox."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest_asyncio
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

from services.routing.__main__ import make_app
from services.routing.hub import Hub
from services.routing.matching import Matcher
from services.routing.projections import all_projections
from services.routing.settings import RoutingSettings
from services.routing.ticking import Ticker
from shared import auth, db
from shared.clock import clock
from shared.events.base import Channel, Event, Fact, PersonalFact, Position, Priority, Writer, derived_id
from shared.events.codec import decode, encode
from shared.events.message import MessagePersonal, MessageReceived, ReplyPersonal, ReplyRequested
from shared.events.ticket import TicketOpened, TicketPersonal
from shared.events.topics import TOPIC_OF
from shared.folding import AnyProjection
from shared.records import Record
from shared.service import Resources, resources
from tests.infra import create_template, fresh_database

ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("admin",),
    "rina": ("supervisor",),
    "operations": ("ops:read",),
    "dana": ("agent:dana",),
    "noa": ("agent:noa",),
}
CUSTOMER = "c-1"


@dataclass
class House:
    """Routing's parts, its API as each role, and a pen for intake's facts."""

    parts: Resources
    settings: RoutingSettings
    app: FastAPI
    hub: Hub
    matcher: Matcher
    ticker: Ticker
    keys: dict[str, str]
    heard: list[Event[Fact]] = field(default_factory=list)
    _seq: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @asynccontextmanager
    async def client(self, role: str) -> AsyncIterator[httpx.AsyncClient]:
        """The API as this role."""
        transport = httpx.ASGITransport(self.app)
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://routing", headers=headers, timeout=10) as client:
            yield client

    async def ask(
        self, role: str, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request."""
        async with self.client(role) as client:
            return await client.request(method, path, json=body, headers=headers)

    async def done(self, role: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One request that has to succeed."""
        answer = await self.ask(role, method, path, body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    async def edit(self, role: str, ticket_id: str, **changes: object) -> dict[str, Any]:
        """Somebody who has read the ticket edits it."""
        version = (await self.done(role, "GET", f"/v1/tickets/{ticket_id}"))["version"]
        answer = await self.ask(role, "PATCH", f"/v1/tickets/{ticket_id}", changes, {"If-Match": f'"{version}"'})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def open(
        self, name: str = "t", *, channel: Channel = "email", language: str = "en", priority: Priority = 2, vip: bool = False
    ) -> str:
        """Intake opens a ticket and hears its first message. Returns the ticket's id."""
        ticket_id = derived_id("ticket", name)
        opened = TicketOpened(
            number=100_000 + len(self._seq),
            customer_id=CUSTOMER,
            channel=channel,
            inbox="help",
            language=language,
            priority=priority,
            vip=vip,
        )
        await self.hear(ticket_id, opened, TicketPersonal(subject="Where is it?", customer_name="Ruth"))
        await self.write(ticket_id, "Where is my parcel?")
        return ticket_id

    async def write(self, ticket_id: str, text: str) -> None:
        """The customer writes on the ticket."""
        seq = self._seq["tickets", ticket_id, "intake"]
        message = MessageReceived(
            message_id=derived_id(ticket_id, str(seq)), customer_id=CUSTOMER, channel="email", inbox="help", provider="smtp"
        )
        await self.hear(ticket_id, message, MessagePersonal(text=text))

    async def hear(
        self, key: str, fact: Fact, personal: TicketPersonal | MessagePersonal | None = None, *, writer: Writer = "intake"
    ) -> Event[Fact]:
        """A fact comes in from its topic."""
        event = await self.event(key, fact, personal, writer=writer)
        await self.fold([event])
        return event

    async def event(
        self, key: str, fact: Fact, personal: TicketPersonal | MessagePersonal | None = None, *, writer: Writer = "intake"
    ) -> Event[Fact]:
        """A fact as its writer puts it on the log."""
        topic = TOPIC_OF[type(fact)].name
        self._seq[topic, key, writer] += 1
        seq = self._seq[topic, key, writer]
        identity = derived_id(key, topic, writer, str(seq))
        async with db.transaction(self.parts.engine) as conn:
            time = await clock(conn)
            seals = await self.parts.keys.seals(conn, [CUSTOMER])
        if personal is not None and isinstance(fact, PersonalFact):
            fact = msgspec.structs.replace(fact, personal=seals.seal(CUSTOMER, personal, identity))
        return Event(id=identity, type=fact.TYPE, writer=writer, position=Position(1, seq), key=key, time=time, data=fact)

    async def fold(self, events: list[Event[Fact]]) -> None:
        """These events of one topic come in one batch; none may be parked."""
        self.heard.extend(events)
        topic = TOPIC_OF[type(events[0].data)].name
        projection: AnyProjection = next(p for p in all_projections(1) if p.topic.name == topic)
        records = [Record(topic, 0, n, event.key, encode(event)) for n, event in enumerate(events)]
        async with db.transaction(self.parts.engine) as conn:
            failures = await self.parts.folder.fold(conn, projection, records)
        assert not failures, failures

    async def said(self, key: str | None = None) -> list[Event[Fact]]:
        """What routing said, in order; only about `key` when given."""
        rows = await self.rows("SELECT value FROM routing.outbox ORDER BY id")
        events = [decode(row.value) for row in rows]
        return [event for event in events if key is None or event.key == key]

    async def types(self, key: str) -> list[str]:
        """The types of what routing said about a ticket or agent."""
        return [event.type.rsplit(".", 1)[0] for event in await self.said(key)]

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        async with db.transaction(self.parts.engine) as conn:
            result = await conn.execute(sa.text(statement), values)
            return list(result.all()) if result.returns_rows else []

    async def queue(self, queue_id: str = "support", **changes: object) -> None:
        """Configure a queue that takes everything."""
        body = {"name": {"en": queue_id}, "position": 1, **changes}
        await self.done("admin", "PUT", f"/v1/queues/{queue_id}", body)

    async def agent(self, agent_id: str = "dana", *, available: bool = True, **changes: object) -> None:
        """Configure an agent, who comes to work."""
        await self.done("admin", "PUT", f"/v1/agents/{agent_id}", {"display_name": agent_id.title(), **changes})
        if available:
            await self.done("rina", "POST", f"/v1/agents/{agent_id}/state", {"state": "available"})

    async def signs(self, agent_id: str = "dana", **signature: str) -> None:
        """The agent signs so, by language, from the first change on."""
        headers = {"If-Match": '"1"'}
        body = {"display_name": agent_id.title(), "signature": signature}
        answer = await self.ask("admin", "PUT", f"/v1/agents/{agent_id}", body, headers)
        assert answer.status_code < 300, answer.text

    async def signatures(self, ticket_id: str) -> list[str]:
        """What stands below the answers on a ticket."""
        signed = []
        for event in await self.said(ticket_id):
            if isinstance(event.data, ReplyRequested) and event.data.personal is not None:
                async with db.transaction(self.parts.engine) as conn:
                    await self.parts.keys.load(conn, [CUSTOMER])
                inside = self.parts.keys.open(event.data.personal, ReplyPersonal, event.id)
                assert isinstance(inside, ReplyPersonal)
                signed.append(inside.signature)
        return signed

    async def offered(self, agent_id: str = "dana") -> dict[str, Any]:
        """Match, and read the agent's one offer."""
        await self.matcher.once()
        items = (await self.done("rina", "GET", f"/v1/agents/{agent_id}/offers"))["items"]
        assert len(items) == 1
        return dict(items[0])

    async def owned(self, name: str = "t", agent_id: str = "dana") -> str:
        """A ticket that came in and that the agent accepted."""
        ticket_id = await self.open(name)
        offer = await self.offered(agent_id)
        await self.done(agent_id, "POST", f"/v1/offers/{offer['offer_id']}/accept")
        return ticket_id


def migrate(url: str) -> None:
    """The schemas that routing stands on."""
    for schema in ("auth", "keys", "routing"):
        db.migrate(url, schema)


@pytest_asyncio.fixture(scope="session")
async def routing_template(database_url: str) -> str:
    return await create_template(database_url, migrate, "template_routing")


@pytest_asyncio.fixture
async def routing_database(database_url: str, routing_template: str) -> AsyncIterator[str]:
    async with fresh_database(database_url, routing_template) as url:
        yield url


@pytest_asyncio.fixture
async def house(routing_database: str) -> AsyncIterator[House]:
    """Routing with its API, without broker; nobody and nothing configured."""
    async with open_house(routing_database) as opened:
        yield opened


@asynccontextmanager
async def open_house(url: str, keys: dict[str, str] | None = None, master: str = "", **changes: Any) -> AsyncIterator[House]:
    """One process's worth of routing on this database; a second one shares its keys."""
    chosen = master or base64.b64encode(secrets.token_bytes(32)).decode()
    settings = RoutingSettings(database=SecretStr(url), master_key=SecretStr(chosen), **changes)
    async with resources("routing", settings) as parts:
        if keys is None:
            async with db.transaction(parts.engine) as conn:
                keys = {role: await auth.create_key(conn, role, role, scopes) for role, scopes in ROLES.items()}
        matcher = Matcher(parts, settings)
        hub = Hub(parts, settings, matcher.wake.set)
        app = make_app(parts, settings, hub, parts.database_ready, lambda: True)
        yield House(parts, settings, app, hub, matcher, Ticker(parts, settings), keys)
