"""Two routing processes of one house, which of them has the turn to match, and agents who work at either."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import httpx
import psutil

from client import Answer, Routing
from client.routing_types import State
from simulator.hand import OBLIGING, Desk, Hand
from simulator.transport import new_http
from simulator.truth import Act
from tests.faults.house import PATIENCE, House
from tests.infra import server_ports
from tests.process import Process
from tests.system import until

SECOND = "routing-2"
HELD = """
    SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.wait_event_type = 'Lock'
        AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('routing match', 0)
"""
IN_THE_WAY = """
    INSERT INTO routing.offer (offer_id, ticket_id, agent_id, queue_id, visit, state, offered_at, expires_at)
    VALUES ('in the way', $1, 'nobody', 'support', 0, 'live', now(), now())
"""


@dataclass
class Routers:
    """The two processes, and at which URL each is asked. The first is reached, and reaches its servers, through proxies."""

    house: House
    urls: dict[str, str]

    def process(self, name: str) -> Process:
        """One of them."""
        return self.house.system.processes[name]

    def other(self, name: str) -> str:
        """The other one."""
        return next(one for one in self.urls if one != name)

    async def holding(self) -> str:
        """Wait until one of them has the turn to match and is held up in it. Returns its name."""
        ports: list[int] = []

        async def held() -> bool:
            ports[:] = [row["client_port"] for row in await self.house.system.rows(HELD)]
            return bool(ports)

        await until("a router has the turn", held, 10)
        second = self.process(SECOND).popen
        assert second is not None
        own = {found.laddr.port for found in psutil.Process(second.pid).net_connections("inet")}
        return SECOND if ports[0] in own else "routing"


@asynccontextmanager
async def two_routers(house: House) -> AsyncIterator[Routers]:
    """A second routing process beside the house's own, as long as the block lasts; afterwards the house's own runs."""
    system, [port] = house.system, server_ports(1)
    database = system.settings.database.get_secret_value()
    own = {"PATCHBAY_ROUTING_PORT": str(port), "PATCHBAY_DATABASE": database, "PATCHBAY_KAFKA": system.settings.kafka}
    second = system.start("routing", name=SECOND, **own)
    try:
        await system.ready(SECOND, port)
        yield Routers(house, {"routing": system.url("routing"), SECOND: f"http://127.0.0.1:{port}"})
    finally:
        system.processes["routing"].signal(signal.SIGCONT)
        del system.processes[SECOND]
        await asyncio.to_thread(second.end)
        if system.processes["routing"].exit_code is not None:
            system.processes["routing"].start()
        await system.ready("routing")


@asynccontextmanager
async def in_the_way(house: House, ticket_id: str) -> AsyncIterator[None]:
    """As long as the block lasts whoever offers this ticket is held up in the middle of it: an offer of it stands uncommitted."""
    connection = await asyncpg.connect(house.system.database, timeout=10)
    try:
        await connection.execute("BEGIN")
        await connection.execute(IN_THE_WAY, ticket_id)
        yield
    finally:
        connection.terminate()


@dataclass
class Worker:
    """An agent, by hand, at the process of this URL; what is done stands in the house's truth."""

    agent_id: str
    url: str
    house: House
    http: httpx.AsyncClient
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        desk = Desk("by-hand", self.url, self.http, self.house.truth, time.monotonic, PATIENCE, OBLIGING)
        self.hand = Hand(self.agent_id, self.house.system.keys[self.agent_id], desk)

    @property
    def routing(self) -> Routing:
        """The API as this agent."""
        return self.hand.routing

    async def is_(self, state: State) -> None:
        """Say so."""
        act = Act("state", self.agent_id, self.hand.new_key(), time.monotonic(), state=state["state"])
        self._done(await self.hand.act(act, lambda key: self.routing.change_agent_state(self.agent_id, state, key)))

    async def accept(self, ticket_id: str) -> None:
        """What is offered of this ticket, as soon as it is."""
        offer_id = await self.offered(ticket_id)
        act = Act("accept", self.agent_id, self.hand.new_key(), time.monotonic(), ticket_id, offer_id)
        self._done(await self.hand.act(act, lambda key: self.routing.accept_offer(offer_id, key)))

    async def resolve(self, ticket_id: str) -> None:
        """What the agent owns."""
        act = Act("resolve", self.agent_id, self.hand.new_key(), time.monotonic(), ticket_id)
        self._done(await self.hand.act(act, lambda key: self.routing.resolve_ticket(ticket_id, {"code": "answered"}, key)))

    async def offered(self, ticket_id: str, seconds: float = 20) -> str:
        """Wait for an offer of this ticket. Returns its id."""
        found: list[str] = []

        async def there() -> bool:
            live = (await self.routing.list_offers(self.agent_id)).items
            found[:] = [str(offer["offer_id"]) for offer in live if offer["ticket_id"] == ticket_id]
            return bool(found)

        await until(f"{ticket_id} is offered to {self.agent_id}", there, seconds)
        return found[0]

    async def work_off(self) -> bool:
        """Accept and resolve whatever there is. Returns whether there was anything."""
        offers = (await self.routing.list_offers(self.agent_id)).items
        for offer in offers:
            await self.accept(str(offer["ticket_id"]))
        owned = [one for one in (await self.routing.list_agent_tickets(self.agent_id)).items if one["status"] != "resolved"]
        for ticket in owned:
            await self.resolve(str(ticket["ticket_id"]))
        return bool(offers or owned)

    def _done(self, answer: Answer | None) -> None:
        assert answer is not None, f"nobody answered {self.agent_id}"
        assert answer.status < 300, answer


@asynccontextmanager
async def worker(house: House, agent_id: str, url: str = "") -> AsyncIterator[Worker]:
    """An agent at this process, or the house's own."""
    async with new_http() as http:
        yield Worker(agent_id, url or house.system.url("routing"), house, http)
