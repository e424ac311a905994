"""What it costs to decide who gets a ticket, with ten thousand agents and with ten: whole passes on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import REGISTRY

from bench import floor
from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.world import BenchFailed, World, world
from services.routing.matching import Matcher
from services.routing.settings import RoutingSettings
from shared import db
from shared.events.config import Strategy
from shared.service import resources

NAME = "decisions"
FEW, MANY = 10, 10_000
GOAL = Goal("ratio", "at most", 3.0)
OTHERS: dict[Strategy, str] = {
    "least_versatile": "who can do least",
    "least_loaded": "who carries least",
    "round_robin": "who was given something longest ago",
    "best_skill": "who can do it best",
}
BASELINE = f"the same with {FEW} agents"


async def run() -> list[Line]:
    """Measure."""
    async with world() as here, AsyncExitStack() as stack:
        few, many = [await stack.enter_async_context(_matcher(here, agents)) for agents in (FEW, MANY)]
        for matcher in (few, many):
            await _decide(matcher)
        products, baselines = await interleaved("decisions", lambda: _decide(few), lambda: _decide(many))
    columns = (
        Column("one", f"one ticket waits, {MANY:,} agents: its pass", "ms", (GOAL,)),
        Column("many", f"200 tickets wait, {MANY:,} agents: each decision", "ms", (GOAL,)),
        *(
            Column(name, f"one ticket waits, {MANY:,} agents, {words} first: its pass", "ms", (GOAL,))
            for name, words in OTHERS.items()
        ),
        Column("rare", f"one ticket waits that one of {MANY:,} agents can take, who is last in turn: its pass", "ms", (GOAL,)),
    )
    return lines(NAME, columns, products, baselines, BASELINE)


@asynccontextmanager
async def _matcher(here: World, agents: int) -> AsyncIterator[Matcher]:
    url = await here.database(("auth", "keys", "routing"))
    settings = RoutingSettings.model_validate(here.settings(url).model_dump())
    async with resources("routing", settings) as parts:
        async with db.transaction(parts.engine) as conn:
            await floor.furnish(conn, agents)
        yield Matcher(parts, settings)


async def _decide(matcher: Matcher) -> Repeat:
    passes = 10 if quick() else 40
    others: dict[str, float] = {}
    for strategy in OTHERS:
        await _choose_by(matcher, strategy)
        others[strategy] = await _milliseconds(matcher, passes // 4, 1, floor.COMMON)
    await _choose_by(matcher, "longest_idle")
    return {
        **others,
        "one": await _milliseconds(matcher, passes, 1, floor.COMMON),
        "many": await _milliseconds(matcher, passes // 8, 200, floor.COMMON) / 200,
        "rare": await _milliseconds(matcher, passes // 4, 1, floor.RARE),
    }


async def _choose_by(matcher: Matcher, strategy: Strategy) -> None:
    """From the pass after the next: the first reads the queue anew. Raises BenchFailed where it did not."""
    async with db.transaction(matcher.parts.engine) as conn:
        await floor.choose_by(conn, strategy)
    await _milliseconds(matcher, 1, 1, floor.COMMON)
    async with db.transaction(matcher.parts.engine) as conn:
        chosen = await floor.chosen_by(conn)
    if chosen != strategy:
        raise BenchFailed(f"a pass chose by {chosen}, and was to choose by {strategy}")


async def _milliseconds(matcher: Matcher, passes: int, tickets: int, language: str) -> float:
    """The mean time of a pass that offers so many tickets."""
    spent, before = 0.0, _offered()
    for _ in range(passes):
        async with db.transaction(matcher.parts.engine) as conn:
            await floor.wait_in_line(conn, tickets, language)
        began = time.perf_counter()
        await matcher.once()
        spent += time.perf_counter() - began
    if _offered() - before != passes * tickets:
        raise BenchFailed(f"{_offered() - before} of {passes * tickets} waiting tickets were offered")
    return spent / passes * 1000


def _offered() -> int:
    return round(REGISTRY.get_sample_value("patchbay_offers_total") or 0)
