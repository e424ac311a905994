"""All four services, each a process of its own, on a broker and a database of their own: for what goes through everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.lines.intake import configure_inbox
from bench.requests import Target
from bench.world import BenchFailed, World, world
from deploy.local.ports import HOST, free_ports
from shared import kafka

SERVICES = ("intake", "routing", "sla", "metrics")
AGENTS = ("agent-1", "agent-2", "agent-3", "agent-4")
CAPACITY_UNITS = 1_000_000
POLICY: Mapping[str, Any] = {
    "name": "Standard",
    "position": 100,
    "targets": [
        {"kind": "first_response", "seconds": {"1": 7200, "2": 3600, "3": 1800, "4": 900}},
        {"kind": "resolution", "seconds": {"1": 86400, "2": 43200, "3": 21600, "4": 7200}},
    ],
}


@dataclass(slots=True)
class System:
    """Everything running, one team, one queue, four agents who are there and can carry any number of tickets."""

    here: World
    database: str
    ports: dict[str, int]
    contacts: Target
    admin: dict[str, str]
    agents: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, service: str, path: str, body: Mapping[str, Any]) -> None:
        """A command of the administrator. Raises BenchFailed when it is refused."""
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{self.ports[service]}", timeout=10) as client:
            answer = await client.request(method, path, json=body, headers=self.admin)
        if answer.status_code >= 300:
            raise BenchFailed(f"{service} refused {method} {path}: {answer.text[:300]}")

    async def settled(self, seconds: float) -> float:
        """Wait until nothing is behind; how long that took. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        client = await kafka.start_consumer(self.here.settings(self.database), "bench-ends", (), group=None)
        connection = await asyncpg.connect(self.database, timeout=10)
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                while await _behind(connection, client):  # noqa: ASYNC110 - it happens in other processes
                    await asyncio.sleep(0.1)
            return loop.time() - began
        finally:
            await connection.close(timeout=10)
            await kafka.stop(client)

    async def refuse_parked(self) -> None:
        """Raises BenchFailed when a service could not take something: then what was measured is not the system at work."""
        connection = await asyncpg.connect(self.database, timeout=10)
        try:
            parked = {name: await connection.fetchval(f"SELECT count(*) FROM {name}.parked", timeout=10) for name in SERVICES}
        finally:
            await connection.close(timeout=10)
        if any(parked.values()):
            raise BenchFailed(f"records were parked: {parked}")


async def _behind(connection: asyncpg.Connection, client: AIOKafkaConsumer) -> int:
    """What was accepted and not yet taken everywhere: rows of outboxes, tickets without an agent, records not consumed."""
    outboxes = " + ".join(f"(SELECT count(*) FROM {name}.outbox)" for name in SERVICES)
    waiting = "(SELECT count(*) FROM routing.ticket WHERE queue_id IS NOT NULL AND offer_expires_at IS NULL)"
    left: int = await connection.fetchval(f"SELECT {outboxes} + {waiting}", timeout=10)
    if left:
        return left
    union = " UNION ALL ".join(f"SELECT topic, partition, next_offset FROM {name}.consumer_offset" for name in SERVICES)
    read = [(TopicPartition(row[0], row[1]), row[2]) for row in await connection.fetch(union, timeout=10)]
    ends = await asyncio.wait_for(client.end_offsets(list({place for place, _ in read})), 10)
    return sum(max(0, ends[place] - position) for place, position in read)


@asynccontextmanager
async def system(*, auto_accept: bool) -> AsyncIterator[System]:
    """Start everything and configure it. `auto_accept`: tickets go to agents without their asking."""
    async with world() as here:
        await here.topics()
        database = await here.database()
        ports = dict(zip((*SERVICES, "smtp"), free_ports(len(SERVICES) + 1), strict=True))
        environment = {
            **{f"PATCHBAY_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        }
        children = [here.spawn(name, f"services.{name}", database=database, **environment) for name in SERVICES]
        for child in children:
            await here.ready(child, ports[child.name])
        admin = await here.api_key(database, "admin", "admin")
        key = await here.api_key(database, "connector", "intake:write")
        contacts = Target(kind="contact", host=HOST, port=ports["intake"], path="/v1/contacts", key=key)
        running = System(here, database, ports, contacts, {"Authorization": f"Bearer {admin}"})
        await configure_inbox(ports["intake"], admin)
        await _configure(running, auto_accept=auto_accept)
        for agent in AGENTS:
            running.agents[agent] = await here.api_key(database, agent, f"agent:{agent}")
        yield running


async def _configure(running: System, *, auto_accept: bool) -> None:
    queue = {"name": {"en": "Support"}, "position": 1, "team_ids": ["support"], "offer_timeout_seconds": 3600}
    await running.call("PUT", "sla", "/v1/policies/standard", POLICY)
    await running.call("PUT", "routing", "/v1/teams/support", {"name": {"en": "Support"}})
    await running.call("PUT", "routing", "/v1/queues/support", {**queue, "auto_accept": auto_accept})
    for agent in AGENTS:
        body = {"display_name": agent, "team_ids": ["support"], "languages": ["en"], "capacity_units": CAPACITY_UNITS}
        await running.call("PUT", "routing", f"/v1/agents/{agent}", body)
        await running.call("POST", "routing", f"/v1/agents/{agent}/state", {"state": "available"})
