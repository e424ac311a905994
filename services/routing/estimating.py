"""The pass over those who wait: what ended is counted, and whoever waits on a live channel is told their place and wait.

Of all processes one makes it at a time (a row that it claims and holds), every `routing_wait_seconds`; if it dies another one
does when that time is over. All that it knows is in PostgreSQL. Reads and writes are one statement each, however many wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain import sending
from services.routing.domain.estimates import Seen
from services.routing.domain.waiting import (
    WAITED_ON,
    Answered,
    Ended,
    Line,
    Saying,
    Scores,
    newcomer,
    order_of,
    saw,
    scored,
    tellings,
)
from services.routing.settings import RoutingSettings
from services.routing.store import config, estimates, waits
from services.routing.store.waits import InLine
from shared import db
from shared.events.base import Channel
from shared.events.config import QueueConfigured
from shared.events.signals import PositionEstimated
from shared.service import Resources
from shared.signals import Signals
from shared.telemetry import log

ENDED_AT_ONCE = 10_000
HANDLED_AT_ONCE = 1_000
SAID_AT_ONCE = 500
SCORED_DAYS = 14
COUNTED_FOR_SECONDS = 10.0
BACK_OFF_SECONDS = 1.0
USUAL: Channel = "phone"  # of a queue in which nobody waits

PASS_SECONDS = Histogram(
    "patchbay_wait_pass_seconds",
    "Time of a pass over those who wait, without what it publishes",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2),
)
SAID = Counter("patchbay_waits_said", "Estimates of waits published")


@dataclass(slots=True)
class Estimator:
    """Makes passes until cancelled."""

    parts: Resources
    settings: RoutingSettings
    signals: Signals
    _queues: config.QueueShelf = field(default_factory=config.QueueShelf)
    _servers: dict[str, tuple[datetime, Channel, tuple[int, int]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        try:
            while True:
                pause = self.settings.routing_wait_seconds
                try:
                    await self.once()
                except db.DatabaseAway as error:
                    log().warning("waits are not estimated", error=type(error).__name__)
                    pause = BACK_OFF_SECONDS
                await asyncio.sleep(pause)
        finally:
            await self.signals.stop()

    async def once(self) -> int:
        """A pass, where it is time and nobody else is at it; then what is news is published. Returns of how many tickets. Raises
        DatabaseAway. What is not taken by the broker is said again by the next pass.
        """
        made = await db.retrying(self.look)
        if made is None:
            return 0
        sayings, now = made
        published = 0
        for start in range(0, len(sayings), SAID_AT_ONCE):
            some = sayings[start : start + SAID_AT_ONCE]
            if not await self.signals.say_all([_signal(one) for one in some]):
                break
            async with db.transaction(self.parts.engine) as conn:
                await waits.heard(conn, some, now)
            published += len(some)
        SAID.inc(published)
        return published

    async def look(self) -> tuple[list[Saying], datetime] | None:
        """A pass: what is to be said of whom, which is kept by now, and as of when. None where it is not time, or another process
        is at it.
        """
        async with db.transaction(self.parts.engine) as conn:
            now = await waits.claim(conn, self.settings.routing_wait_seconds)
            if now is None:
                return None
            with PASS_SECONDS.time():
                return await self._estimate(conn, now), now

    async def _estimate(self, conn: AsyncConnection, now: datetime) -> list[Saying]:
        queues = {queue.id: queue for queue in await self._queues.of(conn, await config.version(conn))}
        ended = await waits.take_ended(conn, ENDED_AT_ONCE)
        await _score(conn, ended, now)
        await waits.save_minutes(conn, _minutes(ended, queues))
        asking = [queue.id for queue in queues.values() if sending.by_wait(queue)]
        standing, heads = await waits.places(conn, WAITED_ON, asking, self.settings.routing_wait_tickets)
        seen = await _seen(conn, queues, ended, {*heads, *asking})
        told_of = {one: queues[one] for one in {*heads, *asking} if one in queues}
        lines = await self._lines(conn, told_of, seen, heads, now)
        told: list[Saying] = []
        for start in range(0, len(standing), SAID_AT_ONCE):
            told += tellings(lines, standing[start : start + SAID_AT_ONCE], now)
            await asyncio.sleep(0)  # others of this process have their turn
        await waits.say(conn, told, now)
        foreseen = {one: newcomer(line, now) for one, line in lines.items()}
        await waits.save_lines(conn, {one: (after, foreseen.get(one)) for one, after in seen.items()}, now)
        return told

    async def _lines(
        self,
        conn: AsyncConnection,
        queues: Mapping[str, QueueConfigured],
        seen: Mapping[str, Seen],
        heads: Mapping[str, InLine],
        now: datetime,
    ) -> dict[str, Line]:
        """The queues as estimators look at them; who serves them is counted anew now and then."""
        channels = _channels(queues, heads)
        old = {one: channel for one, channel in channels.items() if not self._counted(one, channel, now)}
        counted = await waits.servers(conn, {one: (queues[one], channel) for one, channel in old.items()})
        self._servers |= {one: (now, channel, counted.get(one, (0, 0))) for one, channel in old.items()}
        servers = {one: self._servers[one][2] for one in queues}
        return _lines(queues, seen, servers, await estimates.last_scores(conn, queues, SCORED_DAYS), heads, now)

    def _counted(self, queue_id: str, channel: Channel, now: datetime) -> bool:
        known = self._servers.get(queue_id)
        return known is not None and known[1] == channel and abs((now - known[0]).total_seconds()) < COUNTED_FOR_SECONDS


async def lines_now(
    conn: AsyncConnection, queues: Mapping[str, QueueConfigured], heads: Mapping[str, InLine], now: datetime
) -> dict[str, Line]:
    """These queues as estimators look at them: what was seen of them, who serves, who waits."""
    channels = _channels(queues, heads)
    servers = await waits.servers(conn, {one: (queue, channels[one]) for one, queue in queues.items()})
    scores = await estimates.last_scores(conn, queues, SCORED_DAYS)
    return _lines(queues, await waits.seen(conn, queues), servers, scores, heads, now)


def _channels(queues: Iterable[str], heads: Mapping[str, InLine]) -> dict[str, Channel]:
    return {one: heads[one].channel if one in heads else USUAL for one in queues}


def _lines(
    queues: Mapping[str, QueueConfigured],
    seen: Mapping[str, Seen],
    servers: Mapping[str, tuple[int, int]],
    scores: Scores,
    heads: Mapping[str, InLine],
    now: datetime,
) -> dict[str, Line]:
    return {
        one: Line(
            queue=queue,
            seen=seen.get(one, Seen()),
            order=order_of(queue.estimator, scores.in_queue(one)),
            servers=servers.get(one, (0, 0))[0],
            free=servers.get(one, (0, 0))[1],
            waiting=heads[one].waiting if one in heads else 0,
            oldest_waits_seconds=(now - heads[one].head_since).total_seconds() if one in heads else None,
        )
        for one, queue in queues.items()
    }


async def _seen(
    conn: AsyncConnection, queues: Collection[str], ended: Sequence[Ended], told_of: Collection[str]
) -> dict[str, Seen]:
    """What was seen of the queues that somebody is told of, and of those in which something ended, after it."""
    by_queue: dict[str, list[Ended]] = {}
    for one in ended:
        by_queue.setdefault(one.queue_id, []).append(one)
    handled = await waits.handled(conn, HANDLED_AT_ONCE)
    concerned = [one for one in {*by_queue, *handled, *told_of} if one in queues]
    known = await waits.seen(conn, concerned)
    return {one: saw(known.get(one, Seen()), by_queue.get(one, ()), handled.get(one, ())) for one in concerned}


async def _score(conn: AsyncConnection, ended: Sequence[Ended], now: datetime) -> None:
    scores = Scores()
    for queue_id, given, waited_seconds in await waits.end(conn, ended):
        scores.add(queue_id, scored(given, waited_seconds))
    await waits.save_scores(conn, scores.of, now)


def _minutes(ended: Iterable[Ended], queues: Mapping[str, QueueConfigured]) -> dict[tuple[str, datetime], Answered]:
    minutes: dict[tuple[str, datetime], Answered] = {}
    for one in ended:
        promised = queues[one.queue_id].service_level_seconds if one.queue_id in queues else None
        if promised is not None:
            minutes.setdefault((one.queue_id, one.at.replace(second=0, microsecond=0)), Answered()).add(one, promised)
    return minutes


def _signal(saying: Saying) -> tuple[str, PositionEstimated]:
    ticket, told = saying.ticket, saying.told
    fact = PositionEstimated(
        queue_id=ticket.queue_id,
        position=told.place,
        wait_seconds=round(told.seconds) if told.seconds is not None else None,
        estimator=told.estimator,
    )
    return ticket.ticket_id, fact
