"""The one loop: from Kafka into PostgreSQL, exactly once.

poll a batch → decode → BEGIN → compare-and-set the offsets → one statement loads the state of all its keys → pure calls,
event by event → one statement per table saves, outbox included → COMMIT.

The compare-and-set is the fence: a paused or replaced process loses it, whatever Kafka's group thinks. Kafka's own offsets
are committed afterwards as information only.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db, kafka, telemetry
from shared.deadlines import within
from shared.folding import Afterwards, AnyProjection, Folder, Part
from shared.holding import HOLD_SECONDS, Holding
from shared.offsets import Offsets, Place
from shared.parking import Parking
from shared.records import Failure, Record, key_text
from shared.settings import Settings
from shared.telemetry import log
from shared.watchdog import Watchdog

POLL_MS = 200
WATCHDOG_SECONDS = 60.0
HOUSEKEEPING_SECONDS = 1.0
BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
FAILURES_OF_A_CLIENT = 10
NEW_LEADER_SECONDS = 10.0
# More than the group waits for members that do not come again (`kafka.REBALANCE_SECONDS`).
JOIN_SECONDS = 15.0


class LogLost(RuntimeError):
    """Records that were not read are no longer on the log, or the log is shorter than what was read: a person must decide."""


class Stuck(RuntimeError):
    """The client stopped bringing records although there are some; the process ends and is started again."""


class Fenced(Exception):
    """Another process moved the offsets: what was read here is not ours to apply."""


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes which partitions were given or taken; does nothing else, because aiokafka swallows what a listener raises."""

    def __init__(self) -> None:
        self.epoch = 0

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Partitions were taken."""
        self.epoch += 1

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Partitions were given."""
        self.epoch += 1


@dataclass(slots=True)
class Consumer:
    """Consumes the topics of `projections` for one service until cancelled.

    `committed` is called after each transaction that may have applied something; `healthy` tells whether the loop turns. The
    broker gathers records for `linger_ms`. Nobody waits for our own facts and for what comes on topics of `patient` (see
    `Holding`).
    """

    settings: Settings
    engine: AsyncEngine
    schema: str
    folder: Folder
    parking: Parking
    projections: Sequence[AnyProjection]
    committed: Callable[[], None]
    group: str = ""
    linger_ms: int = 0
    patient: frozenset[str] = frozenset()
    afterwards: Afterwards | None = None
    hold_seconds: float = HOLD_SECONDS
    join_seconds: float = JOIN_SECONDS
    _client: AIOKafkaConsumer | None = None
    _assignments: Assignments = field(default_factory=Assignments)
    _epoch: int = -1
    _next: dict[TopicPartition, int] = field(default_factory=dict)
    _holding: Holding = field(init=False)
    _turned: float = field(default_factory=time.monotonic)
    _kept_house: float = 0.0
    _watchdog: Watchdog = field(default_factory=Watchdog)
    _measured: set[TopicPartition] = field(default_factory=set)
    _failures: int = 0

    def __post_init__(self) -> None:
        self._holding = Holding(self._can_wait, self.settings.batch_records, self.hold_seconds)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics consumed, in the order in which the records of one batch are applied."""
        return tuple(projection.topic.name for projection in self.projections)

    @property
    def offsets(self) -> Offsets:
        """The offsets of this service in its schema."""
        return Offsets(self.schema)

    def healthy(self) -> bool:
        """Whether the loop turned within the watchdog's time."""
        return time.monotonic() - self._turned < WATCHDOG_SECONDS

    def assigned(self) -> frozenset[tuple[str, int]]:
        """The partitions this process reads now, as (topic, partition)."""
        return frozenset((tp.topic, tp.partition) for tp in self._next)

    async def run(self) -> None:
        """Until cancelled. Waits out a broker or database that is away. Raises LogLost and Stuck, which end the process."""
        try:
            while True:
                try:
                    await self._turn()
                    self._failures = 0
                except Fenced:
                    telemetry.FENCED.labels(self.schema).inc()
                    log().warning("offsets were moved by another process; reading on from where it stands")
                    self._forget()
                except (KafkaError, kafka.KafkaAway, db.DatabaseAway, OSError, TimeoutError) as error:
                    await self._wait_out(error)
        finally:
            await self._drop_client()

    async def _wait_out(self, error: BaseException) -> None:
        self._failures += 1
        self._turned = time.monotonic()
        log().warning("consumer waits", error=type(error).__name__, failures=self._failures)
        self._forget()
        if self._failures % FAILURES_OF_A_CLIENT == 0 and not isinstance(error, db.DatabaseAway):
            await self._drop_client()
        await asyncio.sleep(BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1])

    def _forget(self) -> None:
        """Where we stand is looked up anew, and what was read and not applied is read again."""
        self._next.clear()
        self._holding.drop()

    async def _drop_client(self) -> None:
        """A client that only fails may never recover by itself: its coordination with the group can end without a word."""
        if self._client is not None:
            client, self._client = self._client, None
            await kafka.stop(client)

    async def _turn(self) -> None:
        client = await self._started()
        batches = await self._polled(client)
        await self._follow_assignment(client)
        records = await self._expected(client, batches)
        self._watchdog.brought(records, time.monotonic())
        if batch := self._holding.take(records, time.monotonic()):
            await self._apply(batch)
            self._watchdog.brought(batch, time.monotonic())
        self._turned = time.monotonic()
        if self._turned - self._kept_house > HOUSEKEEPING_SECONDS:
            self._kept_house = self._turned
            await self._keep_house(client)

    async def _polled(self, client: AIOKafkaConsumer) -> dict[TopicPartition, list[ConsumerRecord]]:
        """What came. While the group gives out partitions the client waits without an end; one that waits long is replaced."""
        polling = client.getmany(timeout_ms=self._poll_ms(), max_records=self.settings.batch_records)
        try:
            return await within(polling, self.join_seconds)
        except TimeoutError:
            await self._drop_client()
            raise kafka.KafkaAway(f"The group gave no partitions within {self.join_seconds:.0f} s") from None

    def _can_wait(self, record: ConsumerRecord) -> bool:
        return record.topic in self.patient or self.folder.is_our_own(record.value or b"")

    def _poll_ms(self) -> int:
        left = self._holding.seconds_left(time.monotonic())
        return POLL_MS if left is None else ceil(left * 1000)

    async def _started(self) -> AIOKafkaConsumer:
        if self._client is None:
            group = self.group or f"patchbay-{self.schema}"
            client = await kafka.start_consumer(self.settings, self.schema, (), group=group, linger_ms=self.linger_ms)
            client.subscribe(self.topics, listener=self._assignments)
            self._client = client
        return self._client

    async def _follow_assignment(self, client: AIOKafkaConsumer) -> None:
        """Where the group gave or took partitions, or after a failure, read our own offsets and go there."""
        epoch, assignment = self._assignments.epoch, client.assignment()
        if epoch == self._epoch and assignment == self._next.keys():
            return
        async with db.transaction(self.engine) as conn:
            found = await self.offsets.load(conn, sorted(Place(tp.topic, tp.partition) for tp in assignment))
        starts = {tp: found[Place(tp.topic, tp.partition)] for tp in assignment}
        await self._refuse_removed(client, starts)
        for tp, start in starts.items():
            client.seek(tp, start)
        self._next = starts
        self._holding.drop()
        self._watchdog.watch(starts, time.monotonic())
        self._epoch = epoch
        if assignment:
            log().info("reading", partitions=len(assignment))

    async def _expected(
        self, client: AIOKafkaConsumer, batches: Mapping[TopicPartition, list[ConsumerRecord]]
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """What of a poll goes on where we stand. The rest is read again from there; a hole in the log stops us."""
        fitting = {}
        for tp, records in batches.items():
            expected = self._next.get(tp)
            if expected is None or not records:
                continue
            expected = self._holding.next_offset(tp) or expected
            if records[0].offset == expected:
                fitting[tp] = records
            else:
                await self._refuse_hole(client, tp, expected)
                client.seek(tp, expected)
        return fitting

    async def _refuse_removed(self, client: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]) -> None:
        """Where the records to go on with were removed, no record would ever come that tells."""
        if not starts:
            return
        firsts = await within(client.beginning_offsets(list(starts)), 10)
        ends = await within(client.end_offsets(list(starts)), 10)
        for tp, start in starts.items():
            if not firsts[tp] <= start <= ends[tp]:
                await self._refuse_hole(client, tp, start)

    async def _refuse_hole(self, client: AIOKafkaConsumer, tp: TopicPartition, expected: int) -> None:
        """A partition's new leader may tell less than the old one told, until it has heard its followers: it is asked again."""
        give_up = time.monotonic() + NEW_LEADER_SECONDS
        while True:
            first = (await within(client.beginning_offsets([tp]), 10))[tp]
            end = (await within(client.end_offsets([tp]), 10))[tp]
            if first <= expected <= end:
                return
            if first > expected or time.monotonic() > give_up:
                break
            await asyncio.sleep(BACK_OFF_SECONDS[0])
        raise LogLost(
            f"{tp.topic}[{tp.partition}]: the next record to read is {expected}, but the log holds {first} to {end}. "
            "Records were removed before they were read, or this is another log. Restore the log, or rebuild the service's "
            "schema from the log that is there."
        )

    async def _apply(self, batches: Mapping[TopicPartition, list[ConsumerRecord]]) -> None:
        started = time.monotonic()
        moves = {
            Place(tp.topic, tp.partition): (self._next[tp], records[-1].offset + 1, _time_of(records[-1]))
            for tp, records in batches.items()
        }
        try:
            await db.retrying(lambda: self._transaction(moves, batches, self._fold_all))
        except (Fenced, db.DatabaseAway):
            raise
        except Exception as error:  # noqa: BLE001 - one record may have failed them all; which one is found next
            log().error("batch failed; taking its records one by one", error=type(error).__name__, exc_info=True)
            await db.retrying(lambda: self._transaction(moves, batches, self.folder.fold_all_each))
        for tp, records in batches.items():
            self._next[tp] = records[-1].offset + 1
            telemetry.CONSUMED.labels(self.schema, tp.topic).inc(len(records))
        telemetry.BATCH_SECONDS.labels(self.schema).observe(time.monotonic() - started)
        self.committed()

    async def _transaction(
        self,
        moves: Mapping[Place, tuple[int, int, datetime]],
        batches: Mapping[TopicPartition, list[ConsumerRecord]],
        fold: Callable[[AsyncConnection, Sequence[Part]], Awaitable[list[Failure]]],
    ) -> None:
        async with db.transaction(self.engine) as conn:
            if not await self.offsets.move(conn, moves):
                raise Fenced
            records: dict[str, list[Record]] = defaultdict(list)
            for tp, of_partition in batches.items():
                records[tp.topic].extend(map(_record, of_partition))
            await fold(conn, [(p, records[p.topic.name]) for p in self.projections if p.topic.name in records])

    async def _fold_all(self, conn: AsyncConnection, parts: Sequence[Part]) -> list[Failure]:
        return await self.folder.fold_all(conn, parts, self.afterwards)

    async def _tell_kafka(self, client: AIOKafkaConsumer) -> None:
        """Commit to the group as information for lag tools; our own offsets are the truth, so failing is no matter."""
        try:
            await within(client.commit(dict(self._next)), 5)
        except (KafkaError, TimeoutError) as error:
            log().info("kafka did not take the offsets", error=type(error).__name__)

    async def _keep_house(self, client: AIOKafkaConsumer) -> None:
        """Retry parked keys that were asked for, publish the lag, and notice a client that stopped bringing records."""
        await self.parking.work_off(self.engine, self.folder, self.projections, self.assigned())
        self.committed()
        if self._next:
            await self._tell_kafka(client)
        ends = await within(client.end_offsets(list(self._next)), 10) if self._next else {}
        behind = {tp: max(0, end - (self._holding.next_offset(tp) or self._next.get(tp, end))) for tp, end in ends.items()}
        await self._measure(behind)
        if late := self._watchdog.late(behind, time.monotonic()):
            raise Stuck(f"{late}; starting again")

    async def _measure(self, behind: Mapping[TopicPartition, int]) -> None:
        async with db.transaction(self.engine) as conn:
            ages = await self.offsets.ages(conn)
        for tp in self._measured - behind.keys():  # another process reads these now, and tells of them
            for gauge in (telemetry.LAG_RECORDS, telemetry.LAG_SECONDS):
                gauge.remove(self.schema, tp.topic, str(tp.partition))
        self._measured = set(behind)
        for tp, lag in behind.items():
            age = ages.get(Place(tp.topic, tp.partition), 0.0) if lag else 0.0
            telemetry.LAG_RECORDS.labels(self.schema, tp.topic, str(tp.partition)).set(lag)
            telemetry.LAG_SECONDS.labels(self.schema, tp.topic, str(tp.partition)).set(age)


def _record(record: ConsumerRecord) -> Record:
    return Record(record.topic, record.partition, record.offset, key_text(record.key), record.value or b"")


def _time_of(record: ConsumerRecord) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
