"""Folding the whole log again, beside the figures that are in use, and comparing or replacing them.

The log is folded from offset 0 into a schema of its own, in chunks, by the very code that folds it live, to where the live
figures stand. The last step holds the live offsets, so that both have read exactly the same records: then each row of the two
must be equal. The service goes on meanwhile; only during the last step does it wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.metrics.settings import MetricsSettings
from services.metrics.store import SCHEMA, projections
from shared import db, kafka
from shared.deadlines import within
from shared.events.base import Writer
from shared.events.topics import PARKED
from shared.folding import Folder
from shared.outbox import Outbox
from shared.parking import Parking, code_version
from shared.personal import KeyRing
from shared.records import Record, key_text

BESIDE: Writer = "metrics_rebuild"  # type: ignore[assignment]  # a schema, not a writer: nothing of it is published
RETIRED = "metrics_retired"
COMPARED = ("cell", "fold", "key_position")
REPLACED = (*COMPARED, "dims", "parked")
PLUMBING = ("consumer_offset", "outbox", "incarnation")
STALL_SECONDS = 30.0

Told = Callable[[int, int], None]


class AlreadyRunning(RuntimeError):
    """Another rebuild is going on; only one at a time."""


class LogIncomplete(RuntimeError):
    """The log does not hold what the live figures were made of, so that they cannot be made again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: rows that are only in the live tables or only in the rebuilt ones, by table; and what was read."""

    records: int
    only_live: dict[str, int]
    only_rebuilt: dict[str, int]
    parked: int

    @property
    def equal(self) -> bool:
        """Whether both are equal, row by row and byte by byte."""
        return not any(self.only_live.values()) and not any(self.only_rebuilt.values())


@dataclass(slots=True)
class Rebuild:
    """One rebuild. `told` is called with the records folded so far and the records to fold."""

    settings: MetricsSettings
    engine: AsyncEngine
    told: Told
    _position: dict[TopicPartition, int] = field(default_factory=dict)
    _records: int = 0

    async def run(self, *, replace: bool) -> Outcome:
        """Fold, compare, and with `replace` put the rebuilt tables in the place of the live ones.

        Raises AlreadyRunning, LogIncomplete, KafkaAway, DatabaseAway.
        """
        async with _alone(self.engine):
            return await self._run(replace=replace)

    async def _run(self, *, replace: bool) -> Outcome:
        async with db.transaction(self.engine) as conn:
            await _make_schema(conn)
            targets = await _live_offsets(conn)
        folder = self._folder()
        client = await kafka.start_consumer(self._reading(), "metrics-rebuild", (), group=None)
        try:
            await self._begin(client, targets)
            while self._remaining(targets):
                records = await self._read(client, targets)
                async with db.transaction(self.engine) as conn:
                    await self._fold(conn, folder, records)
                self.told(self._records, self._records + self._remaining(targets))
            return await self._finish(client, folder, replace=replace)
        finally:
            await kafka.stop(client)

    def _reading(self) -> MetricsSettings:
        return self.settings.model_copy(update={"batch_records": self.settings.metrics_rebuild_records})

    def _folder(self) -> Folder:
        keys = KeyRing.of(self.settings.master_keys())
        outbox = Outbox(schema=BESIDE, incarnation=0, keys=keys, wake=asyncio.Event())
        return Folder(outbox, Parking(BESIDE, code_version(SCHEMA)))

    async def _begin(self, client: AIOKafkaConsumer, targets: Mapping[TopicPartition, int]) -> None:
        read = [place for place, target in targets.items() if target > 0]
        if not read:
            return
        client.assign(read)
        first = await within(client.beginning_offsets(read), 30)
        ends = await within(client.end_offsets(read), 30)
        for place in read:
            if first[place] > 0 or ends[place] < targets[place]:
                raise LogIncomplete(
                    f"{place.topic}[{place.partition}] holds {first[place]} to {ends[place]}, but the live figures have "
                    f"read 0 to {targets[place]}. Restore the log first."
                )
            client.seek(place, 0)
        self._position = dict.fromkeys(read, 0)

    def _remaining(self, targets: Mapping[TopicPartition, int]) -> int:
        return sum(max(0, target - self._position.get(place, 0)) for place, target in targets.items())

    async def _read(self, client: AIOKafkaConsumer, targets: Mapping[TopicPartition, int]) -> list[ConsumerRecord]:
        """The next records, none behind the targets."""
        deadline = asyncio.get_running_loop().time() + STALL_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            batches = await client.getmany(timeout_ms=500, max_records=self.settings.metrics_rebuild_records)
            records = []
            for place, batch in batches.items():
                fitting = [record for record in batch if record.offset < targets.get(place, 0)]
                records.extend(fitting)
                self._position[place] = targets[place] if len(fitting) < len(batch) else batch[-1].offset + 1
                if self._position[place] >= targets[place]:
                    client.pause(place)
                    client.seek(place, self._position[place])
            if records:
                return records
        raise kafka.KafkaAway(f"Kafka brought nothing for {STALL_SECONDS:.0f} s")

    async def _fold(self, conn: AsyncConnection, folder: Folder, records: Sequence[ConsumerRecord]) -> None:
        for projection in projections(BESIDE):
            own = [_record(record) for record in records if record.topic == projection.topic.name]
            if own:
                await folder.fold(conn, projection, own)
        self._records += len(records)

    async def _finish(self, client: AIOKafkaConsumer, folder: Folder, *, replace: bool) -> Outcome:
        """While the live offsets are held: fold what came since, compare, replace."""
        async with db.transaction(self.engine) as conn:
            targets = await _live_offsets(conn, hold=True)
            if self._remaining(targets):
                self._position = {place: self._position.get(place, 0) for place, target in targets.items() if target > 0}
                client.assign(list(self._position))
                for place, position in self._position.items():
                    client.seek(place, position)
            while self._remaining(targets):
                await self._fold(conn, folder, await self._read(client, targets))
            self.told(self._records, self._records)
            outcome = Outcome(
                records=self._records,
                only_live={table: await _only_in(conn, SCHEMA, BESIDE, table) for table in COMPARED},
                only_rebuilt={table: await _only_in(conn, BESIDE, SCHEMA, table) for table in COMPARED},
                parked=(await conn.execute(sa.text(f"SELECT count(*) FROM {BESIDE}.parked"))).scalar_one(),
            )
            if replace:
                await _replace(conn)
            await conn.execute(sa.text(f"DROP SCHEMA {BESIDE} CASCADE"))
        return outcome


def rebuild_engine(settings: MetricsSettings) -> AsyncEngine:
    """An engine whose transactions may last long enough for comparing."""
    return db.make_engine(settings.model_copy(update={"transaction_seconds": 600, "database_pool": 2}), "metrics-rebuild")


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold the rebuilds' lock on a connection of its own; PostgreSQL gives it back when the process dies."""
    async with engine.connect() as plain:
        conn = await plain.execution_options(isolation_level="AUTOCOMMIT")
        key = {"name": BESIDE}
        if not (await conn.execute(sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), key)).scalar_one():
            raise AlreadyRunning("another rebuild is going on. Wait until it has ended.")
        try:
            yield
        finally:
            await conn.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), key)


async def _make_schema(conn: AsyncConnection) -> None:
    """Empty tables like the live ones, in place of what an earlier rebuild may have left."""
    await conn.execute(sa.text(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE"))
    await conn.execute(sa.text(f"CREATE SCHEMA {BESIDE}"))
    for table in REPLACED + PLUMBING:
        await conn.execute(sa.text(f"CREATE TABLE {BESIDE}.{table} (LIKE {SCHEMA}.{table} INCLUDING ALL)"))


async def _live_offsets(conn: AsyncConnection, *, hold: bool = False) -> dict[TopicPartition, int]:
    locked = " FOR UPDATE" if hold else ""
    statement = f"SELECT topic, partition, next_offset FROM {SCHEMA}.consumer_offset ORDER BY topic, partition{locked}"
    rows = await conn.execute(sa.text(statement))
    return {TopicPartition(row.topic, row.partition): row.next_offset for row in rows}


async def _only_in(conn: AsyncConnection, one: str, other: str, table: str) -> int:
    # What a service said itself (that it parked something) is not part of what it has read.
    read = f" WHERE topic <> '{PARKED.name}'" if table == "key_position" else ""
    statement = f"SELECT count(*) FROM (SELECT * FROM {one}.{table}{read} EXCEPT ALL SELECT * FROM {other}.{table}{read}) AS lone"
    return (await conn.execute(sa.text(statement))).scalar_one()  # type: ignore[no-any-return]


async def _replace(conn: AsyncConnection) -> None:
    """Both have read the same records, so the offsets stay as they are and only the tables are exchanged."""
    own = {"parked": PARKED.name}
    await conn.execute(sa.text(f"DELETE FROM {BESIDE}.key_position WHERE topic = :parked"), own)
    await conn.execute(
        sa.text(f"INSERT INTO {BESIDE}.key_position SELECT * FROM {SCHEMA}.key_position WHERE topic = :parked"), own
    )
    await conn.execute(sa.text(f"DROP SCHEMA IF EXISTS {RETIRED} CASCADE"))
    await conn.execute(sa.text(f"CREATE SCHEMA {RETIRED}"))
    for table in REPLACED:
        await conn.execute(sa.text(f"ALTER TABLE {SCHEMA}.{table} SET SCHEMA {RETIRED}"))
        await conn.execute(sa.text(f"ALTER TABLE {BESIDE}.{table} SET SCHEMA {SCHEMA}"))
    await conn.execute(sa.text(f"DROP SCHEMA {RETIRED} CASCADE"))


def _record(record: ConsumerRecord) -> Record:
    return Record(record.topic, record.partition, record.offset, key_text(record.key), record.value or b"")
