"""Folding the whole log again gives the live figures, on a real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from services.metrics.__main__ import app
from services.metrics.rebuild import LogIncomplete, Rebuild
from services.metrics.settings import MetricsSettings
from services.metrics.store import projections
from shared import db, kafka
from shared.consumer import Consumer
from shared.events.base import Event
from shared.events.codec import encode
from shared.events.topics import TOPIC_OF
from tests.services.metrics.conftest import Metrics
from tests.services.metrics.test_store import a_log, interleaved
from tests.unit.metrics.teller import Teller


@pytest_asyncio.fixture
async def on_kafka(metrics: Metrics, fresh_kafka_bootstrap: str) -> AsyncIterator[Metrics]:
    """Metrics with a broker whose topics hold a log of some tickets, agents and promises."""
    update = {"kafka": fresh_kafka_bootstrap, "metrics_rebuild_records": 50}
    metrics.settings = metrics.settings.model_copy(update=update)
    await kafka.create_topics(metrics.settings)
    yield metrics


async def put(settings: MetricsSettings, events: list[Event[Any]]) -> None:
    producer = await kafka.start_producer(settings, "test")
    try:
        for event in events:
            await producer.send(TOPIC_OF[type(event.data)].name, encode(event), event.key.encode())
        await producer.flush()
    finally:
        await kafka.stop(producer)


async def ends(settings: MetricsSettings) -> dict[Any, int]:
    client = await kafka.start_consumer(settings, "test", tuple(one.topic.name for one in projections()), group=None)
    try:
        return dict(await client.end_offsets(list(client.assignment())))
    finally:
        await kafka.stop(client)


async def consume_all(metrics: Metrics, group: str) -> None:
    """Run the live consumer until it has read everything."""
    wanted = await ends(metrics.settings)
    moved = asyncio.Event()
    folder = metrics.folder()
    consumer = Consumer(
        settings=metrics.settings,
        engine=metrics.engine,
        schema="metrics",
        folder=folder,
        parking=folder.parking,
        projections=projections(),
        committed=moved.set,
        group=group,
    )
    running = asyncio.create_task(consumer.run())
    try:
        async with asyncio.timeout(60):
            while True:
                rows = await metrics.rows("SELECT topic, partition, next_offset FROM metrics.consumer_offset")
                read = {(topic, partition): offset for topic, partition, offset in rows}
                if all(end == 0 or read.get((place.topic, place.partition)) == end for place, end in wanted.items()):
                    return
                more = asyncio.create_task(moved.wait())
                await asyncio.wait([running, more], return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
                if running.done():
                    running.result()
                moved.clear()
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=10)


async def test_a_rebuild_from_the_first_record_is_equal_to_the_live_figures(on_kafka: Metrics) -> None:
    events = interleaved(a_log(seed=11, name="rebuild"), seed=1)
    await put(on_kafka.settings, events)
    await consume_all(on_kafka, "rebuild-test")
    live = await on_kafka.tables()
    assert len(live["cell"]) > 100
    progress: list[tuple[int, int]] = []

    outcome = await Rebuild(on_kafka.settings, on_kafka.engine, lambda *told: progress.append(told)).run(replace=False)
    assert outcome.equal, outcome
    assert outcome.records >= len(events)
    assert progress[-1][0] == progress[-1][1] == outcome.records
    assert await on_kafka.tables() == live

    await _damage(on_kafka)
    outcome = await Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None).run(replace=False)
    assert not outcome.equal
    assert outcome.only_live["cell"] == outcome.only_rebuilt["cell"] == 1

    await Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None).run(replace=True)
    assert await on_kafka.tables() == live
    schemas = await on_kafka.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'metrics_%'")
    assert schemas == []

    # The service goes on with the tables that replaced its own.
    more = Teller("rebuild-after")
    more.opened()
    await put(on_kafka.settings, more.events)
    await consume_all(on_kafka, "rebuild-test")
    outcome = await Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None).run(replace=False)
    assert outcome.equal, outcome


async def test_a_log_that_lost_its_beginning_is_refused(on_kafka: Metrics) -> None:
    async with db.transaction(on_kafka.engine) as conn:
        await conn.execute(
            sa.text("INSERT INTO metrics.consumer_offset (topic, partition, next_offset) VALUES ('tickets', 0, 1000000)")
        )
    with pytest.raises(LogIncomplete, match=r"tickets\[0\]"):
        await Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None).run(replace=False)


async def test_two_rebuilds_never_go_on_at_once(on_kafka: Metrics) -> None:
    first = Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None)
    second = Rebuild(on_kafka.settings, on_kafka.engine, lambda *_: None)
    outcomes = await asyncio.gather(first.run(replace=False), second.run(replace=False), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyRunning", "Outcome"]
    assert (await first.run(replace=False)).equal


async def test_the_command_tells_by_its_exit_code_whether_the_figures_are_right(on_kafka: Metrics) -> None:
    told = Teller("rebuild-command")
    told.opened()
    await put(on_kafka.settings, told.events)
    await consume_all(on_kafka, "rebuild-command")
    assert (await _command(on_kafka)).exit_code == 0
    await _damage(on_kafka)
    differs = await _command(on_kafka)
    assert differs.exit_code == 1
    assert "cell: 1 rows only in the live figures, 1 only in the rebuilt ones." in differs.stderr


async def test_the_command_says_what_is_missing(on_kafka: Metrics) -> None:
    assert "Check PATCHBAY_KAFKA" in (await _command(on_kafka, PATCHBAY_KAFKA="127.0.0.1:1")).stderr
    assert "PATCHBAY_METRICS_ZONE: " in (await _command(on_kafka, PATCHBAY_METRICS_ZONE="Mars/Base")).stderr


async def _command(metrics: Metrics, **environment: str) -> Result:
    """`rebuild --check` as typed, in a thread because it makes an event loop of its own."""
    settings = metrics.settings
    assert settings.master_key is not None
    given = {
        "PATCHBAY_KAFKA": settings.kafka,
        "PATCHBAY_DATABASE": settings.database.get_secret_value(),
        "PATCHBAY_MASTER_KEY": settings.master_key.get_secret_value(),
        "COLUMNS": "200",
        **environment,
    }
    return await asyncio.to_thread(CliRunner().invoke, app, ["rebuild", "--check"], env=given)


async def _damage(metrics: Metrics) -> None:
    async with db.transaction(metrics.engine) as conn:
        await conn.execute(
            sa.text(
                "UPDATE metrics.cell SET n = n + 1 WHERE (measure, hour, dims, bin) ="
                " (SELECT measure, hour, dims, bin FROM metrics.cell ORDER BY 1, 2, 3, 4 LIMIT 1)"
            )
        )
