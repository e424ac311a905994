"""What of a ticket's log people see as its history. Personal data stays sealed in it, and is opened at read time only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.events.base import Draft, Event, Fact, PersonalFact, event_id
from shared.events.codec import encode_data
from shared.events.topics import TICKETS, TOPIC_OF
from shared.events.work import WorkStarted, WorkStopped

UNSEEN: frozenset[type[Fact]] = frozenset({WorkStarted, WorkStopped})


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in a ticket's history. `customer_id` is the person whose data its box holds, None without a box."""

    ticket_id: str
    event_id: str
    type: str
    writer: str
    at: datetime
    customer_id: str | None
    data: str


def entries_of(events: list[Event[Fact]]) -> list[Entry]:
    """The history that these events make, in their order."""
    return [_entry(event) for event in events if TOPIC_OF[type(event.data)] is TICKETS and type(event.data) not in UNSEEN]


def entries_to_be(drafts: list[Draft[Fact]], now: datetime) -> list[Entry]:
    """The history that these drafts will make. For drafts without personal data: their box is known only once written."""
    return [
        Entry(
            ticket_id=draft.key,
            event_id=event_id(draft.cause, draft.data.TYPE, draft.key),
            type=draft.data.TYPE,
            writer="routing",
            at=draft.time or now,
            customer_id=None,
            data=encode_data(draft.data).decode(),
        )
        for draft in drafts
        if TOPIC_OF[type(draft.data)] is TICKETS and type(draft.data) not in UNSEEN
    ]


def _entry(event: Event[Fact]) -> Entry:
    sealed = event.data.personal if isinstance(event.data, PersonalFact) else None
    return Entry(
        ticket_id=event.key,
        event_id=event.id,
        type=event.type,
        writer=event.writer,
        at=event.time,
        customer_id=sealed.customer_id if sealed is not None else None,
        data=encode_data(event.data).decode(),
    )
