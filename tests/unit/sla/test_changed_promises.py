"""What changes a promise under way: priorities, warnings, breaches, facts that come late, questions that leave."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from shared.events.call import CallAnswered
from shared.events.config import SlaTarget
from shared.events.message import MessageReceived
from shared.events.sla import SlaBreached, SlaBreachRetracted, SlaWarned
from shared.events.ticket import (
    TicketAssigned,
    TicketExpelled,
    TicketPended,
    TicketPrioritised,
    TicketQueued,
    TicketResolved,
    TicketSplit,
)
from tests.unit.sla.cases import DAY, FIRST, HOUR, QUICK, WHOLE, absorbed
from tests.unit.sla.desk import Desk, at, message, opened, policy, reply, target

PRIORITIES = SlaTarget(kind="first_response", seconds={"2": 3600, "3": 900, "4": 300}, warn_at_percent=())


def test_a_higher_priority_shortens_the_promise_by_what_was_used() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message())
    desk.routing("09:10", TicketPrioritised(priority=3, previous=2)).routing("09:15", reply())
    assert desk.told() == [FIRST, "started first_response.1 09:15", "met first_response.1 15m"]


def test_words_of_a_later_message_shorten_the_promise_unless_an_agent_set_the_priority() -> None:
    raised = TicketPrioritised(priority=3, previous=2)
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message()).intake("09:10", raised, message())
    assert desk.due == at("09:15")
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message())
    desk.routing("09:05", TicketPrioritised(priority=2, previous=2)).intake("09:10", raised, message())
    assert desk.due == at("10:00")


def test_a_priority_whose_target_is_used_up_already_is_broken_when_it_is_given_not_before() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message())
    desk.routing("09:30", TicketPrioritised(priority=4, previous=2))
    assert desk.due == at("09:30")
    desk.ring("09:30").routing("09:40", reply())
    assert desk.told() == [
        FIRST,
        "started first_response.1 09:30",
        "breached first_response.1 09:30",
        "breach_cleared first_response.1 +10m",
    ]


def test_a_lower_priority_does_not_mend_what_is_broken() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(priority=3), message()).ring("09:15")
    desk.routing("09:20", TicketPrioritised(priority=2, previous=3)).routing("09:30", reply())
    assert desk.told() == [
        "started first_response.1 09:15",
        "breached first_response.1 09:15",
        "breach_cleared first_response.1 +15m",
    ]


def test_a_priority_without_a_promise_ends_it_and_one_with_a_promise_starts_it() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message())
    desk.routing("09:10", TicketPrioritised(priority=1, previous=2))
    desk.routing("09:20", TicketPrioritised(priority=2, previous=1))
    assert desk.told() == [FIRST, "cancelled first_response.1 retargeted", "started first_response.2 10:20"]


def test_a_ticket_whose_priority_had_no_promise_is_promised_from_the_change_on() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(priority=1), message())
    assert desk.due is None
    desk.routing("11:00", TicketPrioritised(priority=2, previous=1))
    assert desk.told() == ["started first_response.1 12:00"]


def test_a_changed_priority_while_waiting_for_the_customer_counts_what_is_left() -> None:
    desk = Desk(policy(PRIORITIES)).intake("09:00", opened(), message()).routing("09:10", TicketPended())
    desk.routing("09:20", TicketPrioritised(priority=3, previous=2)).intake("10:00", message())
    assert desk.told()[2:] == [
        "started first_response.1 10:00",
        "paused first_response.1 5m pending",
        "resumed first_response.1 10:05",
    ]


WARNING = target("first_response", 60, warn_at_percent=(50, 80))


def test_warnings_come_at_their_share_with_the_last_as_the_louder_one() -> None:
    desk = Desk(policy(WARNING)).intake("09:00", opened(), message())
    assert desk.due == at("09:30")
    desk.ring("09:30")
    assert desk.due == at("09:48")
    desk.ring("09:48").ring("09:50").ring("10:00")
    assert desk.told()[1:] == ["warned first_response.1 50%", "warned first_response.1 80%", "breached first_response.1 10:00"]
    first, second = (draft for draft in desk.said if isinstance(draft.data, SlaWarned))
    assert isinstance(first.data, SlaWarned)
    assert isinstance(second.data, SlaWarned)
    assert (first.time, first.data.severity, first.data.remaining_us) == (at("09:30"), "info", 30 * 60_000_000)
    assert (second.time, second.data.severity, second.data.remaining_us) == (at("09:48"), "warning", 12 * 60_000_000)
    assert desk.due is None


def test_nothing_is_warned_of_once_the_promise_is_kept() -> None:
    desk = Desk(policy(WARNING)).intake("09:00", opened(), message()).routing("09:45", reply()).ring("10:00")
    assert desk.told() == [FIRST, "met first_response.1 45m"]


def test_a_warning_gone_by_before_the_timers_looked_is_given_when_a_fact_shows_it() -> None:
    desk = Desk(policy(WARNING)).intake("09:00", opened(), message()).routing("09:40", TicketPended())
    assert desk.told()[1:] == ["warned first_response.1 50%", "paused first_response.1 20m pending"]
    desk.intake("10:00", message()).ring("10:08")
    assert desk.told()[3:] == ["resumed first_response.1 10:20", "warned first_response.1 80%"]


def test_another_target_warns_again_at_its_own_shares() -> None:
    targets = SlaTarget(kind="first_response", seconds={"2": 3600, "1": 7200}, warn_at_percent=(50,))
    desk = Desk(policy(targets)).intake("09:00", opened(), message()).ring("09:30")
    desk.routing("09:40", TicketPrioritised(priority=1, previous=2)).ring("10:00")
    assert desk.told()[1:] == ["warned first_response.1 50%", "started first_response.1 11:00", "warned first_response.1 50%"]


def test_a_breach_is_told_at_its_deadline_with_how_late_and_whose_it_was_then() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), message())
    desk.routing("09:10", TicketQueued(queue_id="support", visit=1, reason="opened", age_from=at("09:00")))
    desk.routing("09:20", TicketAssigned(agent_id="dana", how="accepted", team_id="first-line"))
    desk.routing("10:00:02", TicketAssigned(agent_id="amir", how="supervisor", team_id="second-line"))
    (breach,) = (draft for draft in desk.said if isinstance(draft.data, SlaBreached))
    assert isinstance(breach.data, SlaBreached)
    assert breach.time == breach.data.deadline == at("10:00")
    assert breach.data.published_late_us == 2_000_000
    assert (breach.data.agent_id, breach.data.team_id, breach.data.queue_id) == ("dana", "first-line", "support")


def test_an_urgent_breach_is_critical_and_one_from_incomplete_input_is_unconfirmed() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(priority=4), message()).ring("10:15", unconfirmed=True)
    fact = desk.said[-1].data
    assert isinstance(fact, SlaBreached)
    assert (fact.severity, fact.unconfirmed, fact.published_late_us) == ("critical", True, 15 * 60_000_000)


# --- facts that come late ---------------------------------------------------------------------------------------------


def test_a_reply_that_comes_late_takes_back_the_breach_that_it_disproves() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), message()).ring("10:00:01")
    desk.routing("09:59:59", reply())
    assert desk.told() == [
        FIRST,
        "breached first_response.1 10:00",
        "breach_retracted first_response.1 10:00",
        "met first_response.1 59.9833m",
    ]
    retracted = desk.said[2].data
    assert isinstance(retracted, SlaBreachRetracted)
    assert retracted.cause_event_id == "routing-1"


def test_a_pause_that_comes_late_takes_back_the_breach_and_gives_the_rest_its_time() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), message()).ring("10:00")
    desk.routing("09:50", TicketPended()).intake("11:00", message()).ring("11:10")
    assert desk.told()[1:] == [
        "breached first_response.1 10:00",
        "breach_retracted first_response.1 10:00",
        "paused first_response.1 10m pending",
        "resumed first_response.1 11:10",
        "breached first_response.1 11:10",
    ]


def test_a_resolution_crossed_by_a_message_turns_out_to_have_resolved_nothing() -> None:
    desk = Desk(policy(DAY)).intake("09:00", opened(), message())
    desk.routing("10:00", TicketResolved()).intake("09:59", message(), seen=0)
    assert desk.told() == [WHOLE, "met resolution.1 60m", "resumed resolution.1 17:00"]
    assert desk.due == at("17:00")


def test_a_second_question_before_the_first_reply_is_timed_from_when_it_was_asked() -> None:
    desk = Desk(policy(HOUR, QUICK)).intake("09:00", opened(), message()).intake("09:20", message())
    desk.routing("09:21", reply(), seen=2)
    assert desk.told()[1:] == ["met first_response.1 21m", "started next_response.1 09:50"]
    desk.routing("09:30", reply())
    assert desk.told()[3:] == ["met next_response.1 10m"]


def test_a_repeated_fact_says_nothing_again() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), message())
    repeated = desk.said.copy()
    desk.written["intake"] -= 1
    desk.intake("09:00", message())
    assert desk.said == repeated


def test_facts_that_promises_do_not_depend_on_leave_the_story_as_it_is() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), message())
    story = desk.story
    desk.intake("09:01", message("bulk")).intake("09:02", CallAnswered(call_id="k", agent_id=None))
    assert desk.story is story


def test_what_is_said_of_one_cause_has_one_identity_each() -> None:
    desk = Desk(policy(HOUR, DAY, QUICK)).intake("09:00", opened(), message()).ring("Tue 09:00")
    identities = {(draft.cause, draft.data.TYPE) for draft in desk.said}
    assert len(identities) == len(desk.said) == 4


def test_a_ticket_of_many_questions_keeps_its_last_cycles_only() -> None:
    desk = Desk(policy(HOUR, QUICK)).intake("09:00", opened(), message()).routing("09:01", reply())
    for minute in range(2, 42, 2):
        desk.intake(f"09:{minute:02}", message()).routing(f"09:{minute + 1:02}", reply())
    cycles = [clock.cycle for clock in desk.story.standing.clocks if clock.target == "next_response"]
    assert cycles == [17, 18, 19, 20]
    assert desk.said[-1].time is not None
    assert desk.said[-1].time - at("09:41") == timedelta(0)


def split(*message_ids: str) -> TicketSplit:
    return TicketSplit(into_ticket_id="t2", message_ids=message_ids)


def asking(message_id: str) -> MessageReceived:
    return msgspec.structs.replace(message(), message_id=message_id)


def test_what_was_split_off_waits_on_its_own_ticket_since_it_came() -> None:
    came = msgspec.structs.replace(opened(), split_from="t0", unanswered_since=at("09:00"))
    desk = Desk(policy(HOUR, QUICK)).intake("09:30", came)
    assert desk.told() == ["started first_response.1 10:00"]
    desk.routing("09:50", reply())
    assert desk.told(1) == ["met first_response.1 50m"]


def test_nothing_is_waited_for_on_the_ticket_that_its_only_question_left() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), asking("m1")).intake("09:10", split("m1"))
    assert desk.told() == [FIRST, "cancelled first_response.1 answered_elsewhere"]
    desk.intake("09:20", asking("m2"))
    assert desk.told(2) == ["started first_response.2 10:20"]


def test_a_question_that_stays_is_answered_by_when_the_first_was_promised() -> None:
    desk = Desk(policy(HOUR)).intake("09:00", opened(), asking("m1")).intake("09:05", asking("m2")).intake("09:10", split("m1"))
    desk.routing("09:40", reply())
    assert desk.told() == [FIRST, "met first_response.1 40m"]


def test_a_later_question_that_leaves_with_its_ticket_is_not_taken_for_answered() -> None:
    desk = Desk(policy(QUICK)).intake("09:00", opened(), asking("m1")).routing("09:05", reply())
    desk.intake("09:10", absorbed("09:08")).intake("09:15", TicketExpelled(ticket_id="t0"))
    assert desk.told() == ["started next_response.1 09:38", "cancelled next_response.1 answered_elsewhere"]
