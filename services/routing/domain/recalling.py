"""A ticket told again after a backup was restored: by both writers, and nothing decided anew. Pure.

First every fact is taken as it was said (`told`); then what agents carry is counted afresh (`recount`); at last each ticket
is brought to where its facts leave it (`settle`), for what routing had not yet answered when it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from services.routing.domain import lifecycle
from services.routing.domain.agents import Agent, has_room, load, units_of
from services.routing.domain.steps import entered
from services.routing.domain.work import EndedOffer, Offer, Opening, Passed, Turn, Visit, Work
from shared import ticket as tickets
from shared.events import call, ticket, work
from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.config import QueueConfigured


@dataclass(frozen=True, slots=True)
class Told:
    """A ticket, and the offers that a batch made and ended."""

    work: Work
    made: tuple[Offer, ...] = ()
    ended: tuple[EndedOffer, ...] = ()

    def set(self, **changes: object) -> Told:
        """With changes of the ticket."""
        return replace(self, work=msgspec.structs.replace(self.work, **changes))


class Debt(NamedTuple):
    """What routing has not answered: its caller left while it waited; a fact up to which it has not placed the ticket."""

    abandoned: bool = False
    unplaced: Position | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the facts are read with: the queues, and the agents they name."""

    queues: Mapping[str, QueueConfigured] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)


def told(known: Known, state: Told, event: Event[Fact]) -> Told:
    """The ticket after one fact of either writer. Raises shared.ticket.IllegalFact."""
    now = tickets.apply(state.work.ticket, event)
    seen = max(state.work.seen, event.position) if event.writer == "intake" else state.work.seen
    change = CHANGES.get(type(event.data))
    after = state.set(ticket=now, seen=seen)
    return change(known, after, event) if change is not None else after


def owed(debt: Debt, event: Event[Fact]) -> Debt:
    """What is owed after one more fact, in the order of the log. An answer of routing covers what it had seen."""
    fact = event.data
    if isinstance(fact, call.CallEnded | call.ChatEnded) and fact.outcome == "abandoned":
        return debt._replace(abandoned=True)
    if tickets.awaits_answer(fact) or isinstance(fact, ASKS_FOR_A_PLACE):
        return debt._replace(unplaced=event.position if event.writer == "intake" else NOTHING_SEEN)
    if isinstance(fact, PLACES) and debt.unplaced is not None and event.seen >= debt.unplaced:
        debt = debt._replace(unplaced=None)
    return debt._replace(abandoned=False) if isinstance(fact, ticket.TicketLeftQueue | ticket.TicketAssigned) else debt


def recount(works: Iterable[Work], agents: Mapping[str, Agent]) -> tuple[dict[str, Work], dict[str, Agent]]:
    """What each ticket takes of its owner and each offer of its agent, from nothing: live offers first, then tickets by id.

    A ticket for which its owner has no room any more takes nothing: `settle` gives it back.
    """
    bare = {a.id: msgspec.structs.replace(a, used_units=0, tickets=0, by_channel={}) for a in agents.values()}
    counted: dict[str, Work] = {}
    for one in sorted(works, key=lambda w: (w.offer is None, w.id)):
        agent = bare.get(one.offer.agent_id if one.offer is not None else one.owner or "")
        if agent is None:
            counted[one.id] = msgspec.structs.replace(one, units=0)
        elif one.offer is not None:
            bare[agent.id] = _carrying(agent, one, one.offer.units)
            counted[one.id] = msgspec.structs.replace(one, units=0)
        else:
            units = units_of(one.channel, agent) if one.ticket.active and has_room(agent, one.channel) else 0
            counted[one.id] = msgspec.structs.replace(one, units=units)
            if units:
                bare[agent.id] = msgspec.structs.replace(_carrying(agent, one, units), tickets=agent.tickets + 1)
    return counted, bare


def _carrying(agent: Agent, one: Work, units: int) -> Agent:
    if agent.used_units + units > agent.capacity_units:  # lowered for a busy agent: what is carried stays
        by_channel = {**agent.by_channel, one.channel: agent.by_channel.get(one.channel, 0) + 1}
        return msgspec.structs.replace(agent, used_units=agent.used_units + units, by_channel=by_channel)
    return load(agent, one.channel, units, agent.idle_since)


def settle(turn: Turn, queues: Sequence[QueueConfigured], debt: Debt) -> None:
    """Do what the ticket's facts ask for and routing has not done: take it out, let it wait, give it back to work."""
    one = turn.work
    story = one.ticket
    if not story.exists:
        return
    if story.intake.merged_into is not None:
        lifecycle.take_out(turn, "merged")
    elif story.spam:
        lifecycle.take_out(turn, "spam")
    elif story.status == "closed":
        lifecycle.take_out(turn, "resolved")
    elif story.intake.withdrawn:
        lifecycle.take_out(turn, "cancelled")
    elif debt.abandoned and one.visit is not None:
        lifecycle.leave(turn, "abandoned")
    elif story.active and one.owner is not None and not one.units:
        lifecycle.customer_wrote(turn, queues, story.waiting_since or turn.now)
    elif story.active and one.owner is None and one.visit is None and (one.visits == 0 or debt.unplaced is not None):
        since = story.waiting_since or story.intake.opened_at or turn.now
        lifecycle.place(turn, queues, "opened" if one.visits == 0 else "reopened", since, one.last_agent_id)


def _opened(_known: Known, state: Told, event: Event[ticket.TicketOpened]) -> Told:
    fact = event.data
    return state.set(labels=labels_of(fact), direction=fact.direction, opening=Opening.of(event))


def _labelled(_known: Known, state: Told, event: Event[ticket.TicketLabelled]) -> Told:
    return state.set(labels=relabelled(state.work.labels, event.data))


def _queued(known: Known, state: Told, event: Event[ticket.TicketQueued]) -> Told:
    fact, queue = event.data, known.queues.get(event.data.queue_id)
    visit = Visit(
        queue_id=fact.queue_id,
        lane=f"{fact.queue_id}|{state.work.channel}|*",
        number=fact.visit,
        entered_at=event.time,
        age_from=fact.age_from,
        preferred=state.work.last_agent_id if fact.reason in ("reopened", "returned") else None,
    )
    visit = entered(queue, state.work, visit, event.time) if queue is not None else visit
    attention = None if state.work.attention == lifecycle.NO_QUEUE else state.work.attention
    return state.set(visits=fact.visit, visit=visit, attention=attention, units=0)


def _left(_known: Known, state: Told, _event: Event[ticket.TicketLeftQueue]) -> Told:
    return state.set(visit=None)


def _offered(known: Known, state: Told, event: Event[work.TicketOffered]) -> Told:
    fact, agent = event.data, known.agents.get(event.data.agent_id)
    offer = Offer(
        id=fact.offer_id,
        agent_id=fact.agent_id,
        queue_id=fact.queue_id,
        visit=fact.visit,
        offered_at=event.time,
        expires_at=fact.expires_at,
        units=units_of(state.work.channel, agent) if agent is not None else 0,
        idle_before=event.time,
        step=fact.step,
    )
    return replace(state, made=(*state.made, offer)).set(offer=offer, offers=state.work.offers + 1)


def _accepted(_known: Known, state: Told, event: Event[work.OfferAccepted]) -> Told:
    ended = EndedOffer(event.data.offer_id, "accepted")
    return replace(state, ended=(*state.ended, ended)).set(offer=None, accepted_offer_id=event.data.offer_id)


def _let_go(_known: Known, state: Told, event: Event[work.OfferDeclined | work.OfferExpired]) -> Told:
    fact = event.data
    ended = EndedOffer(fact.offer_id, "declined" if isinstance(fact, work.OfferDeclined) else "expired")
    visit = state.work.visit
    if visit is not None:
        others = tuple(passed for passed in visit.passed if passed.agent_id != fact.agent_id)
        visit = msgspec.structs.replace(visit, passed=(*others, Passed(fact.agent_id, event.time)))
    return replace(state, ended=(*state.ended, ended)).set(offer=None, visit=visit)


def _rescinded(_known: Known, state: Told, event: Event[work.OfferRescinded | work.OfferFailed]) -> Told:
    return replace(state, ended=(*state.ended, EndedOffer(event.data.offer_id, "rescinded"))).set(offer=None)


def _assigned(_known: Known, state: Told, event: Event[ticket.TicketAssigned]) -> Told:
    return state.set(visit=None, offer=None, last_agent_id=event.data.agent_id)


def _attention(_known: Known, state: Told, event: Event[work.ActionRequired]) -> Told:
    return state.set(attention=lifecycle.NO_QUEUE) if event.data.code == "no_queue" else state


ASKS_FOR_A_PLACE = (
    ticket.TicketAbsorbed,
    ticket.TicketUnmerged,
    ticket.SpamUnmarked,
    ticket.TicketReleased,
    ticket.TicketReopened,
)
PLACES = (ticket.TicketQueued, ticket.TicketLeftQueue, ticket.TicketAssigned, work.ActionRequired)
CHANGES: dict[type[Fact], Callable[[Known, Told, Event[Any]], Told]] = {
    ticket.TicketOpened: _opened,
    ticket.TicketLabelled: _labelled,
    ticket.TicketQueued: _queued,
    ticket.TicketLeftQueue: _left,
    ticket.TicketAssigned: _assigned,
    work.TicketOffered: _offered,
    work.OfferAccepted: _accepted,
    work.OfferDeclined: _let_go,
    work.OfferExpired: _let_go,
    work.OfferRescinded: _rescinded,
    work.OfferFailed: _rescinded,
    work.ActionRequired: _attention,
}
