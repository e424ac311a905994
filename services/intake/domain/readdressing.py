"""What a ticket that took another one in has to know of it: when it takes it in, and when an answer crossed the merge. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.events.base import Event, Fact
from shared.events.ticket import TicketAbsorbed
from shared.ticket import Ticket


def absorbed(ticket_id: str, story: Ticket, agent_id: str | None) -> TicketAbsorbed:
    """Times of replies stay where they were measured, on the merged ticket's own log: counted here too they would be twice."""
    opened_at, first = story.intake.opened_at, story.routing.first_reply_at
    assert opened_at is not None, "a ticket in the database was opened"
    return TicketAbsorbed(
        ticket_id=ticket_id,
        number=story.intake.number,
        opened_at=opened_at,
        unanswered_since=story.waiting_since,
        first_responded_at=first,
        first_response_us=_microseconds(opened_at, first) if first is not None else None,
        interactions=story.intake.messages + story.routing.replies,
        replies=story.routing.replies,
        reply_us_sum=0,
        reply_us_count=0,
        requested_by=agent_id,
    )


def readdressed(event: Event[Fact], story: Ticket, survivor: Ticket) -> TicketAbsorbed | None:
    """What is said where a merged ticket goes on, after this fact about the merged one came; None where what still waits of it is
    known there, or was answered there too.
    """
    waits_there = min((one.at for one in survivor.intake.waiting if one.of == event.key), default=None)
    if waits_there is None or waits_there == story.waiting_since:
        return None
    agent_id = getattr(event.data, "agent_id", None) or getattr(event.data, "requested_by", None)
    return absorbed(event.key, story, agent_id)


def _microseconds(since: datetime, until: datetime) -> int:
    return max(0, (until - since) // timedelta(microseconds=1))
