"""How many contacts a second go through everything: accepted, assigned (a queue that accepts by itself), clocked, measured."""

from __future__ import annotations

from bench.capacity import Capacity
from bench.figures import Column, Goal, Line, lines
from bench.interleave import repeated
from bench.lines.system import system

NAME = "pipeline"
FLOOD = 600


async def run() -> list[Line]:
    """Measure floods, then rates that are kept up with."""
    async with system(auto_accept=True) as running:
        capacity = Capacity(running, running.contacts)
        await capacity.warm_up()
        floods = await repeated(f"floods of {FLOOD}", lambda: capacity.flood(FLOOD))
        kept = await repeated("a rate that is kept up with", capacity.kept)
        await running.refuse_parked()
    flood = Column("rate", f"{FLOOD} contacts in a second, until all are through all services", "contacts/s")
    rate = Column("rate", "contacts through all services, lag not growing", "contacts/s", (Goal("value", "at least", 300.0),))
    return [*lines(NAME, (flood,), floods), *lines(NAME, (rate,), kept)]
