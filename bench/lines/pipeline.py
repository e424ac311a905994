"""How many contacts a second go through everything: accepted, assigned (a queue that accepts by itself), clocked, measured."""

from __future__ import annotations

from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import quick
from bench.lines.system import NotSettled, System, system
from bench.load import Job
from bench.world import load

NAME = "pipeline"
RATES = (10, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500)
SECONDS = 8.0
QUICK_SECONDS = 5.0
SETTLE_SECONDS = 2.0
PATIENCE_SECONDS = 90.0
KEPT_SHARE = 0.95
CONNECTIONS = 64


async def run() -> list[Line]:
    """Raise the rate until the system does not keep up: it must answer at the rate asked, and have nothing left to do
    SETTLE_SECONDS after the last contact, whatever the rate.
    """
    async with system(auto_accept=True) as running:
        kept, number = 0.0, 1
        _, number = await _keeps_up(running, RATES[0], number)
        for rate in RATES:
            keeps, number = await _keeps_up(running, rate, number)
            if not keeps:
                break
            kept = float(rate)
        await running.refuse_parked()
    repeat: Repeat = {"rate": kept}
    column = Column("rate", "contacts through all services, lag not growing", "contacts/s", (Goal("value", "at least", 300.0),))
    return lines(NAME, (column,), [repeat])


async def _keeps_up(running: System, rate: float, first: int) -> tuple[bool, int]:
    seconds = QUICK_SECONDS if quick() else SECONDS
    job = Job(mode="open", target=running.contacts, connections=CONNECTIONS, seconds=seconds, first=first, per_second=rate)
    outcome = await load(job)
    try:
        took = await running.settled(PATIENCE_SECONDS)
    except NotSettled:
        return False, outcome.next
    return outcome.rate >= rate * KEPT_SHARE and took <= SETTLE_SECONDS, outcome.next
