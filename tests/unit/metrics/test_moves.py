"""What transfers, escalations, questions, wrap-ups and callbacks come to in figures; and how busy agents are."""

from __future__ import annotations

from typing import Any

import pytest

from services.metrics.definitions import BY_ID
from services.metrics.domain.agents import Agent
from services.metrics.domain.cells import NO_BIN
from services.metrics.domain.figures import Bounds, Summed, figures
from shared.events.call import CallAnswered, CallEnded
from shared.events.people import AgentEnrolled, AgentLoadChanged, AgentState, AgentStateChanged
from shared.events.ticket import SpamMarked, TicketEscalated, TicketLeftQueue, TicketReleased, TicketTransferred
from shared.events.work import ConsultEnded, ConsultRequested, WrapUpCompleted, WrapUpStarted
from tests.unit.metrics.teller import HOUR, Teller, at, booked, count, seconds


def at_work(**opened: Any) -> Teller:
    """Opened and taken by dana after 40 s."""
    told = Teller()
    told.opened(**opened)
    told.wrote(0)
    told.queued(1)
    told.assigned(40)
    return told


def away(told: Teller, second: float, by: str | None = "dana") -> None:
    """The owner sends it on to billing."""
    told.say("routing", TicketTransferred(by_agent_id=by, to_kind="queue", to_id="billing"), second)
    told.say("routing", TicketReleased(agent_id="dana", reason="transferred"), second)
    told.queued(second, "billing", 2)


def wrapped_up(told: Teller, start: float, end: float, agent: str = "dana") -> None:
    told.say("routing", WrapUpStarted(agent_id=agent, ends_by=at(end + 60)), start)
    told.say("routing", WrapUpCompleted(agent_id=agent, wrap_up_us=round((end - start) * 1e6)), end)


def test_a_transfer_counts_where_the_ticket_came_from_and_for_who_sent_it() -> None:
    told = at_work()
    away(told, 60)
    told.assigned(70, "omar", 2, queue_id="billing", team_id=None)
    cells = booked(told.events)
    assert count(cells, "transfer", HOUR, queue="support", agent="dana", team="first") == 1
    assert count(cells, "given_away", agent="dana") == 1
    assert (count(cells, "taken"), count(cells, "taken", agent="omar", queue="billing")) == (2, 1)


def test_what_a_supervisor_sends_on_counts_for_the_supervisor_and_as_given_away_by_who_had_it() -> None:
    told = at_work()
    away(told, 60, "rina")
    told.say("routing", TicketTransferred(by_agent_id="rina", to_kind="tier", to_id="2"), 80)
    cells = booked(told.events)
    assert (count(cells, "transfer", agent="rina"), count(cells, "given_away", agent="dana")) == (2, 1)
    assert count(cells, "given_away") == 1, "nobody had it the second time"


def test_a_ticket_that_rose_twice_is_two_escalations_and_one_of_the_tickets_that_rose() -> None:
    told = at_work()
    told.say("routing", TicketEscalated(from_tier=1, to_tier=2, by_agent_id="dana"), 50)
    told.say("routing", TicketEscalated(from_tier=2, to_tier=3, rule_id="slow"), 90)
    cells = booked(told.events)
    assert (count(cells, "escalation"), count(cells, "escalation", agent="dana"), count(cells, "escalation", agent="")) == (
        2,
        1,
        1,
    )
    assert count(cells, "opened_escalated", HOUR) == count(cells, "opened", HOUR) == 1
    told.say("routing", SpamMarked(by="agent", agent_id="dana"), 100)
    assert count(booked(told.events), "opened_escalated") == 0, "spam is no ticket of the period"


def test_a_wrap_up_counts_where_the_ticket_was_when_it_began_wherever_it_is_by_its_end() -> None:
    told = at_work()
    told.say("routing", WrapUpStarted(agent_id="dana", ends_by=at(120)), 60)
    away(told, 60)
    told.say("routing", WrapUpCompleted(agent_id="dana", wrap_up_us=25_000_000, timed_out=True), 85)
    cells = booked(told.events)
    assert (count(cells, "wrap_up"), seconds(cells, "wrap_up", agent="dana", queue="support", team="first")) == (1, 25)
    assert count(cells, "call_wrap_up") == 0, "nobody had called"


def test_only_the_wrap_up_after_a_call_is_part_of_its_handling() -> None:
    told = at_work(channel="phone")
    told.called(50)
    told.say("intake", CallAnswered(call_id="call1", agent_id="dana"), 55)
    told.say("intake", CallEnded(call_id="call1", outcome="completed", talk_us=100_000_000, hold_us=20_000_000), 175)
    wrapped_up(told, 175, 205)
    wrapped_up(told, 300, 310)
    cells = booked(told.events)
    assert (seconds(cells, "wrap_up"), seconds(cells, "call_wrap_up", agent="dana")) == (40, 30)
    rows = [Summed(cell.measure, 0, cell.bin, amount.n, amount.total_us, ()) for cell, amount in cells.items()]
    metric = BY_ID["average_handle_time"]
    (figure,) = figures(metric, [row for row in rows if row.measure in metric.measures], Bounds((0,), 1, 0), (), grouped=False)
    assert (figure.value, figure.count) == (150.0, 1)


def test_a_wrap_up_that_begins_while_the_call_goes_on_is_after_it_too() -> None:
    told = at_work(channel="phone")
    told.called(50)
    told.say("intake", CallAnswered(call_id="call1", agent_id="dana"), 55)
    wrapped_up(told, 60, 90)
    assert seconds(booked(told.events), "call_wrap_up") == 30


def test_a_question_counts_for_who_asks_and_its_answer_for_the_expert() -> None:
    told = at_work()
    for consult_id, outcome, end in (("q1", "answered", 90), ("q2", "expired", 80)):
        told.say("routing", ConsultRequested(consult_id=consult_id, agent_id="dana", expert_id="lena"), 50)
        told.say("routing", ConsultEnded(consult_id=consult_id, outcome=outcome), end)  # type: ignore[arg-type]
    told.say("routing", ConsultEnded(consult_id="unheard", outcome="answered"), 95)
    cells = booked(told.events)
    assert (count(cells, "consult", agent="dana"), count(cells, "consult_answered")) == (2, 1)
    assert seconds(cells, "consult_answered", agent="lena", queue="support") == 40


def test_who_asks_to_be_called_back_has_not_abandoned() -> None:
    told = Teller()
    told.opened(channel="phone")
    told.called(0)
    told.queued(1)
    left = TicketLeftQueue(queue_id="support", visit=1, reason="callback", waited_us=29_000_000, returns_at=at(600))
    told.say("routing", left, 30)
    cells = booked(told.events)
    assert (count(cells, "callback"), count(cells, "visit_withdrawn"), count(cells, "visit_abandoned")) == (1, 1, 0)


def day(*changes: tuple[float, AgentState | int]) -> list[Any]:
    """What is said of an agent: a state, or how many units they carry, from that second on."""
    told = Teller("dana")
    told.say("routing", AgentEnrolled(team_ids=("first",), partner_id="north"), 0)
    before: AgentState = "offline"
    for second, change in changes:
        if isinstance(change, int):
            told.say("routing", AgentLoadChanged(used_units=change, capacity_units=10, tickets=change), second)
        else:
            told.say("routing", AgentStateChanged(state=change, previous=before), second)
            before = change
    return told.events


@pytest.mark.parametrize(
    ("changes", "busy", "on_duty"),
    [
        ([(10, "available"), (110, "offline")], 0, 100),
        ([(10, "available"), (30, 3), (60, 1), (80, 0), (110, "offline")], 50, 100),
        ([(10, "available"), (30, 3), (110, "break")], 80, 100),
        ([(10, "available"), (30, 3), (50, "break"), (90, "available"), (110, "offline")], 40, 60),
        ([(10, "available"), (50, "wrap_up"), (110, "offline")], 60, 100),
        ([(10, "available"), (50, "missed"), (110, "available")], 0, 40),
        ([(10, 3), (50, "available"), (110, 0)], 60, 60),
    ],
)
def test_an_agent_is_busy_while_on_duty_with_work(changes: list[tuple[float, Any]], busy: float, on_duty: float) -> None:
    cells = booked(day(*changes), Agent())
    found = (seconds(cells, "busy", agent="dana", team="first", partner="north"), seconds(cells, "on_duty", agent="dana"))
    assert found == (busy, on_duty)
    assert {cell.bin for cell in cells if cell.measure in ("busy", "on_duty")} <= {NO_BIN}


def test_occupancy_is_a_share_of_time_and_null_where_nobody_was_there() -> None:
    rows = [Summed("busy", 0, 0, 3, 45_000_000, ()), Summed("on_duty", 0, 0, 9, 60_000_000, ())]
    (figure,) = figures(BY_ID["occupancy"], rows, Bounds((0,), 1, 0), (), grouped=False)
    assert (figure.value, figure.count, figure.out_of) == (0.75, 45, 60)
    (nobody,) = figures(BY_ID["occupancy"], [], Bounds((0,), 1, 0), (), grouped=False)
    assert nobody.value is None
