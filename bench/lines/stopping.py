"""SIGTERM under load: how long each service takes to end in good order, with contacts coming in and live streams open."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import repeated
from bench.lines.system import SERVICES, System, system
from bench.load import Job
from bench.streams import following
from bench.world import BenchFailed, load_whatever
from deploy.local.ports import HOST

NAME = "stopping"
PER_SECOND = 50.0
CONNECTIONS = 500
LOAD_SECONDS = 5.0
LEAD_SECONDS = 1.0
PATIENCE_SECONDS = 40.0
SETTLE_SECONDS = 120.0
GOAL = Goal("value", "at most", 15.0)


@dataclass(slots=True)
class Stage:
    """A running system of which every service is ended and started again."""

    running: System
    next: int = 1

    async def round(self) -> Repeat:
        """End one service after the other; seconds of each from the signal to its end."""
        async with self._streams("routing"), self._streams("metrics"):
            sending = asyncio.create_task(self._send())
            await asyncio.sleep(LEAD_SECONDS)
            took = {name: await self._stop(name) for name in SERVICES}
        await sending
        for child in self.running.here.children:
            await self.running.here.ready(child, self.running.ports[child.name])
        await self.running.settled(SETTLE_SECONDS)
        return took

    def _streams(self, service: str) -> AbstractAsyncContextManager[None]:
        agents = {f"/v1/agents/{agent}/stream": key for agent, key in self.running.agents.items()}
        paths = agents if service == "routing" else {"/v1/live": self.running.operations}
        return following(HOST, self.running.ports[service], paths, lambda *_: None)

    async def _send(self) -> None:
        job = Job(
            mode="open",
            target=self.running.contacts,
            connections=CONNECTIONS,
            seconds=LOAD_SECONDS,
            first=self.next,
            per_second=PER_SECOND,
        )
        self.next = (await load_whatever(job)).next

    async def _stop(self, name: str) -> float:
        [child] = [child for child in self.running.here.children if child.name == name]
        began = time.monotonic()
        child.ask_to_end()
        if not await asyncio.to_thread(child.wait, PATIENCE_SECONDS):
            raise BenchFailed(f"{name} did not end within {PATIENCE_SECONDS:.0f} s of SIGTERM")
        took = time.monotonic() - began
        if child.exit_code != 0:
            raise BenchFailed(f"{name} ended with exit code {child.exit_code}. Last line of its log: {child.last_line()}")
        child.start()
        return took


async def run() -> list[Line]:
    """Measure."""
    async with system(auto_accept=True) as running:
        stage = Stage(running)
        found = await repeated("SIGTERM to each service in turn", stage.round)
        await running.refuse_parked()
    what = f"SIGTERM with {PER_SECOND:g} contacts/s coming in → ended, {{}}"
    columns = [Column(name, what.format(name), "s", (GOAL,)) for name in SERVICES]
    return lines(NAME, columns, found)
