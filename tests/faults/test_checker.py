"""The checker finds what it is there to find: histories broken by hand, each found by the promise it breaks and by no other.

Here what is said of contacts, of the log and of figures; the agents' work and time in `test_checker_work.py`, what goes out
and what agents did in `test_checker_outward.py`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.events.base import Position, derived_id
from shared.events.call import CallEnded
from shared.events.message import ConfirmationSkipped, MessageReceived
from shared.events.people import AgentEnrolled
from shared.events.ticket import RequestRefused, TicketClosed, TicketOpened, TicketReopened
from shared.events.work import ActionRequired
from shared.records import Place
from shared.ticket import Ticket
from simulator.truth import Answer, Sending
from tests.faults.by_hand import Story, message_id
from tests.faults.checker import PROMISES, SHOWN, broken
from tests.faults.log import Unreadable
from tests.faults.stories import changed, found, held, of, whole
from tests.faults.tables import ParkedRow

LOOK = ActionRequired(code="look")


def opens_besides(story: Story, ticket_id: str, *messages: str) -> None:
    """Another ticket of the one who wrote `late`, with these messages on it."""
    opened = TicketOpened(number=100_900, customer_id="late", channel="email", inbox="support")
    received = [
        MessageReceived(message_id=m, customer_id="late", channel="email", inbox="support", provider="generic") for m in messages
    ]
    story.tell("intake", ticket_id, opened, ConfirmationSkipped(reason="no_address"), *received)
    story.queues(ticket_id)


def test_a_whole_history_is_whole() -> None:
    assert broken(whole().history()) == []


def test_every_promise_is_broken_by_some_test() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_checker*.py"))
    assert [name for name in PROMISES if f'{{"{name}"}}' not in sources] == []


def test_the_judge_knows_no_services_own_code() -> None:
    here = Path(__file__).parent
    judge = [*here.glob("promises/*.py"), *(here / f"{name}.py" for name in ("checker", "index", "whereabouts", "tables", "log"))]
    assert [path.name for path in judge if "from services" in path.read_text()] == []


def test_repeats_on_the_wire_break_nothing() -> None:
    story = whole()
    for record in list(story.records):
        story.put(record.topic, record.event)
    assert broken(story.history()) == []


def test_what_is_broken_very_often_is_told_only_some_times() -> None:
    story = whole()
    for n in range(SHOWN + 5):
        story.unreadable.append(Unreadable("tickets", 0, n, "x", "no JSON"))
    assert broken(story.history())[-1] == "log-readable: and 5 times more"


# Contacts


def test_an_acknowledged_contact_that_is_nowhere_is_found() -> None:
    story = whole()
    story.truth.begun(Sending("k9", "generic", "late", "en", "late", "?")).answers.append(Answer(1.0, 201))
    assert found(story.history()) == {"contact-once"}


def test_a_contact_that_was_never_acknowledged_may_be_nowhere_and_may_be_there() -> None:
    story = whole()
    story.truth.begun(Sending("k9", "generic", "late", "en", "late", "?")).answers.append(Answer(1.0, None))
    story.writes("k10", "late", acknowledged=False)
    assert broken(story.history()) == []


def test_a_contact_on_two_tickets_is_found() -> None:
    story = whole()
    opens_besides(story, "besides", message_id("k5"))
    assert found(story.history()) == {"contact-once"}


def test_a_contact_told_twice_on_one_ticket_is_found() -> None:
    story = whole()
    story.tell("intake", "late", story.records_of(MessageReceived, "late")[0].event.data)
    assert found(story.history()) == {"contact-once"}


def test_a_repeat_taken_for_another_contact_is_found() -> None:
    story = whole()
    opens_besides(story, "besides", derived_id("message", "made anew"))
    assert found(story.history()) == {"contact-once"}


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(1.0, 201, "one", message_id("k5"), 100_004),
        Answer(1.0, 201, "late", message_id("k5"), 100_001),
        Answer(1.0, 201, "late", message_id("k1"), 100_004),
    ],
    ids=["ticket", "number", "message"],
)
def test_an_answer_that_names_something_else_is_found(wrong: Answer) -> None:
    story = whole()
    story.truth.sendings["k5"].answers[:] = [wrong]
    assert found(story.history()) == {"answer-true"}


def test_a_repeat_that_got_another_answer_is_found() -> None:
    story = whole()
    story.truth.answered("k5", Answer(2.0, 201, "late", message_id("k5"), 100_777))
    assert found(story.history()) == {"answer-true"}


def test_a_refused_repeat_is_no_other_answer() -> None:
    story = whole()
    story.truth.answered("k5", Answer(2.0, 503))
    assert broken(story.history()) == []


def test_one_conversation_on_two_tickets_is_found() -> None:
    story = whole()
    story.writes("k9", "late-too", conversation="late")
    story.confirms("late-too")
    story.queues("late-too")
    assert found(story.history()) == {"conversation-together"}


def test_a_follow_up_of_a_ticket_that_is_not_closed_is_found() -> None:
    story = whole()
    story.writes("k9", "late-too", follow_up_of="late")
    story.confirms("late-too")
    story.queues("late-too")
    assert found(story.history()) == {"conversation-together"}


def test_two_conversations_on_one_ticket_are_found() -> None:
    story = whole()
    story.writes("k9", "late")
    story.truth.sendings["k9"].conversation = "something else"
    assert found(story.history()) == {"conversation-together"}


def test_a_number_given_twice_is_found() -> None:
    story = whole()
    story.change(TicketOpened, "late", number=100_001)
    story.truth.sendings["k5"].answers[:] = [Answer(1.0, 201, "late", message_id("k5"))]
    assert found(story.history()) == {"number-once"}


@pytest.mark.parametrize("ticket_id", ["rang", "late"], ids=["there", "on another ticket"])
def test_a_call_that_ends_again_is_found(ticket_id: str) -> None:
    story = whole()
    story.tell("intake", ticket_id, CallEnded(call_id=derived_id("call", "CA1"), outcome="completed"))
    assert found(story.history()) == {"call-once"}


def test_a_sender_who_became_two_customers_is_found() -> None:
    story = whole()
    story.writes("k9", "another")
    story.confirms("another")
    story.queues("another")
    story.truth.sendings["k9"].sender = "late"
    assert found(story.history()) == {"customer-one"}


def test_intake_holding_other_than_the_log_is_found() -> None:
    tables = whole().history().tables
    others: list[dict[str, Any]] = [
        {"tickets": changed(tables.tickets, of("one"), number=7)},
        {"messages": {**tables.messages, "m9": "one"}},
        {"messages": {m: t for m, t in tables.messages.items() if m != message_id("k5")}},
        {"calls": {}},
        {"customers": tables.customers | {"nobody"}},
    ]
    for other in others:
        assert found(held(whole(), **other)) == {"intake-holds-the-log"}


# The log


def test_a_record_that_is_no_event_is_found() -> None:
    story = whole()
    story.unreadable.append(Unreadable("tickets", 0, 99, "late", "no JSON"))
    assert found(story.history()) == {"log-readable"}


def test_a_fact_of_a_service_that_may_not_say_it_is_found() -> None:
    story = whole()
    story.tell("routing", "late", RequestRefused(request_event_id="x", code="x", detail="x"))
    assert found(story.history()) == {"log-readable"}


def test_a_key_on_two_partitions_is_found() -> None:
    story = whole()
    story.records[-1] = replace(story.records[-1], partition=1)
    assert found(story.history()) == {"log-readable"}


@pytest.mark.parametrize("seq", [1, 9], ids=["back", "ahead"])
def test_a_hole_in_what_a_writer_said_is_found(seq: int) -> None:
    story = whole()
    story.tell("routing", "late", LOOK)
    story.tell("routing", "late", LOOK, position=Position(1, seq + 1) if seq > 1 else Position(0, 1))
    assert found(story.history()) == {"log-counted"}


def test_counting_from_one_again_after_a_backup_came_back_is_no_hole() -> None:
    story = whole()
    story.tell("routing", "late", LOOK, position=Position(2, 1))
    story.tell("routing", "late", LOOK)
    assert broken(story.history()) == []


def test_a_repeat_that_says_something_else_is_found() -> None:
    story = whole()
    story.put("tickets", replace(story.records_of(TicketClosed, "one")[0].event, data=TicketClosed(reason="spam")))
    assert found(story.history()) == {"repeat-same"}


def test_having_seen_what_was_not_said_is_found() -> None:
    story = whole()
    story.tell("routing", "late", LOOK, seen=Position(1, 9))
    assert found(story.history()) == {"seen-behind"}


def test_having_seen_less_than_before_is_found() -> None:
    story = whole()
    story.tell("routing", "late", LOOK, seen=Position(1, 1))
    assert found(story.history()) == {"seen-behind"}


def test_two_facts_of_one_identity_are_found() -> None:
    story = whole()
    story.tell("routing", "late", LOOK, cause="the same")
    story.tell("routing", "late", LOOK, cause="the same")
    assert found(story.history()) == {"identity-once"}


def test_a_fact_before_the_opening_and_a_second_opening_are_found() -> None:
    for ticket_id in ("never opened", "late"):
        story = whole()
        fact = story.records_of(TicketOpened, "late")[0].event.data if ticket_id == "late" else ConfirmationSkipped(reason="spam")
        story.tell("intake", ticket_id, fact)
        assert found(story.history()) == {"fact-possible"}


def test_a_log_that_was_not_read_to_its_end_is_found() -> None:
    tables = whole().history().tables
    late = tables.positions[-1]
    others: list[dict[str, Any]] = [
        {"offsets": {**tables.offsets, ("sla", Place("tickets", 0)): 1}},
        {"offsets": {of_: n for of_, n in tables.offsets.items() if of_[0] != "sla"}},
        {"positions": (*tables.positions[:-1], replace(late, position=Position(1, 999)))},
        {"positions": tables.positions[:-1]},
        {"positions": (*tables.positions, replace(late, key="nobody"))},
    ]
    for other in others:
        assert found(held(whole(), **other)) == {"read-to-the-end"}


def test_a_desk_that_read_nothing_is_found_where_it_ran() -> None:
    tables = whole().history().tables
    read = {of_: n for of_, n in tables.offsets.items() if of_[0] != "desk"}
    rows = tuple(row for row in tables.positions if row.service != "desk")
    unread = held(whole(), offsets=read, positions=rows, told_by={**tables.told_by, "desk": {}})
    assert broken(unread) == []
    assert found(replace(unread, ran=frozenset({"desk"}))) == {"read-to-the-end"}


def test_a_service_that_tells_a_ticket_otherwise_is_found() -> None:
    tables = whole().history().tables
    others: list[dict[str, Any]] = [
        {"tickets": changed(tables.tickets, of("one"), story=Ticket(), status="new", closed=False)},
        {"tickets": changed(tables.tickets, of("one"), status="open")},
        {"tickets": tuple(row for row in tables.tickets if row.ticket_id != "none")[:0]},
        {"works": changed(tables.works, of("texted"), ticket=Ticket(), status="new")},
        {"works": changed(tables.works, of("texted"), status="open")},
        {"told_by": {**tables.told_by, "sla": {"one": Ticket()}}},
        {"told_by": {**tables.told_by, "desk": dict(list(tables.told_by["desk"].items())[1:])}},
    ]
    for other in others:
        assert found(held(whole(), **other)) - {"intake-holds-the-log"} == {"folds-agree"}


# Figures, and what is left


def test_figures_that_a_rebuild_does_not_confirm_are_found() -> None:
    assert found(whole().history(figures_differ="3 cells differ")) == {"figures-pure"}


def test_figures_that_count_otherwise_than_the_log_are_found() -> None:
    measures = whole().history().tables.measures
    assert found(held(whole(), measures={**measures, "opened": 1})) == {"figures-counted"}


def test_parked_records_are_found() -> None:
    assert found(held(whole(), parked=(ParkedRow("sla", "tickets", "one", "failed", "KeyError"),))) == {"nothing-parked"}


def test_events_that_wait_in_an_outbox_are_found() -> None:
    assert found(held(whole(), outbox={"intake": 2})) == {"nothing-unpublished"}


def test_of_a_key_that_a_test_poisoned_nothing_is_asked() -> None:
    story = whole()
    story.unreadable.append(Unreadable("tickets", 0, 99, "late", "no JSON"))
    story.tell("routing", "late", TicketReopened(), position=Position(1, 77), seen=Position(9, 9))
    history = held(story, parked=(ParkedRow("sla", "tickets", "late", "gap", "expected 1:3"),))
    assert broken(replace(history, poisoned=frozenset({"late"}))) == []
    assert len(found(history)) > 1


def test_agents_without_work_carry_nothing() -> None:
    story = whole()
    story.tell("routing", "eva", AgentEnrolled())
    assert broken(story.history()) == []
