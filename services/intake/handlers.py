"""What intake does about facts of the log: routing's about tickets, sla's promises. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.events.base import Draft, Event, Fact
from shared.events.message import ReplyRequested
from shared.events.sla import ClockResumed, ClockStarted
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketAssigned,
    TicketCloseRequested,
    TicketLabelled,
    TicketLinkRequested,
    TicketMergeRequested,
    TicketOpenRequested,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketReopened,
    TicketResolved,
    TicketSplitRequested,
    TicketUnmergeRequested,
)
from shared.folding import Handler
from shared.ticket import Ticket, apply

Drafts = Sequence[Draft[Fact]]


class UnknownTicket(LookupError):
    """A fact about a ticket that was never opened here: the log and this database do not belong together."""


@dataclass(frozen=True, slots=True)
class TicketState:
    """A ticket, the replies to carry out for it, and what agents ask of intake, or answered on it after it had been merged.
    `story` is None where there is no such ticket. `cleared`: intake took it for spam, and an agent says that it is none.
    `resolved`: each with the story as it was then.
    """

    story: Ticket | None = None
    replies: tuple[Event[ReplyRequested], ...] = ()
    cleared: bool = False
    asked: tuple[Event[Fact], ...] = ()
    resolved: tuple[tuple[Event[TicketResolved], Ticket], ...] = ()


@dataclass(frozen=True, slots=True)
class PromiseState:
    """When the first answer is promised by, as far as it was told in this batch."""

    first_response_by: datetime | None = None


def fold(_context: None, state: TicketState, event: Event[Fact], _now: datetime) -> tuple[TicketState, Drafts]:
    """Routing said something that changes the story."""
    before = _known(state, event)
    after = apply(before, event)
    if before.intake.merged_into is not None and after.intake.waiting != before.intake.waiting:
        return replace(state, story=after, asked=(*state.asked, event)), ()
    return replace(state, story=after), ()


def clear(context: None, state: TicketState, event: Event[SpamUnmarked], now: datetime) -> tuple[TicketState, Drafts]:
    """No spam after all: the confirmation that was withheld has to go out."""
    state, drafts = fold(context, state, event, now)
    return replace(state, cleared=state.cleared or withheld(state.story, event)), drafts


def withheld(story: Ticket | None, event: Event[SpamUnmarked]) -> bool:
    """Whether this clears a ticket that intake opened as spam, without confirming it."""
    return event.writer == "routing" and story is not None and story.intake.spam


def condemn(context: None, state: TicketState, event: Event[SpamMarked], now: datetime) -> tuple[TicketState, Drafts]:
    """Spam: nothing is to be confirmed."""
    state, drafts = fold(context, state, event, now)
    return replace(state, cleared=False), drafts


def carry_out(context: None, state: TicketState, event: Event[ReplyRequested], now: datetime) -> tuple[TicketState, Drafts]:
    """An agent answered: the reply has to go out."""
    state, drafts = fold(context, state, event, now)
    return replace(state, replies=(*state.replies, event)), drafts


def resolve(context: None, state: TicketState, event: Event[TicketResolved], now: datetime) -> tuple[TicketState, Drafts]:
    """Resolved: the customer may be asked how it was."""
    state, drafts = fold(context, state, event, now)
    return replace(state, resolved=(*state.resolved, (event, _known(state, event)))), drafts


def ask(_context: None, state: TicketState, event: Event[Fact], _now: datetime) -> tuple[TicketState, Drafts]:
    """An agent asks for what intake alone does; decided when all tickets that it concerns are at hand (`answering`)."""
    if not isinstance(event.data, TicketOpenRequested):
        _known(state, event)
    return replace(state, asked=(*state.asked, event)), ()


def promise(
    _context: None, state: PromiseState, event: Event[ClockStarted | ClockResumed], _now: datetime
) -> tuple[PromiseState, Drafts]:
    """sla promises an answer by a time; the customer may be told."""
    if event.data.target != "first_response":
        return state, ()
    return PromiseState(event.data.deadline), ()


def asks(event: Event[Fact]) -> bool:
    """Whether an agent asks for something by it."""
    return HANDLERS.get(type(event.data)) is ask


def _known(state: TicketState, event: Event[Fact]) -> Ticket:
    if state.story is None:
        raise UnknownTicket(f"ticket {event.key} is not known here")
    return state.story


HANDLERS: Mapping[type[Fact], Handler[None, TicketState]] = {
    ReplyRequested: carry_out,
    TicketCloseRequested: ask,
    TicketMergeRequested: ask,
    TicketUnmergeRequested: ask,
    TicketSplitRequested: ask,
    TicketLinkRequested: ask,
    TicketOpenRequested: ask,
    TicketQueued: fold,
    TicketAssigned: fold,
    TicketReleased: fold,
    TicketResolved: resolve,
    TicketPended: fold,
    TicketPutOnHold: fold,
    TicketReopened: fold,
    TicketPrioritised: fold,
    TicketLabelled: fold,
    SpamMarked: condemn,
    SpamUnmarked: clear,
}
PROMISE_HANDLERS: Mapping[type[Fact], Handler[None, PromiseState]] = {
    ClockStarted: promise,
    ClockResumed: promise,
}
