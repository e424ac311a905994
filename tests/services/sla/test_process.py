"""The service as its own process between a real Kafka and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from deploy.local.ports import free_ports
from services.sla.ends import LogEnds
from shared import kafka
from shared.events.base import Event, Fact
from shared.events.codec import decode, encode
from shared.events.sla import SlaBreached
from shared.settings import SettingsError
from tests.services.sla.conftest import Sla
from tests.unit.sla.desk import reply

ROOT = Path(__file__).resolve().parents[3]
PARTITIONS = 12


def connected(sla: Sla, bootstrap: str) -> Sla:
    """The same service with a broker and the run's number of partitions."""
    sla.settings = sla.settings.model_copy(update={"kafka": bootstrap, "partitions": PARTITIONS})
    return sla


@asynccontextmanager
async def a_process(sla: Sla, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services.sla`, killed at the end if it is still there."""
    secret = sla.settings.master_key
    assert secret is not None
    environment = {
        **os.environ,
        "PATCHBAY_KAFKA": sla.settings.kafka,
        "PATCHBAY_DATABASE": sla.settings.database.get_secret_value(),
        "PATCHBAY_MASTER_KEY": secret.get_secret_value(),
        "PATCHBAY_PARTITIONS": str(PARTITIONS),
        "PATCHBAY_SLA_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.sla", cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def publish(bootstrap: str, events: list[Event[Fact]]) -> None:
    """Put events on `tickets` as the relays of intake and routing do."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for event in events:
            await producer.send_and_wait("tickets", encode(event), key=event.key.encode())
    finally:
        await producer.stop()


async def broken(sla: Sla, ticket_id: str) -> list[Event[Fact]]:
    """What stands on `sla-breaches` about a ticket."""
    consumer = await kafka.start_consumer(sla.settings, "test", ("sla-breaches",), group=None)
    found: list[Event[Fact]] = []
    try:
        places = [TopicPartition("sla-breaches", partition) for partition in range(PARTITIONS)]
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [decode(record.value) for record in records if record.key == ticket_id.encode()]
    finally:
        await kafka.stop(consumer)
    return found


async def until_broken(sla: Sla, ticket_id: str, count: int, seconds: float = 40) -> list[Event[Fact]]:
    """Wait for an outcome, with a deadline. What a killed relay sent twice counts once: it has the same position."""
    async with asyncio.timeout(seconds):
        while len(events := {event.position: event for event in await broken(sla, ticket_id)}) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return list(events.values())


async def test_a_broken_promise_reaches_its_topic_and_a_killed_process_goes_on(sla: Sla, fresh_kafka_bootstrap: str) -> None:
    """Killed with the timer armed and again with the breach told: it comes once, at its deadline, and is cleared once."""
    connected(sla, fresh_kafka_bootstrap)
    await kafka.create_topics(sla.settings)
    await sla.promise(4)
    (port,) = free_ports(1)
    ticket = f"breaks-{os.getpid()}"
    asked = await sla.now()
    async with a_process(sla, port) as process:
        await publish(fresh_kafka_bootstrap, sla.log.asked(ticket, asked))
        async with asyncio.timeout(40):
            while not await sla.rows("SELECT 1 FROM sla.timer WHERE ticket_id = :id", id=ticket):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with a_process(sla, port) as process:
        (breach,) = await until_broken(sla, ticket, 1)
        assert isinstance(breach.data, SlaBreached)
        assert breach.time == asked + timedelta(seconds=4)
        assert not breach.data.unconfirmed
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with a_process(sla, port) as process:
        await publish(fresh_kafka_bootstrap, sla.log.say(ticket, "routing", asked + timedelta(seconds=60), reply()))
        events = await until_broken(sla, ticket, 2)
        assert [type(event.data).__name__ for event in events] == ["SlaBreached", "SlaBreachCleared"]
        assert [event.position.seq for event in events] == [1, 2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/readyz")).status_code == 200
            assert "patchbay_sla_overdue_seconds" in (await http.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_ends_of_the_log_are_what_was_written(sla: Sla, fresh_kafka_bootstrap: str) -> None:
    connected(sla, fresh_kafka_bootstrap)
    await kafka.create_topics(sla.settings)
    ends = LogEnds(sla.settings)
    before = await ends.ask()
    assert before is not None
    await publish(fresh_kafka_bootstrap, sla.log.asked(f"ends-{os.getpid()}", await sla.now()))
    after = await ends.ask()
    await ends.close()
    assert after is not None
    assert len(after) == PARTITIONS
    assert sum(after.values()) - sum(before.values()) == 2


async def test_no_broker_no_ends_and_the_wrong_number_of_partitions_is_said(sla: Sla, fresh_kafka_bootstrap: str) -> None:
    assert await LogEnds(sla.settings).ask() is None
    connected(sla, fresh_kafka_bootstrap)
    await kafka.create_topics(sla.settings)
    wrong = LogEnds(sla.settings.model_copy(update={"partitions": 64}))
    with pytest.raises(SettingsError, match="PATCHBAY_PARTITIONS"):
        await wrong.ask()
    await wrong.close()
