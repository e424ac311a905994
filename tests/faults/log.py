"""The log as it lies on the broker: every record of every topic, read to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared import kafka
from shared.deadlines import within
from shared.events.base import Event, Fact
from shared.events.codec import Undecodable, decode
from shared.events.topics import TOPICS
from shared.records import Place, key_text
from shared.settings import Settings

READ_SECONDS = 60.0
AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Record:
    """An event at its place. `at`: when it was published, by the clock of whoever did (whole milliseconds)."""

    topic: str
    partition: int
    offset: int
    at: datetime
    event: Event[Fact]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no event of the contract, and why."""

    topic: str
    partition: int
    offset: int
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Log:
    """All topics: the events in the order of topic, partition and offset, what is none, and where each partition ends."""

    records: tuple[Record, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    ends: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogReader:
    """Reads all topics with a client of its own, which is in nobody's group."""

    client: AIOKafkaConsumer
    places: tuple[TopicPartition, ...]

    async def ends(self) -> dict[Place, int]:
        """Where each partition ends now. Raises KafkaError, TimeoutError."""
        ends = await within(self.client.end_offsets(list(self.places)), 10)
        return {Place(place.topic, place.partition): end for place, end in ends.items()}

    async def read(self, ends: Mapping[Place, int]) -> Log:
        """Everything before these ends. Raises KafkaError, TimeoutError."""
        until = {place: ends[Place(place.topic, place.partition)] for place in self.places}
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in self.places}
        await within(self.client.seek_to_beginning(*self.places), 10)
        async with asyncio.timeout(READ_SECONDS):
            while any([await self.client.position(place) < end for place, end in until.items()]):
                for place, records in (await self.client.getmany(timeout_ms=100, max_records=AT_ONCE)).items():
                    found[place].extend(record for record in records if record.offset < until[place])
        return _log(found, ends)


@asynccontextmanager
async def log_reader(settings: Settings) -> AsyncIterator[LogReader]:
    """A reader of the broker's log. Raises KafkaAway."""
    client = await kafka.start_consumer(settings, "history", (), group=None)
    try:
        places = tuple(TopicPartition(t.name, n) for t in TOPICS for n in range(t.partitions or settings.partitions))
        client.assign(list(places))
        yield LogReader(client, places)
    finally:
        await kafka.stop(client)


def _log(found: Mapping[TopicPartition, list[ConsumerRecord]], ends: Mapping[Place, int]) -> Log:
    records: list[Record] = []
    unreadable: list[Unreadable] = []
    for place in sorted(found):
        for record in found[place]:
            read = _read(record)
            if isinstance(read, Record):
                records.append(read)
            else:
                unreadable.append(read)
    return Log(tuple(records), tuple(unreadable), ends)


def _read(record: ConsumerRecord) -> Record | Unreadable:
    key = key_text(record.key)
    try:
        event = decode(record.value or b"")
    except Undecodable as error:
        return Unreadable(record.topic, record.partition, record.offset, key, str(error))
    if event.key != key:
        return Unreadable(record.topic, record.partition, record.offset, key, f"its key is not its subject {event.key}")
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Record(record.topic, record.partition, record.offset, at, event)
