"""What is said of waits on a real broker: by one process, when it is news, and again when nobody took it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from services.routing.estimating import Estimator
from shared import kafka
from shared.events.base import Event, Fact
from shared.events.signals import PositionEstimated, TypingChanged
from shared.settings import Settings
from shared.signals import Signals
from tests.services.routing.conftest import House, open_house
from tests.services.routing.test_waits import NO_BROKER
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)


@pytest_asyncio.fixture
async def line(routing_database: str, kafka_bootstrap: str) -> AsyncIterator[House]:
    """A house with a broker, in which a pass may always be made."""
    await kafka.create_topics(Settings(kafka=kafka_bootstrap))
    async with open_house(routing_database, routing_wait_seconds=1e-6, kafka=kafka_bootstrap) as opened:
        await opened.queue("calls")
        yield opened


@pytest_asyncio.fixture
async def heard(line: House) -> AsyncIterator[list[Event[Fact]]]:
    """What is said of waits from now on, by anybody."""
    events: list[Event[Fact]] = []
    signals, awake = Signals(line.settings, "intake"), asyncio.Event()

    async def listen() -> None:
        async for event in signals.listen():
            awake.set()
            if isinstance(event.data, PositionEstimated):
                events.append(event)

    async def says() -> bool:
        assert await signals.say("nobody's", TypingChanged(who="customer", who_id="c", typing=True))
        return awake.is_set()

    listening = asyncio.create_task(listen())
    try:
        await until("somebody listens", says)
        yield events
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await signals.stop()


async def test_places_and_waits_are_said_once_and_again_when_they_change(line: House, heard: list[Event[Fact]]) -> None:
    first, second = await line.open("said-a", channel="chat"), await line.open("said-b", channel="chat")
    estimator = Estimator(line.parts, line.settings, Signals(line.settings, "routing"))
    assert await estimator.once() == 2
    assert await estimator.once() == 0
    await line.agent("dana", capacity_units=3)
    await line.done("dana", "POST", f"/v1/tickets/{first}/take")
    assert await estimator.once() == 1
    await until("all is heard", lambda: len(heard) >= 3)
    told = [(event.key, event.data.position) for event in heard if isinstance(event.data, PositionEstimated)]
    assert sorted(told[:2]) == sorted([(first, 1), (second, 2)])
    assert told[2:] == [(second, 1)]
    assert all(event.writer == "routing" and not event.position.seq for event in heard)
    await estimator.signals.stop()


async def test_what_no_broker_took_is_said_by_whoever_makes_the_next_pass(line: House, heard: list[Event[Fact]]) -> None:
    ticket_id = await line.open("said-c", channel="chat")
    away = Estimator(line.parts, line.settings, Signals(line.settings.model_copy(update={"kafka": NO_BROKER}), "routing"))
    assert await away.once() == 0
    [row] = await line.rows("SELECT heard FROM routing.wait")
    assert row.heard is False
    other = Estimator(line.parts, line.settings, Signals(line.settings, "routing"))
    assert await other.once() == 1
    await until("it is heard", lambda: [event.key for event in heard] == [ticket_id])
    assert await away.once() == 0
    await other.signals.stop()
