"""What the story of a ticket comes to in figures."""

from __future__ import annotations

import pytest

from services.metrics.domain.cells import NOW_HOUR
from shared.events.call import CallAnswered, CallEnded
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketClosed,
    TicketLabelled,
    TicketLeftQueue,
    TicketPended,
    TicketReopened,
)
from shared.events.work import OfferAccepted, OfferDeclined, OfferExpired, TicketOffered
from shared.ticket import IllegalFact
from tests.unit.metrics.teller import HOUR, Teller, at, booked, count, seconds


def a_conversation() -> Teller:
    """Opened with a message, queued, taken after 40 s, answered after 60 s, resolved after 100 s."""
    told = Teller()
    told.opened()
    told.wrote(0)
    told.queued(1)
    told.assigned(40)
    told.replied(60)
    told.resolved(100)
    return told


def test_a_conversation_is_one_ticket_with_its_response_reply_and_resolution_times() -> None:
    cells = booked(a_conversation().events)
    assert count(cells, "opened", HOUR, channel="email", queue="support", agent="dana", team="first", language="he") == 1
    assert seconds(cells, "first_response", agent="dana", queue="support") == 60
    assert seconds(cells, "reply", channel="email") == 60
    assert seconds(cells, "resolution", agent="dana") == 100
    assert count(cells, "interaction") == 2
    assert count(cells, "assigned", agent="dana") == count(cells, "solved", agent="dana") == 1


def test_a_fact_before_the_opening_is_refused() -> None:
    told = Teller()
    told.wrote(0)
    with pytest.raises(IllegalFact):
        booked(told.events)


def test_mail_of_a_machine_is_no_interaction_and_waits_for_nothing() -> None:
    told = Teller()
    told.opened()
    told.wrote(0, origin="auto_reply")
    told.replied(50)
    cells = booked(told.events)
    assert count(cells, "interaction") == 1
    assert count(cells, "first_response") == count(cells, "reply") == 0


def test_a_bot_answers_but_only_a_representative_responds() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.replied(5, by="bot")
    told.wrote(10)
    told.replied(30)
    cells = booked(told.events)
    assert seconds(cells, "first_response") == 30
    assert (count(cells, "reply"), seconds(cells, "reply")) == (1, 20)


def test_a_reply_answers_all_messages_that_it_had_seen_and_no_other() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.wrote(10)
    told.wrote(20)
    told.replied(30, seen=3)
    told.replied(50)
    cells = booked(told.events)
    assert (count(cells, "reply"), seconds(cells, "reply")) == (3, 30 + 20 + 30)
    assert (count(cells, "first_response"), seconds(cells, "first_response")) == (1, 30)


def test_a_reply_that_had_not_seen_the_customer_is_no_response() -> None:
    told = Teller()
    told.opened(opened_by="dana")
    told.replied(5, seen=1)
    told.wrote(100)
    told.replied(130)
    assert seconds(booked(told.events), "first_response") == 30


def test_reply_time_goes_by_the_channel_of_the_message() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.wrote(10, channel="sms")
    told.replied(40)
    cells = booked(told.events)
    assert (seconds(cells, "reply", channel="email"), seconds(cells, "reply", channel="sms")) == (40, 30)


def test_a_resolution_that_the_customer_reopens_is_taken_back_and_the_last_one_stands() -> None:
    told = a_conversation()
    told.wrote(4000)
    reopened = booked(told.events)
    assert count(reopened, "resolution") == count(reopened, "solved") == 0
    assert count(reopened, "backlog_now", state="open") == 1
    told.resolved(7300)
    cells = booked(told.events)
    assert (count(cells, "resolution", HOUR), count(cells, "resolution", HOUR + 2)) == (0, 1)
    assert seconds(cells, "resolution") == 7300


def test_a_resolution_that_crossed_a_message_does_not_stand() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.assigned(5, visit=None)
    told.wrote(20)
    told.resolved(20, seen=2)
    assert count(booked(told.events), "resolution") == 0


def test_an_agent_who_reopens_takes_the_resolution_back() -> None:
    told = a_conversation()
    told.say("routing", TicketReopened(agent_id="dana"), 200)
    assert count(booked(told.events), "resolution") == 0


def test_closing_keeps_the_resolution_and_closing_unsolved_makes_none() -> None:
    told = a_conversation()
    told.say("intake", TicketClosed(reason="resolved_long_ago"), 9000)
    assert count(booked(told.events), "resolution") == 1
    other = Teller()
    other.opened()
    other.say("intake", TicketClosed(reason="requested"), 10)
    assert count(booked(other.events), "resolution") == 0


def test_the_backlog_follows_the_status_hour_by_hour_and_nets_out() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.queued(1)
    told.assigned(3600)
    told.say("routing", TicketPended(agent_id="dana"), 7200)
    told.resolved(10800)
    cells = booked(told.events)
    assert count(cells, "backlog", HOUR, state="new", queue="support") == 1
    assert count(cells, "backlog", HOUR + 1, state="new") == -1
    assert count(cells, "backlog", HOUR + 1, state="open", agent="dana") == 1
    assert count(cells, "backlog", HOUR + 2, state="open") == -1
    assert count(cells, "backlog", HOUR + 3, state="pending") == -1
    assert count(cells, "backlog") == count(cells, "backlog_now") == 0


def test_within_an_hour_the_backlog_shows_only_where_the_ticket_came_to_rest() -> None:
    cells = booked(a_conversation().events)
    assert not [cell for cell in cells if cell.measure == "backlog"]


def test_spam_stands_for_nothing_until_it_is_taken_back() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.say("intake", SpamMarked(by="rule"), 1)
    assert booked(told.events) == {}
    told.say("intake", SpamUnmarked(by="rule"), 2)
    cells = booked(told.events)
    assert count(cells, "opened") == count(cells, "backlog_now", state="new") == 1


def test_volume_goes_by_the_present_topic_and_product() -> None:
    told = Teller()
    told.opened(topic="billing")
    told.say("routing", TicketLabelled(topic="delivery", product="kettle"), 5)
    cells = booked(told.events)
    assert count(cells, "opened", topic="billing") == 0
    assert count(cells, "opened", topic="delivery", product="kettle") == 1


def test_each_visit_to_a_queue_ends_once() -> None:
    told = Teller()
    told.opened()
    told.queued(0)
    assert count(booked(told.events), "waiting_now", NOW_HOUR, queue="support") == 1
    told.say("routing", TicketLeftQueue(queue_id="support", visit=1, reason="transferred", waited_us=10_000_000), 10)
    told.queued(10, "billing", visit=2)
    told.assigned(25, visit=2, queue_id="billing", waited_us=15_000_000)
    told.say("routing", TicketLeftQueue(queue_id="billing", visit=2, reason="abandoned", waited_us=1), 26)
    cells = booked(told.events)
    assert (count(cells, "visit"), count(cells, "visit_withdrawn"), count(cells, "visit_handled")) == (2, 1, 1)
    assert count(cells, "visit_abandoned") == count(cells, "waiting_now") == 0
    assert seconds(cells, "visit_handled", queue="billing", agent="dana") == 15


def test_a_caller_who_leaves_the_queue_is_abandoned() -> None:
    told = Teller()
    told.opened(channel="phone")
    told.called(0)
    told.queued(1)
    told.say("routing", TicketLeftQueue(queue_id="support", visit=1, reason="abandoned", waited_us=29_000_000), 30)
    cells = booked(told.events)
    assert (count(cells, "visit_abandoned", channel="phone"), seconds(cells, "visit_abandoned")) == (1, 29)


def test_a_visit_that_nobody_ended_is_withdrawn_when_the_next_begins() -> None:
    told = Teller()
    told.opened()
    told.queued(0)
    told.queued(10, "billing", visit=2)
    cells = booked(told.events)
    assert (count(cells, "visit"), count(cells, "visit_withdrawn"), count(cells, "waiting_now")) == (2, 1, 1)


def test_offers_are_counted_by_how_they_ended() -> None:
    told = Teller()
    told.opened()
    told.queued(0)
    for offer, agent in (("o1", "omar"), ("o2", "lena"), ("o3", "dana")):
        shown = TicketOffered(offer_id=offer, agent_id=agent, queue_id="support", visit=1, expires_at=at(60))
        told.say("routing", shown, 1)
    told.say("routing", OfferDeclined(offer_id="o1", agent_id="omar", queue_id="support"), 2)
    told.say("routing", OfferExpired(offer_id="o2", agent_id="lena", queue_id="support"), 3)
    told.say("routing", OfferAccepted(offer_id="o3", agent_id="dana", queue_id="support", answered_us=4_000_000), 5)
    cells = booked(told.events)
    assert count(cells, "offered") == 3
    assert count(cells, "offer_declined", agent="omar") == count(cells, "offer_expired", agent="lena") == 1
    assert seconds(cells, "offer_accepted", agent="dana") == 4


def test_a_call_answered_by_an_agent_is_a_response_and_its_talk_is_the_agents() -> None:
    told = Teller()
    told.opened(channel="phone")
    told.called(0)
    told.say("intake", CallAnswered(call_id="call1"), 2)
    told.say("intake", CallAnswered(call_id="call1", agent_id="dana"), 20)
    told.say("intake", CallEnded(call_id="call1", outcome="completed", talk_us=95_000_000, hold_us=5_000_000), 115)
    cells = booked(told.events)
    assert seconds(cells, "first_response", channel="phone", agent="dana") == 20
    assert seconds(cells, "talk", agent="dana") == 95
    assert seconds(cells, "hold", agent="dana") == 5
    assert count(cells, "reply") == 0


@pytest.mark.parametrize("outcome", ["abandoned", "busy", "no_answer", "failed", "cancelled", "voicemail", "lost"])
def test_a_call_without_talk_has_no_talk_time(outcome: str) -> None:
    told = Teller()
    told.opened(channel="phone")
    told.called(0)
    told.say("intake", CallEnded(call_id="call1", outcome=outcome), 9)  # type: ignore[arg-type]
    assert count(booked(told.events), "talk") == 0


def test_an_agent_to_whom_a_ticket_comes_twice_was_assigned_one_ticket() -> None:
    told = a_conversation()
    told.wrote(200)
    told.assigned(210, "omar", visit=None)
    told.assigned(220, "dana", visit=None)
    told.resolved(300, "omar")
    cells = booked(told.events)
    assert count(cells, "assigned", agent="dana") == count(cells, "assigned", agent="omar") == 1
    assert (count(cells, "solved", agent="dana"), count(cells, "solved", agent="omar")) == (0, 1)
