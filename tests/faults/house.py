"""A running system with customers and agents around it, on which faults are let loose and the whole history is checked after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from shared.deadlines import within
from shared.events.base import Channel
from simulator.hand import OBLIGING
from simulator.patience import Patience
from simulator.plan import Traffic
from simulator.run import Simulation
from simulator.truth import Answer, Sending, Truth
from tests.faults.checker import broken
from tests.faults.history import collect
from tests.faults.links import Links
from tests.faults.nemesis import Nemesis
from tests.faults.schedule import Schedule
from tests.system import READERS, SERVICES, System, running_system, until

# Short waits, so that a run sees how its faults end.
BRISK = Traffic(longest_pause_seconds=0.5, longest=3)
MOVING = replace(OBLIGING, moves=0.3)
PATIENCE = Patience(answer_seconds=4.0, first_wait_seconds=0.1, longest_wait_seconds=1.0, give_up_seconds=45.0)
SETTLE_SECONDS = 60.0
GIVES_UP_BEFORE_SECONDS = 15.0
UNDONE = """
    SELECT t.id AS ticket_id, r.status, r.agent_id, r.queue_id, r.offer_agent_id, r.attention
    FROM intake.ticket t LEFT JOIN routing.ticket r ON r.ticket_id = t.id
    WHERE r.ticket_id IS NULL OR r.status NOT IN ('resolved', 'closed') AND (r.queue_id <> 'unattended' OR r.agent_id IS NOT NULL)
    ORDER BY t.number
"""  # a call that was hung up is in no queue, and nobody's; in the queue `unattended` nobody works


@dataclass(slots=True)
class House:
    """One system, its servers, and all that its customers and agents saw of it. Schedules may follow each other. `poisoned` and
    `clock_moved` are what tests did to it that cannot be undone (see `History`).
    """

    system: System
    kafka: LocalKafka
    postgres: LocalPostgres
    truth: Truth = field(default_factory=Truth)
    schedules: list[str] = field(default_factory=list)
    poisoned: set[str] = field(default_factory=set)
    clock_moved: bool = False

    @asynccontextmanager
    async def at_work(self, seed: int, contacts: int, rate: float, *, seconds: float = SETTLE_SECONDS) -> AsyncIterator[None]:
        """Customers write while the block runs; it ends when all are acknowledged, within `seconds` after it, and the agents
        have dealt with everything. Nobody gives up much sooner than that.
        """
        run = f"{seed}-{len(self.schedules)}"
        self.schedules.append(run)
        simulation = Simulation(
            self.system.places(),
            seed,
            self.truth,
            rate_per_second=rate,
            run=run,
            traffic=BRISK,
            conduct=MOVING,
            patience=replace(PATIENCE, give_up_seconds=max(PATIENCE.give_up_seconds, seconds - GIVES_UP_BEFORE_SECONDS)),
            mailbox=self.system.mailbox,
        )
        async with simulation:
            sending = asyncio.create_task(simulation.run(contacts))
            try:
                yield
                await within(sending, seconds)
                await self.dealt_with()
            finally:
                sending.cancel()

    async def write(self, key: str, inbox: str = "support", channel: Channel = "email") -> str:
        """One contact with this Idempotency-Key, sent again until it is acknowledged; the id of its ticket."""
        text = "Hello, where is my order?"
        sending = self.truth.begun(Sending(key, "generic", f"{key}@customers.example", "en", key, text))
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                answer = await self._attempt(key, text, inbox, channel)
                self.truth.answered(key, answer)
                if sending.acknowledged and answer.ticket_id is not None:
                    return answer.ticket_id
                await asyncio.sleep(PATIENCE.first_wait_seconds)

    async def _attempt(self, key: str, text: str, inbox: str, channel: Channel) -> Answer:
        try:
            reply = await self.system.contact(key, text, inbox=inbox, channel=channel)
        except httpx.TransportError:
            return Answer(0.0, None)
        told = reply.json() if reply.status_code == 201 else {}
        return Answer(0.0, reply.status_code, told.get("ticket_id"), told.get("message_id"), told.get("number"))

    async def dealt_with(self) -> None:
        """Wait until the agents have resolved every ticket."""
        undone: list[Any] = []

        async def done() -> bool:
            undone[:] = await self.system.rows(UNDONE)
            return not undone

        try:
            await until("every ticket is resolved", done, SETTLE_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {[dict(row) for row in undone[:5]]}") from None

    async def under(self, schedule: Schedule, *, contacts: int, rate: float) -> None:
        """Customers write while the schedule is carried out; then the whole history is checked. Raises AssertionError."""
        nemesis = Nemesis(self.system, self.kafka, self.postgres)
        began = time.monotonic()
        try:
            async with self.at_work(schedule.seed, contacts, rate):
                await nemesis.carry_out(schedule)
            wrong = nemesis.ended + await self.wrong()
        except Exception as error:
            raise AssertionError(self._report(schedule, nemesis, [f"{type(error).__name__}: {error}"])) from error
        finally:
            await nemesis.settled()
        assert not wrong, self._report(schedule, nemesis, wrong)
        print(f"{schedule}\nall well after {time.monotonic() - began:.1f} s")

    async def wrong(self, *, figures: bool = False) -> list[str]:
        """What of all promises does not hold; `figures`: the rebuilt figures are compared too (some seconds)."""
        poisoned = frozenset(self.poisoned)
        return broken(await collect(self.system, self.truth, figures=figures, poisoned=poisoned, clock_moved=self.clock_moved))

    def _report(self, schedule: Schedule, nemesis: Nemesis, wrong: list[str]) -> str:
        logs = "\n".join(f"-- {name}:\n{process.tail()}" for name, process in self.system.processes.items())
        return "\n".join(
            [
                *wrong[:20],
                f"{schedule}",
                "what was done:",
                *nemesis.told,
                f"earlier on this system: {', '.join(self.schedules[:-1]) or 'nothing'}",
                logs,
                f"logs: {self.system.folder}",
            ]
        )


@asynccontextmanager
async def open_house(
    kafka: LocalKafka, postgres: LocalPostgres, database: str, folder: Path, seed: int = 0
) -> AsyncIterator[House]:
    """A system with proxies on all its ways, the readers' apart; its logs go to `folder`."""
    async with running_system(
        kafka.bootstrap,
        database,
        folder,
        (*SERVICES, *READERS),
        links=Links(kafka, seed),
        PATCHBAY_INTAKE_ATTEMPT_SECONDS="3",
        PATCHBAY_INTAKE_FORM_PER_MINUTE="10000",
        PATCHBAY_ROUTING_AGAIN_SECONDS="1",
        PATCHBAY_ROUTING_LIVE_GRACE_SECONDS="2",
    ) as system:
        await furnish(system)
        yield House(system, kafka, postgres)


async def furnish(system: System) -> None:
    """A second line above the first, which may wrap up after each ticket."""
    admin = system.client("routing", "admin")
    support = (await admin.get("/v1/queues/support")).json()
    body = {name: support[name] for name in ("name", "position", "team_ids")}
    for path, more, headers in (
        ("/v1/queues/support", {"wrap_up_seconds": 2}, {"If-Match": f'"{support["version"]}"'}),
        ("/v1/queues/second", {"position": 200, "tier": 2}, {}),
    ):
        (await admin.put(path, json=body | more, headers=headers)).raise_for_status()
