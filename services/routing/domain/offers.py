"""An offer's life: made, then accepted, declined, expired or rescinded. One is live per ticket; it holds units."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.routing.domain import wrapping
from services.routing.domain.agents import Agent, has_room, load, team_for, units_of, unload
from services.routing.domain.missing import miss
from services.routing.domain.steps import at_step, step_of
from services.routing.domain.work import EndedOffer, Offer, OfferEnd, Passed, Turn, Work, microseconds
from shared.events.base import derived_id
from shared.events.config import QueueConfigured
from shared.events.ticket import TicketAssigned
from shared.events.work import OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded, TicketOffered

RescindReason = Literal["abandoned", "withdrawn", "agent_left", "supervisor", "transferred", "spam", "merged"]


class OfferGone(ValueError):
    """The offer is no longer live: answered, expired, taken back, or of somebody else."""


class CannotOffer(ValueError):
    """The ticket does not wait, is offered already, or the agent has no room."""


def id_of(work: Work, agent_id: str) -> str:
    """The id of the next offer of this ticket, to this agent. Counted, so that no clock can give one twice."""
    return derived_id("offer", work.id, agent_id, str(work.offers))


def make(turn: Turn, agent: Agent, queue: QueueConfigured) -> Offer:
    """Offer the ticket; in a queue that accepts by itself the agent owns it at once. Raises CannotOffer."""
    work, visit = turn.work, turn.work.visit
    if visit is None or work.offer is not None or not has_room(agent, work.channel):
        raise CannotOffer(work.id)
    units = units_of(work.channel, agent)
    step = step_of(queue, visit, turn.now)
    offer = Offer(
        id=id_of(work, agent.id),
        agent_id=agent.id,
        queue_id=queue.id,
        visit=visit.number,
        offered_at=turn.now,
        expires_at=turn.now + timedelta(seconds=queue.offer_timeout_seconds),
        units=units,
        idle_before=agent.idle_since,
        given_before=agent.given_at,
        step=step,
    )
    turn.put(load(agent, work.channel, units, turn.now))
    turn.set(offer=offer, offers=work.offers + 1)
    turn.made.append(offer)
    turn.say(
        TicketOffered(
            offer_id=offer.id,
            agent_id=agent.id,
            queue_id=queue.id,
            visit=visit.number,
            expires_at=offer.expires_at,
            step=step,
        )
    )
    if queue.auto_accept:
        _accepted(turn, offer, queue, "auto_accepted")
    else:
        _tell_offer(turn, offer)
    return offer


def accept(turn: Turn, offer_id: str, agent_id: str, queue: QueueConfigured | None) -> None:
    """The agent takes the ticket; once more changes nothing. Raises OfferGone when it is too late or not theirs."""
    if turn.work.accepted_offer_id == offer_id and turn.work.owner == agent_id:
        return
    offer = _live(turn, offer_id, agent_id)
    if offer.expires_at <= turn.now:
        raise OfferGone("it expired")
    turn.say_load(_accepted(turn, offer, queue, "accepted"))


def decline(turn: Turn, offer_id: str, agent_id: str, reason: str | None, again_after: timedelta) -> None:
    """The agent does not want it; the ticket keeps its place. Raises OfferGone."""
    offer = _live(turn, offer_id, agent_id)
    turn.say(OfferDeclined(offer_id=offer.id, agent_id=agent_id, queue_id=offer.queue_id, reason=reason))
    _end(turn, offer, "declined", turn.now)
    _pass_over(turn, agent_id, again_after)


def expire(turn: Turn, again_after: timedelta) -> None:
    """Nobody answered in time: the ticket keeps its place, the agent is `missed` until they say they are there."""
    offer = turn.work.offer
    if offer is None or offer.expires_at > turn.now:
        return
    turn.say(OfferExpired(offer_id=offer.id, agent_id=offer.agent_id, queue_id=offer.queue_id))
    _end(turn, offer, "expired", turn.now)
    _pass_over(turn, offer.agent_id, again_after)
    miss(turn, offer.agent_id)


def rescind(turn: Turn, reason: RescindReason) -> None:
    """Take the live offer back, if there is one; the agent's turn was not used, so all stands as before."""
    offer = turn.work.offer
    if offer is None:
        return
    turn.say(OfferRescinded(offer_id=offer.id, agent_id=offer.agent_id, queue_id=offer.queue_id, reason=reason))
    _end(turn, offer, "rescinded", offer.idle_before, offer.given_before)


def _live(turn: Turn, offer_id: str, agent_id: str) -> Offer:
    offer = turn.work.offer
    if offer is None or offer.id != offer_id or offer.agent_id != agent_id:
        raise OfferGone("it is no longer open")
    return offer


def _accepted(turn: Turn, offer: Offer, queue: QueueConfigured | None, how: Literal["accepted", "auto_accepted"]) -> Agent:
    visit = turn.work.visit
    if visit is None or turn.agent(offer.agent_id) is None:
        raise OfferGone("the ticket no longer waits")
    wrapping.cut_short(turn, offer.agent_id)
    agent = turn.changed.get(offer.agent_id) or turn.known[offer.agent_id]
    turn.say(
        OfferAccepted(
            offer_id=offer.id,
            agent_id=agent.id,
            queue_id=offer.queue_id,
            answered_us=microseconds(offer.offered_at, turn.now),
        )
    )
    turn.say(
        TicketAssigned(
            agent_id=agent.id,
            how=how,
            queue_id=offer.queue_id,
            team_id=team_for(agent, at_step(queue, offer.step)) if queue else None,
            partner_id=agent.profile.partner_id,
            visit=visit.number,
            offer_id=offer.id,
            waited_us=microseconds(visit.entered_at, turn.now),
            step=offer.step,
        )
    )
    owner = msgspec.structs.replace(agent, tickets=agent.tickets + 1)
    turn.put(owner)
    turn.set(offer=None, visit=None, units=offer.units, last_agent_id=agent.id, accepted_offer_id=offer.id)
    turn.beside(callback=None)
    turn.ended.append(EndedOffer(offer.id, "accepted"))
    turn.tell(agent.id, "ticket.assigned", how=how, queue_id=offer.queue_id, channel=turn.work.channel)
    return owner


def _end(turn: Turn, offer: Offer, outcome: OfferEnd, idle_since: datetime, given_at: datetime | None = None) -> None:
    agent = turn.agent(offer.agent_id)
    if agent is not None:
        turn.put(unload(agent, turn.work.channel, offer.units, idle_since, given_at))
    turn.set(offer=None)
    turn.ended.append(EndedOffer(offer.id, outcome))
    turn.tell(offer.agent_id, "offer.ended", offer_id=offer.id, outcome=outcome)


def _pass_over(turn: Turn, agent_id: str, again_after: timedelta) -> None:
    visit = turn.work.visit
    if visit is None:
        return
    others = tuple(passed for passed in visit.passed if passed.agent_id != agent_id)
    passed = (*others, Passed(agent_id, turn.now + again_after))
    turn.set(visit=msgspec.structs.replace(visit, passed=passed))


def _tell_offer(turn: Turn, offer: Offer) -> None:
    intake = turn.work.ticket.intake
    turn.tell(
        offer.agent_id,
        "offer.made",
        offer_id=offer.id,
        queue_id=offer.queue_id,
        channel=intake.channel,
        language=intake.language,
        priority=turn.work.ticket.priority,
        vip=intake.vip,
        offered_at=offer.offered_at.isoformat(),
        expires_at=offer.expires_at.isoformat(),
    )
