"""What of a ticket's log people see as its history. Personal data stays sealed in it, and is opened at read time only. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from shared.events import message as m
from shared.events import ticket as t
from shared.events import work as w
from shared.events.base import Event, Fact, PersonalFact, Sealed
from shared.events.codec import encode_data
from shared.events.topics import TICKETS

Kind = Literal["message", "note", "delivery", "event"]

# An agent's turning to a ticket and away from it is measured, not shown; and what is asked to be opened is no ticket yet.
UNSEEN: frozenset[type[Fact]] = frozenset({w.WorkStarted, w.WorkStopped, t.TicketOpenRequested})
SEEN: tuple[type[Fact], ...] = tuple(fact for fact in TICKETS.facts if fact not in UNSEEN)

MESSAGES: frozenset[type[Fact]] = frozenset(
    {m.MessageReceived, m.MessageEdited, m.MessageDeleted, m.MessageReacted, m.ReplyRequested}
)
NOTES: frozenset[type[Fact]] = frozenset({m.NoteAdded, w.ConsultRequested, w.ConsultAnswered})
DELIVERIES: frozenset[type[Fact]] = frozenset(
    {
        m.ConfirmationSent,
        m.ConfirmationSkipped,
        m.MessageDelivered,
        m.MessageFailed,
        m.DeliveryUncertain,
        m.MessageBounced,
        m.MessageRead,
        m.MessageComplained,
        m.AttachmentFetched,
        m.AttachmentFailed,
    }
)
# Facts with words by which a ticket is found.
WORDED: frozenset[type[Fact]] = frozenset(
    {
        t.TicketOpened,
        t.TicketRenamed,
        m.MessageReceived,
        m.MessageEdited,
        m.ReplyRequested,
        m.NoteAdded,
        m.SurveyAnswered,
        w.ConsultRequested,
        w.ConsultAnswered,
    }
)
# What happens by the way: a ticket does not come up in a list that is sorted by its changes for this.
QUIET: frozenset[type[Fact]] = frozenset(
    {
        w.TicketOffered,
        w.OfferAccepted,
        w.OfferDeclined,
        w.OfferExpired,
        w.OfferRescinded,
        w.OfferFailed,
        w.WrapUpStarted,
        w.WrapUpCompleted,
        m.ConfirmationSent,
        m.ConfirmationSkipped,
        m.MessageDelivered,
        m.MessageRead,
        m.DeliveryUncertain,
        m.AttachmentFetched,
        m.SurveySent,
    }
)
KIND_OF: dict[str, Kind] = {
    **{fact.TYPE: "event" for fact in SEEN},
    **{fact.TYPE: "message" for fact in MESSAGES},
    **{fact.TYPE: "note" for fact in NOTES},
    **{fact.TYPE: "delivery" for fact in DELIVERIES},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in a ticket's history. `person` is whose data `box` holds, both None without one; `data` is all else as JSON."""

    ticket_id: str
    event_id: str
    type: str
    writer: str
    at: datetime
    person: str | None
    box: str | None
    data: str


def entry_of(event: Event[Fact]) -> Entry:
    """The history that this event makes."""
    fact: Fact = event.data
    sealed: Sealed | None = None
    if isinstance(fact, PersonalFact):
        sealed, fact = fact.personal, replace(fact, personal=None)
    return Entry(
        ticket_id=event.key,
        event_id=event.id,
        type=event.type,
        writer=event.writer,
        at=event.time,
        person=sealed.customer_id if sealed is not None else None,
        box=sealed.box if sealed is not None else None,
        data=encode_data(fact).decode(),
    )


def types_of(kinds: frozenset[Kind]) -> list[str]:
    """The types of these kinds."""
    return sorted(name for name, kind in KIND_OF.items() if kind in kinds)
