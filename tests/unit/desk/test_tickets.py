"""A ticket as it is listed, from its facts: what changes it, what goes by unnoticed, what is found anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.desk.domain.tickets import Case, Filed, heard
from services.desk.domain.timeline import DELIVERIES, KIND_OF, MESSAGES, NOTES, QUIET, SEEN, UNSEEN, WORDED, entry_of, types_of
from services.desk.handlers import TICKET_HANDLERS
from shared.events import message as m
from shared.events import ticket as t
from shared.events import work as w
from shared.events.base import Event, Fact, PersonalFact, Position, Sealed, Writer, event_id
from shared.events.topics import TICKETS
from shared.ticket import IllegalFact

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPENED = t.TicketOpened(number=100_001, customer_id="c1", channel="email", inbox="help", language="he", direction="rtl")
WROTE = m.MessageReceived(message_id="m1", customer_id="c1", channel="email", inbox="help", provider="smtp")


def told(*facts: tuple[Writer, Fact] | tuple[Writer, Fact, float]) -> Case:
    """The case after these facts, a minute after each other unless the time is said in seconds."""
    case = Case(Filed(id="t1"))
    seqs = {"intake": 0, "routing": 0}
    for n, (writer, fact, *seconds) in enumerate(facts):
        seqs[writer] += 1
        event: Event[Any] = Event(
            id=event_id(str(n), fact.TYPE, "t1"),
            type=fact.TYPE,
            writer=writer,
            position=Position(1, seqs[writer]),
            key="t1",
            time=START + timedelta(seconds=seconds[0] if seconds else 60 * n),
            data=fact,
            seen=Position(1, seqs["intake" if writer == "routing" else "routing"]),
        )
        case = heard(case, event)
    return case


def test_a_new_ticket_is_live_with_what_it_was_opened_with() -> None:
    case = told(("intake", OPENED), ("intake", WROTE))
    assert (case.filed.ticket.status, case.filed.live, case.filed.direction) == ("new", True, "rtl")
    assert case.filed.changed_at == START + timedelta(seconds=60)
    assert [entry.type for entry in case.entries] == ["ticket.opened.v1", "message.received.v1"]


@pytest.mark.parametrize(
    ("fact", "live"),
    [
        (t.TicketResolved(agent_id="dana"), False),
        (t.TicketPended(agent_id="dana"), True),
        (t.TicketPutOnHold(agent_id="dana"), True),
        (t.TicketReopened(agent_id="dana"), True),
    ],
)
def test_what_is_resolved_is_live_no_more(fact: Fact, live: bool) -> None:
    assert told(("intake", OPENED), ("intake", WROTE), ("routing", fact)).filed.live is live


def test_whose_work_it_is_goes_with_its_queue_and_its_agent() -> None:
    queued = t.TicketQueued(queue_id="q", visit=1, reason="opened", age_from=START, partner_id="north")
    assert told(("intake", OPENED), ("routing", queued)).filed.ticket.partner_id == "north"
    taken = t.TicketAssigned(agent_id="dana", how="taken", partner_id=None)
    assert told(("intake", OPENED), ("routing", queued), ("routing", taken)).filed.ticket.partner_id is None


def test_what_happens_by_the_way_does_not_bring_a_ticket_up() -> None:
    offered = w.TicketOffered(offer_id="o", agent_id="dana", queue_id="q", visit=1, expires_at=START)
    delivered = m.MessageDelivered(message_id="r", channel="email", attempts=1)
    case = told(("intake", OPENED), ("routing", offered), ("intake", delivered))
    assert case.filed.changed_at == START
    assert len(case.entries) == 3


def test_a_fact_that_comes_late_takes_no_change_back() -> None:
    case = told(("intake", OPENED, 0), ("intake", WROTE, 100), ("routing", m.NoteAdded(note_id="n", agent_id="dana"), 50))
    assert case.filed.changed_at == START + timedelta(seconds=100)


@pytest.mark.parametrize(
    ("fact", "reworded"),
    [
        (WROTE, True),
        (m.NoteAdded(note_id="n", agent_id="dana"), True),
        (m.MessageDeleted(message_id="m1"), True),
        (t.TicketMergedInto(into_ticket_id="t2"), True),
        (t.TicketCustomerChanged(customer_id="c2", previous="c1", reason="merged"), True),
        (t.TicketPrioritised(priority=3, previous=2), False),
        (m.MessageRead(message_id="r"), False),
    ],
)
def test_only_what_has_words_or_joins_tickets_is_indexed_anew(fact: Fact, reworded: bool) -> None:
    before = told(("intake", OPENED))
    event: Event[Any] = Event("e", fact.TYPE, _writer(fact), Position(1, 2), "t1", START, fact)
    assert heard(Case(before.filed), event).reworded is reworded


def _writer(fact: Fact) -> Writer:
    return "routing" if isinstance(fact, m.NoteAdded) else "intake"


def test_a_ticket_that_was_never_opened_is_a_defect_upstream() -> None:
    with pytest.raises(IllegalFact):
        told(("intake", WROTE))


def test_a_history_keeps_the_box_apart_from_what_the_log_says_in_clear() -> None:
    sealed = Sealed(customer_id="c1", box="Ym94")
    fact = msgspec.structs.replace(WROTE, personal=sealed)
    entry = entry_of(Event("e", fact.TYPE, "intake", Position(1, 2), "t1", START, fact))
    assert (entry.person, entry.box) == ("c1", "Ym94")
    assert "personal" not in msgspec.json.decode(entry.data)
    assert msgspec.json.decode(entry.data)["message_id"] == "m1"


def test_every_fact_about_tickets_is_seen_or_left_out_on_purpose() -> None:
    assert set(SEEN) | UNSEEN == set(TICKETS.facts)
    assert set(TICKET_HANDLERS) == set(SEEN)
    assert set(KIND_OF) == {fact.TYPE for fact in SEEN}


def test_what_is_personal_and_told_of_a_ticket_is_looked_for() -> None:
    assert {fact for fact in SEEN if issubclass(fact, PersonalFact)} == WORDED


def test_kinds_are_apart_and_together_everything() -> None:
    assert not MESSAGES & NOTES
    assert not MESSAGES & DELIVERIES
    assert set(SEEN) >= MESSAGES | NOTES | DELIVERIES | QUIET
    assert sorted(KIND_OF) == sorted(
        name for kind in ("message", "note", "delivery", "event") for name in types_of(frozenset({kind}))
    )
