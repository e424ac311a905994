"""What each fact about a ticket does to its story, and what it measures for good. Pure.

Offers and calls are in `work.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.metrics.domain.cells import Dims, Measure, Measured, hour_of, microseconds
from services.metrics.domain.story import Contact, Owner, Resolution, Story, Unanswered, Visit, dims_now, stayed, visit_dims
from shared import ticket as ticket_fold
from shared.events.base import Event, Fact
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    TicketAbsorbed,
    TicketAssigned,
    TicketExpelled,
    TicketLabelled,
    TicketLeftQueue,
    TicketOpened,
    TicketQueued,
    TicketResolved,
    TicketSplit,
)

Told = tuple[Story, list[Measured]]


def told(story: Story, event: Event[Fact], **changes: Any) -> Story:
    """The story after a fact that the ticket's own fold knows, with `changes` of ours. Raises IllegalFact."""
    ticket = ticket_fold.apply(story.ticket, event)
    return stayed(msgspec.structs.replace(story, ticket=ticket, **changes), microseconds(event.time))


def moved(story: Story, event: Event[Fact]) -> Told:
    """Facts that change only the ticket's status, owner or priority."""
    return told(story, event), []


def opened(story: Story, event: Event[TicketOpened]) -> Told:
    """The ticket begins, with the labels it was opened with."""
    fact = event.data
    begun: dict[str, Any] = {"partner": fact.partner_id or "", "topic": fact.topic or "", "product": fact.product or ""}
    if fact.unanswered_since is not None:  # it came with messages of another ticket
        since_us = microseconds(fact.unanswered_since)
        begun["contact"] = Contact(event.position, since_us)
        begun["unanswered"] = (Unanswered(event.position, since_us, fact.channel),)
    return told(story, event, **begun), []


def message_received(story: Story, event: Event[MessageReceived]) -> Told:
    """A person's message is an interaction and waits for an answer; a machine's is neither."""
    if not ticket_fold.awaits_answer(event.data):
        return story, []
    unanswered = story.unanswered
    if event.position > story.ticket.routing.answered:
        waiting = Unanswered(event.position, microseconds(event.time), event.data.channel, event.data.message_id)
        unanswered = (*unanswered, waiting)
    return contacted(story, event, unanswered=unanswered), []


def contacted(story: Story, event: Event[Fact], **changes: Any) -> Story:
    """The customer got in touch: one more interaction, and perhaps the first."""
    contact = story.contact or Contact(event.position, microseconds(event.time))
    return told(story, event, contact=contact, interactions=story.interactions + 1, **changes)


def reply_requested(story: Story, event: Event[ReplyRequested]) -> Told:
    """A reply answers the messages it had seen. Only a representative's counts as response and in reply time."""
    fact, at_us = event.data, microseconds(event.time)
    covered = [message for message in story.unanswered if message.position <= event.seen]
    waiting = tuple(message for message in story.unanswered if message.position > event.seen)
    measured: list[Measured] = []
    responded = story.responded
    if fact.by == "agent":
        dims = by_agent(dims_now(story), fact.agent_id, fact.queue_id, fact.team_id)
        measured = [took("reply", at_us, message.at_us, dims._replace(channel=message.channel)) for message in covered]
        if not responded and story.contact is not None and story.contact.position <= event.seen:
            responded = True
            measured.append(took("first_response", at_us, story.contact.at_us, dims))
    after = told(story, event, unanswered=waiting, responded=responded, interactions=story.interactions + 1)
    return after, measured


def queued(story: Story, event: Event[TicketQueued]) -> Told:
    """A visit to a queue begins; one that was not ended before is ended as withdrawn, so that visits always add up."""
    fact, at_us = event.data, microseconds(event.time)
    measured = [] if story.visit is None else [_visit_ended("visit_withdrawn", story, story.visit, event.time, None)]
    after = told(
        story,
        event,
        visit=Visit(fact.visit, fact.queue_id, at_us),
        first_queue=story.first_queue or fact.queue_id,
        partner=fact.partner_id or "",
    )
    return after, [*measured, Measured("visit", hour_of(at_us), visit_dims(after, fact.queue_id))]


def left_queue(story: Story, event: Event[TicketLeftQueue]) -> Told:
    """The visit ended without an agent. One that is not going on is not ended again."""
    fact, visit = event.data, story.visit
    if visit is None or visit.number != fact.visit:
        return story, []
    measure: Measure = "visit_abandoned" if fact.reason == "abandoned" else "visit_withdrawn"
    ended = [_visit_ended(measure, story, visit, event.time, fact.waited_us)]
    if fact.reason == "callback":
        ended.append(ended[0]._replace(measure="callback"))
    return stayed(msgspec.structs.replace(story, visit=None), microseconds(event.time)), ended


def assigned(story: Story, event: Event[TicketAssigned]) -> Told:
    """An agent has it: the visit to the queue, if any, was handled."""
    fact, at_us = event.data, microseconds(event.time)
    measured: list[Measured] = []
    if story.visit is not None:
        handled = _visit_ended("visit_handled", story, story.visit, event.time, fact.waited_us)
        measured.append(handled._replace(dims=handled.dims._replace(agent=fact.agent_id, team=fact.team_id or "")))
    after = told(
        story,
        event,
        visit=None,
        first_agent=story.first_agent or fact.agent_id,
        first_team=story.first_team or fact.team_id or "",
        partner=fact.partner_id or "",
    )
    measured.append(Measured("taken", hour_of(at_us), dims_now(after)))
    if all(owner.agent != fact.agent_id for owner in story.owners):
        owner = Owner(fact.agent_id, hour_of(at_us), dims_now(after))
        after = msgspec.structs.replace(after, owners=(*after.owners, owner))
    return after, measured


def resolved(story: Story, event: Event[TicketResolved]) -> Told:
    """Solved, as far as it had seen. Whether it stands is a question to the story, asked each time it changes."""
    fact = event.data
    dims = dims_now(story)
    agent = fact.agent_id or (dims.agent if fact.by == "agent" else "")
    resolution = Resolution(microseconds(event.time), by_agent(dims, agent, fact.queue_id, fact.team_id))
    return told(story, event, resolution=resolution), []


def labelled(story: Story, event: Event[TicketLabelled]) -> Told:
    """Topic and product as they are now: the volume is counted under the present labels."""
    fact = event.data
    topic = story.topic if fact.topic is None else fact.topic
    product = story.product if fact.product is None else fact.product
    if (topic, product) == (story.topic, story.product):
        return story, []
    return msgspec.structs.replace(story, topic=topic, product=product), []


def absorbed(story: Story, event: Event[TicketAbsorbed]) -> Told:
    """Another ticket goes on in this one: what its customer still waits for is waited for here, since then. Told again, its
    customer was answered there, by a reply that is counted there.
    """
    fact, opened_us = event.data, microseconds(event.data.opened_at)
    began_us = opened_us if story.began_us is None else min(story.began_us, opened_us)
    unanswered, contact = tuple(one for one in story.unanswered if one.of != fact.ticket_id), story.contact
    answered = contact is not None and contact.of == fact.ticket_id and fact.first_responded_at is not None
    if fact.unanswered_since is not None:
        since_us = microseconds(fact.unanswered_since)
        unanswered = (*unanswered, Unanswered(event.position, since_us, story.ticket.intake.channel, fact.ticket_id))
        if fact.first_responded_at is None and not story.responded:
            contact = _earlier(contact, Contact(event.position, opened_us, fact.ticket_id))
    responded = story.responded or answered
    return told(story, event, began_us=began_us, unanswered=unanswered, contact=contact, responded=responded), []


def parted(story: Story, event: Event[TicketSplit | TicketExpelled]) -> Told:
    """Messages, or a ticket that had come in, go on elsewhere: what waits of them is waited for there."""
    fact = event.data
    gone = fact.message_ids if isinstance(fact, TicketSplit) else (fact.ticket_id,)
    left = tuple(message for message in story.unanswered if message.of not in gone)
    contact = story.contact
    first = next((message for message in story.unanswered if contact is not None and message.position == contact.position), None)
    if first is not None and first not in left and not story.responded:
        contact = Contact(left[0].position, left[0].at_us) if left else None
    return told(story, event, unanswered=left, contact=contact), []


def _earlier(contact: Contact | None, other: Contact) -> Contact:
    if contact is None:
        return other
    return Contact(contact.position, min(contact.at_us, other.at_us))


def by_agent(dims: Dims, agent: str, queue: str | None = None, team: str | None = None) -> Dims:
    """As the fact says where it says it; a team is known only with its own agent."""
    own_team = dims.team if agent == dims.agent else ""
    return dims._replace(agent=agent, queue=queue or dims.queue, team=team or own_team)


def took(measure: Measure, at_us: int, since_us: int, dims: Dims) -> Measured:
    """A duration, counted in the hour of its end."""
    return Measured(measure, hour_of(at_us), dims, us=max(0, at_us - since_us))


def _visit_ended(measure: Measure, story: Story, visit: Visit, at: datetime, waited_us: int | None) -> Measured:
    at_us = microseconds(at)
    waited = at_us - visit.at_us if waited_us is None else waited_us
    return Measured(measure, hour_of(at_us), visit_dims(story, visit.queue), us=max(0, waited))
