"""Who looks at a ticket or writes on it, told to all whom it concerns, whichever process they are connected to.

The lease in the database is what counts; a signal tells of it, and says until when it holds. Signals are lost without harm: what
goes on is said again in half a lease, and what is over ends by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec
from aiokafka.errors import KafkaError

from services.routing.hub import Hub
from services.routing.settings import RoutingSettings
from services.routing.store import attending
from services.routing.store.streams import Told
from shared import db
from shared.clock import clock
from shared.deadlines import within
from shared.events.base import Event, Fact
from shared.events.signals import PresenceChanged
from shared.kafka import KafkaAway
from shared.service import Resources
from shared.signals import Signals
from shared.telemetry import log

LOOK_SECONDS = 1.0
AT_ONCE = 500
MOST_UNSAID = 1_000
BACK_OFF_SECONDS = 2.0
KIND = "presence.changed"


@dataclass(slots=True)
class Attendance:
    """One process's share of it."""

    parts: Resources
    settings: RoutingSettings
    hub: Hub
    signals: Signals
    _unsaid: deque[tuple[str, PresenceChanged]] = field(default_factory=lambda: deque(maxlen=MOST_UNSAID))
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, ticket_id: str, fact: PresenceChanged) -> None:
        """Have it said soon. Call it when the lease is committed."""
        self._unsaid.append((ticket_id, fact))
        self._wake.set()

    def tell_away(self, agent_id: str, ticket_ids: list[str]) -> None:
        """Have it said that the agent is at these tickets no more."""
        for ticket_id in ticket_ids:
            self.tell(ticket_id, PresenceChanged(agent_id=agent_id, doing="away"))

    async def run(self) -> None:
        """Say what is to be said, in order, and end the leases that are over; until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self.end_lapsed()
                except db.DatabaseAway as error:
                    log().warning("leases on tickets wait", error=type(error).__name__)
                await self._say_all()
                if not self._unsaid:
                    await self._rest()
        finally:
            await self.signals.stop()

    async def hear(self) -> None:
        """Pass on what any process says to those who are connected here, until cancelled; waits out a broker that is away."""
        while True:
            try:
                async with aclosing(self.signals.listen()) as heard:
                    async for event in heard:
                        await self.pass_on(event)
            except (KafkaAway, KafkaError, OSError) as error:
                log().info("signals are not heard", error=type(error).__name__)
            await asyncio.sleep(BACK_OFF_SECONDS)

    async def end_lapsed(self) -> None:
        """Leases that are over are gone, and that is told. Of several processes one does it. Raises DatabaseAway."""
        async with db.transaction(self.parts.engine) as conn:
            over = await attending.lapsed(conn, AT_ONCE)
        for ticket_id, agent_id in over:
            self.tell_away(agent_id, [ticket_id])

    async def pass_on(self, event: Event[Fact]) -> None:
        """Tell the other agents of the ticket who are connected here. What has ended meanwhile is not told as going on."""
        fact, here = event.data, self.hub.agents
        if not isinstance(fact, PresenceChanged) or not here - {fact.agent_id}:
            return
        try:
            async with db.reading(self.parts.engine) as conn:
                concerned = await attending.audience(conn, event.key, here - {fact.agent_id})
                now = await clock(conn)
        except db.DatabaseAway:
            return
        if fact.until is not None and fact.until <= now:
            return
        told = {"ticket_id": event.key, "agent_id": fact.agent_id, "doing": fact.doing, "until": fact.until}
        payload = msgspec.json.encode(told).decode()
        for agent_id in concerned:
            self.hub.pass_by(Told(agent_id, 0, KIND, payload, now))

    async def _say_all(self) -> None:
        """What the broker does not take now is not said; nor is what waits behind it, for that would be old by then."""
        while self._unsaid:
            ticket_id, fact = self._unsaid.popleft()
            if not await self.signals.say(ticket_id, fact):
                self._unsaid.clear()

    async def _rest(self) -> None:
        try:
            await within(self._wake.wait(), LOOK_SECONDS)
        except TimeoutError:
            return
