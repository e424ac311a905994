"""All five services' applications on one database, each asked as anybody; facts are handed from one to the others by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import httpx
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.__main__ import make_app as desk_app
from services.desk.projections import all_projections as desk_projections
from services.desk.settings import DeskSettings
from services.intake.answering import Answerer
from services.intake.store.projections import TicketProjection
from services.metrics.api import make_router as metrics_router
from services.metrics.live import Live
from services.metrics.store import projections as metrics_projections
from services.sla.api import make_router as sla_router
from services.sla.store.tickets import Tickets
from shared import auth, db, people, sessions
from shared.auth import Authenticator
from shared.events.base import Event, Fact, Writer
from shared.events.codec import encode
from shared.events.topics import TICKETS, TOPIC_OF
from shared.folding import AnyProjection, Folder
from shared.http import create_app
from shared.outbox import Outbox
from shared.parking import Parking
from shared.people import Person
from shared.records import Record
from shared.service import Resources, resources
from tests.services.intake.world import MASTER, World, process
from tests.services.routing.conftest import House, open_house

# What keys may hold; `session of …` are people who signed in with the same.
ROLES: dict[str, tuple[str, ...]] = {
    "channels": ("intake:write",),
    "identifying channels": ("intake:write", "intake:identify"),
    "agent": ("agent:dana",),
    "supervisor": ("supervisor",),
    "operations": ("ops:read",),
    "admin": ("admin",),
    "partner": ("partner:north",),
    "partner agent": ("agent:ned", "partner:north"),
    "nothing": (),
}
SIGNED_IN = {"session of an agent": "agent", "session of a supervisor": "supervisor", "session of a partner": "partner"}
NOBODY = ("no key", "unknown key", "revoked key", "ended session", "session that is over", "disabled person")


async def ready() -> str | None:
    """They may take traffic."""
    return None


@dataclass
class Five:
    """The services by name, keys by role, and hands to reach into them."""

    world: World
    house: House
    desk: Resources
    clients: Mapping[str, httpx.AsyncClient]
    keys: dict[str, str] = field(default_factory=dict)
    _offsets: dict[str, int] = field(default_factory=dict)
    _handed: set[str] = field(default_factory=set)

    async def ask(self, role: str, service: str, method: str, path: str, body: object = None) -> httpx.Response:
        """One request, as this role."""
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role != "no key" else {}
        return await self.clients[service].request(method, path, json=body, headers=headers)

    async def done(self, role: str, service: str, method: str, path: str, body: object = None) -> httpx.Response:
        """One request that has to succeed."""
        answer = await self.ask(role, service, method, path, body)
        assert answer.status_code < 300, answer.text
        return answer

    async def hand_round(self) -> None:
        """What intake and routing said comes in at the others."""
        said = [*await self.world.log(), *await self.house.said()]
        told = [event for event in said if event.id not in self._handed]
        self._handed.update(event.id for event in told)
        if told:
            await self._file(told)
        news = [event for event in told if TOPIC_OF[type(event.data)] is TICKETS]
        if not news:
            return
        by_routing = [event for event in news if event.writer == "routing"]
        by_intake = [event for event in news if event.writer == "intake"]
        if by_intake:
            await self.house.fold(by_intake)
        for event in by_routing:
            assert await self.world.fold(_of_intake(self.world), [event]) == []
        await self._fold("sla", Tickets(4), news)
        await self._fold("metrics", next(one for one in metrics_projections() if one.topic is TICKETS), news)

    async def _fold(self, service: Writer, projection: AnyProjection, events: list[Event[Fact]]) -> None:
        parts = self.house.parts
        outbox = Outbox(schema=service, incarnation=1, keys=parts.keys, wake=asyncio.Event())
        records = [self._record(service, event) for event in events]
        async with db.transaction(parts.engine) as conn:
            folder = Folder(outbox, Parking(service, "test"))
            assert await folder.fold(conn, projection, records) == []

    async def _file(self, events: list[Event[Fact]]) -> None:
        """The desk reads all topics."""
        parts = []
        for projection in desk_projections():
            own = [self._record("desk", event) for event in events if TOPIC_OF[type(event.data)] is projection.topic]
            if own:
                parts.append((projection, own))
        async with db.transaction(self.desk.engine) as conn:
            assert await self.desk.folder.fold_all(conn, parts) == []

    def _record(self, service: Writer, event: Event[Fact]) -> Record:
        self._offsets[service] = self._offsets.get(service, 0) + 1
        return Record(TOPIC_OF[type(event.data)].name, 0, self._offsets[service], event.key, encode(event))


def _of_intake(world: World) -> AnyProjection:
    return TicketProjection(Answerer(world.parts.outbox).answer)


@asynccontextmanager
async def five_services(database: str) -> AsyncIterator[Five]:
    """They, with a key for each role and a person for some."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(process(database))
        house = await stack.enter_async_context(open_house(database, {}, MASTER))
        engine, authenticator = house.parts.engine, house.parts.authenticator
        settings = DeskSettings(database=SecretStr(database), master_key=SecretStr(MASTER))
        desk = await stack.enter_async_context(resources("desk", settings))
        live = Live(engine)
        live.stop()  # its stream ends at once: who may open it is what is asked
        outbox = Outbox(schema="sla", incarnation=1, keys=house.parts.keys, wake=asyncio.Event())
        apps = {
            "routing": house.app,
            "sla": _app("sla", authenticator, sla_router(engine, outbox)),
            "desk": desk_app(desk, settings, ready, lambda: True),
            "metrics": _app("metrics", authenticator, metrics_router(engine, live, ZoneInfo("UTC"))),
        }
        clients = {name: await stack.enter_async_context(_client(app)) for name, app in apps.items()}
        five = Five(world, house, desk, {**clients, "intake": world.http})
        await _let_in(five)
        house.keys.update(five.keys)
        yield five


def _app(name: str, authenticator: Authenticator, router: APIRouter) -> FastAPI:
    app = create_app(name, name, ready)
    app.state.authenticator = authenticator
    app.include_router(router)
    return app


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def _let_in(five: Five) -> None:
    """A key for each role; people; and what is good no more."""
    keys = five.keys
    async with db.transaction(five.house.parts.engine) as conn:
        for n, (role, scopes) in enumerate(ROLES.items()):
            keys[role] = await auth.create_key(conn, f"key-{n}", role, scopes)
        keys["revoked key"] = await auth.create_key(conn, "revoked", "test", ("admin",))
        await auth.revoke_key(conn, "revoked")
        keys["unknown key"] = "pb_unknown_key"
        for n, (role, like) in enumerate(SIGNED_IN.items()):
            keys[role] = await _session(conn, f"person{n}", ROLES[like])
        keys["ended session"] = await _session(conn, "gone", ("admin",))
        await sessions.end_all(conn, "gone")
        keys["session that is over"] = await _session(conn, "over", ("admin",))
        await db.fetch(conn, "UPDATE auth.session SET good_until = now() - interval '1 s' WHERE login = 'over'")
        keys["disabled person"] = await _session(conn, "disabled", ("admin",))
        await db.fetch(conn, "UPDATE auth.person SET disabled = true WHERE login = 'disabled'")


async def _session(conn: AsyncConnection, login: str, scopes: tuple[str, ...]) -> str:
    person = Person(login, 1, login, None, None, scopes, disabled=False, has_password=False)
    await people.put(conn, person, None, "test")
    return (await sessions.begin(conn, login, scopes, "password", 600, 3600)).token
