"""Timers: how fast they fire beside the bare claiming statement, how late, and how long a hundred thousand at once take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import promised
from bench.figures import Column, Goal, Line, Repeat, lines, percentile
from bench.interleave import interleaved, quick, repeated
from bench.progress import tell
from bench.tasks import end
from bench.world import BenchFailed, World, world
from deploy.local.ports import free_ports
from services.sla.settings import SlaSettings
from services.sla.store.timers import CLAIM_READ
from services.sla.timers import Ticker
from shared import db, kafka
from shared.events.codec import decode
from shared.events.topics import SLA_BREACHES
from shared.outbox import Outbox
from shared.personal import KeyRing
from shared.settings import Settings

NAME = "timers"
FIRED = 5_000
PENDING = 1_000_000
AT_ONCE = 100_000
AT_ONCE_AT_MOST_SECONDS = 45.0
PER_SECOND = 200
SECONDS = 3.0
LEAD = timedelta(seconds=2)
DEADLINE_SECONDS = 120.0
CLAIMS_AT_ONCE = 2  # as many transactions as the service fires by
FAR = timedelta(days=1)


async def run() -> list[Line]:
    """Measure."""
    async with world() as here:
        await here.topics()
        firing = await here.database(("auth", "keys", "sla"))
        await promised.promise(here.settings(firing))
        found = await _fire(here, firing)
        url = await here.database(("auth", "keys", "sla"))
        await promised.promise(here.settings(url))
        async with _running(here, url) as heard:
            return [*found, *await _late(heard), *await _at_once(heard)]


async def _fire(here: World, url: str) -> list[Line]:
    settings = SlaSettings.model_validate(here.settings(url).model_dump())
    engine, connection = db.make_engine(settings, "bench"), await asyncpg.connect(url, timeout=10)
    count = FIRED // (5 if quick() else 1)
    keys = KeyRing(settings.master_key_bytes())
    outbox = Outbox(schema="sla", incarnation=1, keys=keys, wake=asyncio.Event())

    async def fill() -> None:
        lot, due = f"lot {time.monotonic_ns()}", datetime.now(UTC) - timedelta(minutes=1)
        await connection.execute("TRUNCATE sla.ticket, sla.clock, sla.timer, sla.outbox, sla.key_position", timeout=60)
        await promised.asked(connection, lot, count, due)
        await promised.set_timers(connection, lot, count, due)
        await connection.execute("VACUUM (ANALYZE) sla.ticket, sla.clock, sla.timer", timeout=60)

    async def everything_read() -> dict[int, int]:
        return dict.fromkeys(range(settings.partitions), 0)

    async def baseline() -> Repeat:
        await fill()
        return {"rate": await _rate(count, lambda: _claim_all(engine, settings))}

    async def product() -> Repeat:
        await fill()
        ticker = Ticker(engine, outbox, settings, everything_read)
        measured = await _rate(count, ticker.tick)
        written = await connection.fetchval("SELECT count(*) FROM sla.outbox", timeout=10)
        if written != count:
            raise BenchFailed(f"{written} of {count} timers fired")
        return {"rate": measured}

    try:
        products, baselines = await interleaved("firing", baseline, product)
    finally:
        await connection.close(timeout=10)
        await engine.dispose()
    column = Column("rate", "timers fired: told, kept, in the outbox", "timers/s", (Goal("ratio", "at least", 0.5),))
    name = f"the claiming statement alone, each claim committed, {CLAIMS_AT_ONCE} at a time as in the product"
    return lines(NAME, (column,), products, baselines, name)


async def _rate(count: int, work: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await work()
    return count / (time.monotonic() - began)


async def _claim_all(engine: AsyncEngine, settings: SlaSettings) -> None:
    partitions = list(range(settings.partitions))
    values = {
        "partitions": partitions,
        "ends": [0] * len(partitions),
        "throughs": [datetime.now(UTC)] * len(partitions),
        "each": settings.sla_timers_at_once // len(partitions),
    }

    async def claim() -> None:
        while True:
            async with db.transaction(engine) as conn:
                if not (await conn.execute(sa.text(CLAIM_READ), values)).all():
                    return

    await asyncio.gather(*(claim() for _ in range(CLAIMS_AT_ONCE)))


@dataclass(slots=True)
class Heard:
    """A running sla with many pending timers, and the breaches of this lot: when each was read from Kafka (seconds since
    1970), and its record.
    """

    connection: asyncpg.Connection
    lots: int = 0
    breaches: list[tuple[float, bytes]] = field(default_factory=list)

    def next_lot(self) -> str:
        """A name not used before."""
        self.lots += 1
        self.breaches.clear()
        return f"lot {self.lots}"

    async def listen(self, client: AIOKafkaConsumer) -> None:
        """Until cancelled. Decodes nothing: that would take the processor from what is measured."""
        while True:
            for records in (await client.getmany(timeout_ms=100)).values():
                now = time.time()
                self.breaches.extend((now, record.value) for record in records)

    def late(self) -> list[float]:
        """How long after its deadline each breach was read, in milliseconds."""
        return [(at - decode(value).time.timestamp()) * 1000 for at, value in self.breaches]

    async def all_of(self, count: int) -> None:
        """Wait for so many. Raises BenchFailed."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self.breaches) < count:
            if time.monotonic() > deadline:
                raise BenchFailed(f"{len(self.breaches)} of {count} breaches were published in {DEADLINE_SECONDS:.0f} s")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _running(here: World, url: str) -> AsyncIterator[Heard]:
    settings: Settings = here.settings(url)
    connection = await asyncpg.connect(url, timeout=10)
    tell(f"{_pending():,} pending timers are written")
    await promised.sleepers(connection, _pending(), datetime.now(UTC) + FAR)
    await connection.execute("VACUUM (ANALYZE) sla.timer, sla.ticket", timeout=120)
    [port] = free_ports(1)
    await here.ready(here.spawn("sla", "services.sla", database=url, PATCHBAY_SLA_PORT=str(port)), port)
    client = await kafka.start_consumer(settings, "bench", (SLA_BREACHES.name,), group=None)
    heard = Heard(connection)
    listening = asyncio.create_task(heard.listen(client))
    try:
        yield heard
    finally:
        await end(listening)
        await kafka.stop(client)
        await connection.close(timeout=10)


def _pending() -> int:
    return PENDING // (10 if quick() else 1)


async def _late(heard: Heard) -> list[Line]:
    count, step = round(PER_SECOND * SECONDS), timedelta(seconds=1 / PER_SECOND)

    async def product() -> Repeat:
        lot, due = heard.next_lot(), datetime.now(UTC) + LEAD
        await promised.asked(heard.connection, lot, count, due, step)
        await promised.set_timers(heard.connection, lot, count, due, step)
        await heard.all_of(count)
        late = heard.late()
        return {"p50": percentile(late, 0.5), "p99": percentile(late, 0.99)}

    found = await repeated("lateness", product)
    what = f"deadline → breach read from Kafka, {{}}, {PER_SECOND}/s due, {_pending():,} pending"
    columns = (
        Column("p50", what.format("p50"), "ms"),
        Column("p99", what.format("p99"), "ms", (Goal("value", "at most", 250.0),)),
    )
    return lines(NAME, columns, found)


async def _at_once(heard: Heard) -> list[Line]:
    count = AT_ONCE // (10 if quick() else 1)

    async def product() -> Repeat:
        lot = heard.next_lot()
        await promised.asked(heard.connection, lot, count, datetime.now(UTC) - timedelta(minutes=1))
        due = datetime.now(UTC) + LEAD
        await promised.set_timers(heard.connection, lot, count, due)
        late_by = max(0.0, time.time() - due.timestamp())  # of this bench: they stand there, and are due, from the commit on
        await heard.all_of(count)
        return {"seconds": max(at for at, _ in heard.breaches) - due.timestamp() - late_by}

    found = await repeated("due at once", product, AT_ONCE_AT_MOST_SECONDS)
    goals = (Goal("value", "at most", 10.0),) if count == AT_ONCE else ()
    column = Column("seconds", f"{count:,} due at once, until all are read from Kafka", "s", goals)
    return lines(NAME, (column,), found)
