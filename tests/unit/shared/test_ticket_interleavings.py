"""A ticket is the same story from every interleaving of its writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.base import NOTHING_SEEN, Event, Fact, Position, Writer
from shared.events.call import CallAnswered
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketClosed,
    TicketExpelled,
    TicketLabelled,
    TicketMergedInto,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketReleased,
    TicketRenamed,
    TicketReopened,
    TicketResolved,
    TicketSplit,
    TicketUnmerged,
)
from shared.ticket import (
    RESTING,
    Status,
    Ticket,
    apply,
    awaits_answer,
)
from tests.counts import examples
from tests.unit.shared.tickets import START, absorbed, assigned, call, message, opened, queued, reply

INTAKE_SAYS: tuple[Fact, ...] = (
    message(),
    message(),
    message("auto_reply"),
    call(),
    CallAnswered(call_id="k", agent_id="dana"),
    absorbed(START),
    absorbed(None),
    TicketExpelled(ticket_id="other"),
    TicketSplit(into_ticket_id="t2", message_ids=("m",)),
    TicketClosed(reason="requested"),
    TicketMergedInto(into_ticket_id="t2"),
    TicketUnmerged(from_ticket_id="t2"),
    SpamMarked(by="rule"),
    TicketPrioritised(priority=4, previous=2),
    TicketLabelled(topic="refund", tags=("money",), fields={"order": "A-1"}),
)
ROUTING_SAYS: tuple[Fact, ...] = (
    queued(),
    assigned(),
    assigned("amir"),
    TicketReleased(agent_id="dana", reason="supervisor"),
    reply(),
    TicketResolved(),
    TicketPended(),
    TicketPutOnHold(),
    TicketReopened(),
    TicketPrioritised(priority=3, previous=2),
    SpamUnmarked(by="agent"),
    TicketLabelled(topic="invoice", tags=(), fields={"order": "", "site": "haifa"}),
    TicketRenamed(agent_id="dana"),
)


@dataclass(frozen=True)
class Streams:
    """What the two writers wrote, each event with what its writer had seen of the other."""

    intake: tuple[Event[Fact], ...]
    routing: tuple[Event[Fact], ...]


@st.composite
def streams(draw: st.DrawFn, most: int = 9) -> Streams:
    """Two writers at work at once: each step one writes, having read some more of what the other wrote before."""
    written: dict[Writer, list[Event[Fact]]] = {"intake": [], "routing": []}
    read: dict[Writer, int] = {"intake": 0, "routing": 0}
    for step in range(draw(st.integers(2, most))):
        writer: Writer = "intake" if step == 0 else draw(st.sampled_from(("intake", "routing")))
        other: Writer = "routing" if writer == "intake" else "intake"
        read[writer] = draw(st.integers(read[writer], len(written[other])))
        if writer == "routing" and read[writer] == 0:
            read[writer] = 1  # routing knows a ticket only from its opening
        fact = opened() if step == 0 else draw(st.sampled_from(INTAKE_SAYS if writer == "intake" else ROUTING_SAYS))
        mine = len(written[writer]) + 1
        written[writer].append(
            Event(
                id=f"{writer}-{mine}",
                type=fact.TYPE,
                writer=writer,
                position=Position(1, mine),
                key="t1",
                time=START + timedelta(seconds=step),
                data=fact,
                seen=Position(1, read[writer]) if read[writer] else NOTHING_SEEN,
            )
        )
    return Streams(tuple(written["intake"]), tuple(written["routing"]))


def interleavings(both: Streams, i: int = 0, r: int = 0) -> Iterator[tuple[Event[Fact], ...]]:
    """Every order of the log that keeps each writer's order and puts no event before what its writer had seen."""
    if i == len(both.intake) and r == len(both.routing):
        yield ()
        return
    if i < len(both.intake) and both.intake[i].seen.seq <= r:
        for rest in interleavings(both, i + 1, r):
            yield (both.intake[i], *rest)
    if r < len(both.routing) and both.routing[r].seen.seq <= i:
        for rest in interleavings(both, i, r + 1):
            yield (both.routing[r], *rest)


def told(log: tuple[Event[Fact], ...]) -> Ticket:
    ticket = Ticket()
    for event in log:
        ticket = apply(ticket, event)
    return ticket


def uncovered(log: tuple[Event[Fact], ...]) -> bool:
    """From the log alone: a customer who waits for an answer said something that the last decision had not seen."""
    asked = [e.position for e in log if awaits_answer(e.data) or _waits(e.data)]
    decisions = [e.seen for e in log if type(e.data) in RESTING]
    return bool(asked) and bool(decisions) and decisions[-1] < asked[-1]


def _waits(fact: Fact) -> bool:
    return isinstance(fact, TicketAbsorbed) and fact.unanswered_since is not None


@given(streams())
@settings(max_examples=examples(300), deadline=None)
def test_a_message_that_nothing_answered_is_never_in_a_resolved_ticket(both: Streams) -> None:
    for log in interleavings(both):
        ticket = told(log)
        if ticket.waiting_since is not None:
            assert ticket.status != "resolved"


@given(streams())
@settings(max_examples=examples(300), deadline=None)
def test_every_interleaving_of_the_two_writers_tells_the_same_ticket(both: Streams) -> None:
    tickets = {told(log) for log in interleavings(both)}
    assert len(tickets) == 1


@given(streams())
@settings(max_examples=examples(300), deadline=None)
def test_a_message_that_a_decision_had_not_seen_is_never_in_a_resting_ticket(both: Streams) -> None:
    for log in interleavings(both):
        for length in range(1, len(log) + 1):
            if uncovered(log[:length]):
                assert told(log[:length]).status not in ("resolved", "pending", "on_hold")


@given(streams())
@settings(max_examples=examples(200), deadline=None)
def test_a_ticket_rests_only_on_a_decision_that_stands(both: Streams) -> None:
    log = next(interleavings(both))
    rested = [e for e in log if type(e.data) in RESTING or isinstance(e.data, TicketReopened)]
    if told(log).status in ("resolved", "pending", "on_hold"):
        assert rested
        assert told(log).status == RESTING[type(rested[-1].data)]


def test_a_fold_that_did_not_look_at_seen_would_forget_a_customer() -> None:

    def careless(log: tuple[Event[Fact], ...]) -> Status:
        return told(tuple(replace(e, seen=Position(9, 9)) for e in log)).status

    crossing = Streams(
        intake=tuple(_at("intake", n, fact, 0) for n, fact in enumerate((opened(), message(), message()), 1)),
        routing=(_at("routing", 1, TicketResolved(), 2),),
    )
    assert {told(log).status for log in interleavings(crossing)} == {"open"}
    assert {careless(log) for log in interleavings(crossing)} == {"resolved"}


def _at(writer: Writer, n: int, fact: Fact, seen: int) -> Event[Fact]:
    return Event(
        id=f"{writer}-{n}",
        type=fact.TYPE,
        writer=writer,
        position=Position(1, n),
        key="t1",
        time=START + timedelta(seconds=n),
        data=fact,
        seen=Position(1, seen),
    )
