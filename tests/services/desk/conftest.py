"""Desk on a real PostgreSQL: facts of the other services go in as records, what people read comes out of its API."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest_asyncio
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

from services.desk.__main__ import make_app
from services.desk.indexing import Indexer
from services.desk.projections import all_projections
from services.desk.settings import DeskSettings
from shared import auth, db
from shared.clock import clock
from shared.events.base import NOTHING_SEEN, Event, Fact, PersonalFact, Position, Writer, derived_id
from shared.events.codec import encode
from shared.events.message import (
    MessagePersonal,
    MessageReceived,
    NoteAdded,
    NotePersonal,
    ReplyPersonal,
    ReplyRequested,
    SurveyPersonal,
)
from shared.events.people import AgentEnrolled, CustomerCreated, CustomerErased, CustomerPersonal
from shared.events.ticket import TicketAssigned, TicketOpened, TicketPersonal, TicketQueued, TicketResolved
from shared.events.topics import TICKETS, TOPIC_OF
from shared.events.writers import writers_of
from shared.records import Failure, Record
from shared.service import Resources, resources
from tests.infra import create_template, fresh_database

ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("admin",),
    "rina": ("supervisor",),
    "operations": ("ops:read",),
    "dana": ("agent:dana",),
    "omar": ("agent:omar",),
    "northern": ("agent:northern",),
}
PEOPLE = {
    "dana": AgentEnrolled(team_ids=("first",)),
    "omar": AgentEnrolled(team_ids=("second",)),
    "northern": AgentEnrolled(team_ids=("outside",), partner_id="north"),
}
Personal = TicketPersonal | MessagePersonal | ReplyPersonal | NotePersonal | SurveyPersonal | CustomerPersonal


@dataclass
class Desk:
    """Desk's parts, its API as each role, and a pen for what others say."""

    parts: Resources
    settings: DeskSettings
    app: FastAPI
    indexer: Indexer
    keys: dict[str, str]
    _seq: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _offset: int = 0

    @asynccontextmanager
    async def client(self, role: str) -> AsyncIterator[httpx.AsyncClient]:
        """The API as this role."""
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers, timeout=10) as client:
            yield client

    async def ask(
        self, role: str, path: str, method: str = "GET", body: object = None, headers: dict[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        """One request."""
        async with self.client(role) as client:
            return await client.request(method, f"/v1/desk/{path}", json=body, headers=headers, params=query or None)

    async def told(self, role: str, path: str, **query: Any) -> dict[str, Any]:
        """What is answered to one question that has an answer."""
        answer = await self.ask(role, path, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def listed(self, role: str = "dana", **query: Any) -> list[int]:
        """The numbers of a list."""
        return [item["number"] for item in (await self.told(role, "tickets", **query))["items"]]

    async def found(self, q: str, role: str = "dana", **query: Any) -> list[int]:
        """The numbers of the tickets that are found, once everything is indexed."""
        await self.index()
        return [item["ticket"]["number"] for item in (await self.told(role, "search", q=q, **query))["items"]]

    async def index(self) -> None:
        """Index all that is marked."""
        while await self.indexer.once():
            pass

    async def open(
        self,
        name: str,
        number: int,
        text: str = "",
        *,
        subject: str = "",
        customer: str = "c-1",
        called: str = "Ruth",
        **more: Any,
    ) -> str:
        """Intake opens a ticket, with a first message where there is a text. Returns the ticket's id."""
        ticket_id = derived_id("ticket", name)
        given = {"channel": "email", "inbox": "help", "language": "en", **more}
        opened = TicketOpened(number=number, customer_id=customer, **given)
        await self.hear(ticket_id, opened, TicketPersonal(subject=subject, customer_name=called), person=customer)
        if text:
            await self.write(ticket_id, text, customer=customer)
        return ticket_id

    async def write(self, ticket_id: str, text: str, *, customer: str = "c-1", **more: Any) -> str:
        """The customer writes on the ticket. Returns the message's id."""
        message_id = derived_id(ticket_id, str(self._seq["tickets", ticket_id, "intake"]))
        given = {
            "message_id": message_id,
            "customer_id": customer,
            "channel": "email",
            "inbox": "help",
            "provider": "smtp",
            **more,
        }
        await self.hear(ticket_id, MessageReceived(**given), MessagePersonal(text=text), person=customer)
        return message_id

    async def work(self, ticket_id: str, agent_id: str = "dana", **more: Any) -> None:
        """An agent takes the ticket from a queue."""
        at = await self.now()
        await self.hear(ticket_id, TicketQueued(queue_id="support", visit=1, reason="opened", age_from=at), writer="routing")
        given = {"how": "accepted", "queue_id": "support", "team_id": "first", "visit": 1, **more}
        await self.hear(ticket_id, TicketAssigned(agent_id=agent_id, **given), writer="routing")

    async def reply(self, ticket_id: str, text: str, *, customer: str = "c-1") -> None:
        """The agent answers."""
        fact = ReplyRequested(message_id=derived_id(ticket_id, text), agent_id="dana", customer_id=customer, channel="email")
        await self.hear(ticket_id, fact, ReplyPersonal(text=text), person=customer, writer="routing")

    async def note(self, ticket_id: str, text: str, *, customer: str = "c-1") -> None:
        """The agent notes something."""
        fact = NoteAdded(note_id=derived_id(ticket_id, text), agent_id="dana")
        await self.hear(ticket_id, fact, NotePersonal(text=text), person=customer, writer="routing")

    async def resolve(self, ticket_id: str) -> None:
        """The agent resolves it."""
        await self.hear(ticket_id, TicketResolved(agent_id="dana"), writer="routing")

    async def meet(self, customer: str, name: str) -> None:
        """A customer is seen for the first time."""
        await self.hear(customer, CustomerCreated(channel="email"), CustomerPersonal(name=name), person=customer)

    async def erase(self, *customers: str) -> None:
        """Intake erases people: their keys are destroyed, and it is told."""
        async with db.transaction(self.parts.engine) as conn:
            await self.parts.keys.destroy(conn, list(customers))
        await self.hear(customers[0], CustomerErased(customer_ids=customers, requested_by="rina"))

    async def hear(
        self,
        key: str,
        fact: Fact,
        personal: Personal | None = None,
        *,
        person: str = "c-1",
        writer: Writer | None = None,
        **more: Any,
    ) -> Event[Fact]:
        """A fact comes in from its topic, and is taken."""
        event = await self.event(key, fact, personal, person=person, writer=writer, **more)
        assert await self.fold([event]) == []
        return event

    async def event(
        self,
        key: str,
        fact: Fact,
        personal: Personal | None = None,
        *,
        person: str = "c-1",
        writer: Writer | None = None,
        at: datetime | None = None,
    ) -> Event[Fact]:
        """A fact as its writer puts it on the log; the other of two writers has seen all that was said."""
        topic = TOPIC_OF[type(fact)]
        by = writer or writers_of(type(fact))[0]
        self._seq[topic.name, key, by] += 1
        seq = self._seq[topic.name, key, by]
        identity = derived_id(key, topic.name, by, str(seq))
        time = at or await self.now()
        if personal is not None and isinstance(fact, PersonalFact):
            async with db.transaction(self.parts.engine) as conn:
                seals = await self.parts.keys.seals(conn, [person])
            fact = msgspec.structs.replace(fact, personal=seals.seal(person, personal, identity))
        other = "intake" if by == "routing" else "routing"
        seen = Position(1, self._seq[topic.name, key, other]) if topic is TICKETS else NOTHING_SEEN
        return Event(identity, fact.TYPE, by, Position(1, seq), key, time, fact, seen)

    async def fold(self, events: Sequence[Event[Fact]]) -> list[Failure]:
        """These events come in one batch."""
        parts = []
        for projection in all_projections():
            own = [self._record(event) for event in events if TOPIC_OF[type(event.data)] is projection.topic]
            if own:
                parts.append((projection, own))

        async def work() -> list[Failure]:
            async with db.transaction(self.parts.engine) as conn:
                return await self.parts.folder.fold_all(conn, parts)

        return await db.retrying(work)

    async def now(self) -> datetime:
        """The database's clock."""
        async with db.transaction(self.parts.engine) as conn:
            return await clock(conn)

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        async with db.transaction(self.parts.engine) as conn:
            result = await conn.execute(sa.text(statement), values)
            return list(result.all()) if result.returns_rows else []

    def _record(self, event: Event[Fact]) -> Record:
        self._offset += 1
        return Record(TOPIC_OF[type(event.data)].name, 0, self._offset, event.key, encode(event))


def _migrate(url: str) -> None:
    for schema in ("auth", "keys", "desk"):
        db.migrate(url, schema)


@pytest_asyncio.fixture(scope="session")
async def desk_template(database_url: str) -> str:
    """A database with only what desk needs: it must not need another service's tables."""
    return await create_template(database_url, _migrate, "template_desk")


@pytest_asyncio.fixture
async def desk(database_url: str, desk_template: str) -> AsyncIterator[Desk]:
    """An empty desk, which knows the agents."""
    async with fresh_database(database_url, desk_template) as url, open_desk(url) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def module_desk(database_url: str, desk_template: str) -> AsyncIterator[Desk]:
    """A desk that the tests of one module share."""
    async with fresh_database(database_url, desk_template) as url, open_desk(url) as opened:
        yield opened


@asynccontextmanager
async def open_desk(url: str, **changes: Any) -> AsyncIterator[Desk]:
    """Desk's parts on this database."""
    master = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = DeskSettings(database=SecretStr(url), master_key=SecretStr(master), **changes)
    async with resources("desk", settings) as parts:
        async with db.transaction(parts.engine) as conn:
            keys = {role: await auth.create_key(conn, role, role, scopes) for role, scopes in ROLES.items()}
            # As routing does.
            await auth.note_agents(conn, [(agent_id, enrolled.partner_id, True) for agent_id, enrolled in PEOPLE.items()])
        app = make_app(parts, settings, parts.database_ready, lambda: True)
        opened = Desk(parts, settings, app, Indexer(parts, settings), keys)
        for agent_id, enrolled in PEOPLE.items():
            await opened.hear(agent_id, enrolled)
        yield opened
