"""A company on a log of its own, on which one build of the services plays, piece by piece; and what its people saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from deploy.demo.receivers import Mailbox, Texts
from services.intake.domain.contacts import InboundMessage
from shared.settings import Settings
from simulator.truth import Act, Answer, Sending, Truth
from tests.faults.checker import broken
from tests.faults.history import collect
from tests.faults.parts import PARTS
from tests.faults.rig import Ran, Rig
from tests.faults.stepping import Order, Point
from tests.faults.way import Way
from tests.system import System

SERVICES = ("intake", "routing", "sla", "metrics")


@dataclass(slots=True)
class Scene:
    """A company and a log of its own, on which one build plays; and what its senders and agents saw."""

    way: Way
    build: str | None
    truth: Truth = field(default_factory=Truth)
    broken_parts: tuple[str, ...] = tuple(PARTS)
    read: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)

    @property
    def rig(self) -> Rig:
        """The rig."""
        return self.way.rig

    async def go(self, part: str, **how: Any) -> Ran:
        """A process of this build does its part; a consumer in the group of its service."""
        group = f"{part} {self.way.database.rpartition('/')[2]}"
        return await self.way.go(part, broken=self.build_of(part), group=group, **how)

    def build_of(self, part: str) -> str | None:
        """The build that does this part."""
        return self.build if part in self.broken_parts else None

    async def send(self, contact: InboundMessage, order: Order | None = None) -> Ran:
        """A contact is sent. Without an answer its sender does not know whether it was taken."""
        self.begin(contact)
        ran = await self.go("intake accepts", contacts=[contact], order=order)
        self.answered(contact, ran)
        return ran

    def begin(self, contact: InboundMessage) -> None:
        """It is about to be sent."""
        handle = contact.handle.value if contact.handle else ""
        talk = f"{contact.channel} {handle}"
        key = contact.dedup_key
        if key not in self.truth.sendings:
            self.truth.begun(Sending(key, contact.channel, handle, "en", talk, contact.text))

    def answered(self, contact: InboundMessage, ran: Ran) -> None:
        """The process has answered, or died before it did."""
        for answer in ran.answers:
            told = Answer(0.0, 201, ticket_id=answer["ticket_id"], message_id=answer["item_id"])
            self.truth.answered(contact.dedup_key, told)
        if not ran.answers:
            self.truth.answered(contact.dedup_key, Answer(0.0, None))

    async def act(self, kind: Any, path: str, **of: Any) -> None:
        """The agent does something."""
        request = self.way.asks("dana", "POST", path, {} if kind == "resolve" else None)
        act = self.truth.acted(Act(kind, "dana", path, 0.0, **of))
        await self.go("routing is asked", requests=[request])
        self.truth.tried(act, 200)

    async def points(self, part: str, **how: Any) -> list[Point]:
        """The points that this part would pass now: found in a copy, where it is done undisturbed."""
        given = await self.way.given(part, **how)
        async with self.rig.copy(self.way.database) as database:
            return (await self.rig.run(part, database, broken=self.build_of(part), **given)).points

    async def settle(self, relaying: tuple[str, ...] = SERVICES) -> None:
        """Everything that was said goes to the log, and everybody reads it, until nothing more comes of it."""
        while any(await asyncio.gather(*(self._relay(service) for service in relaying))) or not self.read:
            ends = await self.rig.ends()
            await asyncio.gather(*(self._read(service, ends) for service in SERVICES))

    async def _relay(self, service: str) -> bool:
        [row] = await self.way.rows(f"SELECT count(*) AS n FROM {service}.outbox")
        if row["n"]:
            await self.go(f"{service} relays")
        return bool(row["n"])

    async def _read(self, service: str, ends: dict[str, tuple[int, ...]]) -> None:
        if self.read.get(service) != ends:
            await self.go(f"{service} consumes", ends=ends)
            self.read[service] = ends

    async def judged(self) -> list[str]:
        """What the checker finds in the whole history."""
        system = System(
            folder=self.rig.folder,
            settings=Settings.model_validate({**self.rig.settings, "database": self.way.database}),
            database=self.way.database,
            ports={},
            keys={},
            environment={},
            mailbox=Mailbox(),
            texts=Texts(),
            twilio_token="",
        )
        return broken(await collect(system, self.truth, figures=False, seconds=1))
