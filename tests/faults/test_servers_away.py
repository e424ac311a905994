"""The broker or the database away for a while, while customers write."""

import asyncio

import asyncpg

from tests.faults.conftest import Load
from tests.infra import LocalKafka, LocalPostgres
from tests.system import until

KAFKA_AWAY_SECONDS = 30
POSTGRES_AWAY_SECONDS = 10


async def test_intake_accepts_while_kafka_is_stopped_and_nothing_is_lost(load: Load, kafka_server: LocalKafka) -> None:
    await asyncio.to_thread(kafka_server.stop)
    try:
        began = asyncio.get_running_loop().time()
        n = 0
        while asyncio.get_running_loop().time() - began < KAFKA_AWAY_SECONDS:
            async with asyncio.timeout(3):
                await load.send(f"dark-{n}")
            n += 1
            await asyncio.sleep(0.5)
    finally:
        await asyncio.to_thread(kafka_server.start)
    await load.settled(120)
    await load.check()


async def test_contacts_are_refused_or_kept_while_postgresql_is_stopped(load: Load, postgres_server: LocalPostgres) -> None:
    await asyncio.to_thread(postgres_server.kill)
    try:
        answer = await load.system.contact("refused")
        assert (answer.status_code, answer.json()["code"]) == (503, "temporarily-unavailable")
        assert answer.headers["retry-after"]
        sending = asyncio.create_task(load.send_many("no-database", 6))
        await asyncio.sleep(POSTGRES_AWAY_SECONDS)
        assert not sending.done()
    finally:
        await asyncio.to_thread(postgres_server.start)

    async def back() -> bool:
        try:
            await load.system.rows("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    await until("PostgreSQL is back", back)
    await sending
    await load.settled(120)
    await load.check()
