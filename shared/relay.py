"""The relay: takes events from the outbox to Kafka, by shard of the key, in order of id, and deletes what was acknowledged.

No cursor, so nothing can be skipped. Who holds a shard is an advisory lock of PostgreSQL on a connection of its own. Two
relays on one shard (a holder whose connection was cut) only repeat what is on the log, in order; `seq` makes that harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared import db, kafka, telemetry
from shared.deadlines import within
from shared.outbox import SHARDS, Outbox
from shared.settings import Settings
from shared.telemetry import log

ROWS_AT_ONCE = 1000
SEND_SECONDS = 15.0
STATEMENT_SECONDS = 10.0
IDLE_SECONDS = 0.5
BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
STANDSTILL_SECONDS = 40.0  # more than it may wait for the broker twice
# A deletion that is lost with the server's memory is an event sent again, and a repeat is harmless: no wait for the disk.
SESSION = {"application_name": "patchbay-relay", "synchronous_commit": "off"}
ENDS_BY_ITSELF = ("idle_session_timeout", "tcp_user_timeout")


@dataclass(slots=True)
class Relay:
    """Sends one service's outbox until cancelled; rebuilds its producer and its connection by itself. Woken, it gathers events
    for `linger_seconds`: where nobody waits for them, many are cheaper at once. When its process stands still for longer than
    `standstill_seconds` PostgreSQL ends the connection, and others have the shards.
    """

    settings: Settings
    outbox: Outbox
    linger_seconds: float = 0.0
    standstill_seconds: float = STANDSTILL_SECONDS
    _producer: AIOKafkaProducer | None = None
    _failures: int = 0
    _held: frozenset[int] = field(default_factory=frozenset)

    async def run(self) -> None:
        """Until cancelled. Failures of broker or database are waited out with back-off; nothing is lost by them."""
        try:
            while True:
                try:
                    await self._hold_and_send()
                except (KafkaError, kafka.KafkaAway, *db.DRIVER_ERRORS) as error:
                    await self._recover(error)
        finally:
            await self._drop_producer()

    async def _hold_and_send(self) -> None:
        """Take what shards are free on a connection of our own (it also hears NOTIFY), and send while it lives."""
        url = self.settings.database.get_secret_value()
        limits = dict.fromkeys(ENDS_BY_ITSELF, str(round(self.standstill_seconds * 1000)))
        connection = await asyncpg.connect(url, timeout=5, server_settings=SESSION | limits)
        try:
            await connection.add_listener(f"outbox_{self.outbox.schema}", self._wake)
            while not connection.is_closed():
                await self._take_shards(connection)
                sent = await self._send_once(connection) if self._held else 0
                self._failures = 0
                if sent < ROWS_AT_ONCE:
                    await self._idle()
            raise ConnectionError("the relay's own connection was closed")
        finally:
            self._held = frozenset()
            await _close(connection)

    def _wake(self, *_: object) -> None:
        self.outbox.wake.set()

    async def _idle(self) -> None:
        with suppress(TimeoutError):
            await within(self.outbox.wake.wait(), IDLE_SECONDS)
            await asyncio.sleep(self.linger_seconds)
        self.outbox.wake.clear()

    async def _take_shards(self, connection: asyncpg.Connection) -> None:
        missing = [shard for shard in range(SHARDS) if shard not in self._held]
        if not missing:
            return
        rows = await connection.fetch(
            "SELECT s FROM unnest($1::int[]) s WHERE pg_try_advisory_lock(hashtext('relay ' || $2), s)",
            missing,
            self.outbox.schema,
            timeout=5,
        )
        self._held |= {row["s"] for row in rows}

    async def _send_once(self, connection: asyncpg.Connection) -> int:
        """Send the oldest rows of the shards held; delete those acknowledged. Returns how many."""
        rows = await self._oldest(connection)
        if not rows:
            return 0
        if self._producer is None:
            self._producer = await kafka.start_producer(self.settings, f"relay-{self.outbox.schema}")
        async with asyncio.timeout(SEND_SECONDS):
            futures = [
                await self._producer.send(
                    row["topic"],
                    key=row["key"].encode(),
                    value=row["value"],
                    headers=[("traceparent", row["traceparent"].encode())] if row["traceparent"] else None,
                )
                for row in rows
            ]
        done, waiting = await asyncio.wait(futures, timeout=SEND_SECONDS)
        acknowledged = [row["id"] for row, future in zip(rows, futures, strict=True) if _acknowledged(future)]
        await self._delete(connection, acknowledged)
        telemetry.RELAYED.labels(self.outbox.schema).inc(len(acknowledged))
        if waiting or len(acknowledged) < len(rows):
            raise next((f.exception() for f in done if f.exception() is not None), None) or TimeoutError("no acknowledgement")
        return len(rows)

    async def _oldest(self, connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
        statement = (
            f"SELECT id, topic, key, value, traceparent FROM {self.outbox.schema}.outbox"
            " WHERE shard = ANY($1::smallint[]) ORDER BY id LIMIT $2"
        )
        return await connection.fetch(statement, sorted(self._held), ROWS_AT_ONCE, timeout=STATEMENT_SECONDS)

    async def _delete(self, connection: asyncpg.Connection, ids: list[int]) -> None:
        if ids:
            statement = f"DELETE FROM {self.outbox.schema}.outbox WHERE id = ANY($1::bigint[])"
            await connection.execute(statement, ids, timeout=STATEMENT_SECONDS)

    async def _recover(self, error: BaseException) -> None:
        self._failures += 1
        log().warning("relay waits", error=type(error).__name__, failures=self._failures)
        await self._drop_producer()
        await asyncio.sleep(BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1])

    async def _drop_producer(self) -> None:
        """A producer that failed is never used again: aiokafka's sender dies of some broker errors without saying so."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            telemetry.RELAY_REBUILDS.labels(self.outbox.schema).inc()
            await kafka.stop(producer)


def _acknowledged(future: asyncio.Future[object]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        connection.terminate()
