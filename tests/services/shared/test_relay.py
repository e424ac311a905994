"""Who holds the shards of an outbox."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.outbox import SHARDS
from shared.relay import Relay
from tests.services.shared.conftest import Plumbing
from tests.waiting import until

FREE = """
    SELECT count(*) FILTER (WHERE pg_try_advisory_xact_lock(hashtext('relay intake'), s)) FROM generate_series(0, $1::int - 1) s
"""


@contextmanager
def in_a_thread(relay: Relay) -> Iterator[asyncio.AbstractEventLoop]:
    """The relay at work on a loop of its own, which may be stopped without stopping ours."""
    loop = asyncio.new_event_loop()
    working = loop.create_task(relay.run())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(working.cancel)
        asyncio.run_coroutine_threadsafe(asyncio.wait([working]), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def free(plumbing: Plumbing) -> int:
    """How many shards nobody holds."""
    connection = await asyncpg.connect(plumbing.settings.database.get_secret_value(), timeout=10)
    try:
        return int(await connection.fetchval(FREE, SHARDS))
    finally:
        await connection.close(timeout=5)


async def test_a_relay_that_stands_still_loses_its_shards_and_one_that_has_nothing_to_do_keeps_them(plumbing: Plumbing) -> None:
    async def none_is_free() -> bool:
        return await free(plumbing) == 0

    async def all_are_free() -> bool:
        return await free(plumbing) == SHARDS

    goes_on = threading.Event()
    with in_a_thread(Relay(plumbing.settings, plumbing.outbox("intake"), standstill_seconds=1.2)) as loop:
        try:
            await until("it holds them all", none_is_free, 10)
            await asyncio.sleep(1.5)
            assert await none_is_free()
            loop.call_soon_threadsafe(goes_on.wait)
            await until("they are free", all_are_free, 10)
        finally:
            goes_on.set()
        await until("it holds them again", none_is_free, 10)
