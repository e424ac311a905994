"""What it costs to tell those who wait on live channels where they stand: passes on PostgreSQL, without what is published."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import sqlalchemy as sa

from bench import floor
from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.world import BenchFailed, World, world
from services.routing.estimating import Estimator
from services.routing.settings import RoutingSettings
from shared import db
from shared.service import resources
from shared.signals import Signals

NAME = "waits"
AGENTS = 1_000
FEW, MANY = 100, 10_000
AT_ONCE = 500
ALWAYS = 1e-6  # seconds between two passes
GOAL = Goal("value", "at most", 400.0)
BASELINE = f"the same with {FEW} who wait"


async def run() -> list[Line]:
    """Measure."""
    async with world() as here, AsyncExitStack() as stack:
        few, many = [await stack.enter_async_context(_line(here, waiting)) for waiting in (FEW, MANY)]
        products, baselines = await interleaved(NAME, lambda: _passes(few, FEW), lambda: _passes(many, MANY))
    columns = (
        Column("first", f"{MANY:,} begin to wait at once: the pass that tells all of them", "ms"),
        Column("again", f"{MANY:,} wait, {AGENTS:,} agents: a pass that has no news", "ms", (GOAL,)),
    )
    return lines(NAME, columns, products, baselines, BASELINE)


@asynccontextmanager
async def _line(here: World, waiting: int) -> AsyncIterator[Estimator]:
    """So many who wait in one queue."""
    url = await here.database(("auth", "keys", "routing"))
    settings = RoutingSettings.model_validate({**here.settings(url).model_dump(), "routing_wait_seconds": ALWAYS})
    async with resources("routing", settings) as parts:
        async with db.transaction(parts.engine) as conn:
            await floor.furnish(conn, AGENTS)
        for begun in range(0, waiting, AT_ONCE):
            async with db.transaction(parts.engine) as conn:
                await floor.wait_in_line(conn, min(AT_ONCE, waiting - begun), floor.COMMON)
        async with db.transaction(parts.engine) as conn:
            await conn.execute(sa.text("ANALYZE routing.ticket"))
        yield Estimator(parts, settings, Signals(settings, "routing"))


async def _passes(estimator: Estimator, waiting: int) -> Repeat:
    async with db.transaction(estimator.parts.engine) as conn:
        await conn.execute(sa.text("TRUNCATE routing.wait"))
    first = await _milliseconds(estimator, waiting)
    async with db.transaction(estimator.parts.engine) as conn:
        await conn.execute(sa.text("UPDATE routing.wait SET heard = true"))
        await conn.execute(sa.text("ANALYZE routing.wait"))
    passes = 3 if quick() else 10
    return {"first": first, "again": sum([await _milliseconds(estimator, 0) for _ in range(passes)]) / passes}


async def _milliseconds(estimator: Estimator, news: int) -> float:
    """The time of a pass that has news of so many at least."""
    began = time.perf_counter()
    made = await estimator.look()
    spent = time.perf_counter() - began
    if made is None or len(made[0]) < news:
        raise BenchFailed(f"a pass told {len(made[0]) if made is not None else 'nobody'} of {news} who wait")
    return spent * 1000
