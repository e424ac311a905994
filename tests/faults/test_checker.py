"""The checker finds what it is there to find: histories broken by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.events.base import Event, Fact, Position, Writer
from shared.events.message import MessageReceived
from shared.events.ticket import TicketAssigned, TicketOpened
from shared.events.work import TicketOffered
from tests.faults.checker import History, broken

START = datetime(2026, 3, 1, tzinfo=UTC)


def told(seq: int, fact: Fact, key: str = "t1", writer: Writer = "intake") -> Event[Fact]:
    return Event(
        id=f"{writer}-{key}-{seq}", type=fact.TYPE, writer=writer, position=Position(1, seq), key=key, time=START, data=fact
    )


def opened(number: int = 1) -> TicketOpened:
    return TicketOpened(number=number, customer_id="c", channel="email", inbox="support")


def message(message_id: str) -> MessageReceived:
    return MessageReceived(message_id=message_id, customer_id="c", channel="email", inbox="support", provider="smtp")


def offered(offer_id: str) -> TicketOffered:
    return TicketOffered(offer_id=offer_id, agent_id="dana", queue_id="q", visit=1, expires_at=START + timedelta(seconds=30))


WHOLE = History({"one": ("t1", "m1")}, [told(1, opened()), told(2, message("m1"))])


def test_a_whole_history_is_found_whole_and_so_are_repeats_on_the_wire() -> None:
    assert broken(WHOLE) == []
    assert broken(replace(WHOLE, events=[*WHOLE.events, *WHOLE.events])) == []


def test_a_lost_contact_is_found() -> None:
    assert broken(replace(WHOLE, events=WHOLE.events[:1]))


def test_a_contact_on_two_tickets_is_found() -> None:
    twice = [*WHOLE.events, told(1, opened(2), "t2"), told(2, message("m1"), "t2")]
    assert broken(replace(WHOLE, events=twice))


def test_a_contact_told_twice_on_one_ticket_is_found() -> None:
    assert broken(replace(WHOLE, events=[*WHOLE.events, told(3, message("m1"))]))


def test_a_number_given_twice_is_found() -> None:
    assert broken(replace(WHOLE, events=[*WHOLE.events, told(1, opened(), "t2")]))


def test_a_hole_in_what_a_writer_said_is_found() -> None:
    assert broken(replace(WHOLE, events=[*WHOLE.events, told(4, message("m2"))]))


def test_a_fact_under_two_positions_is_found() -> None:
    again = replace(told(3, message("m2")), id=WHOLE.events[1].id)
    assert broken(replace(WHOLE, events=[*WHOLE.events, again]))


def test_two_live_offers_of_one_ticket_are_found() -> None:
    events = [*WHOLE.events, told(1, offered("o1"), writer="routing"), told(2, offered("o2"), writer="routing")]
    assert broken(replace(WHOLE, events=events))


def test_two_owners_of_one_ticket_are_found() -> None:
    owners = [told(n, TicketAssigned(agent_id=a, how="accepted"), writer="routing") for n, a in ((1, "dana"), (2, "omar"))]
    assert broken(replace(WHOLE, events=[*WHOLE.events, *owners]))
