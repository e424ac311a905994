"""A ticket is the fold of its log: every transition in a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from shared.events.base import NOTHING_SEEN, Fact, Position, Writer
from shared.events.call import CallAnswered
from shared.events.message import NoteAdded
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketClosed,
    TicketCustomerChanged,
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
    TicketWithdrawn,
)
from shared.ticket import (
    ALLOWED,
    Command,
    CommandRefused,
    IllegalFact,
    Status,
    check,
)
from tests.unit.shared.tickets import (
    COMMANDS,
    START,
    STATUSES,
    Log,
    absorbed,
    assigned,
    call,
    message,
    opened,
    queued,
    reply,
    ticket_that_is,
)

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
    ("prioritised by words", "intake", TicketPrioritised(priority=4, previous=2), (SAME,) * 6),
    ("labelled by words", "intake", TicketLabelled(topic="refund"), (SAME,) * 6),
    ("a reply", "routing", reply(), (SAME,) * 6),
    ("a note", "routing", NoteAdded(note_id="n", agent_id="dana"), (SAME,) * 6),
    ("queued", "routing", queued(), (SAME,) * 6),
    ("assigned", "routing", assigned("amir"), ("open", "open", SAME, SAME, SAME, "closed")),
    ("released", "routing", TicketReleased(agent_id="dana", reason="supervisor"), (SAME,) * 6),
    ("prioritised", "routing", TicketPrioritised(priority=4, previous=2), (SAME,) * 6),
    ("renamed", "routing", TicketRenamed(agent_id="dana"), (SAME,) * 6),
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
    "edit": "new open pending on_hold resolved",
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


def test_a_ticket_keeps_whose_it_was_however_often_its_customer_is_merged_onward_and_until_it_is_theirs_again() -> None:
    log = Log().intake(opened())
    moves = (("c2", "c1", "merged"), ("c3", "c2", "merged"), ("c2", "c3", "unmerged"), ("c1", "c2", "unmerged"))
    origins = []
    for customer_id, previous, reason in moves:
        log.intake(TicketCustomerChanged(customer_id=customer_id, previous=previous, reason=reason))  # type: ignore[arg-type]
        origins.append(log.ticket.intake.origin)
    assert origins == ["c1", "c1", "c1", ""]
    log.intake(TicketCustomerChanged(customer_id="c4", previous="c1", reason="unmerged"))
    assert log.ticket.intake.origin == "", "opened while they were one, it was never the other's"


def test_what_agents_set_goes_over_what_words_raise_and_say_whichever_stands_first() -> None:
    raised, set_by_hand = TicketPrioritised(priority=4, previous=2), TicketPrioritised(priority=3, previous=2)
    words, agent = TicketLabelled(topic="refund", tags=("money",)), TicketLabelled(topic="invoice", tags=())
    opening = msgspec.structs.replace(opened(), product="kettle", tags=("old",))
    by_words = Log().intake(opening, raised, words).ticket
    assert (by_words.priority, by_words.topic, by_words.product, by_words.tags) == (4, "refund", "kettle", ("money",))
    for log in (
        Log().intake(opening, raised, words).routing(set_by_hand, agent),
        Log().intake(opening).routing(set_by_hand, agent).intake(raised, words),
    ):
        ticket = log.ticket
        assert (ticket.priority, ticket.topic, ticket.product, ticket.tags) == (3, "invoice", "kettle", ())


def test_own_fields_are_those_told_last_and_an_empty_one_is_gone() -> None:
    log = Log().intake(opened(), TicketLabelled(fields={"order": "A-1", "site": "haifa"}))
    assert log.ticket.fields == {"order": "A-1", "site": "haifa"}
    log.routing(TicketLabelled(fields={"order": "A-2"})).intake(TicketLabelled(fields={"order": "A-3"}))
    assert log.ticket.fields == {"order": "A-2", "site": "haifa"}, "what agents say goes over what intake says"
    assert log.routing(TicketLabelled(fields={"order": "", "site": ""})).ticket.fields == {}


def test_the_version_counts_what_is_edited_and_nothing_else() -> None:
    log = Log().intake(opened())
    versions = [log.ticket.version]
    for writer, told in (
        ("intake", message()),
        ("intake", TicketLabelled(topic="refund")),
        ("intake", TicketPrioritised(priority=4, previous=2)),
        ("routing", assigned()),
        ("routing", TicketPrioritised(priority=3, previous=4)),
        ("routing", TicketLabelled(tags=("vip",))),
        ("routing", TicketRenamed(agent_id="dana")),
        ("routing", reply()),
    ):
        versions.append(log.say(writer, told).ticket.version)  # type: ignore[arg-type]
    assert versions == [1, 1, 2, 3, 3, 4, 5, 6, 6]
    assert log.ticket.routing.renamed


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


def test_a_ticket_is_the_partner_s_who_was_given_it_last() -> None:
    theirs = msgspec.structs.replace(queued(), partner_id="south")
    log = Log().intake(msgspec.structs.replace(opened(), partner_id="north"))
    assert log.ticket.partner_id == "north", "whose inbox it came to, until it was given to somebody"
    assert log.routing(theirs).ticket.partner_id == "south"
    assert log.routing(TicketReleased(agent_id="sam", reason="transferred")).ticket.partner_id == "south"
    assert log.routing(queued()).ticket.partner_id is None, "it came back to the house"
    assert log.routing(theirs, assigned()).ticket.partner_id is None
    assert Log().intake(opened()).ticket.partner_id is None
