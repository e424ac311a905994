"""Disks that are full, under the broker and under PostgreSQL: nothing that was acknowledged is lost. No seed is drawn."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.setup import migrate
from shared import db
from shared.deadlines import within
from simulator.truth import Answer, Sending
from tests.faults.house import House
from tests.faults.own_servers import (
    ANSWER_SECONDS,
    accepted,
    accepted_until,
    assert_all_is_well,
    assert_all_wait,
    house_on,
    times,
)
from tests.faults.small_disk import SmallDisk, small_disk
from tests.infra import LocalKafka, LocalPostgres, make_kafka, server_ports
from tests.system import until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]

KAFKA_MEGABYTES = 64
POSTGRES_MEGABYTES = 320


async def test_contacts_are_accepted_while_kafkas_disk_is_full_and_all_of_it_is_on_the_log_when_there_is_room(
    server_folder: Path, postgres_server: LocalPostgres, database: str, tmp_path: Path
) -> None:
    broker = make_kafka(server_folder / "full")
    with small_disk(broker.data_dir / "data", KAFKA_MEGABYTES) as disk:
        try:
            await asyncio.to_thread(broker.start)
            async with house_on([broker], postgres_server, database, tmp_path) as house:
                await accepted(house, "room")
                disk.give_indexes_their_first_page()
                disk.fill()
                await accepted_until("the broker halts", house, "full", lambda: not broker.alive, 90)
                assert times(broker.data_dir / "kafka.log", "No space left on device")
                waiting = [await accepted(house, f"halted-{n}") for n in range(3)]
                await assert_all_wait(house, waiting)
                disk.free()
                await asyncio.to_thread(broker.start)
                await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(broker.stop)


async def test_contacts_are_refused_while_postgresqls_disk_is_full_and_nothing_is_lost(
    server_folder: Path, kafka_server: LocalKafka, tmp_path: Path
) -> None:
    with small_disk(server_folder / "full-postgres", POSTGRES_MEGABYTES) as disk:
        # Its log is elsewhere, so that it can say what is wrong.
        postgres = LocalPostgres(
            disk.path / "postgres",
            server_ports(1)[0],
            secrets.token_urlsafe(24),
            log=tmp_path / "postgres.log",
            pid_file=tmp_path / "postgres.pid",
            fsync=False,
        )
        try:
            await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(migrate, postgres.url)
            async with a_session(postgres) as session, house_on([kafka_server], postgres, postgres.url, tmp_path) as house:
                await keep_wal(session)
                await accepted(house, "room")
                refused = await refused_while_full(house, disk, "tables", 8)
                await use_up_wal(session, disk, tmp_path / "postgres.log")
                refused += await refused_while_full(house, disk, "wal", 4)
                disk.free()
                await until("PostgreSQL serves again", partial(serving, postgres), 90)
                for key in refused:
                    await house.write(key)
                await assert_all_is_well(house)
        finally:
            await asyncio.to_thread(postgres.stop)


async def refused_while_full(house: House, disk: SmallDisk, name: str, wanted: int) -> list[str]:
    """Send contacts until so many were refused, as is promised; some still find room in the tables. Returns the refused keys."""
    refused: list[str] = []
    async with asyncio.timeout(60):
        for n in count():
            disk.fill()
            answer = await attempted(house, f"{name}-{n}")
            if answer.status_code != 201:
                assert (answer.status_code, answer.json()["code"]) == (503, "temporarily-unavailable")
                assert int(answer.headers["retry-after"]) > 0
                refused.append(f"{name}-{n}")
            if len(refused) == wanted:
                break
    return refused


async def attempted(house: House, key: str) -> httpx.Response:
    """One attempt at a contact, of which the ground truth knows."""
    text = "Hello, where is my order?"
    house.truth.begun(Sending(key, "generic", f"{key}@customers.example", "en", key, text))
    answer = await within(house.system.contact(key, text), ANSWER_SECONDS)
    told = answer.json() if answer.status_code == 201 else {}
    house.truth.answered(key, Answer(0.0, answer.status_code, told.get("ticket_id"), told.get("message_id"), told.get("number")))
    return answer


@asynccontextmanager
async def a_session(postgres: LocalPostgres) -> AsyncIterator[asyncpg.Connection]:
    """One that begins while there is room: whoever comes later may have to write a file of the server's first."""
    connection = await asyncpg.connect(postgres.url, timeout=5)
    try:
        yield connection
    finally:
        connection.terminate()


async def keep_wal(session: asyncpg.Connection) -> None:
    """No checkpoint from now on: it would make old files of the WAL into new ones, and the disk would never be too small."""
    for setting, value in (("max_wal_size", "100GB"), ("checkpoint_timeout", "1h")):
        await session.execute(f"ALTER SYSTEM SET {setting} = '{value}'", timeout=5)
    await session.execute("SELECT pg_reload_conf()", timeout=5)


async def use_up_wal(session: asyncpg.Connection, disk: SmallDisk, log: Path) -> None:
    """Have PostgreSQL begin one file of its WAL after the other, until it cannot make the next: it panics then."""

    async def panicked() -> bool:
        disk.fill()
        with suppress(*db.DRIVER_ERRORS):
            await session.execute("SELECT pg_logical_emit_message(false, 'test', 'more')", timeout=5)
            await session.execute("SELECT pg_switch_wal()", timeout=5)
        return times(log, "PANIC") > 0

    await until("PostgreSQL panics", panicked, 120)


async def serving(postgres: LocalPostgres) -> bool:
    """Whether it takes sessions; started again where it has ended, as a supervisor does."""
    if not postgres.alive:
        await asyncio.to_thread(postgres.start)
    return await asyncio.to_thread(postgres.answers)
