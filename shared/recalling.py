"""Coming back from a backup: what a service said after it was taken stands on the log, and is read back from there.

A restore leaves rows in the table `recall` of the service's schema: from which offset on the topics it writes hold facts
that its state may lack. While there are rows the service takes nothing in, decides nothing and answers 503, "catching up".
It reads these stretches to their end, folds its own older facts into its state (where they are not there yet: `key_position`
tells, so it may be killed and begin again), and speaks on under a higher incarnation than any the log has of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import asyncpg
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db, kafka
from shared.consumer import LogLost
from shared.deadlines import within
from shared.events.base import Event, Fact, Writer
from shared.events.codec import Undecodable, decode, source_of
from shared.events.topics import AGENTS, CONFIG, CUSTOMERS, SLA_BREACHES, SLA_CLOCKS, SLA_WARNINGS, TICKETS, Topic
from shared.folding import AnyProjection, Folder
from shared.http import Problem, create_app, make_server
from shared.records import Failure, Place, Record, key_text
from shared.service import Resources
from shared.telemetry import log

# What each service reads back, in this order: what it writes in sequence, and `tickets`, where its facts answer the others'.
READS_BACK: dict[Writer, tuple[Topic, ...]] = {
    "intake": (CONFIG, CUSTOMERS, TICKETS),
    "routing": (CONFIG, AGENTS, TICKETS),
    "sla": (CONFIG, SLA_CLOCKS, SLA_WARNINGS, SLA_BREACHES, TICKETS),
    "metrics": (CONFIG,),
}
CREATE = (
    "CREATE TABLE IF NOT EXISTS {schema}.recall"
    " (topic text NOT NULL, partition integer NOT NULL, next_offset bigint NOT NULL, PRIMARY KEY (topic, partition))"
)
PATIENCE = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"
ASK_SECONDS = 15.0
POLL_MS = 500
SILENCE_SECONDS = 60.0
BACK_OFF_SECONDS = 2.0

Fold = Callable[[AsyncConnection, AnyProjection, Sequence[Record]], Awaitable[list[Failure]]]


class NotOurs(Exception):
    """Another process reads back, or has done it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records of one partition from `start` up to, not with, `end`."""

    place: Place
    start: int
    end: int


@dataclass(slots=True)
class Recall:
    """One reading back. `parts` speak under the new incarnation."""

    parts: Resources
    stretches: tuple[Stretch, ...]
    client: AIOKafkaConsumer
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = sum(stretch.end - stretch.start for stretch in self.stretches)

    def of(self, topic: Topic, partition: int | None = None) -> list[Stretch]:
        """The stretches of a topic, or of one of its partitions."""
        return [s for s in self.stretches if s.place.topic == topic.name and partition in (None, s.place.partition)]

    async def batches(self, stretches: Sequence[Stretch]) -> AsyncIterator[list[Record]]:
        """Their records, in the order of each partition. Raises LogLost, KafkaError, TimeoutError."""
        wanted = [stretch for stretch in stretches if stretch.start < stretch.end]
        ends = {TopicPartition(*stretch.place): stretch.end for stretch in wanted}
        if wanted:
            self.client.assign(list(ends))
        for stretch in wanted:
            self.client.seek(TopicPartition(*stretch.place), stretch.start)
        while ends:
            found = await self._poll()
            records = [_record(r) for tp, rs in found.items() for r in rs if tp in ends and r.offset < ends[tp]]
            for tp in list(ends):
                if await within(self.client.position(tp), ASK_SECONDS) >= ends[tp]:
                    del ends[tp]
            if records:
                yield records

    async def _poll(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        async with asyncio.timeout(SILENCE_SECONDS):
            while True:
                found = await self.client.getmany(timeout_ms=POLL_MS, max_records=self.parts.settings.batch_records)
                if found:
                    return dict(found)

    async def fold(self, projection: AnyProjection, partition: int | None = None) -> None:
        """Fold the stretches of its topic, a transaction a batch; what cannot be taken is parked as always. Of `tickets` what
        everybody said, of other topics only what this service did.
        """
        async for found in self.batches(self.of(projection.topic, partition)):
            self.left -= len(found)
            records = [r for r in found if projection.topic is TICKETS or _source(r)[0] == self.parts.name]
            if not records:
                continue
            try:
                await db.retrying(partial(self._apply, self.parts.folder.fold, projection, records))
            except (NotOurs, db.DatabaseAway):
                raise
            except Exception as error:  # noqa: BLE001 - one record may have failed them all; which one is found next
                log().error("batch failed; taking its records one by one", error=type(error).__name__, exc_info=True)
                await db.retrying(partial(self._apply, self.parts.folder.fold_each, projection, records))

    async def _apply(self, fold: Fold, projection: AnyProjection, records: Sequence[Record]) -> None:
        async with self.transaction() as conn:
            await fold(conn, projection, records)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction of the reading back: it may think for longer than those while customers wait. Raises NotOurs when it is
        over.
        """
        async with db.transaction(self.parts.engine) as conn:
            await db.fetch(conn, PATIENCE, f"{self.parts.settings.transaction_seconds}s")
            await _hold(conn, self.parts.name)
            yield conn

    async def over(self) -> None:
        """All of it is in the state: the consumer goes on where these stretches end."""
        schema = self.parts.name
        async with self.transaction() as conn:
            await conn.execute(
                sa.text(
                    f"INSERT INTO {schema}.consumer_offset AS o (topic, partition, next_offset)"
                    " SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[]), CAST(:ends AS bigint[]))"
                    " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, updated_at = now()"
                    " WHERE o.next_offset < excluded.next_offset"
                ),
                {
                    "topics": [s.place.topic for s in self.of(TICKETS)],
                    "partitions": [s.place.partition for s in self.of(TICKETS)],
                    "ends": [s.end for s in self.of(TICKETS)],
                },
            )
            await conn.execute(sa.text(f"DELETE FROM {schema}.recall"))


Work = Callable[[Recall], Awaitable[None]]


async def nothing_of_its_own(_recall: Recall) -> None:
    """For a service whose state comes from others' facts alone."""


async def come_back(parts: Resources, port: int, work: Work) -> Resources:
    """The resources to go on with: as they are where no backup was restored; else `work` has read back what there is.

    Until then /readyz on the service's port says that it catches up. Waits for servers that are away. Raises LogLost.
    """
    while True:
        try:
            if not await is_due(parts):
                return parts
            async with _saying_so(parts, port) as told, _alone(parts):
                return await _attempt(parts, work, told)
        except (NotOurs, KafkaError, kafka.KafkaAway, db.DatabaseAway, asyncpg.PostgresError, OSError, TimeoutError) as error:
            log().warning("catching up waits", error=type(error).__name__)
            await asyncio.sleep(BACK_OFF_SECONDS)


async def is_due(parts: Resources) -> bool:
    """Whether a backup was restored and its service has not caught up yet."""
    async with db.transaction(parts.engine) as conn:
        if (await conn.execute(sa.text("SELECT to_regclass(:name)"), {"name": f"{parts.name}.recall"})).scalar_one() is None:
            return False
        return bool((await conn.execute(sa.text(f"SELECT EXISTS (SELECT 1 FROM {parts.name}.recall)"))).scalar_one())


async def _attempt(parts: Resources, work: Work, told: list[Recall]) -> Resources:
    client = await kafka.start_consumer(parts.settings, f"{parts.name}-recall", (), group=None)
    try:
        recall = Recall(parts, await _stretches(parts, client), client)
        told[:] = [recall]
        log().info("catching up after a restore", records=recall.left)
        recall.parts = await _speaking_anew(recall)
        await work(recall)
        await recall.over()
        log().info("caught up", incarnation=recall.parts.outbox.incarnation)
        return recall.parts
    finally:
        await kafka.stop(client)


async def _stretches(parts: Resources, client: AIOKafkaConsumer) -> tuple[Stretch, ...]:
    async with db.transaction(parts.engine) as conn:
        rows = await conn.execute(sa.text(f"SELECT topic, partition, next_offset FROM {parts.name}.recall"))
        starts = {Place(row.topic, row.partition): row.next_offset for row in rows}
    places = [Place(t.name, n) for t in READS_BACK[parts.name] for n in range(t.partitions or parts.settings.partitions)]
    tps = [TopicPartition(*place) for place in places]
    firsts = await within(client.beginning_offsets(tps), ASK_SECONDS)
    ends = await within(client.end_offsets(tps), ASK_SECONDS)
    found = [Stretch(place, starts.get(place, 0), ends[tp]) for place, tp in zip(places, tps, strict=True)]
    for stretch, tp in zip(found, tps, strict=True):
        if not firsts[tp] <= stretch.start <= stretch.end:
            raise LogLost(
                f"{tp.topic}[{tp.partition}]: the restored database had read up to {stretch.start}, but the log holds "
                f"{firsts[tp]} to {stretch.end}. This is another log, or records are missing from it. Restore the log that "
                "belongs to this backup."
            )
    return tuple(found)


async def _speaking_anew(recall: Recall) -> Resources:
    """The resources under an incarnation that no fact of this service on the log has: numbers given out again are new."""
    parts, highest = recall.parts, 0
    async for records in recall.batches(recall.stretches):
        highest = max(highest, *(incarnation for writer, incarnation in map(_source, records) if writer == parts.name), 0)
    async with recall.transaction() as conn:
        statement = sa.text(f"UPDATE {parts.name}.incarnation SET number = greatest(number, :least) RETURNING number")
        number: int = (await conn.execute(statement, {"least": highest + 1})).scalar_one()
    outbox = replace(parts.outbox, incarnation=number)
    return replace(parts, outbox=outbox, folder=Folder(outbox, parts.folder.parking))


def _source(record: Record) -> tuple[str, int]:
    """Who said it under which incarnation; nobody where it cannot be read."""
    try:
        return source_of(record.value) or _source_of(decode(record.value))
    except Undecodable:
        return "", 0


def _source_of(event: Event[Fact]) -> tuple[str, int]:
    return event.writer, event.position.incarnation


async def _hold(conn: AsyncConnection, schema: Writer) -> None:
    """Keep every other process from reading back beside this transaction. Raises NotOurs when nothing is to be read."""
    rows = await conn.execute(sa.text(f"SELECT 1 FROM {schema}.recall ORDER BY topic, partition FOR UPDATE"))
    if not rows.all():
        raise NotOurs


@asynccontextmanager
async def _alone(parts: Resources) -> AsyncIterator[None]:
    """Be the one process of this service that reads back, by a lock on a connection of its own. Raises NotOurs."""
    url = parts.settings.database.get_secret_value()
    connection = await asyncpg.connect(url, timeout=5, server_settings={"application_name": f"patchbay-{parts.name}-recall"})
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext('recall ' || $1))", parts.name, timeout=5):
            raise NotOurs
        yield
    finally:
        connection.terminate()


@asynccontextmanager
async def _saying_so(parts: Resources, port: int) -> AsyncIterator[list[Recall]]:
    """Answer on the service's port that it catches up; the list yielded holds the reading whose progress is told."""
    told: list[Recall] = []

    async def ready() -> str:
        left = f", {told[0].left} records to read" if told else ""
        return f"catching up with the log after a restore{left}"

    app = create_app(parts.name, f"Patchbay {parts.name}", ready)

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def refuse(path: str) -> None:
        detail = "A backup was restored, and the service reads what happened since. Send the same request again in a while."
        raise Problem(503, "catching-up", detail, headers={"Retry-After": "5"})

    server = make_server(app, parts.settings.host, port)
    serving = asyncio.create_task(server.serve(), name="serve catching up")
    try:
        yield told
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=ASK_SECONDS)


def _record(record: ConsumerRecord) -> Record:
    return Record(record.topic, record.partition, record.offset, key_text(record.key), record.value or b"")
