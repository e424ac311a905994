"""How fresh the figures of metrics are: from a contact's acceptance until the live stream of figures counts its ticket."""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from dataclasses import dataclass, field

from bench.figures import Column, Goal, Line, Repeat, lines, percentile
from bench.interleave import quick, repeated
from bench.lines.system import System, system
from bench.load import Job
from bench.streams import following
from bench.world import BenchFailed, load
from deploy.local.ports import HOST

NAME = "fresh"
PER_SECOND = 100
SECONDS = 3.0
QUICK_SECONDS = 2.0
CONNECTIONS = 128
LATE_SECONDS = 60.0


@dataclass(slots=True)
class Backlog:
    """The backlog as the stream told it: how many tickets at which instant (monotonic seconds)."""

    at: list[float] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)

    def told(self, _path: str, _kind: str, data: str) -> None:
        """An event of the stream."""
        if data.startswith("{"):
            self.at.append(time.monotonic())
            self.tickets.append(int(json.loads(data)["backlog"]))

    async def reaches(self, tickets: int) -> None:
        """Wait until so many were told. Raises BenchFailed."""
        deadline = time.monotonic() + LATE_SECONDS
        while not self.tickets or self.tickets[-1] < tickets:
            if time.monotonic() > deadline:
                raise BenchFailed(f"the figures count {self.tickets[-1:]} of {tickets} tickets after {LATE_SECONDS:.0f} s")
            await asyncio.sleep(0.05)


async def run() -> list[Line]:
    """Measure."""
    backlog, number = Backlog(), 1

    async def product() -> Repeat:
        nonlocal number
        job = Job(
            mode="open",
            target=running.contacts,
            connections=CONNECTIONS,
            seconds=QUICK_SECONDS if quick() else SECONDS,
            first=number,
            per_second=PER_SECOND,
            keep=True,
        )
        outcome = await load(job)
        accepted = sorted(one.answered for one in outcome.sent)
        await backlog.reaches(outcome.next - 1)
        # Nothing is resolved meanwhile, so the nth ticket is counted when the backlog first reaches n.
        late = [backlog.at[bisect_left(backlog.tickets, number + n)] - at for n, at in enumerate(accepted)]
        number = outcome.next
        return {"p50": percentile(late, 0.5) * 1000, "p99": percentile(late, 0.99) * 1000}

    async with system(auto_accept=True) as running:
        await _warm_up(running)
        number += 1
        async with following(HOST, running.ports["metrics"], {"/v1/live": running.operations}, backlog.told):
            await backlog.reaches(1)
            found = await repeated("the live figures", product)
        await running.refuse_parked()
    what = f"accepted → counted in the live figures, {{}}, {PER_SECOND}/s"
    columns = (
        Column("p50", what.format("p50"), "ms"),
        Column("p99", what.format("p99"), "ms", (Goal("value", "at most", 1000.0),)),
    )
    return lines(NAME, columns, found)


async def _warm_up(running: System) -> None:
    """One contact, through everything."""
    await load(Job(mode="open", target=running.contacts, connections=1, seconds=1, first=1, per_second=1))
    await running.settled(LATE_SECONDS)
