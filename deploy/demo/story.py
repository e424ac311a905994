"""The story as it stands on the topics: read with a consumer of its own, printed as it happens, kept for the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from shared import kafka
from shared.events.base import Event, Fact
from shared.events.codec import Undecodable, decode
from shared.events.ticket import TicketOpened
from shared.settings import Settings

TOPICS = ("tickets", "sla-clocks", "sla-warnings", "sla-breaches")
COLOURS = {"tickets": "cyan", "sla-clocks": "green", "sla-warnings": "yellow", "sla-breaches": "red"}


@dataclass
class Story:
    """All that was said since the demonstration began, in the order in which it was heard."""

    console: Console
    events: list[tuple[str, Event[Fact]]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self, settings: Settings, ready: asyncio.Event) -> None:
        """Read the topics from now on, until cancelled."""
        client = await kafka.start_consumer(settings, "demo", TOPICS, group=None, latest=True)
        try:
            await client.seek_to_end()
            ready.set()
            while True:
                for partition, records in (await client.getmany(timeout_ms=200)).items():
                    for record in records:
                        await self._hear(partition.topic, record.value or b"")
        finally:
            await kafka.stop(client)

    async def _hear(self, topic: str, raw: bytes) -> None:
        try:
            event = decode(raw)
        except Undecodable:
            return
        if isinstance(event.data, TicketOpened):
            self.numbers[event.key] = event.data.number
        async with self._heard:
            self.events.append((topic, event))
            self._heard.notify_all()
        self._print(topic, event)

    def _print(self, topic: str, event: Event[Fact]) -> None:
        number = self.numbers.get(event.key)
        line = Text.assemble(
            (event.time.strftime("%H:%M:%S.%f")[:-3], "dim"),
            "  ",
            (f"{topic:<13}", COLOURS.get(topic, "white")),
            f" {event.type.removesuffix('.v1'):<24}",
            (f"#{number}" if number else event.key[:8], "bold"),
            ("  " + self._about(event), "dim"),
        )
        self.console.print(line)

    def _about(self, event: Event[Fact]) -> str:
        """What a person wants to see of an event beside its name; never personal data, which is sealed."""
        names = ("channel", "language", "agent_id", "queue_id", "target", "deadline", "at_percent", "reason", "outcome", "how")
        parts = [
            f"{name.removesuffix('_id')}={value}" for name in names if (value := getattr(event.data, name, None)) is not None
        ]
        return " ".join(parts)

    async def until(self, what: str, found: Callable[[], bool], seconds: float) -> None:
        """Wait until the story has it. Raises TimeoutError naming what did not happen."""
        try:
            async with asyncio.timeout(seconds), self._heard:
                await self._heard.wait_for(found)
        except TimeoutError:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s") from None

    def said(self, ticket_id: str, event_type: str, topic: str = "tickets") -> list[Event[Fact]]:
        """What was said of this type about a ticket on this topic."""
        return [
            event
            for heard_on, event in self.events
            if (heard_on, event.key, event.type) == (topic, ticket_id, f"{event_type}.v1")
        ]

    def opened(self, channel: str, language: str) -> list[int]:
        """The numbers of the tickets that were opened on this channel in this language."""
        tickets = (event.data for event in self.of_type("ticket.opened") if isinstance(event.data, TicketOpened))
        return [ticket.number for ticket in tickets if (ticket.channel, ticket.language) == (channel, language)]

    def of_type(self, event_type: str) -> list[Event[Fact]]:
        """What was said of this type about any ticket."""
        return [event for _, event in self.events if event.type == f"{event_type}.v1"]
