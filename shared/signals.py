"""Passing events (topic `signals`): typing, presence, position. Sent at once and forgotten, never stored, lost without harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared import kafka
from shared.deadlines import within
from shared.events.base import Event, Fact, Position, Writer
from shared.events.codec import Undecodable, decode, encode
from shared.events.topics import SIGNALS
from shared.settings import Settings
from shared.telemetry import log

SEND_SECONDS = 1.0


@dataclass(slots=True)
class Signals:
    """One process's way to say and hear passing things."""

    settings: Settings
    writer: Writer
    _producer: AIOKafkaProducer | None = None

    async def say(self, key: str, fact: Fact) -> bool:
        """Say it on the ticket `key`, now or never: False when the broker did not take it within SEND_SECONDS."""
        return await self.say_all([(key, fact)])

    async def say_all(self, told: Sequence[tuple[str, Fact]]) -> bool:
        """Say several, each on its ticket, now or never: False when the broker did not take all of them within SEND_SECONDS."""
        now = datetime.now(UTC)
        try:
            if self._producer is None:
                self._producer = await kafka.start_producer(self.settings, f"signals-{self.writer}")
            sending = within(self._send(self._producer, [self._event(key, fact, now) for key, fact in told]), SEND_SECONDS)
            await within(asyncio.shield(asyncio.gather(*await sending)), SEND_SECONDS)
        except (KafkaError, kafka.KafkaAway, TimeoutError) as error:
            log().info("signals not sent", types=sorted({fact.TYPE for _, fact in told}), error=type(error).__name__)
            await self.stop()
            return False
        return True

    def _event(self, key: str, fact: Fact, now: datetime) -> Event[Fact]:
        return Event(id=str(uuid4()), type=fact.TYPE, writer=self.writer, position=Position(0, 0), key=key, time=now, data=fact)

    async def _send(self, producer: AIOKafkaProducer, events: Sequence[Event[Fact]]) -> list[Awaitable[object]]:
        return [await producer.send(SIGNALS.name, encode(event), event.key.encode()) for event in events]

    async def listen(self) -> AsyncGenerator[Event[Fact], None]:
        """Everything said from now on, by anybody. Raises KafkaAway, KafkaError."""
        consumer = await kafka.start_consumer(self.settings, f"signals-{self.writer}", (SIGNALS.name,), group=None, latest=True)
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        try:
                            yield decode(record.value or b"")
                        except Undecodable:
                            log().info("signal not understood")
        finally:
            await kafka.stop(consumer)

    async def stop(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await kafka.stop(producer)
