"""A ticket told again after a backup was restored: by both writers, and nothing decided anew. Pure.

First every fact is taken as it was said (`told`); then what agents carry is counted afresh (`recounting`); at last each ticket
is brought to where its facts leave it (`settle`), for what routing had not yet answered when it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from services.routing.domain import calling_back, lifecycle
from services.routing.domain.agents import Agent, units_of
from services.routing.domain.besides import NOTHING, Callback, Consult, HandOver, WrapUp
from services.routing.domain.labels import labels_of, relabelled
from services.routing.domain.queues import came_as
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

    def beside(self, **changes: object) -> Told:
        """With changes of what goes on besides."""
        after = msgspec.structs.replace(self.work.besides, **changes)
        return self.set(besides=NOTHING if after == NOTHING else after)


class Debt(NamedTuple):
    """What routing has not answered: the fact that its caller left while it waited, or that they are to be called back from then
    on; a fact up to which it has not placed the ticket.
    """

    abandoned: Position | None = None
    unplaced: Position | None = None
    callback: tuple[Position, datetime] | None = None


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
    fact, because = event.data, state.work.came_as
    if isinstance(fact, ticket.TicketQueued):  # before it is heard: it matters where it was
        because = came_as(state.work, fact.queue_id, fact.reason)
    after = state.set(ticket=now, seen=seen, came_as=because)
    return change(known, after, event) if change is not None else after


def owed(debt: Debt, event: Event[Fact]) -> Debt:
    """What is owed after one more fact, in the order of the log. An answer of routing covers what it had seen."""
    fact = event.data
    if isinstance(fact, call.CallEnded | call.ChatEnded) and fact.outcome == "abandoned":
        return debt._replace(abandoned=event.position)
    if isinstance(fact, call.CallbackRequested) and event.writer == "intake":
        return debt._replace(callback=(event.position, fact.not_before or event.time))
    if tickets.awaits_answer(fact) or isinstance(fact, ASKS_FOR_A_PLACE):
        return debt._replace(unplaced=event.position if event.writer == "intake" else NOTHING_SEEN)
    if isinstance(fact, PLACES) and debt.unplaced is not None and event.seen >= debt.unplaced:
        debt = debt._replace(unplaced=None)
    if isinstance(fact, ticket.TicketLeftQueue | ticket.TicketAssigned):
        return debt._replace(abandoned=None, callback=None)
    if isinstance(fact, ticket.TicketQueued):
        hung_up, wish = debt.abandoned, debt.callback
        return debt._replace(
            abandoned=None if hung_up is not None and event.seen >= hung_up else hung_up,
            callback=None if wish is not None and event.seen >= wish[0] else wish,
        )
    return debt


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
    elif debt.callback is not None and one.owner is None:
        calling_back.spare(turn, queues, debt.callback[1])
    elif debt.abandoned is not None and one.visit is not None and one.besides.callback is None:
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
    tier = queue.tier if queue is not None and fact.reason == "transferred" else state.work.tier
    state = state.beside(callback=Callback() if state.work.besides.callback is not None else None)
    return state.set(visits=fact.visit, visit=visit, attention=attention, units=0, age_from=fact.age_from, tier=tier)


def _left(_known: Known, state: Told, event: Event[ticket.TicketLeftQueue]) -> Told:
    if event.data.reason == "callback" and event.data.returns_at is not None:
        state = state.beside(callback=Callback(due_at=event.data.returns_at))
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
    attention = None if state.work.attention == lifecycle.NO_QUEUE else state.work.attention
    after = state.set(visit=None, offer=None, last_agent_id=event.data.agent_id, attention=attention)
    return after.beside(callback=None)


def _resolved(_known: Known, state: Told, _event: Event[ticket.TicketResolved]) -> Told:
    return state.set(resolved=True)


def _rested(_known: Known, state: Told, event: Event[ticket.TicketPended | ticket.TicketPutOnHold]) -> Told:
    return state.beside(rests_until=event.data.until)


def _transferred(_known: Known, state: Told, _event: Event[ticket.TicketTransferred]) -> Told:
    return state.set(transfers=state.work.transfers + 1)


def _escalated(_known: Known, state: Told, event: Event[ticket.TicketEscalated]) -> Told:
    fact = event.data
    rules = state.work.rules if fact.rule_id is None else (*state.work.rules, fact.rule_id)
    return state.set(tier=fact.to_tier, path=fact.path, rules=rules)


def _wrapping(_known: Known, state: Told, event: Event[work.WrapUpStarted]) -> Told:
    fact = event.data
    begun = WrapUp(agent_id=fact.agent_id, since=event.time, ends_by=fact.ends_by or event.time)
    return state.beside(wrap_ups=(*state.work.besides.wrap_ups, begun))


def _wrapped_up(_known: Known, state: Told, event: Event[work.WrapUpCompleted]) -> Told:
    left = tuple(one for one in state.work.besides.wrap_ups if one.agent_id != event.data.agent_id)
    return state.beside(wrap_ups=left)


def _handing(known: Known, state: Told, event: Event[work.TransferOffered]) -> Told:
    fact, agent = event.data, known.agents.get(event.data.to_agent_id)
    asked = HandOver(
        id=fact.transfer_id,
        by_agent_id=fact.by_agent_id,
        to_agent_id=fact.to_agent_id,
        expires_at=fact.expires_at,
        units=units_of(state.work.channel, agent) if agent is not None else 0,
        reason=fact.reason,
    )
    return state.beside(hand_over=asked)


def _handed(_known: Known, state: Told, _event: Event[work.TransferEnded]) -> Told:
    return state.beside(hand_over=None)


def _asked(_known: Known, state: Told, event: Event[work.ConsultRequested]) -> Told:
    fact = event.data
    asked = Consult(
        id=fact.consult_id,
        by_agent_id=fact.agent_id,
        expert_id=fact.expert_id or "",
        expires_at=fact.expires_at or event.time,
        units=fact.units,
    )
    return state.beside(consults=(*state.work.besides.consults, asked))


def _advised(_known: Known, state: Told, event: Event[work.ConsultEnded]) -> Told:
    return state.beside(consults=tuple(one for one in state.work.besides.consults if one.id != event.data.consult_id))


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
    ticket.TicketResolved: _resolved,
    ticket.TicketPended: _rested,
    ticket.TicketPutOnHold: _rested,
    ticket.TicketTransferred: _transferred,
    ticket.TicketEscalated: _escalated,
    work.WrapUpStarted: _wrapping,
    work.WrapUpCompleted: _wrapped_up,
    work.TransferOffered: _handing,
    work.TransferEnded: _handed,
    work.ConsultRequested: _asked,
    work.ConsultEnded: _advised,
}
