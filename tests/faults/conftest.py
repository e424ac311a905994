"""A system under faults, with agents at work and a sender who tries again until it is acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from deploy.demo.agents import Agent
from tests.faults import checker
from tests.system import System, running_system, until

TOPICS = ("tickets", "customers", "agents", "sla-clocks", "sla-warnings", "sla-breaches")


@dataclass
class Load:
    """Senders and agents around a system."""

    system: System
    history: checker.History = field(default_factory=checker.History)
    sent: int = 0

    async def send(self, key: str) -> None:
        """Send one contact, and again with the same key until it is acknowledged, as a provider does."""
        async with asyncio.timeout(90):
            while True:
                try:
                    answer = await self.system.contact(key, channel="email")
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 503:
                    await asyncio.sleep(0.2)
                    continue
                assert answer.status_code == 201, answer.text
                body = answer.json()
                self.history.answered[key] = (body["ticket_id"], body["message_id"])
                return

    async def send_many(self, name: str, number: int) -> None:
        """Several senders, a few at a time; named anew each time, because the system outlives a test."""
        gate = asyncio.Semaphore(4)
        self.sent += 1
        name = f"{name}-{self.sent}"

        async def one(n: int) -> None:
            async with gate:
                await self.send(f"{name}-{n}")

        await asyncio.gather(*(one(n) for n in range(number)))

    async def settled(self, seconds: float = 90.0) -> None:
        """Wait until every ticket is answered and resolved, its reply delivered, and nothing waits in any outbox."""

        async def done() -> bool:
            expected = len({ticket for ticket, _ in self.history.answered.values()})
            resolved = await self.system.rows(
                "SELECT count(*) AS n FROM intake.delivery WHERE kind = 'reply' AND state = 'delivered'"
            )
            outboxes = await self.system.rows(
                "SELECT (SELECT count(*) FROM intake.outbox) + (SELECT count(*) FROM routing.outbox)"
                " + (SELECT count(*) FROM sla.outbox) AS n"
            )
            return bool(resolved[0]["n"] == expected and outboxes[0]["n"] == 0)

        await until("every ticket is answered", done, seconds)

    async def check(self) -> None:
        """The whole history holds what is promised."""
        self.history.events = await self.system.log_of(*TOPICS)
        wrong = checker.broken(self.history) + checker.outward(self.system, self.history)
        assert not wrong, "\n".join(wrong)
        for schema in ("intake", "routing", "sla", "metrics"):
            parked = await self.system.rows(f"SELECT topic, key, reason, error FROM {schema}.parked")
            assert not parked, f"{schema}: {parked[:3]}"
        await until("metrics read everything", self._metrics_are_there, 30)
        assert not (difference := await checker.metrics_differ(self.system)), difference

    async def _metrics_are_there(self) -> bool:
        tickets = len({ticket for ticket, _ in self.history.answered.values()})
        answer = await self.system.client("metrics").get("/v1/metrics/ticket_volume", params={"period": "total"})
        return bool(sum(point["value"] or 0 for point in answer.json()["points"]) == tickets)


@pytest_asyncio.fixture(scope="module")
async def load(kafka_bootstrap: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Load]:
    """One system for all faults of a module, its history growing: what one fault did must not show after the next either."""
    folder: Path = tmp_path_factory.mktemp("faults")
    async with running_system(kafka_bootstrap, module_database, folder) as system:
        agents = [Agent(name, system.client("routing", name), {}) for name in ("dana", "omar")]
        tasks = [asyncio.create_task(agent.work_on()) for agent in agents]
        load = Load(system)
        await load.send_many("before", 2)
        await load.settled()
        yield load
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def contacts() -> int:
    """How many contacts a fault test sends."""
    return 8
