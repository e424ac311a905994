"""All four services, each a process of its own, on a broker and a database of their own: for what goes through everything."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.requests import Target
from bench.world import BenchFailed, World, world
from deploy.local.ports import HOST, free_ports
from shared import kafka

SERVICES = ("intake", "routing", "sla", "metrics")
AGENTS = tuple(f"agent-{n}" for n in range(1, 21))
CAPACITY_UNITS = 1_000_000
# A broker that was started a moment ago compiles itself: for half a minute that takes as much as its work.
WARM_UP_PER_SECOND, WARM_UP_SECONDS = 80.0, 15.0
PRESENCE_SECONDS = "7200"  # agents who accept by themselves call nothing and would be taken for gone
POLICY: Mapping[str, Any] = {
    "name": "Standard",
    "position": 100,
    "targets": [
        {"kind": "first_response", "seconds": {"1": 7200, "2": 3600, "3": 1800, "4": 900}},
        {"kind": "resolution", "seconds": {"1": 86400, "2": 43200, "3": 21600, "4": 7200}},
    ],
}


WAITING = (
    "SELECT 'tickets without an agent', count(*) FROM routing.ticket WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL"
)


class NotSettled(BenchFailed):
    """Something was still behind when patience ended; the message says what."""


@dataclass(slots=True)
class System:
    """Everything running, one team, one queue, agents who are there and can carry any number of tickets."""

    here: World
    database: str
    ports: dict[str, int]
    contacts: Target
    admin: dict[str, str]
    operations: str
    environment: dict[str, str]
    agents: dict[str, str] = field(default_factory=dict)

    def pids(self) -> dict[str, int]:
        """The processes of the services and of both servers."""
        servers = {"kafka": self.here.kafka.child, "postgres": self.here.postgres.child}
        children = {child.name: child for child in self.here.children} | servers
        return {name: child.pid for name, child in children.items() if child.pid is not None}

    async def call(self, method: str, service: str, path: str, body: Mapping[str, Any]) -> None:
        """A command of the administrator. Raises BenchFailed when it is refused."""
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{self.ports[service]}", timeout=10, trust_env=False) as client:
            answer = await client.request(method, path, json=body, headers=self.admin)
        if answer.status_code >= 300:
            raise BenchFailed(f"{service} refused {method} {path}: {answer.text[:300]}")

    async def settled(self, seconds: float, also: Sequence[str] = ()) -> float:
        """Wait until nothing is behind; how long that took. `also` are statements that tell a name and a number that has to
        become 0. Raises NotSettled.
        """
        loop = asyncio.get_running_loop()
        client = await kafka.start_consumer(self.here.settings(self.database), "bench-ends", (), group=None)
        connection = await asyncpg.connect(self.database, timeout=10)
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                while left := await _behind(connection, client, also):  # noqa: ASYNC110 - it happens in other processes
                    await asyncio.sleep(0.1)
            return loop.time() - began
        except TimeoutError:
            raise NotSettled(f"after {seconds:.0f} s there is still: {left}") from None
        finally:
            await connection.close(timeout=10)
            await kafka.stop(client)

    async def count(self, statement: str) -> int:
        """The one number that a statement tells."""
        connection = await asyncpg.connect(self.database, timeout=10)
        try:
            return int(await connection.fetchval(statement, timeout=30))
        finally:
            await connection.close(timeout=10)

    async def refuse_parked(self) -> None:
        """Raises BenchFailed when a service could not take something: then what was measured is not the system at work."""
        parked = {name: await self.count(f"SELECT count(*) FROM {name}.parked") for name in SERVICES}
        if any(parked.values()):
            raise BenchFailed(f"records were parked: {parked}")


async def _behind(connection: asyncpg.Connection, client: AIOKafkaConsumer, also: Sequence[str]) -> dict[str, int]:
    """What was accepted and not yet taken everywhere: tickets without an agent, rows of outboxes, records not consumed."""
    outboxes = (f"SELECT 'outbox of {name}', count(*) FROM {name}.outbox" for name in SERVICES)
    rows = await connection.fetch(" UNION ALL ".join((WAITING, *outboxes, *also)), timeout=10)
    left = {name: count for name, count in rows if count}
    if left:
        return left
    union = " UNION ALL ".join(f"SELECT '{name}', topic, partition, next_offset FROM {name}.consumer_offset" for name in SERVICES)
    read = [(row[0], TopicPartition(row[1], row[2]), row[3]) for row in await connection.fetch(union, timeout=10)]
    ends = await asyncio.wait_for(client.end_offsets(list({place for _, place, _ in read})), 10)
    behind = Counter[str]()
    for name, place, position in read:
        behind[f"records for {name}"] += max(0, ends[place] - position)
    return dict(+behind)


@asynccontextmanager
async def system(*, auto_accept: bool, mail_port: int | None = None) -> AsyncIterator[System]:
    """Start everything and configure it. `auto_accept`: tickets go to agents without their asking. `mail_port`: of the
    server that takes what is sent to customers.
    """
    async with world() as here:
        await here.topics()
        database = await here.database()
        ports = dict(zip((*SERVICES, "smtp"), free_ports(len(SERVICES) + 1), strict=True))
        environment = {
            **{f"PATCHBAY_{name.upper()}_PORT": str(port) for name, port in ports.items()},
            **({"PATCHBAY_INTAKE_MAIL_PORT": str(mail_port)} if mail_port is not None else {}),
            "PATCHBAY_ROUTING_PRESENCE_SECONDS": PRESENCE_SECONDS,
            "PATCHBAY_INTAKE_KEY_PER_MINUTE": "10000000",  # one connector brings as much as can be taken
        }
        children = [here.spawn(name, f"services.{name}", database=database, **environment) for name in SERVICES]
        for child in children:
            await here.ready(child, ports[child.name])
        admin = await here.api_key(database, "admin", "admin")
        key = await here.api_key(database, "connector", "intake:write")
        operations = await here.api_key(database, "operations", "ops:read")
        contacts = Target(kind="contact", host=HOST, port=ports["intake"], path="/v1/contacts", key=key)
        running = System(here, database, ports, contacts, {"Authorization": f"Bearer {admin}"}, operations, environment)
        await _configure(running, auto_accept=auto_accept)
        for agent in AGENTS:
            running.agents[agent] = await here.api_key(database, agent, f"agent:{agent}")
        yield running


async def _configure(running: System, *, auto_accept: bool) -> None:
    queue = {"name": {"en": "Support"}, "position": 1, "team_ids": ["support"], "offer_timeout_seconds": 3600}
    # With a webhook of which no secret is set: agents may answer, and nothing is carried anywhere.
    chat = {"channel": "chat", "address": "bench", "confirm": False, "webhook": "http://127.0.0.1:9/"}
    await running.call("PUT", "intake", "/v1/inboxes/bench", chat)
    letters = {"channel": "email", "address": "letters@bench.invalid", "confirm": False}
    await running.call("PUT", "intake", "/v1/inboxes/letters", letters)
    await running.call("PUT", "sla", "/v1/policies/standard", POLICY)
    await running.call("PUT", "routing", "/v1/teams/support", {"name": {"en": "Support"}})
    await running.call("PUT", "routing", "/v1/queues/support", {**queue, "auto_accept": auto_accept})
    for agent in AGENTS:
        body = {"display_name": agent, "team_ids": ["support"], "languages": ["en"], "capacity_units": CAPACITY_UNITS}
        await running.call("PUT", "routing", f"/v1/agents/{agent}", body)
        await running.call("POST", "routing", f"/v1/agents/{agent}/state", {"state": "available"})
