"""A process that stands still holds nobody up for long: what it has locked goes to who waits, and it cannot commit any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.routing.settings import RoutingSettings
from services.routing.store import matching
from shared import db
from tests.services.routing.conftest import House
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)
SECONDS = 0.5
WRITES_IN_VAIN = "SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'ClientWrite'"


def impatient(house: House) -> RoutingSettings:
    """Settings of a process that may not stand still for long."""
    url = house.settings.database.get_secret_value()
    return RoutingSettings(database=SecretStr(url), routing_standstill_seconds=SECONDS)


async def is_free(house: House) -> bool:
    """Whether the turn to match is nobody's."""
    async with db.transaction(house.parts.engine) as conn:
        return (await matching.take_turn(conn, 1)).ours


async def stand_still(house: House, engine: AsyncEngine) -> None:
    """Decide something, and stand still before it is committed, until somebody else has the turn."""
    async with db.transaction(engine) as conn:
        assert (await matching.take_turn(conn, 1)).ours
        await db.fetch(conn, "INSERT INTO routing.customer (customer_id, vip) VALUES ('c', true)")
        assert not await is_free(house)
        await until("the turn is free", lambda: is_free(house), 4)


async def read_nothing(house: House, engine: AsyncEngine) -> None:
    """Ask for much and do not read it, until somebody else has the turn."""
    async with db.transaction(engine) as conn:
        assert (await matching.take_turn(conn, 1)).ours
        much = await db.driver(conn).prepare("SELECT repeat('x', 50000000)")
        reading = asyncio.create_task(much.fetch())
        await asyncio.sleep(0)  # it asks
        pid, transport = db.driver(conn).get_server_pid(), db.driver(conn)._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        assert not await is_free(house)
        waits: list[Any] = []

        async def is_over() -> bool:
            waits.extend(await house.rows(WRITES_IN_VAIN, pid=pid))
            return await is_free(house)

        await until("the turn is free", is_over, 4)
        assert waits, "PostgreSQL had nothing to say that was not read"
        transport.resume_reading()
        await reading


@pytest.mark.parametrize("freeze", [stand_still, read_nothing])
async def test_who_is_frozen_in_its_turn_to_match_loses_it_and_what_it_decided(
    house: House, freeze: Callable[[House, AsyncEngine], Awaitable[None]]
) -> None:
    engine = db.make_engine(impatient(house), "frozen")
    try:
        with pytest.raises(db.DatabaseAway):
            await freeze(house, engine)
    finally:
        await engine.dispose()
    assert await house.rows("SELECT 1 FROM routing.customer") == []


async def test_who_works_on_is_not_disturbed_however_long_it_takes(house: House) -> None:
    engine = db.make_engine(impatient(house), "busy")
    try:
        async with db.transaction(engine) as conn:
            assert (await matching.take_turn(conn, 1)).ours
            for _ in range(4):
                await db.fetch(conn, "SELECT pg_sleep($1)", SECONDS / 2)
            assert not await is_free(house)
        assert await is_free(house)
    finally:
        await engine.dispose()
