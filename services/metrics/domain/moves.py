"""What transfers, escalations, questions to experts and wrap-ups measure. Pure."""

from __future__ import annotations

import msgspec

from services.metrics.domain.cells import Measured, hour_of, microseconds
from services.metrics.domain.story import Asked, Story, dims_now
from services.metrics.domain.tickets import Told, by_agent, took
from shared.events.base import Event
from shared.events.ticket import TicketEscalated, TicketTransferred
from shared.events.work import ConsultEnded, ConsultRequested, WrapUpCompleted, WrapUpStarted


def transferred(story: Story, event: Event[TicketTransferred]) -> Told:
    """Sent on, from where it is until then. What somebody had, they gave away."""
    dims, hour = by_agent(dims_now(story), event.data.by_agent_id or ""), hour_of(microseconds(event.time))
    measured = [Measured("transfer", hour, dims)]
    owner = story.ticket.routing.agent_id
    if owner is not None:
        measured.append(Measured("given_away", hour, by_agent(dims_now(story), owner)))
    return story, measured


def escalated(story: Story, event: Event[TicketEscalated]) -> Told:
    """Sent up, from where it is until then."""
    dims = by_agent(dims_now(story), event.data.by_agent_id or "")
    after = story if story.escalated else msgspec.structs.replace(story, escalated=True)
    return after, [Measured("escalation", hour_of(microseconds(event.time)), dims)]


def consult_requested(story: Story, event: Event[ConsultRequested]) -> Told:
    """An expert is asked; it counts for who asks."""
    fact, at_us = event.data, microseconds(event.time)
    dims = by_agent(dims_now(story), fact.agent_id)
    asked = {**story.asked, fact.consult_id: Asked(at_us, dims._replace(agent=fact.expert_id or "", team=""))}
    return msgspec.structs.replace(story, asked=asked), [Measured("consult", hour_of(at_us), dims)]


def consult_ended(story: Story, event: Event[ConsultEnded]) -> Told:
    """The question is over; how long an answer took counts for who answered."""
    fact = event.data
    asked = story.asked.get(fact.consult_id)
    if asked is None:
        return story, []
    rest = {consult_id: other for consult_id, other in story.asked.items() if consult_id != fact.consult_id}
    answered = fact.outcome == "answered"
    measured = [took("consult_answered", microseconds(event.time), asked.at_us, asked.dims)] if answered else []
    return msgspec.structs.replace(story, asked=rest), measured


def wrap_up_started(story: Story, event: Event[WrapUpStarted]) -> Told:
    """Whatever becomes of the ticket meanwhile, the wrap-up is of where it was."""
    agent = event.data.agent_id
    wrapping = {**story.wrapping, agent: by_agent(dims_now(story), agent)}
    return msgspec.structs.replace(story, wrapping=wrapping), []


def wrap_up_completed(story: Story, event: Event[WrapUpCompleted]) -> Told:
    """How long it took; after a call it is part of the call's handling."""
    fact, hour = event.data, hour_of(microseconds(event.time))
    dims = story.wrapping.get(fact.agent_id) or by_agent(dims_now(story), fact.agent_id)
    measured = [Measured("wrap_up", hour, dims, us=max(0, fact.wrap_up_us))]
    if fact.agent_id in story.talked or fact.agent_id in story.talking.values():
        measured.append(measured[0]._replace(measure="call_wrap_up"))
    wrapping = {agent: other for agent, other in story.wrapping.items() if agent != fact.agent_id}
    talked = tuple(agent for agent in story.talked if agent != fact.agent_id)
    return msgspec.structs.replace(story, wrapping=wrapping, talked=talked), measured
