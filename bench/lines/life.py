"""How many contacts a second live their whole life: accepted, offered, taken, read, answered by mail and resolved by agents
over HTTP, clocked and measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from bench.agents import READY, Work
from bench.capacity import Capacity
from bench.figures import Column, Goal, Line, lines
from bench.interleave import repeated
from bench.lines.system import System, system
from bench.world import BenchFailed
from deploy.local.ports import free_ports

NAME = "life"
FLOOD = 100
WARM_UP_PER_SECOND = 20.0
START_SECONDS = 40.0
ALSO = (
    "SELECT 'tickets not resolved', count(*) FROM routing.ticket WHERE status <> 'resolved'",
    "SELECT 'answers not sent', count(*) FROM intake.delivery WHERE due_at IS NOT NULL",
)


async def run() -> list[Line]:
    """Measure floods, then rates that are kept up with."""
    [mail_port] = free_ports(1)
    async with system(auto_accept=False, mail_port=mail_port) as running, _agents(running, mail_port):
        target = msgspec.structs.replace(running.contacts, kind="mail")
        capacity = Capacity(running, target, ALSO, warm_up_per_second=WARM_UP_PER_SECOND)
        await capacity.warm_up()
        floods = await repeated(f"floods of {FLOOD}", lambda: capacity.flood(FLOOD))
        kept = await repeated("a rate that is kept up with", capacity.kept)
        await running.refuse_parked()
        await _refuse_undelivered(running)
    flood = Column("rate", f"{FLOOD} contacts in a second, until all are answered and resolved", "contacts/s")
    what = "contacts accepted, read, answered and resolved over HTTP, lag not growing"
    rate = Column("rate", what, "contacts/s", (Goal("value", "at least", 75.0),))
    return [*lines(NAME, (flood,), floods), *lines(NAME, (rate,), kept)]


@asynccontextmanager
async def _agents(running: System, mail_port: int) -> AsyncIterator[None]:
    """The agents at work, for as long as the context lasts. Raises BenchFailed when one of them was refused something."""
    file = running.here.folder / "agents.json"
    work = Work(routing_port=running.ports["routing"], mail_port=mail_port, keys=running.agents)
    file.write_bytes(msgspec.json.encode(work))
    child = running.here.spawn("agents", "bench.agents", str(file), database=running.database)
    try:
        async with asyncio.timeout(START_SECONDS):
            while child.last_line() != READY:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise BenchFailed(f"the agents did not start. Last line of their log: {child.last_line() or '(empty)'}") from None
    yield
    await asyncio.to_thread(child.stop, 10)
    if child.last_line() != "{}":
        raise BenchFailed(f"agents were refused: {child.last_line()}")


async def _refuse_undelivered(running: System) -> None:
    failed = await running.count("SELECT count(*) FROM intake.delivery WHERE state <> 'delivered'")
    if failed:
        raise BenchFailed(f"{failed} answers were not delivered")
