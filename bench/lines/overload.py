"""Three times as much as intake can take: memory, what is refused and how, what is accepted and when, and the recovery.

In the whole run it lasts twenty seconds, by name (`make bench BENCH=overload`) five.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bench.figures import Goal, Line
from bench.interleave import quick
from bench.lines.system import SERVICES, System, system
from bench.load import REFUSALS, Job, Outcome
from bench.processes import usage
from bench.progress import tell
from bench.tasks import end
from bench.world import load, load_whatever

NAME = "overload"
TIMES = 3.0
SECONDS = 300.0
SHORT_SECONDS = 20.0
QUICK_SECONDS = 30.0
FLOOD_SECONDS = 3.0
FLOOD_CONNECTIONS = 64
CONNECTIONS = 8_000  # enough that not the generator is what holds back
CALM_PER_SECOND = 20.0
CALM_SECONDS = 4.0
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 900.0
IN_TIME_MS = 10_000.0  # Twilio gives a webhook 15 s, most clients 10 s
GROWTH_MIB = 64.0
NOTHING = Goal("value", "at most", 0.0)
WAITED = """
    SELECT coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM o.offered_at - t.opened_at) * 1000), 0)
    FROM intake.ticket t JOIN routing.offer o ON o.ticket_id = t.id WHERE t.number > (SELECT max(number) FROM intake.ticket) - $1
"""


async def run() -> list[Line]:
    """Five minutes, half a one when it has to be quick."""
    return await _overload(QUICK_SECONDS if quick() else SECONDS)


async def run_short() -> list[Line]:
    """Twenty seconds."""
    return await _overload(SHORT_SECONDS)


@dataclass(slots=True)
class Memory:
    """Resident memory of each process over time, in MiB."""

    running: System
    seen: dict[str, list[float]] = field(default_factory=dict)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            for name, used in usage(self.running.pids()).items():
                self.seen.setdefault(name, []).append(used.memory_mib)
            await asyncio.sleep(LOOK_SECONDS)

    def lines(self) -> list[Line]:
        """The highest of each, and of the services by how much it grew once the load had lasted for half of its time."""
        peaks = [Line(NAME, f"memory of {name}, highest", "MiB", (max(seen),)) for name, seen in self.seen.items()]
        bounded = Goal("value", "at most", GROWTH_MIB)
        return [*peaks, *(self._growth(name, bounded) for name in SERVICES)]

    def _growth(self, name: str, bounded: Goal) -> Line:
        seen = self.seen[name]
        middle = max(len(seen) // 2, 1)
        grown = max(seen[middle:], default=0.0) - max(seen[:middle])
        return Line(NAME, f"memory of {name}, growth in the second half", "MiB", (max(grown, 0.0),), goals=(bounded,))


@dataclass(slots=True)
class Stage:
    """A running system under load."""

    running: System
    next: int = 1

    async def calm(self) -> float:
        """p99 of the time to the answer at an easy rate, in milliseconds."""
        return (await self._send(CALM_PER_SECOND, CALM_SECONDS)).p99_ms

    async def capacity(self) -> float:
        """What intake accepts in a second while everything else works too."""
        job = Job(
            mode="closed",
            target=self.running.contacts,
            connections=FLOOD_CONNECTIONS,
            seconds=FLOOD_SECONDS,
            first=self.next,
        )
        outcome = await load(job)
        self.next = outcome.next
        await self.running.settled(PATIENCE_SECONDS)
        return outcome.rate

    async def too_much(self, per_second: float, seconds: float) -> Outcome:
        """Open load, whatever is answered."""
        return await self._send(per_second, seconds)

    async def _send(self, per_second: float, seconds: float) -> Outcome:
        job = Job(
            mode="open",
            target=self.running.contacts,
            connections=CONNECTIONS,
            seconds=seconds,
            first=self.next,
            per_second=per_second,
        )
        outcome = await load_whatever(job)
        self.next = outcome.next
        return outcome


async def _overload(seconds: float) -> list[Line]:
    async with system(auto_accept=True) as running:
        stage, memory = Stage(running), Memory(running)
        tell("capacity")
        await stage.capacity()
        capacity, before = await stage.capacity(), await stage.calm()
        tickets = await running.count("SELECT count(*) FROM intake.ticket")
        watching = asyncio.create_task(memory.watch())
        try:
            tell(f"{TIMES:g} × {capacity:.0f} contacts/s for {seconds:.0f} s")
            outcome = await stage.too_much(TIMES * capacity, seconds)
            tell("recovery")
            recovered = await running.settled(PATIENCE_SECONDS)
        finally:
            await end(watching)
        stored = await running.count("SELECT count(*) FROM intake.ticket") - tickets
        waited = await running.count(f"SELECT coalesce(ceil(({WAITED.replace('$1', str(stored))})), 0)")
        after = await stage.calm()
        await running.refuse_parked()
    return [
        *_answers(outcome, capacity, seconds, stored),
        Line(NAME, "accepted → assigned, p99", "ms", (float(waited),)),
        Line(NAME, "recovery: last contact → nothing left to do", "s", (recovered,), goals=(Goal("value", "at most", seconds),)),
        Line(
            NAME,
            f"request due → accepted, p99, {CALM_PER_SECOND:g}/s, after it",
            "ms",
            (after,),
            "the same before it",
            (before,),
            (Goal("ratio", "at most", 2.0),),
        ),
        *memory.lines(),
    ]


def _answers(outcome: Outcome, capacity: float, seconds: float, stored: int) -> list[Line]:
    asked = sum(outcome.statuses.values())
    refused = sum(outcome.statuses.get(status, 0) for status in REFUSALS)
    other = asked - refused - outcome.accepted
    alone = "what it accepts of a closed load"
    in_time = Goal("value", "at most", IN_TIME_MS)
    return [
        Line(NAME, "contacts offered", "contacts/s", (asked / seconds,)),
        Line(NAME, "contacts accepted meanwhile", "contacts/s", (outcome.accepted / seconds,), alone, (capacity,)),
        Line(NAME, "request due → accepted, p50", "ms", (outcome.p50_ms,)),
        Line(NAME, "request due → accepted, p99", "ms", (outcome.p99_ms,), goals=(in_time,)),
        Line(NAME, "refused with 429 or 503", "share", (refused / asked,)),
        Line(NAME, "refused without Retry-After", "answers", (float(outcome.unadvised),), goals=(NOTHING,)),
        Line(NAME, f"answered otherwise, or not at all {_other(outcome)}", "requests", (float(other),), goals=(NOTHING,)),
        Line(NAME, "accepted and not stored", "contacts", (float(max(outcome.accepted - stored, 0)),), goals=(NOTHING,)),
    ]


def _other(outcome: Outcome) -> str:
    found = {status: n for status, n in outcome.statuses.items() if status not in REFUSALS and not status.startswith("2")}
    return f"({', '.join(f'{status}: {n}' for status, n in sorted(found.items()))})" if found else ""
