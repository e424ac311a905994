"""What offers and calls measure. Pure."""

from __future__ import annotations

import msgspec

from services.metrics.domain.cells import Measure, Measured, hour_of, microseconds
from services.metrics.domain.story import Story, dims_now
from services.metrics.domain.tickets import Told, contacted, told
from shared.events.base import Event, Fact
from shared.events.call import CallAnswered, CallEnded, CallPlaced, CallReceived, CallTransferred
from shared.events.work import (
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferFailed,
    OfferRescinded,
    TicketOffered,
)

OFFER_OUTCOMES: dict[type[Fact], Measure] = {
    OfferDeclined: "offer_declined",
    OfferExpired: "offer_expired",
    OfferFailed: "offer_failed",
    OfferRescinded: "offer_rescinded",
}


def offered(story: Story, event: Event[TicketOffered]) -> Told:
    """Shown to an agent."""
    return story, [_offer("offered", story, event, event.data.agent_id, event.data.queue_id)]


def offer_accepted(story: Story, event: Event[OfferAccepted]) -> Told:
    """The agent took it, after `answered_us`."""
    fact = event.data
    accepted = _offer("offer_accepted", story, event, fact.agent_id, fact.queue_id)
    return story, [accepted._replace(us=max(0, fact.answered_us))]


def offer_ended(
    story: Story, event: Event[OfferDeclined] | Event[OfferExpired] | Event[OfferFailed] | Event[OfferRescinded]
) -> Told:
    """The agent did not take it."""
    measure = OFFER_OUTCOMES[type(event.data)]
    return story, [_offer(measure, story, event, event.data.agent_id, event.data.queue_id)]


def call_received(story: Story, event: Event[CallReceived]) -> Told:
    """The customer calls."""
    return contacted(story, event), []


def call_placed(story: Story, event: Event[CallPlaced]) -> Told:
    """We call the customer: an interaction, which nobody waits for."""
    talking = {**story.talking, event.data.call_id: event.data.agent_id}
    return told(story, event, interactions=story.interactions + 1, talking=talking), []


def call_answered(story: Story, event: Event[CallAnswered]) -> Told:
    """Talk began. With an agent it is a response; a greeting or a menu is not."""
    fact = event.data
    if fact.agent_id is None:
        return story, []
    at_us = microseconds(event.time)
    measured: list[Measured] = []
    if not story.responded and story.contact is not None:
        dims = dims_now(story)._replace(agent=fact.agent_id)
        took = max(0, at_us - story.contact.at_us)
        measured.append(Measured("first_response", hour_of(at_us), dims, us=took))
    talking = {**story.talking, fact.call_id: fact.agent_id}
    responded = story.responded or bool(measured)
    return msgspec.structs.replace(story, talking=talking, responded=responded), measured


def call_transferred(story: Story, event: Event[CallTransferred]) -> Told:
    """Another agent talks now: the call counts as that one's."""
    fact = event.data
    if fact.to_agent_id is None:
        return story, []
    return msgspec.structs.replace(story, talking={**story.talking, fact.call_id: fact.to_agent_id}), []


def call_ended(story: Story, event: Event[CallEnded]) -> Told:
    """The call is over; talk and hold count when there was talk."""
    fact = event.data
    agent = story.talking.get(fact.call_id)
    rest = {call_id: other for call_id, other in story.talking.items() if call_id != fact.call_id}
    after = story if len(rest) == len(story.talking) else msgspec.structs.replace(story, talking=rest)
    if fact.outcome != "completed" or fact.talk_us <= 0:
        return after, []
    if agent is not None and agent not in after.talked:
        after = msgspec.structs.replace(after, talked=(*after.talked, agent))
    dims, hour = dims_now(story), hour_of(microseconds(event.time))
    dims = dims._replace(agent=agent or dims.agent)
    return after, [Measured("talk", hour, dims, us=fact.talk_us), Measured("hold", hour, dims, us=max(0, fact.hold_us))]


def _offer(measure: Measure, story: Story, event: Event[Fact], agent: str, queue: str) -> Measured:
    dims = dims_now(story)._replace(agent=agent, queue=queue, team="")
    return Measured(measure, hour_of(microseconds(event.time)), dims)
