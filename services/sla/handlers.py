"""What each fact about a ticket changes in its promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.sla.domain.policies import Book
from services.sla.domain.story import Story
from services.sla.domain.telling import hear
from shared.events.base import Draft, Event, Fact
from shared.events.call import CallAnswered, CallReceived
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketExpelled,
    TicketMergedInto,
    TicketOpened,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketReopened,
    TicketResolved,
    TicketSplit,
    TicketUnmerged,
    TicketWithdrawn,
)
from shared.folding import Handler

Heard = tuple[Story, Sequence[Draft[Fact]]]


def opened(book: Book, story: Story, event: Event[TicketOpened], now: datetime) -> Heard:
    """A new ticket gets the promise of the first policy in force that takes it, or none."""
    promise = book.choose(event.data, event.time)
    story = msgspec.structs.replace(story, known=True, promise=promise)
    return told(book, story, event, now)


def told(book: Book, story: Story, event: Event[Any], now: datetime) -> Heard:
    """Any other fact is part of the story of a ticket that something was promised for."""
    if story.promise is None:
        return story, ()
    return hear(story, event, book.terms(story.promise), now)


HANDLERS: Mapping[type[Fact], Handler[Book, Story]] = {
    TicketOpened: opened,
    MessageReceived: told,
    CallReceived: told,
    CallAnswered: told,
    ReplyRequested: told,
    TicketQueued: told,
    TicketAssigned: told,
    TicketReleased: told,
    TicketResolved: told,
    TicketPended: told,
    TicketPutOnHold: told,
    TicketReopened: told,
    TicketPrioritised: told,
    TicketAbsorbed: told,
    TicketExpelled: told,
    TicketSplit: told,
    TicketClosed: told,
    TicketMergedInto: told,
    TicketUnmerged: told,
    TicketWithdrawn: told,
    SpamMarked: told,
    SpamUnmarked: told,
}
