"""Kept, broken, warned of: what the facts about promises come to."""

from __future__ import annotations

from typing import Any

from services.metrics.domain.agents import Agent, Named
from services.metrics.domain.promises import Breaches, Clocks, Warnings
from shared.events.config import AgentConfigured, PolicyConfigured, QueueConfigured
from shared.events.people import AgentEnrolled, AgentStateChanged
from shared.events.sla import (
    ClockCancelled,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
    SlaWarned,
)
from tests.unit.metrics.teller import HOUR, START, Teller, at, booked, count, folded, seconds

CLOCK: dict[str, Any] = {
    "clock_id": "k1",
    "target": "first_response",
    "cycle": 1,
    "policy_id": "gold",
    "policy_version": 1,
    "dedup_key": "t1:gold:first_response:1",
    "channel": "email",
    "priority": 3,
    "team_id": "first",
    "agent_id": "dana",
}


def started() -> ClockStarted:
    return ClockStarted(**CLOCK, started_at=at(0), deadline=at(3600), target_us=3_600_000_000)


def met(seconds_after: float = 600) -> ClockMet:
    return ClockMet(**CLOCK, met_at=at(seconds_after), elapsed_us=int(seconds_after * 1e6), deadline=at(3600))


def breached() -> SlaBreached:
    return SlaBreached(**CLOCK, deadline=at(3600), target_us=3_600_000_000, published_late_us=40_000)


def test_a_promise_that_runs_is_neither_kept_nor_broken() -> None:
    told = Teller()
    told.say("sla", started(), 0)
    cells = booked(told.events, Clocks())
    assert count(cells, "commitment_running_now", state="running", policy="gold") == 1
    assert count(cells, "commitment_kept") == 0


def test_a_kept_promise_counts_in_the_hour_it_was_kept_for_team_and_agent() -> None:
    told = Teller()
    told.say("sla", started(), 0)
    told.say("sla", ClockPaused(**CLOCK, remaining_us=1, reason="pending"), 60)
    told.say("sla", ClockResumed(**CLOCK, remaining_us=1, deadline=at(3600)), 90)
    told.say("sla", met(), 600)
    cells = booked(told.events, Clocks())
    assert count(cells, "commitment_kept", HOUR, team="first", agent="dana", target="first_response", priority="3") == 1
    assert count(cells, "commitment_running_now") == 0


def test_a_promise_kept_too_early_is_taken_back_when_its_clock_goes_on() -> None:
    told = Teller()
    told.say("sla", met(), 600)
    told.say("sla", ClockResumed(**CLOCK, remaining_us=1, deadline=at(3600)), 700)
    assert count(booked(told.events, Clocks()), "commitment_kept") == 0


def test_a_cancelled_promise_does_not_count() -> None:
    told = Teller()
    told.say("sla", started(), 0)
    told.say("sla", ClockCancelled(**CLOCK, reason="spam"), 60)
    assert booked(told.events, Clocks()) == {}


def test_a_broken_promise_counts_in_the_hour_of_its_deadline_and_stays_broken_when_cleared() -> None:
    told = Teller()
    told.say("sla", breached(), 3600.04)
    cleared = SlaBreachCleared(**CLOCK, deadline=at(3600), fulfilled_at=at(9000), over_us=5_400_000_000, elapsed_us=9_000_000_000)
    told.say("sla", cleared, 9000)
    cells = booked(told.events, Breaches())
    assert count(cells, "commitment_broken", HOUR + 1, agent="dana") == 1
    assert seconds(cells, "breach_published_late") == 0.04
    assert seconds(cells, "breach_cleared") == 5400


def test_a_retracted_breach_was_never_one() -> None:
    told = Teller()
    told.say("sla", breached(), 3600)
    told.say("sla", SlaBreachRetracted(**CLOCK, deadline=at(3600), cause_event_id="e"), 3700)
    assert count(booked(told.events, Breaches()), "commitment_broken") == 0


def test_warnings_are_counted_and_nothing_is_remembered_of_them() -> None:
    told = Teller()
    told.say("sla", SlaWarned(**CLOCK, at_percent=80, deadline=at(3600), remaining_us=720_000_000), 2880)
    one = folded(told.events, Warnings())
    assert one.state is one.before
    assert count(booked(told.events, Warnings()), "warned", HOUR, policy="gold") == 1


def test_an_agents_time_counts_by_the_state_that_ended_and_the_agent_stands_in_the_new_one() -> None:
    told = Teller("dana")
    told.say("routing", AgentEnrolled(team_ids=("first",)), 0)
    told.say("routing", AgentStateChanged(state="available", previous="offline"), 0)
    told.say("routing", AgentStateChanged(state="break", previous="available"), 1800)
    told.say("routing", AgentStateChanged(state="available", previous="break", in_state_us=300_000_000), 2100)
    cells = booked(told.events, Agent())
    assert seconds(cells, "agent_state", state="available", agent="dana", team="first") == 1800
    assert seconds(cells, "agent_state", state="break") == 300
    assert count(cells, "agents_now", state="available", team="first") == count(cells, "agents_now") == 1


def test_an_agent_who_left_stands_in_no_state() -> None:
    told = Teller("dana")
    told.say("routing", AgentStateChanged(state="available", previous="offline"), 0)
    told.say("routing", AgentEnrolled(active=False), 10)
    assert count(booked(told.events, Agent()), "agents_now") == 0


def test_the_names_of_the_newest_version_are_shown() -> None:
    told = Teller("queue:support")
    for version, name in ((2, "Support"), (1, "Old")):
        names = {"en": name, "he": "תמיכה"}
        told.say("routing", QueueConfigured(id="support", version=version, effective_from=START, name=names, position=1), 0)
    assert folded(told.events, Named()).state == Named(2, {"en": "Support", "he": "תמיכה"})


def test_agents_and_policies_have_one_name_for_all_languages() -> None:
    told = Teller("agent:dana")
    told.say("routing", AgentConfigured(id="dana", version=1, effective_from=START, display_name="Dana"), 0)
    assert folded(told.events, Named()).state.names == {"": "Dana"}
    told = Teller("policy:gold")
    told.say("sla", PolicyConfigured(id="gold", version=1, effective_from=START, name="Gold", position=1, targets=()), 0)
    assert folded(told.events, Named()).state.names == {"": "Gold"}
