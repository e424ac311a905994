"""The checker finds histories broken by hand: offers and owners, capacity, queues, and what time brings about."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.routing.domain import agents
from shared.events.people import AgentLoadChanged
from shared.events.sla import ClockMet, SlaBreached, SlaBreachRetracted, SlaWarned
from shared.events.ticket import TicketAssigned, TicketPended, TicketReleased
from shared.events.work import OfferExpired, TicketOffered, WrapUpCompleted, WrapUpStarted
from tests.faults.by_hand import START, Story
from tests.faults.checker import broken
from tests.faults.promises import load
from tests.faults.stories import changed, found, held, of, promise, started, taken, whole


def waiting(story: Story, ticket_id: str, channel: Any = "sms") -> None:
    """One more ticket, which waits."""
    story.writes(f"key of {ticket_id}", ticket_id, channel=channel)
    story.queues(ticket_id)


# Offers and owners


def test_two_live_offers_of_one_ticket_are_found() -> None:
    story = whole()
    waiting(story, "more")
    story.offers("more", "dana")
    story.offers("more", "omar")
    assert found(story.history()) == {"offer-one"}


def test_an_offer_that_ends_twice_is_found() -> None:
    story = taken()
    offer = story.records_of(TicketOffered, "more")[0].event.data
    assert isinstance(offer, TicketOffered)
    story.tell("routing", "more", OfferExpired(offer_id=offer.offer_id, agent_id="dana", queue_id="support"), after=60)
    assert found(story.history()) == {"offer-one"}


def test_an_offer_that_somebody_else_accepts_is_found() -> None:
    story = taken()
    story.change(TicketOffered, "more", agent_id="omar")
    assert found(story.history()) == {"offer-one"}


def test_an_offer_accepted_after_its_time_is_found() -> None:
    story = taken()
    story.change(TicketOffered, "more", expires_at=START)
    assert found(story.history()) == {"offer-one"}


def test_offers_that_the_table_knows_otherwise_are_found() -> None:
    tables = taken().history().tables
    offer = next(offer for offer in tables.offers if offer.ticket_id == "more")
    others: list[dict[str, Any]] = [
        {"offers": changed(tables.offers, lambda row: row.offer_id == offer.offer_id, state="live")},
        {"offers": tuple(row for row in tables.offers if row != offer)},
        {"works": changed(tables.works, of("more"), offer_agent_id="omar")},
    ]
    for other in others:
        assert found(held(taken(), **other)) == {"offer-one"}


def test_two_owners_of_one_ticket_are_found() -> None:
    story = taken()
    story.acts("assign", "omar", "more")
    story.tell("routing", "more", TicketAssigned(agent_id="omar", how="supervisor"))
    assert found(story.history()) == {"owner-one"}


def test_a_ticket_released_by_somebody_who_has_it_not_is_found() -> None:
    story = whole()
    story.tell("routing", "late", TicketReleased(agent_id="omar", reason="supervisor"))
    assert found(story.history()) == {"owner-one"}


def test_a_ticket_queued_while_somebody_has_it_is_found() -> None:
    story = taken()
    story.queues("more")
    assert found(story.history()) == {"owner-one"}


# Capacity


def test_the_judge_weighs_tickets_as_routing_does() -> None:
    assert (load.UNITS, load.OTHER_UNITS, load.LIMITS) == (agents.UNITS, agents.OTHER_UNITS, agents.DEFAULT_LIMITS)


def test_more_units_than_there_is_room_for_are_found() -> None:
    story = whole()
    story.enrols("eva", capacity_units=3)
    for ticket_id in ("more", "and more"):
        waiting(story, ticket_id)
        story.offers(ticket_id, "eva")
    assert found(story.history()) == {"capacity"}


@pytest.mark.parametrize(("channel", "limits"), [("phone", {}), ("sms", {"sms": 1})], ids=["by default", "as configured"])
def test_more_tickets_of_one_channel_than_allowed_are_found(channel: Any, limits: dict[str, int]) -> None:
    story = whole()
    story.enrols("eva", channel_limits=limits)
    for ticket_id in ("more", "and more"):
        waiting(story, ticket_id, channel)
        story.offers(ticket_id, "eva")
    assert found(story.history()) == {"capacity"}


def test_what_rests_takes_no_room_and_less_room_takes_nothing_away() -> None:
    story = whole()
    story.enrols("eva", capacity_units=2)
    waiting(story, "more")
    story.accepts("more", "eva", story.offers("more", "eva"))
    story.enrols("eva", capacity_units=1)
    story.acts("pend", "eva", "more")
    story.tell("routing", "more", TicketPended(agent_id="eva"))
    story.loads("eva", -1)
    waiting(story, "and more")
    story.offers("and more", "eva")
    assert broken(story.history()) == []


def test_a_call_that_wakes_a_ticket_and_is_over_at_the_same_instant_is_carried_and_wrapped_up() -> None:
    story = taken()
    story.acts("pend", "dana", "more")
    story.tell("routing", "more", TicketPended(agent_id="dana"))
    story.loads("dana", -1)
    woken = story.writes("once more", "more", channel="sms")
    story.tell("routing", "more", WrapUpStarted(agent_id="dana", ends_by=story.now))
    story.loads("dana", 1, cause=woken.id)
    story.tell("routing", "more", WrapUpCompleted(agent_id="dana", wrap_up_us=1))
    waiting(story, "another")
    story.accepts("another", "dana", story.offers("another", "dana"))
    assert broken(story.history()) == []
    story.change(AgentLoadChanged, "dana", tickets=1)
    assert found(story.history()) == {"load-told"}


def test_a_load_that_the_tickets_do_not_come_to_is_found() -> None:
    tables = taken().history().tables
    rows = changed(tables.agents, lambda row: row.agent_id == "dana", used_units=9)
    assert found(held(taken(), agents=rows)) == {"load-told"}
    story = taken()
    story.change(AgentLoadChanged, "dana", tickets=7)
    assert found(story.history()) == {"load-told"}


# Queues


def test_a_visit_that_begins_while_another_goes_on_is_found() -> None:
    story = whole()
    story.queues("late")
    assert found(story.history()) == {"visits-add-up"}


def test_a_visit_that_ends_twice_or_in_another_queue_is_found() -> None:
    story = whole()
    story.leaves("rang")
    assert found(story.history()) == {"visits-add-up"}
    story = whole()
    story.leaves("late", "support", "transferred")
    assert found(story.history()) == {"visits-add-up"}


def test_an_offer_outside_of_a_visit_is_found() -> None:
    story = whole()
    story.offers("rang", "dana")
    assert found(story.history()) == {"visits-add-up"}


def test_a_queue_that_holds_other_tickets_than_the_log_tells_is_found() -> None:
    tables = whole().history().tables
    assert found(held(whole(), works=changed(tables.works, of("late"), queue_id="support"))) == {"visits-add-up"}


def test_a_visit_that_was_left_out_is_found() -> None:
    story = whole()
    story.visits["more"] = 1
    waiting(story, "more")
    assert found(story.history()) == {"visits-add-up"}


def test_a_customer_for_whom_nobody_cares_is_found() -> None:
    story = whole()
    story.writes("k9", "more", channel="sms")
    assert found(story.history()) == {"nobody-forgotten"}


# Time


def test_a_warning_and_a_breach_that_come_twice_are_found() -> None:
    for kind in (SlaWarned, SlaBreached):
        story = whole()
        again = story.records_of(kind, "late")[0].event
        story.tell("sla", "late", again.data, time=again.time)
        assert found(story.history()) == {"timer-once"}


def test_a_breach_taken_back_may_come_again_and_nothing_else_is_taken_back() -> None:
    story = whole()
    breach = story.records_of(SlaBreached, "late")[0].event
    assert isinstance(breach.data, SlaBreached)
    retracted = promise(SlaBreachRetracted, "late", deadline=breach.data.deadline, cause_event_id="x")
    story.tell("sla", "late", retracted)
    story.tell("sla", "late", breach.data, time=breach.time)
    assert broken(story.history()) == []
    story.tell("sla", "late", retracted)
    story.tell("sla", "late", retracted)
    assert "timer-once" in found(story.history())  # and the first response is called otherwise than it was


def test_a_breach_that_is_not_told_at_its_deadline_is_found() -> None:
    story = whole()
    place = next(n for n, r in enumerate(story.records) if isinstance(r.event.data, SlaBreached))
    event = story.records[place].event
    story.records[place] = replace(story.records[place], event=replace(event, time=event.time - timedelta(seconds=1)))
    assert found(story.history()) == {"timer-never-early"}


@pytest.mark.parametrize("kind", [SlaBreached, SlaWarned])
def test_what_was_published_before_its_instant_is_found(kind: type[SlaBreached] | type[SlaWarned]) -> None:
    story = whole()
    place = next(n for n, r in enumerate(story.records) if isinstance(r.event.data, kind))
    story.records[place] = replace(story.records[place], at=story.records[place].event.time - timedelta(seconds=1))
    assert found(story.history()) == {"timer-never-early"}
    assert broken(story.history(clock_moved=True)) == []


def test_an_offer_that_expires_before_its_time_is_found() -> None:
    story = whole()
    waiting(story, "more")
    story.tell("routing", "more", OfferExpired(offer_id=story.offers("more", "dana"), agent_id="dana", queue_id="support"))
    assert found(story.history()) == {"timer-never-early"}


def test_a_promise_that_is_both_kept_and_broken_is_found() -> None:
    story = whole()
    deadline = story.records_of(SlaBreached, "late")[0].event.time
    story.tell("sla", "late", promise(ClockMet, "late", met_at=deadline, elapsed_us=1, deadline=deadline))
    assert found(story.history()) == {"timer-final"}


def test_clocks_that_the_table_knows_otherwise_are_found() -> None:
    tables = whole().history().tables
    others: list[dict[str, Any]] = [
        {"clocks": changed(tables.clocks, of("late"), breached_at=None, deadline=datetime.max.replace(tzinfo=START.tzinfo))},
        {"clocks": changed(tables.clocks, of("one"), state="cancelled")},
        {"clocks": changed(tables.clocks, of("one"), cycle=2)},
        {"clocks": ()},
    ]
    for other in others:
        assert found(held(whole(), **other)) == {"timer-final"}


def test_a_timer_that_was_left_behind_is_found() -> None:
    assert found(held(whole(), timers={"late": START})) == {"timer-not-left"}
    story = whole()
    story.tell("sla", "late", started("late", START, 1, "resolution"))
    assert found(story.history()) == {"timer-not-left"}


@pytest.mark.parametrize(("seconds", "fate"), [(20, "broken"), (2, "kept")], ids=["in time and broken", "late and kept"])
def test_a_first_response_that_is_called_otherwise_than_it_was_is_found(seconds: int, fate: str) -> None:
    story = whole()
    opened = story.writes("k9", "more", channel="sms")
    deadline = opened.time + timedelta(seconds=seconds)
    story.tell("sla", "more", started("more", opened.time, seconds))
    story.takes("more", "dana")
    story.delivers("more", story.replies_to("more", "dana", "Yes."))
    if fate == "broken":
        late = promise(SlaBreached, "more", deadline=deadline, target_us=seconds * 1_000_000)
        story.tell("sla", "more", late, time=deadline, after=60)
    else:
        story.tell("sla", "more", promise(ClockMet, "more", met_at=deadline, elapsed_us=1, deadline=deadline))
    assert found(story.history()) == {"first-response-true"}
