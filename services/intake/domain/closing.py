"""When a ticket is closed, which intake alone does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared import ticket as tickets
from shared.events.base import Draft, Event, Fact
from shared.events.ticket import RequestRefused, TicketClosed, TicketCloseRequested
from shared.ticket import CommandRefused, Ticket

Reason = Literal["resolved_long_ago", "requested"]


@dataclass(frozen=True, slots=True)
class Resting:
    """A ticket that was resolved long enough ago."""

    ticket_id: str
    story: Ticket


def on_request(story: Ticket, event: Event[Fact], wish: TicketCloseRequested) -> Draft[Fact]:
    """The answer to an agent who asks to close."""
    try:
        tickets.check(story, "close")
    except CommandRefused as refused:
        refusal = RequestRefused(
            request_event_id=event.id, code="not-allowed-now", detail=str(refused), requested_by=wish.agent_id
        )
        return Draft(key=event.key, data=refusal, cause=event.id)
    if event.seen < story.intake.last_message:
        detail = "The customer wrote something that you had not seen when you asked. Read it, then ask again."
        unseen = RequestRefused(
            request_event_id=event.id, code="customer-wrote-meanwhile", detail=detail, requested_by=wish.agent_id
        )
        return Draft(key=event.key, data=unseen, cause=event.id)
    closed = TicketClosed(reason="requested", requested_by=wish.agent_id)
    return Draft(key=event.key, data=closed, cause=event.id)


def by_age(resting: Resting) -> Draft[Fact] | None:
    """Close what stayed resolved; None when the customer wrote in the meantime. The decision is in the cause: a ticket that
    is resolved again is another matter.
    """
    decision = resting.story.routing.decision
    if resting.story.status != "resolved" or decision is None:
        return None
    cause = f"closing:{resting.ticket_id}:{decision.at.isoformat()}"
    return Draft(key=resting.ticket_id, data=TicketClosed(reason="resolved_long_ago"), cause=cause)
