"""What time alone brings about: warnings and breaches, on PostgreSQL's clock, never early, once.

A timer fires when its ticket's facts of before the deadline were read: after the deadline the broker is asked where the
log ends, and the partition's timers up to then fire when it was read that far. Any process may do it; a lock on the
ticket makes sure that one does, and orders it with the facts that come in. A log that cannot be read holds timers back, but not
for ever: after `sla_hold_at_most_seconds` they fire as unconfirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla.domain.policies import Book
from services.sla.domain.story import Story
from services.sla.domain.telling import ring
from services.sla.settings import SlaSettings
from services.sla.store import tickets, timers
from services.sla.store.definitions import Shelf
from services.sla.store.timers import Claimed, Due, Reach
from shared import db
from shared.clock import clock
from shared.deadlines import within
from shared.events.base import Draft, Fact
from shared.events.sla import SlaBreached, SlaWarned
from shared.outbox import Outbox
from shared.telemetry import log

FIRED = Counter("patchbay_sla_fired", "Warnings and breaches that timers published", ["kind", "unconfirmed"])
LATE_SECONDS = Histogram(
    "patchbay_sla_late_seconds",
    "How long after their instant warnings and breaches were published",
    ["kind"],
    buckets=(0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 900, 3600),
)
OVERDUE_SECONDS = Gauge("patchbay_sla_overdue_seconds", "Age of the oldest timer that is due and has not fired")

LOOK_SECONDS = 1.0
SPACING_SECONDS = 0.02
HELD_SECONDS = 0.05
AWAY_SECONDS = 0.5
ALARM_SECONDS = 5.0
POSTPONED = timedelta(minutes=1)
HELD = "timers are held: facts that could disprove them have not been read yet"
GONE_BACK = "the database's clock went back; no timer fires until it is where it was"
AskEnds = Callable[[], Awaitable[Mapping[int, int] | None]]
Take = Callable[[AsyncConnection], Awaitable[list[Claimed]]]


class Mark(NamedTuple):
    """Where the log of a partition ended at an instant: when it was read that far, all before the instant is known."""

    asked_at: datetime
    end: int


@dataclass(slots=True)
class Alarm:
    """One thing that is wrong, said once until it is well again."""

    what: str
    rung: bool = False

    def ring(self, by: timedelta) -> None:
        """It is wrong, by so much."""
        if not self.rung:
            self.rung = True
            log().error(self.what, seconds=round(by.total_seconds(), 3))

    def end(self) -> None:
        """It is well again."""
        self.rung = False


@dataclass(slots=True)
class Ticker:
    """Fires timers until cancelled. `ends` asks the broker."""

    engine: AsyncEngine
    outbox: Outbox
    settings: SlaSettings
    ends: AskEnds
    _shelf: Shelf = field(default_factory=Shelf)
    _marks: dict[int, Mark] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _sleeps_until: datetime | None = None
    _held: Alarm = field(default_factory=lambda: Alarm(HELD))
    _gone_back: Alarm = field(default_factory=lambda: Alarm(GONE_BACK))
    _turned: float = field(default_factory=time.monotonic)

    @property
    def grace(self) -> timedelta:
        """How long after its instant a timer fires at the earliest."""
        return timedelta(milliseconds=self.settings.sla_grace_ms)

    def healthy(self) -> bool:
        """Whether the loop turned lately."""
        return time.monotonic() - self._turned < 60

    def armed(self, due: datetime | None) -> None:
        """A timer was set: look again if it comes before what is slept for."""
        if due is not None and (self._sleeps_until is None or due < self._sleeps_until):
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled; waits out a database that is away."""
        while True:
            try:
                pause = await self.tick()
            except db.DatabaseAway as error:
                log().warning("timers wait for the database", error=type(error).__name__)
                pause = LOOK_SECONDS
            self._turned = time.monotonic()
            await asyncio.sleep(SPACING_SECONDS)
            with suppress(TimeoutError):
                await within(self._wake.wait(), max(0.0, pause - SPACING_SECONDS))
            self._wake.clear()

    async def tick(self) -> float:
        """Fire what may fire now. Returns the seconds after which to look again."""
        async with db.transaction(self.engine) as conn:
            look = await timers.look_at_timers(conn, self.settings.partitions)
        if look.gone_back:
            self._gone_back.ring(look.gone_back)
            return LOOK_SECONDS
        self._gone_back.end()
        overdue = [due for due in look.due if due.at <= look.now - self.grace]
        OVERDUE_SECONDS.set(max(((look.now - due.at).total_seconds() for due in overdue), default=0.0))
        if not overdue:
            self._held.end()
            return self._until_next(look.now, look.due)
        answered = await self._ask(look.now, overdue)
        fired = await self._fire_read(overdue)
        fired += await self._fire_held(look.now, overdue)
        if fired:
            return 0.0
        oldest = look.now - min(due.at for due in overdue)
        if oldest.total_seconds() > ALARM_SECONDS:
            self._held.ring(oldest)
        return HELD_SECONDS if answered else AWAY_SECONDS

    def _until_next(self, now: datetime, due: Sequence[Due]) -> float:
        self._sleeps_until = min((d.at for d in due), default=None)
        if self._sleeps_until is None:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, (self._sleeps_until + self.grace - now).total_seconds())

    async def _ask(self, now: datetime, overdue: Sequence[Due]) -> bool:
        """Have a mark of after its first due instant for each partition. An older mark that still serves is kept: on a
        log that never stops, asking anew each time would never see it read to its end. False when the broker is away.
        """
        unmarked = [due.partition for due in overdue if not self._serves(due)]
        if not unmarked:
            return True
        ends = await self.ends()
        if ends is None:
            return False
        self._marks.update({partition: Mark(now, ends[partition]) for partition in unmarked if partition in ends})
        return True

    def _serves(self, due: Due) -> bool:
        mark = self._marks.get(due.partition)
        return mark is not None and due.at <= mark.asked_at - self.grace

    async def _fire_read(self, overdue: Sequence[Due]) -> int:
        marked = [(due.partition, self._marks[due.partition]) for due in overdue if self._serves(due)]
        reaches = [Reach(partition, mark.end, mark.asked_at - self.grace) for partition, mark in marked]
        if not reaches:
            return 0
        return await self._fire(lambda conn: timers.claim(conn, reaches, self.settings.sla_timers_at_once))

    async def _fire_held(self, now: datetime, overdue: Sequence[Due]) -> int:
        through = now - timedelta(seconds=self.settings.sla_hold_at_most_seconds)
        if not any(due.at <= through for due in overdue):
            return 0
        partitions, most = self.settings.partitions, self.settings.sla_timers_at_once
        return await self._fire(lambda conn: timers.claim_held(conn, through, partitions, most), unconfirmed=True)

    async def _fire(self, take: Take, *, unconfirmed: bool = False) -> int:
        """Claim until there is nothing more to claim; a burst by two transactions at a time, as one mostly waits for the
        database. Returns how many tickets' timers fired.
        """
        fired = await db.retrying(lambda: self._transaction(take, unconfirmed))
        if not fired:
            return 0
        return fired + sum(await asyncio.gather(self._drain(take, unconfirmed), self._drain(take, unconfirmed)))

    async def _drain(self, take: Take, unconfirmed: bool) -> int:
        total = 0
        while fired := await db.retrying(lambda: self._transaction(take, unconfirmed)):
            total += fired
        return total

    async def _transaction(self, take: Take, unconfirmed: bool) -> int:
        async with db.transaction(self.engine) as conn:
            claimed = await take(conn)
            if not claimed:
                return 0
            book, now = await self._shelf.book(conn), await clock(conn)
            drafts: list[Draft[Fact]] = []
            stories: list[Story] = []
            for one in claimed:
                try:
                    story, said = _ring(one, book, now, unconfirmed)
                except Exception as error:  # noqa: BLE001 - one ticket that cannot be told must not hold up all others
                    log().error("timer postponed", ticket_id=one.story.ticket_id, error=type(error).__name__, exc_info=True)
                    await timers.postpone(conn, one.story.ticket_id, self.settings.partitions, now + POSTPONED)
                    continue
                stories.append(story)
                drafts += said
            if stories:
                before = {one.story.ticket_id: one.story for one in claimed}
                await tickets.save_stories(conn, stories, self.settings.partitions, now, before, timers_taken=True)
            await self.outbox.publish(conn, drafts, now)
        _count(drafts)
        return len(claimed)


def _ring(claimed: Claimed, book: Book, now: datetime, unconfirmed: bool) -> tuple[Story, list[Draft[Fact]]]:
    story = claimed.story
    if story.promise is None:
        return story, []
    return ring(story, book.terms(story.promise), now, claimed.through, unconfirmed=unconfirmed)


def _count(drafts: Sequence[Draft[Fact]]) -> None:
    for draft in drafts:
        fact = draft.data
        if isinstance(fact, SlaBreached | SlaWarned):
            kind = "breach" if isinstance(fact, SlaBreached) else "warning"
            FIRED.labels(kind, str(fact.unconfirmed).lower()).inc()
            LATE_SECONDS.labels(kind).observe(fact.published_late_us / 1e6)
