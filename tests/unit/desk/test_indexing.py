"""Which facts of a ticket have words that still stand."""

from __future__ import annotations

from services.desk.indexing import READ, current
from services.desk.store.documents import FactRow
from shared.events.base import Fact
from shared.events.codec import encode_data
from shared.events.message import MessageDeleted, MessageEdited, MessageReceived, NoteAdded
from shared.events.ticket import TicketOpened


def row(fact: Fact, event_id: str = "e") -> FactRow:
    return FactRow("t", fact.TYPE, event_id, "c-1", "box", encode_data(fact).decode())


def received(message_id: str) -> MessageReceived:
    return MessageReceived(message_id=message_id, customer_id="c-1", channel="email", inbox="help", provider="smtp")


OPENED = TicketOpened(number=1, customer_id="c-1", channel="email", inbox="help")


def test_of_a_message_that_was_changed_the_last_text_counts() -> None:
    """The newest come first."""
    rows = [
        row(MessageEdited(message_id="m"), "2"),
        row(MessageEdited(message_id="m"), "1"),
        row(received("m"), "0"),
        row(OPENED, "o"),
    ]
    assert [(told.row.event_id, told.changed) for told in current(rows)] == [("2", False), ("1", True), ("0", True), ("o", False)]


def test_of_a_message_that_was_taken_back_nothing_counts() -> None:
    rows = [
        row(MessageDeleted(message_id="m")),
        row(MessageEdited(message_id="m")),
        row(received("m")),
        row(received("other"), "x"),
    ]
    assert [told.row.event_id for told in current(rows)] == ["x"]


def test_notes_stand_as_they_are() -> None:
    assert [told.changed for told in current([row(NoteAdded(note_id="n", agent_id="dana"))])] == [False]


def test_all_facts_with_words_are_read_and_those_that_take_words_back() -> None:
    assert MessageDeleted.TYPE in READ
    assert TicketOpened.TYPE in READ
