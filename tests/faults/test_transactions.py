"""A service's transactions on a connection that is cut, held, half-open, refused and broken in the middle of COMMIT."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db
from shared.deadlines import within
from shared.settings import Settings
from tests.faults.proxy import BOTH, Proxy, Weather
from tests.faults.wire import Commits
from tests.infra import at_port, port_of
from tests.system import until

ROUNDS = 20
WRITERS = 8
HURRIES = (0.005, 0.05, 0.3, 5.0)  # what a caller gives a transaction before it is cancelled, in seconds


@dataclass
class Writers:
    """Write numbers, each in a transaction of its own, until told to stop."""

    engine: AsyncEngine
    committed: list[int] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    async def work(self, number: int) -> None:
        rng = random.Random(number)
        n = number
        while not self.stopped:
            n += WRITERS
            try:
                async with asyncio.timeout(rng.choice(HURRIES)):
                    await self.write(n, savepoint=rng.random() < 0.2)
                self.committed.append(n)
            except (db.DatabaseAway, TimeoutError) as error:
                self.failed[type(error).__name__] += 1

    async def write(self, n: int, *, savepoint: bool = False) -> None:
        async with db.transaction(self.engine) as conn:
            await conn.execute(sa.text("INSERT INTO written VALUES (:n)"), {"n": n})
            await db.fetch(conn, "SELECT pg_sleep(0.002)")
            if savepoint:
                async with db.savepoint(conn):
                    await db.fetch(conn, "SELECT 1")


@pytest_asyncio.fixture
async def proxy(empty_database: str) -> AsyncIterator[Proxy]:
    proxy = Proxy("service-postgres", port_of(empty_database), seed=1, kind=Commits)
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest_asyncio.fixture
async def engine(proxy: Proxy, empty_database: str) -> AsyncIterator[AsyncEngine]:
    settings = Settings(database=at_port(empty_database, proxy.port), database_pool=4, transaction_seconds=3)
    engine = db.make_engine(settings, "test")
    async with db.transaction(engine) as conn:
        await conn.execute(sa.text("CREATE TABLE written (n integer PRIMARY KEY)"))
    yield engine
    await engine.dispose()


async def disturb(proxy: Proxy, rng: random.Random) -> None:
    """One fault, and all well again."""
    faults: list[Callable[[], object]] = [
        proxy.cut,
        proxy.refuse,
        lambda: setattr(proxy, "weather", Weather(held=BOTH)),
        lambda: setattr(proxy, "weather", Weather(swallowed=frozenset(["request"]))),
        lambda: setattr(proxy, "weather", Weather(swallowed=frozenset(["answer"]))),
        lambda: proxy.break_at(3, applied=True),
        lambda: proxy.break_at(3, applied=False),
    ]
    rng.choice(faults)()
    await asyncio.sleep(rng.uniform(0.01, 0.25))
    await proxy.heal()
    await asyncio.sleep(0.05)


async def test_what_was_said_to_be_committed_is_there_and_the_pool_stays_whole(proxy: Proxy, engine: AsyncEngine) -> None:
    writers = Writers(engine)
    working = [asyncio.create_task(writers.work(number)) for number in range(WRITERS)]
    rng = random.Random("transactions 1")
    for _ in range(ROUNDS):
        await disturb(proxy, rng)
    writers.stopped = True
    await within(asyncio.gather(*working), 20)  # raises what is neither DatabaseAway nor the caller's own impatience
    async with db.transaction(engine) as conn:
        there = {row.n for row in await conn.execute(sa.text("SELECT n FROM written"))}
    lost = set(writers.committed) - there
    assert not lost, f"{len(lost)} of {len(writers.committed)} transactions were said to be committed and are not there"
    assert writers.committed
    assert writers.failed["DatabaseAway"]
    assert writers.failed["TimeoutError"]
    assert await _together(4, lambda: writers.write(-rng.randrange(1, 10**9)))
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_transaction_cancelled_at_its_beginning_leaves_nothing_to_the_next(proxy: Proxy, engine: AsyncEngine) -> None:
    writers = Writers(engine)
    proxy.weather = Weather(held=frozenset(["answer"]))
    cancelled = [asyncio.create_task(writers.write(n)) for n in range(4)]
    await asyncio.sleep(0.2)
    for task in cancelled:
        task.cancel()
    await proxy.heal()
    await asyncio.gather(*cancelled, return_exceptions=True)
    for n in range(10, 18):
        await writers.write(n)
    await engine.dispose()  # what was not committed is rolled back now
    async with db.transaction(engine) as conn:
        there = {row.n for row in await conn.execute(sa.text("SELECT n FROM written"))}
    assert there == set(range(10, 18))


async def test_connections_that_were_cut_while_nobody_used_them_fail_nobody(proxy: Proxy, engine: AsyncEngine) -> None:
    writers = Writers(engine)
    numbers = iter(range(100))
    await _together(4, lambda: writers.write(next(numbers)))
    assert proxy.cut() == 4
    await until("the connections are gone", lambda: not proxy.connections, 5)
    for _ in range(2):
        await _together(4, lambda: writers.write(next(numbers)))


async def _together(number: int, work: Callable[[], Awaitable[None]]) -> bool:
    await within(asyncio.gather(*(work() for _ in range(number))), 10)
    return True
