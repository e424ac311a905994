"""The only place that makes Kafka clients, with settings that are safe; aiokafka's defaults are not (acks=1, auto-commit)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from shared.deadlines import within
from shared.events.topics import TOPICS, Topic
from shared.settings import Settings
from shared.telemetry import log

MAX_RECORD_BYTES = 1024 * 1024
MANY_BYTES = 128 * 1024
# So long the group waits for a member that has to come again. Nothing is given back with care here, as the offsets are the
# fence; whoever is not there by then is left out, and comes later.
REBALANCE_SECONDS = 10
START_SECONDS = 10.0
STOP_SECONDS = 5.0


class Stoppable(Protocol):
    """A client that can be stopped."""

    def stop(self) -> Awaitable[None]:
        """Stop it."""


class KafkaAway(Exception):
    """The broker cannot be reached in time."""


async def start_producer(settings: Settings, name: str) -> AIOKafkaProducer:
    """A started idempotent producer, acks=all. Raises KafkaAway."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        client_id=f"patchbay-{name}",
        acks="all",
        enable_idempotence=True,
        linger_ms=1,
        max_batch_size=512 * 1024,
        max_request_size=MAX_RECORD_BYTES,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
    )
    await _start(producer, producer.start())
    return producer


async def start_consumer(
    settings: Settings, name: str, topics: tuple[str, ...], *, group: str | None, latest: bool = False, linger_ms: int = 0
) -> AIOKafkaConsumer:
    """A started consumer that commits nothing by itself. Without `group` it reads all partitions alone. With `linger_ms` the
    broker gathers records for so long, unless there are many. Raises KafkaAway.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.kafka,
        client_id=f"patchbay-{name}",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="latest" if latest else "earliest",
        isolation_level="read_committed",
        fetch_max_bytes=8 * 1024 * 1024,
        max_partition_fetch_bytes=2 * 1024 * 1024,
        max_poll_records=settings.batch_records,
        fetch_min_bytes=MANY_BYTES if linger_ms else 1,
        fetch_max_wait_ms=linger_ms or 100,
        session_timeout_ms=6_000,  # the broker's least: a killed process's partitions are read on soon; the offsets are the fence
        heartbeat_interval_ms=1_500,
        max_poll_interval_ms=120_000,
        rebalance_timeout_ms=REBALANCE_SECONDS * 1000,
        request_timeout_ms=15_000,
        metadata_max_age_ms=30_000,
    )
    await _start(consumer, consumer.start())
    return consumer


async def stop(client: Stoppable) -> None:
    """Stop a client, but never wait for it longer than STOP_SECONDS: aiokafka's stop can hang while the broker is away."""
    try:
        await within(client.stop(), STOP_SECONDS)
    except (TimeoutError, KafkaError, OSError) as error:
        log().warning("kafka client did not stop in time", error=type(error).__name__)


async def create_topics(settings: Settings, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """Create the topics that are missing, from the table. Returns the names of those made. Raises KafkaAway, KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, client_id="patchbay-setup", request_timeout_ms=15_000)
    await _start(admin, admin.start())
    try:
        existing = set(await admin.list_topics())
        wanted = [topic for topic in topics if topic.name not in existing]
        if wanted:
            answer = await admin.create_topics([_new_topic(topic, settings) for topic in wanted], timeout_ms=15_000)
            for name, code, *_ in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)(f"topic {name}")
        return [topic.name for topic in wanted]
    finally:
        await _close(admin)


def _new_topic(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions or settings.partitions,
        replication_factor=settings.replication,
        topic_configs={
            "cleanup.policy": "delete",
            "retention.ms": str(topic.retention_ms),
            "retention.bytes": "-1",
            "min.insync.replicas": str(min(2, settings.replication)),
            "max.message.bytes": str(MAX_RECORD_BYTES),
        },
    )


async def _start(client: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient, starting: Awaitable[None]) -> None:
    try:
        await within(starting, START_SECONDS)
    except (KafkaError, TimeoutError, OSError) as error:
        await _close(client)
        raise KafkaAway(f"Kafka does not answer: {type(error).__name__}") from error


async def _close(client: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    closing = client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop()
    try:
        await within(closing, STOP_SECONDS)
    except (TimeoutError, KafkaError, OSError) as error:
        log().warning("kafka client did not close in time", error=type(error).__name__)


_send = AIOKafkaConnection.send


def _send_over_uvloop(connection: AIOKafkaConnection, *request: Any, **named: Any) -> Any:
    """aiokafka's send. It expects OSError of a connection that was cut a moment ago; uvloop says RuntimeError, of which a
    consumer's fetching task died without a word: nothing came any more.
    """
    try:
        return _send(connection, *request, **named)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {error}") from error


AIOKafkaConnection.send = _send_over_uvloop
