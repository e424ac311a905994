"""A ticket is the fold of its log: every transition in a table, and the same story from every interleaving of its writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.base import NOTHING_SEEN, Event, Fact, Position, Writer
from shared.events.call import CallAnswered, CallReceived
from shared.events.message import MessageReceived, NoteAdded, Origin, ReplyRequested
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketCustomerChanged,
    TicketExpelled,
    TicketMergedInto,
    TicketOpened,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketReopened,
    TicketResolved,
    TicketSplit,
    TicketUnmerged,
    TicketWithdrawn,
)
from shared.ticket import (
    ALLOWED,
    RESTING,
    Command,
    CommandRefused,
    IllegalFact,
    Status,
    Ticket,
    apply,
    awaits_answer,
    check,
)
from tests.counts import examples

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STATUSES: tuple[Status, ...] = get_args(Status)
COMMANDS: tuple[Command, ...] = get_args(Command)


def opened() -> TicketOpened:
    return TicketOpened(number=100234, customer_id="c1", channel="email", inbox="support", priority=2)


def message(origin: Origin = "human") -> MessageReceived:
    return MessageReceived(message_id="m", customer_id="c1", channel="email", inbox="support", provider="smtp", origin=origin)


def call() -> CallReceived:
    return CallReceived(call_id="k", customer_id="c1", inbox="line", provider="twilio", provider_ref="CA1")


def reply() -> ReplyRequested:
    return ReplyRequested(message_id="r", agent_id="dana", customer_id="c1", channel="email")


def queued() -> TicketQueued:
    return TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START)


def assigned(agent_id: str = "dana") -> TicketAssigned:
    return TicketAssigned(agent_id=agent_id, how="accepted", queue_id="support", team_id="first-line")


def absorbed(unanswered_since: datetime | None) -> TicketAbsorbed:
    return TicketAbsorbed(
        ticket_id="other",
        number=100200,
        opened_at=START,
        unanswered_since=unanswered_since,
        first_responded_at=None,
        first_response_us=None,
        interactions=1,
        replies=0,
        reply_us_sum=0,
        reply_us_count=0,
    )


@dataclass
class Log:
    """Both writers' facts as they come, each writer seeing all that stands before."""

    ticket: Ticket = field(default_factory=Ticket)
    positions: dict[Writer, Position] = field(default_factory=dict)
    at: datetime = START

    def say(self, writer: Writer, fact: Fact, seen: Position | None = None) -> Log:
        other: Writer = "routing" if writer == "intake" else "intake"
        self.at += timedelta(seconds=1)
        before = self.positions.get(writer, Position(1, 0))
        self.positions[writer] = Position(before.incarnation, before.seq + 1)
        self.ticket = apply(
            self.ticket,
            Event(
                id=f"{writer}-{self.positions[writer]}",
                type=fact.TYPE,
                writer=writer,
                position=self.positions[writer],
                key="t1",
                time=self.at,
                data=fact,
                seen=self.positions.get(other, NOTHING_SEEN) if seen is None else seen,
            ),
        )
        return self

    def now(self) -> Status:
        return self.ticket.status

    def intake(self, *facts: Fact) -> Log:
        for fact in facts:
            self.say("intake", fact)
        return self

    def routing(self, *facts: Fact, seen: Position | None = None) -> Log:
        for fact in facts:
            self.say("routing", fact, seen)
        return self


def ticket_that_is(status: Status) -> Log:
    """A ticket brought to `status` in the ordinary way."""
    log = Log().intake(opened(), message())
    if status == "new":
        return log
    log.routing(queued(), assigned())
    match status:
        case "pending":
            log.routing(TicketPended(agent_id="dana"))
        case "on_hold":
            log.routing(TicketPutOnHold(agent_id="dana"))
        case "resolved":
            log.routing(TicketResolved(agent_id="dana"))
        case "closed":
            log.routing(TicketResolved(agent_id="dana")).intake(TicketClosed(reason="resolved_long_ago"))
        case _:
            pass
    return log


SAME = "same"
# fact → status after it, for a ticket that was: new, open, pending, on_hold, resolved, closed.
FACTS: list[tuple[str, Writer, Fact, tuple[str, str, str, str, str, str]]] = [
    ("a person's message", "intake", message(), ("new", "open", "open", "open", "open", "closed")),
    ("a call", "intake", call(), ("new", "open", "open", "open", "open", "closed")),
    ("a machine's message", "intake", message("out_of_office"), (SAME,) * 6),
    ("talk with an agent", "intake", CallAnswered(call_id="k", agent_id="dana"), (SAME,) * 6),
    ("an absorbed ticket that waits", "intake", absorbed(START), ("new", "open", "open", "open", "open", "closed")),
    ("an absorbed ticket that does not wait", "intake", absorbed(None), (SAME,) * 6),
    ("closed", "intake", TicketClosed(reason="requested"), ("closed",) * 6),
    ("merged", "intake", TicketMergedInto(into_ticket_id="t2"), ("closed",) * 6),
    ("unmerged", "intake", TicketUnmerged(from_ticket_id="t2"), (SAME,) * 6),
    ("gave an absorbed ticket back", "intake", TicketExpelled(ticket_id="other"), (SAME,) * 6),
    ("messages split off", "intake", TicketSplit(into_ticket_id="t2", message_ids=("m",)), (SAME,) * 6),
    ("withdrawn", "intake", TicketWithdrawn(reason="cancelled"), (SAME,) * 6),
    ("marked as spam by a rule", "intake", SpamMarked(by="rule"), (SAME,) * 6),
    (
        "of another customer",
        "intake",
        TicketCustomerChanged(customer_id="c2", previous="c1", reason="corrected"),
        (SAME,) * 6,
    ),
    ("a reply", "routing", reply(), (SAME,) * 6),
    ("a note", "routing", NoteAdded(note_id="n", agent_id="dana"), (SAME,) * 6),
    ("queued", "routing", queued(), (SAME,) * 6),
    ("assigned", "routing", assigned("amir"), ("open", "open", SAME, SAME, SAME, "closed")),
    ("released", "routing", TicketReleased(agent_id="dana", reason="supervisor"), (SAME,) * 6),
    ("prioritised", "routing", TicketPrioritised(priority=4, previous=2), (SAME,) * 6),
    ("marked as spam by an agent", "routing", SpamMarked(by="agent"), (SAME,) * 6),
    ("no spam after all", "routing", SpamUnmarked(by="agent"), (SAME,) * 6),
    ("resolved", "routing", TicketResolved(), ("resolved",) * 5 + ("closed",)),
    ("pended", "routing", TicketPended(), ("pending",) * 5 + ("closed",)),
    ("put on hold", "routing", TicketPutOnHold(), ("on_hold",) * 5 + ("closed",)),
    ("reopened", "routing", TicketReopened(), ("new", "open", "open", "open", "open", "closed")),
]


@pytest.mark.parametrize(
    ("before", "writer", "fact", "after"),
    [
        pytest.param(status, writer, fact, results[index], id=f"{status}: {name}")
        for name, writer, fact, results in FACTS
        for index, status in enumerate(STATUSES)
    ],
)
def test_each_fact_brings_each_status_where_the_table_says(before: Status, writer: Writer, fact: Fact, after: str) -> None:
    log = ticket_that_is(before)
    assert log.ticket.status == before
    log.say(writer, fact)
    assert log.ticket.status == (before if after == SAME else after)


# command → the statuses in which it is taken; in all others it is refused.
TAKEN: dict[Command, str] = {
    "reply": "open pending on_hold resolved",
    "note": "new open pending on_hold resolved closed",
    "resolve": "new open pending on_hold",
    "pend": "new open on_hold",
    "put_on_hold": "new open pending",
    "reopen": "pending on_hold resolved",
    "assign": "new open pending on_hold",
    "queue": "new open",
    "prioritise": "new open pending on_hold",
    "close": "new open pending on_hold resolved",
    "merge": "new open pending on_hold resolved",
    "split": "new open pending on_hold resolved",
    "judge_spam": "new open pending on_hold resolved",
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_taken_or_refused_as_the_table_says(command: Command, status: Status) -> None:
    ticket = ticket_that_is(status).ticket
    if status in TAKEN[command].split():
        check(ticket, command)
        return
    with pytest.raises(CommandRefused) as refused:
        check(ticket, command)
    assert (refused.value.command, refused.value.status) == (command, status)


def test_the_table_of_commands_names_every_command_and_status() -> None:
    assert set(TAKEN) == set(COMMANDS)
    assert set(ALLOWED) == set(STATUSES)


def test_nothing_of_intake_stands_before_the_opening() -> None:
    with pytest.raises(IllegalFact):
        Log().intake(message())


def test_a_ticket_is_opened_once() -> None:
    with pytest.raises(IllegalFact):
        Log().intake(opened(), opened())


def test_only_intake_and_routing_write_tickets() -> None:
    with pytest.raises(IllegalFact):
        Log().say("sla", opened())


def test_a_resolution_that_had_not_seen_the_last_message_leaves_the_ticket_open() -> None:
    log = Log().intake(opened(), message()).routing(assigned())
    seen = log.positions["intake"]
    log.intake(message()).routing(TicketResolved(), seen=seen)
    assert log.ticket.status == "open"
    assert log.ticket.reopened_by_customer
    assert log.ticket.waiting_since == log.ticket.intake.waiting[-1].at


def test_a_seen_of_the_old_database_does_not_cover_what_the_restored_one_says() -> None:
    log = Log().intake(opened(), message()).routing(assigned(), TicketResolved())
    log.positions["intake"] = Position(2, 0)
    log.intake(message())
    assert log.now() == "open"
    log.routing(TicketResolved(), seen=Position(1, 17))
    assert log.now() == "open"
    log.routing(TicketResolved(), seen=Position(2, 1))
    assert log.now() == "resolved"


@pytest.mark.parametrize("reopen", ["the customer", "an agent"])
def test_a_ticket_resolved_before_anybody_owned_it_comes_back_as_open(reopen: str) -> None:
    log = Log().intake(opened(), message()).routing(TicketResolved(by="bot"))
    if reopen == "the customer":
        log.intake(message())
    else:
        log.routing(TicketReopened())
    assert log.now() == "open"


def test_an_unmerged_ticket_is_as_it_was() -> None:
    log = ticket_that_is("pending").intake(TicketMergedInto(into_ticket_id="t2"))
    assert log.now() == "closed"
    log.intake(TicketUnmerged(from_ticket_id="t2"))
    assert log.now() == "pending"


ANSWERS: dict[str, Callable[[Log], Log]] = {
    "a reply": lambda log: log.routing(reply()),
    "a resolution": lambda log: log.routing(TicketResolved()),
    "talk with an agent": lambda log: log.intake(CallAnswered(call_id="k", agent_id="dana")),
}
NO_ANSWERS: dict[str, Callable[[Log], Log]] = {
    "a note": lambda log: log.routing(NoteAdded(note_id="n", agent_id="dana")),
    "music": lambda log: log.intake(CallAnswered(call_id="k", agent_id=None)),
    "waiting for somebody else": lambda log: log.routing(TicketPutOnHold()),
    "a reply that had not seen it": lambda log: log.routing(reply(), seen=Position(1, 1)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_answers_the_customer_ends_the_waiting(name: str) -> None:
    log = Log().intake(opened(), message())
    assert log.ticket.waiting_since == log.at
    assert ANSWERS[name](log).ticket.waiting_since is None


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_does_not_answer_the_customer_does_not_end_the_waiting(name: str) -> None:
    log = Log().intake(opened(), message())
    since = log.ticket.waiting_since
    assert NO_ANSWERS[name](log).ticket.waiting_since == since


def test_a_customer_waits_since_the_oldest_message_that_nobody_answered() -> None:
    log = Log().intake(opened(), message())
    seen = log.positions["intake"]
    log.intake(message())
    second = log.at
    log.intake(message()).routing(reply(), seen=seen)
    assert log.ticket.waiting_since == second


def test_an_absorbed_ticket_brings_the_time_since_which_its_customer_waits() -> None:
    since = START - timedelta(hours=3)
    log = ticket_that_is("resolved").intake(absorbed(since))
    assert log.ticket.waiting_since == since


@pytest.mark.parametrize(
    ("intake", "routing", "spam"),
    [
        ([SpamMarked(by="rule")], [], True),
        ([SpamMarked(by="rule"), SpamUnmarked(by="rule")], [], False),
        ([SpamMarked(by="rule")], [SpamUnmarked(by="agent")], False),
        ([SpamUnmarked(by="rule")], [SpamMarked(by="agent")], True),
    ],
)
def test_agents_word_on_spam_goes_over_intakes(intake: list[Fact], routing: list[Fact], spam: bool) -> None:
    assert Log().intake(opened(), *intake).routing(*routing).ticket.spam is spam


def test_owner_queue_and_team_follow_the_agents_side() -> None:
    log = Log().intake(opened(), message()).routing(queued(), assigned())
    assert (log.ticket.routing.agent_id, log.ticket.routing.queue_id, log.ticket.routing.team_id) == (
        "dana",
        "support",
        "first-line",
    )
    log.routing(TicketReleased(agent_id="dana", reason="supervisor"))
    assert log.ticket.routing.agent_id is None
    log.routing(assigned("amir"), queued())
    assert log.ticket.routing.agent_id is None


def test_priority_and_customer_are_the_last_that_were_told() -> None:
    log = Log().intake(opened()).routing(TicketPrioritised(priority=4, previous=2))
    log.intake(TicketCustomerChanged(customer_id="c2", previous="c1", reason="merged"))
    assert (log.ticket.priority, log.ticket.intake.customer_id) == (4, "c2")


# --- every interleaving -----------------------------------------------------------------------------------------------

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


def test_what_came_with_a_merge_waits_until_it_is_answered_or_goes_away_again() -> None:
    log = Log().intake(opened(), message(), absorbed(START))
    assert log.ticket.waiting_since == START
    log.intake(TicketExpelled(ticket_id="other"))
    assert log.ticket.waiting_since == START + timedelta(seconds=2), "what came before the merge waits on"
    log.intake(absorbed(START)).routing(reply())
    assert log.ticket.waiting_since is None


def test_what_is_told_again_of_a_merged_ticket_stands_in_place_of_what_was_told_before() -> None:
    log = Log().intake(opened(), message(), absorbed(START))
    own = START + timedelta(seconds=2)
    assert log.intake(absorbed(START + timedelta(seconds=1))).ticket.waiting_since == START + timedelta(seconds=1)
    assert len(log.ticket.intake.waiting) == 2
    assert log.intake(absorbed(None)).ticket.waiting_since == own, "the other one's customer was answered there"
    assert log.routing(reply()).ticket.waiting_since is None


def test_messages_that_were_split_off_wait_where_they_went() -> None:
    log = Log().intake(opened(), message(), call(), TicketSplit(into_ticket_id="t2", message_ids=("m",)))
    assert log.ticket.waiting_since == START + timedelta(seconds=3)
    since = msgspec.structs.replace(opened(), split_from="t1", unanswered_since=START)
    new = Log().intake(since)
    assert (new.ticket.waiting_since, new.now()) == (START, "new")
    new.routing(TicketResolved(), seen=NOTHING_SEEN)
    assert new.now() == "open", "a resolution that had not seen what it was opened with covers nothing"


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
