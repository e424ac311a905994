"""From a contact to its offer on an agent's live stream, all services running; open load, so that no stall is left out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from bench.figures import Column, Goal, Line, Repeat, lines, percentile
from bench.interleave import quick
from bench.lines.system import System, system
from bench.load import Job, Sent
from bench.tasks import end
from bench.world import BenchFailed, load
from deploy.local.ports import HOST

NAME = "offers"
RATES = (20, 100)
SECONDS = 20.0
QUICK_SECONDS = 6.0
WARM_UP_SECONDS = 3.0
CONNECTIONS = 64
LATE_SECONDS = 30.0
GOALS: Mapping[tuple[int, str], Goal] = {
    (100, "after_p50"): Goal("value", "at most", 40.0),
    (100, "after_p99"): Goal("value", "at most", 250.0),
}


@dataclass(slots=True)
class Streams:
    """The agents' live streams: when the offer of which ticket arrived, in monotonic seconds of this machine."""

    arrived: dict[str, float] = field(default_factory=dict)

    async def follow(self, url: str, key: str, ready: asyncio.Event) -> None:
        """One agent's stream, until cancelled."""
        headers = {"Authorization": f"Bearer {key}"}
        kind = ""
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(10, read=None)) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                now = time.monotonic()
                if line.startswith("event:"):
                    kind = line[6:].strip()
                    ready.set()
                elif line.startswith("data:") and kind == "offer.made":
                    self.arrived.setdefault(str(json.loads(line[5:])["ticket_id"]), now)

    @asynccontextmanager
    async def open(self, running: System) -> AsyncIterator[None]:
        """The streams of all agents, for as long as the context lasts."""
        base = f"http://{HOST}:{running.ports['routing']}/v1/agents"
        ready = {agent: asyncio.Event() for agent in running.agents}
        tasks = [
            asyncio.create_task(self.follow(f"{base}/{agent}/stream", key, ready[agent])) for agent, key in running.agents.items()
        ]
        try:
            async with asyncio.timeout(20):
                await asyncio.gather(*(one.wait() for one in ready.values()))
            yield
        finally:
            await end(*tasks)

    async def all_of(self, tickets: list[str]) -> None:
        """Wait for the offers of these tickets. Raises BenchFailed."""
        deadline = time.monotonic() + LATE_SECONDS
        while not self.arrived.keys() >= set(tickets):
            if time.monotonic() > deadline:
                missing = len(set(tickets) - self.arrived.keys())
                raise BenchFailed(f"{missing} of {len(tickets)} tickets were not offered within {LATE_SECONDS:.0f} s")
            await asyncio.sleep(0.05)


async def run() -> list[Line]:
    """Measure at each rate; one repeat each, because a run of so many contacts is a sample by itself."""
    async with system(auto_accept=False) as running:
        streams, found, number = Streams(), [], 1
        async with streams.open(running):
            _, number = await _at(running, streams, 50, WARM_UP_SECONDS, number)
            for rate in RATES:
                repeat, number = await _at(running, streams, rate, QUICK_SECONDS if quick() else SECONDS, number)
                found += _lines(rate, repeat)
        await running.refuse_parked()
        return found


async def _at(running: System, streams: Streams, rate: float, seconds: float, first: int) -> tuple[Repeat, int]:
    job = Job(
        mode="open",
        target=running.contacts,
        connections=CONNECTIONS,
        seconds=seconds,
        first=first,
        per_second=rate,
        keep=True,
    )
    outcome = await load(job)
    sent = {str(json.loads(one.body)["ticket_id"]): one for one in outcome.sent}
    await streams.all_of(list(sent))
    return {"answer_p50": outcome.p50_ms, "answer_p99": outcome.p99_ms, **_latencies(sent, streams.arrived)}, outcome.next


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


def _lines(rate: int, repeat: Repeat) -> list[Line]:
    names = {
        "answer_p50": "request due → accepted, p50",
        "answer_p99": "request due → accepted, p99",
        "after_p50": "accepted → offer on the stream, p50",
        "after_p99": "accepted → offer on the stream, p99",
        "whole_p50": "request due → offer on the stream, p50",
        "whole_p99": "request due → offer on the stream, p99",
    }
    columns = [
        Column(key, f"{what}, {rate}/s", "ms", (GOALS[rate, key],) if (rate, key) in GOALS else ()) for key, what in names.items()
    ]
    return lines(NAME, columns, [repeat])
