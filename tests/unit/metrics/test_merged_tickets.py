"""What tickets come to in figures that became one, were parted again, or were split."""

from __future__ import annotations

import msgspec

from shared.events.ticket import (
    TicketAbsorbed,
    TicketExpelled,
    TicketMergedInto,
    TicketSplit,
    TicketUnmerged,
)
from tests.unit.metrics.teller import Teller, at, booked, count, seconds

# The other of two tickets that became one: asked in at 10 and not answered.
ABSORBED = TicketAbsorbed(
    ticket_id="t0",
    number=100_000,
    opened_at=at(0),
    unanswered_since=at(10),
    first_responded_at=None,
    first_response_us=None,
    interactions=1,
    replies=0,
    reply_us_sum=0,
    reply_us_count=0,
)


def absorbing() -> Teller:
    """A ticket of 100 that took the other one in at 110."""
    told = Teller()
    told.opened(100)
    told.say("intake", ABSORBED, 110)
    return told


def test_what_an_absorbed_ticket_waits_for_is_answered_by_the_one_that_goes_on() -> None:
    told = absorbing()
    told.replied(130)
    told.resolved(200)
    cells = booked(told.events)
    assert seconds(cells, "first_response") == 130
    assert seconds(cells, "reply") == 120
    assert seconds(cells, "resolution") == 200


def test_what_is_split_off_or_leaves_with_its_ticket_is_measured_where_it_goes_on() -> None:
    told = Teller()
    told.opened()
    told.wrote(0, message_id="m1")
    told.wrote(10, message_id="m2")
    told.say("intake", TicketSplit(into_ticket_id="t2", message_ids=("m1",)), 20)
    told.replied(30)
    cells = booked(told.events)
    assert (seconds(cells, "first_response"), seconds(cells, "reply")) == (20, 20), "only what stayed is answered here"
    new = Teller("t2")
    new.opened(20, split_from="t1", unanswered_since=at(0))
    new.replied(50)
    cells = booked(new.events)
    assert (seconds(cells, "first_response"), seconds(cells, "reply")) == (50, 50), "since it was written"


def test_what_came_in_with_a_ticket_is_not_answered_here_once_that_one_is_itself_again() -> None:
    told = absorbing()
    told.say("intake", TicketExpelled(ticket_id="t0"), 120)
    told.replied(130)
    cells = booked(told.events)
    assert (count(cells, "first_response"), count(cells, "reply")) == (0, 0)


def test_what_was_answered_on_the_merged_ticket_is_not_answered_again_by_the_one_that_goes_on() -> None:
    told = absorbing()
    again = msgspec.structs.replace(ABSORBED, unanswered_since=None, first_responded_at=at(105), first_response_us=105_000_000)
    told.say("intake", again, 115)
    told.wrote(120)
    told.replied(130)
    cells = booked(told.events)
    assert count(cells, "first_response") == 0, "it was counted where it was given"
    assert (count(cells, "reply"), seconds(cells, "reply")) == (1, 10)


def test_a_merged_ticket_leaves_the_backlog_and_the_volume_until_it_comes_back() -> None:
    told = Teller()
    told.opened()
    told.wrote(0)
    told.say("intake", TicketMergedInto(into_ticket_id="t2"), 5)
    cells = booked(told.events)
    assert (count(cells, "backlog_now"), count(cells, "opened")) == (0, 0)
    told.say("intake", TicketUnmerged(from_ticket_id="t2"), 6)
    cells = booked(told.events)
    assert (count(cells, "backlog_now"), count(cells, "opened")) == (1, 1)
