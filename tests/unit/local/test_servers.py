"""The local servers start, serve, survive what fault tests do to them, and end."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.errors import LocalError
from tests.infra import LocalKafka, LocalPostgres, ServerFolder, make_kafka, make_postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    made = ServerFolder()
    yield made.path
    made.remove()


async def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def _first_value(bootstrap: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        value: bytes | None = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value
    finally:
        await consumer.stop()


async def test_a_killed_broker_comes_back_with_its_records(kafka_server: LocalKafka) -> None:
    topic = f"kept-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    await _produce(kafka_server.bootstrap, topic, b"one")
    try:
        await asyncio.to_thread(kafka_server.kill)
        assert not kafka_server.alive
    finally:
        await asyncio.to_thread(kafka_server.start)
    assert await _first_value(kafka_server.bootstrap, topic) == b"one"


async def test_a_killed_postgres_comes_back_with_its_commits(folder: Path) -> None:
    postgres = make_postgres(folder)
    try:
        await asyncio.to_thread(postgres.start)
        connection = await asyncpg.connect(postgres.url)
        assert str(await connection.fetchval("SHOW server_version")).startswith("18.")
        await connection.execute("CREATE TABLE kept AS SELECT 'שלום'::text AS word")
        await asyncio.to_thread(postgres.kill)
        connection.terminate()
        await asyncio.to_thread(postgres.start)
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SELECT upper(word) FROM kept") == "שלום"
        await connection.close()
    finally:
        await asyncio.to_thread(postgres.stop)
    assert not postgres.alive


async def test_a_paused_server_holds_its_answer_until_it_is_resumed(postgres_server: LocalPostgres) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    postgres_server.pause()
    try:
        answer = asyncio.create_task(connection.fetchval("SELECT 1"))
        _, waiting = await asyncio.wait({answer}, timeout=0.3)
        assert waiting
    finally:
        postgres_server.resume()
    assert await asyncio.wait_for(answer, 10) == 1
    await connection.close()


def test_a_broker_does_not_start_on_a_taken_port_and_says_which(folder: Path) -> None:
    kafka = make_kafka(folder)
    with socket.create_server(("127.0.0.1", kafka.port)), pytest.raises(LocalError, match=str(kafka.port)) as caught:
        kafka.start()
    assert "PATCHBAY_KAFKA_PORT" in str(caught.value)


async def test_a_database_of_a_test_is_its_own(empty_database: str, database_url: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE mine (n int)")
    await connection.close()
    assert empty_database != database_url


async def test_topics_are_not_made_by_a_typing_error(kafka_server: LocalKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    assert "tikets" not in await admin.list_topics()
    await admin.close()
