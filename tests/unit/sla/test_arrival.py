"""Promises do not depend on the order in which the two writers' facts arrive, nor on when the timers look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.domain.clocks import clock_id
from services.sla.domain.story import Story
from services.sla.domain.telling import ring
from shared.events.base import Draft, Event, Fact, Writer
from shared.events.call import CallAnswered
from shared.events.config import SlaTarget
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
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAssigned,
    TicketClosed,
    TicketMergedInto,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReopened,
    TicketResolved,
    TicketUnmerged,
)
from tests.counts import examples
from tests.unit.sla.desk import OFFICE, Desk, at, event, message, opened, policy, reply

START = at("09:00")
INTAKE_SAYS: tuple[Fact, ...] = (
    message(),
    message(),
    message("bulk"),
    CallAnswered(call_id="k", agent_id="dana"),
    TicketClosed(reason="requested"),
    TicketMergedInto(into_ticket_id="t2"),
    TicketUnmerged(from_ticket_id="t2"),
    SpamMarked(by="rule"),
)
ROUTING_SAYS: tuple[Fact, ...] = (
    reply(),
    reply(),
    reply("bot"),
    TicketResolved(),
    TicketPended(),
    TicketPutOnHold(),
    TicketReopened(),
    TicketPrioritised(priority=1, previous=2),
    TicketPrioritised(priority=3, previous=2),
    TicketPrioritised(priority=4, previous=2),
    TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START),
    TicketAssigned(agent_id="dana", how="accepted"),
    SpamUnmarked(by="agent"),
)
TARGETS = st.tuples(
    st.sampled_from(("resume", "restart")),
    st.sampled_from(((), ("pending",), ("pending", "on_hold"))),
    st.sampled_from(((), (80,), (50, 90))),
    st.sampled_from(("business", "calendar")),
)


@dataclass(frozen=True)
class Streams:
    """What the two writers wrote, each fact with its time and with what its writer had seen of the other."""

    intake: tuple[Event[Fact], ...]
    routing: tuple[Event[Fact], ...]

    def interleavings(self, i: int = 0, r: int = 0) -> Iterator[tuple[Event[Fact], ...]]:
        """Every order of the log that puts no fact before what its writer had seen."""
        if i == len(self.intake) and r == len(self.routing):
            yield ()
        if i < len(self.intake) and self.intake[i].seen.seq <= r:
            yield from ((self.intake[i], *rest) for rest in self.interleavings(i + 1, r))
        if r < len(self.routing) and self.routing[r].seen.seq <= i:
            yield from ((self.routing[r], *rest) for rest in self.interleavings(i, r + 1))


@st.composite
def streams(draw: st.DrawFn, most: int = 9) -> Streams:
    """Two writers at work at once, up to half an hour behind each other's back, the clock of one perhaps a little slow."""
    written: dict[Writer, list[Event[Fact]]] = {"intake": [], "routing": []}
    read: dict[Writer, int] = {"intake": 0, "routing": 1}
    when, slow = START, timedelta(minutes=draw(st.sampled_from((0, 0, 0, 3))))
    first: tuple[Fact, ...] = (opened(draw(st.sampled_from((1, 2, 3)))), message())
    for n in range(draw(st.integers(2, most))):
        writer: Writer = "intake" if n < len(first) else draw(st.sampled_from(("intake", "routing")))
        other: Writer = "routing" if writer == "intake" else "intake"
        read[writer] = draw(st.integers(min(read[writer], len(written[other])), len(written[other])))
        fact = first[n] if n < len(first) else draw(st.sampled_from(INTAKE_SAYS if writer == "intake" else ROUTING_SAYS))
        when += timedelta(minutes=draw(st.integers(0, 25)))
        mine = len(written[writer]) + 1
        written[writer].append(event(writer, mine, fact, when - slow if writer == "routing" else when, read[writer]))
    return Streams(tuple(written["intake"]), tuple(written["routing"]))


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """A policy of all three targets, at three of four priorities."""
    on_reopen, pause_on, warn, hours = draw(TARGETS)
    return Desk(
        policy(
            *(
                SlaTarget(
                    kind=kind,  # type: ignore[arg-type]
                    seconds={"2": minutes * 60, "3": minutes * 30, "4": minutes * 6},
                    warn_at_percent=warn,
                    pause_on=pause_on,  # type: ignore[arg-type]
                    on_reopen=on_reopen,  # type: ignore[arg-type]
                    hours=hours,  # type: ignore[arg-type]
                )
                for kind, minutes in (("first_response", 30), ("next_response", 20), ("resolution", 60))
            )
        ),
        draw(st.sampled_from((None, OFFICE))),
    )


def fresh(desk: Desk) -> Desk:
    return Desk(desk.policy, desk.calendar)


@given(desks(), streams())
@settings(max_examples=examples(150), deadline=None)
def test_every_order_of_arrival_comes_to_the_same_standing(desk: Desk, both: Streams) -> None:
    stories = set()
    for log in both.interleavings():
        told = fresh(desk)
        for fact in log:
            told.take(fact)
        stories.add(msgspec.json.encode((told.story.moments, told.story.standing)))
    assert len(stories) == 1


@dataclass
class Reader:
    """Somebody who knows of the clocks only what is published."""

    state: dict[str, str]
    left_us: dict[str, int]
    breaches: dict[str, datetime]

    def take(self, draft: Draft[Fact], now: datetime) -> None:
        fact = draft.data
        assert isinstance(fact, ClockFact)
        match fact:
            case ClockStarted() | ClockResumed():
                self.state[fact.clock_id] = f"running until {fact.deadline}"
            case ClockPaused():
                self.state[fact.clock_id] = f"paused with {fact.remaining_us}"
            case ClockMet():
                self.state[fact.clock_id] = f"kept at {fact.met_at} after {fact.elapsed_us}"
            case ClockCancelled():
                self.state[fact.clock_id] = f"cancelled {fact.reason}"
            case SlaBreachCleared():
                assert fact.clock_id in self.breaches
                self.state[fact.clock_id] = f"cleared at {fact.fulfilled_at} after {fact.elapsed_us}"
            case SlaBreached():
                assert fact.clock_id not in self.breaches, "a breach is told once"
                assert draft.time is not None
                assert fact.deadline <= draft.time <= now, "and never early"
                self.breaches[fact.clock_id] = fact.deadline
            case SlaBreachRetracted():
                assert self.breaches.pop(fact.clock_id) == fact.deadline
            case SlaWarned():
                assert draft.time is not None
                assert draft.time <= now


def truth(story: Story) -> tuple[dict[str, str], dict[str, datetime]]:
    """State and breach of each clock that is kept, as the facts have it, when nothing more will come."""
    states, breaches = {}, {}
    for clock in story.standing.clocks:
        identity = clock_id("t1", clock.target, clock.cycle)
        if clock.breach is not None:
            breaches[identity] = clock.breach.at
        elif clock.state == "running":
            breaches[identity] = clock.deadline
        states[identity] = {
            "running": f"running until {clock.deadline}",
            "paused": f"paused with {clock.remaining_us}",
            "cancelled": f"cancelled {clock.stopped}",
            "fulfilled": f"{'cleared' if clock.breach else 'kept'} at {clock.ended_at} after {clock.used_us}",
        }[clock.state]
    return states, breaches


@given(desks(), streams(), st.lists(st.integers(0, 240), max_size=12), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_what_was_published_ends_in_agreement_with_the_facts(
    desk: Desk, both: Streams, looks: list[int], data: st.DataObject
) -> None:
    """Whatever the order of arrival and whenever the timers looked, too early for some facts as it may have been."""
    log = data.draw(st.sampled_from(list(both.interleavings())))
    told, reader = fresh(desk), Reader({}, {}, {})
    now = START

    def read() -> None:
        for draft in told.said:
            reader.take(draft, now)
        told.said.clear()

    for n, fact in enumerate(log):
        now = max(now, fact.time)
        told.take(fact, now)
        read()
        if n < len(looks):
            now = max(now, START + timedelta(minutes=looks[n]))
            told.story, said = ring(told.story, told.terms, now, now)
            told.said += said
            read()
    now = at("Fri 09:00") + timedelta(days=365)
    told.story, said = ring(told.story, told.terms, now, now)
    told.said += said
    read()
    states, breaches = truth(told.story)
    assert {identity: reader.state[identity] for identity in states} == states
    assert {identity: when for identity, when in reader.breaches.items() if identity in states} == breaches
    assert told.due is None
