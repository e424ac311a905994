"""Promises about time: a timer fires zero or one time as its final state says, never early, and none is left behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from shared.events.base import NOTHING_SEEN, Fact, Position
from shared.events.call import CallAnswered
from shared.events.message import ReplyRequested
from shared.events.sla import (
    ClockCancelled,
    ClockFact,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
    SlaWarned,
)
from shared.events.work import OfferExpired, TicketOffered
from shared.ticket import awaits_answer
from tests.faults.index import Index
from tests.faults.log import Record
from tests.faults.tables import ClockRow

LATE = timedelta(seconds=5)  # how long after its instant a timer may still be on its way when all is quiet
MILLISECOND = timedelta(milliseconds=1)  # a record's own time has no more digits
STATES: dict[type[Fact], str] = {
    ClockStarted: "running",
    ClockResumed: "running",
    ClockPaused: "paused",
    ClockMet: "fulfilled",
    ClockCancelled: "cancelled",
}
Name = tuple[str, str, int]  # ticket, target, cycle


@dataclass(slots=True)
class Told:
    """All that was published of one clock, each topic in its order."""

    clock: list[ClockFact] = field(default_factory=list)
    warned: list[SlaWarned] = field(default_factory=list)
    broken: list[ClockFact] = field(default_factory=list)

    @property
    def breach(self) -> SlaBreached | None:
        """The breach that stands: published, and not retracted since."""
        standing: SlaBreached | None = None
        for fact in self.broken:
            if isinstance(fact, SlaBreached):
                standing = fact
            elif isinstance(fact, SlaBreachRetracted):
                standing = None
        return standing

    @property
    def deadline(self) -> datetime | None:
        """The last deadline that was given."""
        given = [fact.deadline for fact in self.clock if isinstance(fact, ClockStarted | ClockResumed)]
        return given[-1] if given else None


@lru_cache(maxsize=1)
def clocks_of(index: Index) -> dict[Name, Told]:
    """What the log says of each clock."""
    clocks: dict[Name, Told] = defaultdict(Told)
    for record in index.once:
        fact = record.event.data
        if isinstance(fact, ClockFact):
            told = clocks[record.event.key, fact.target, fact.cycle]
            if isinstance(fact, SlaWarned):
                told.warned.append(fact)
            elif isinstance(fact, SlaBreached | SlaBreachRetracted | SlaBreachCleared):
                told.broken.append(fact)
            else:
                told.clock.append(fact)
    return dict(clocks)


def fate(told: Told) -> str:
    """What became of a promise: open, kept, broken, broken and open (nobody has done it yet), or nothing."""
    last = told.clock[-1] if told.clock else None
    cleared = any(isinstance(fact, SlaBreachCleared) for fact in told.broken)
    is_open = isinstance(last, ClockStarted | ClockResumed | ClockPaused) and not cleared
    if told.breach is not None:
        return "broken and open" if is_open else "broken"
    return "open" if is_open else "kept" if isinstance(last, ClockMet) else "nothing"


def once(index: Index) -> Iterator[str]:
    """A warning of one share of one target, and a breach, come once; a breach again only after it was taken back."""
    for name, told in clocks_of(index).items():
        shares = [(fact.at_percent, fact.remaining_us) for fact in told.warned]
        for share in {share for share in shares if shares.count(share) > 1}:
            yield f"{name}: warned of {share[0]} % {shares.count(share)} times"
        standing = False
        for fact in told.broken:
            if isinstance(fact, SlaBreached) and standing:
                yield f"{name}: broken twice"
            if not isinstance(fact, SlaBreached) and not standing:
                yield f"{name}: {fact.TYPE} of a promise that was not broken"
            standing = not isinstance(fact, SlaBreachRetracted)


def never_early(index: Index) -> Iterator[str]:
    """A breach happened at its deadline and was published after it; a warning and an expiry likewise at their instants."""
    if index.history.clock_moved:
        return
    for breach in index.said(SlaBreached):
        if breach.event.time != breach.fact.deadline:
            yield f"ticket {breach.key}: broken at {breach.event.time}, its deadline was {breach.fact.deadline}"
        yield from _published(breach.record)
    for warning in index.said(SlaWarned):
        if warning.event.time > warning.fact.deadline:
            yield f"ticket {warning.key}: warned at {warning.event.time}, after its deadline {warning.fact.deadline}"
        yield from _published(warning.record)
    expiry = {said.fact.offer_id: said.fact.expires_at for said in index.said(TicketOffered)}
    for expired in index.said(OfferExpired):
        if expired.event.time < expiry.get(expired.fact.offer_id, expired.event.time):
            yield f"ticket {expired.key}: offer {expired.fact.offer_id} expired before its time"


def _published(record: Record) -> Iterator[str]:
    if record.at + MILLISECOND < record.event.time:
        yield f"ticket {record.event.key}: {record.event.type} of {record.event.time} was published at {record.at}"


def final_state(index: Index) -> Iterator[str]:
    """A promise kept is not broken, one that was broken is not called kept; the tables say what the log says."""
    clocks, rows = clocks_of(index), {(row.ticket_id, row.target, row.cycle): row for row in index.tables.clocks}
    for name, told in clocks.items():
        last, breach = told.clock[-1] if told.clock else None, told.breach
        met = isinstance(last, ClockMet)
        if met and breach is not None:
            yield f"{name}: kept, and broken"
        if isinstance(last, ClockMet) and last.met_at > last.deadline:
            yield f"{name}: kept at {last.met_at}, after its deadline {last.deadline}"
        row = rows.get(name)
        if row is not None:
            yield from _row(name, told, row)
        elif breach is not None or isinstance(last, ClockStarted | ClockResumed | ClockPaused):
            yield f"{name} is on the log and not in the table"
    for name in rows.keys() - clocks.keys():
        yield f"{name} is in the table and not on the log"


def _row(name: Name, told: Told, row: ClockRow) -> Iterator[str]:
    breach, last = told.breach, told.clock[-1] if told.clock else None
    if row.breached_at != (breach.deadline if breach else None):
        yield f"{name}: broken at {row.breached_at} in the table, {breach and breach.deadline} on the log"
    cleared = any(isinstance(fact, SlaBreachCleared) for fact in told.broken)
    state = STATES[type(last)] if last is not None else None
    if row.state != state and not (row.state == "fulfilled" and cleared):
        yield f"{name} is {row.state} in the table, {state} on the log"
    if row.state == "running" and breach is None and row.deadline != told.deadline:
        yield f"{name}: due at {row.deadline} in the table, {told.deadline} on the log"


def none_left(index: Index) -> Iterator[str]:
    """When all is quiet no timer is overdue, and no promise ran out without a word."""
    if index.history.clock_moved:
        return
    now = index.tables.at
    for ticket_id, due_at in index.tables.timers.items():
        if due_at < now - LATE:
            yield f"ticket {ticket_id}: the timer of {due_at} has not fired at {now}"
    for row in index.tables.clocks:
        if row.state == "running" and row.breached_at is None and row.deadline < now - LATE:
            yield f"ticket {row.ticket_id}: {row.target} {row.cycle} ran out at {row.deadline} and nobody said so"


def first_responses(index: Index) -> Iterator[str]:
    """A first response is called late exactly when the ticket's own log says that it came after its deadline, or not at all.

    Judged where the deadline never moved: of clocks that were not paused, retargeted or cancelled.
    """
    if index.history.clock_moved:
        return
    for (ticket_id, target, _), told in clocks_of(index).items():
        moved = any(not isinstance(fact, ClockMet) for fact in told.clock[1:])
        if target != "first_response" or moved or told.deadline is None:
            continue
        responded = _first_response(index.by_ticket.get(ticket_id, []))
        if responded is None and index.tables.at <= told.deadline + LATE:
            continue
        late = responded is None or responded > told.deadline
        if late != (told.breach is not None):
            fate = "broken" if told.breach else "kept"
            yield f"ticket {ticket_id}: first response at {responded}, due {told.deadline}, called {fate}"


def _first_response(records: list[Record]) -> datetime | None:
    """When an agent answered what the customer asked first: by a reply that had seen it, or by talking."""
    asked: Position | None = None
    for record in records:
        if awaits_answer(record.event.data):
            asked = record.event.position
            break
    for record in records if asked is not None else ():
        fact = record.event.data
        if isinstance(fact, CallAnswered) and fact.agent_id is not None:
            return record.event.time
        if isinstance(fact, ReplyRequested) and fact.by == "agent" and record.event.seen >= (asked or NOTHING_SEEN):
            return record.event.time
    return None
