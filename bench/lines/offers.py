"""From a contact to its offer on an agent's live stream, all services running; open load, so that no stall is left out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from bench.figures import Column, Goal, Line, Repeat, lines, percentile
from bench.interleave import quick, repeated
from bench.lines.system import WARM_UP_PER_SECOND, WARM_UP_SECONDS, System, system
from bench.load import Job, Sent
from bench.streams import following
from bench.world import BenchFailed, load
from deploy.local.ports import HOST

NAME = "offers"
RATES = (20, 100)
SECONDS = 3.0
QUICK_SECONDS = 2.0
CONNECTIONS = 128
LATE_SECONDS = 60.0
NAMES = {
    "answer_p50": "request due → accepted, p50",
    "answer_p99": "request due → accepted, p99",
    "after_p50": "accepted → offer on the stream, p50",
    "after_p99": "accepted → offer on the stream, p99",
    "whole_p50": "request due → offer on the stream, p50",
    "whole_p99": "request due → offer on the stream, p99",
}
GOALS: Mapping[tuple[int, str], Goal] = {
    (100, "after_p50"): Goal("value", "at most", 40.0),
    (100, "after_p99"): Goal("value", "at most", 250.0),
}


@dataclass(slots=True)
class Offers:
    """When the offer of which ticket arrived on a stream, in monotonic seconds of this machine."""

    arrived: dict[str, float] = field(default_factory=dict)
    number: int = 1

    def told(self, _path: str, kind: str, data: str) -> None:
        """An event of a stream."""
        if kind == "offer.made":
            self.arrived.setdefault(str(json.loads(data)["ticket_id"]), time.monotonic())

    @asynccontextmanager
    async def heard(self, running: System) -> AsyncIterator[None]:
        """The streams of all agents, for as long as the context lasts."""
        paths = {f"/v1/agents/{agent}/stream": key for agent, key in running.agents.items()}
        async with following(HOST, running.ports["routing"], paths, self.told):
            yield

    async def all_of(self, tickets: set[str]) -> None:
        """Wait for the offers of these tickets. Raises BenchFailed."""
        deadline = time.monotonic() + LATE_SECONDS
        while missing := tickets - self.arrived.keys():
            if time.monotonic() > deadline:
                raise BenchFailed(f"{len(missing)} of {len(tickets)} tickets were not offered within {LATE_SECONDS:.0f} s")
            await asyncio.sleep(0.05)

    async def at(self, running: System, rate: float, seconds: float) -> Repeat:
        """Contacts at this rate, for so long, until each is offered; milliseconds."""
        job = Job(
            mode="open",
            target=running.contacts,
            connections=CONNECTIONS,
            seconds=seconds,
            first=self.number,
            per_second=rate,
            keep=True,
        )
        outcome = await load(job)
        self.number = outcome.next
        sent = {str(json.loads(one.body)["ticket_id"]): one for one in outcome.sent}
        await self.all_of(set(sent))
        return {"answer_p50": outcome.p50_ms, "answer_p99": outcome.p99_ms, **_latencies(sent, self.arrived)}


async def run() -> list[Line]:
    """Measure at each rate."""
    offers, found = Offers(), []
    async with system(auto_accept=False) as running, offers.heard(running):
        await offers.at(running, WARM_UP_PER_SECOND, WARM_UP_SECONDS)
        for rate in RATES:
            repeats = await repeated(f"{rate}/s", partial(offers.at, running, rate, QUICK_SECONDS if quick() else SECONDS))
            columns = [
                Column(key, f"{what}, {rate}/s", "ms", (GOALS[rate, key],) if (rate, key) in GOALS else ())
                for key, what in NAMES.items()
            ]
            found += lines(NAME, columns, repeats)
        await running.refuse_parked()
    return found


def _latencies(sent: Mapping[str, Sent], arrived: Mapping[str, float]) -> Repeat:
    """Milliseconds. An offer can overtake the answer to its own contact on this machine; that counts as 0 after the answer."""
    after = [max(0.0, arrived[ticket] - one.answered) * 1000 for ticket, one in sent.items()]
    whole = [(arrived[ticket] - one.due) * 1000 for ticket, one in sent.items()]
    return {
        "after_p50": percentile(after, 0.5),
        "after_p99": percentile(after, 0.99),
        "whole_p50": percentile(whole, 0.5),
        "whole_p99": percentile(whole, 0.99),
    }
