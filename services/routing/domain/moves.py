"""How a ticket goes from one to another: sent on, handed over, taken, assigned.

Whoever asks for it, at most one agent owns the ticket and nobody is above capacity. It keeps its age on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from services.routing.domain import handing, offers, wrapping
from services.routing.domain.agents import Agent, Crowded, Lack, crowded, load, team_for, units_of
from services.routing.domain.commands import Actor, NotYours, allow, let_go, permit
from services.routing.domain.lifecycle import NO_QUEUE, LeaveReason, age_of, enter, leave, release
from services.routing.domain.queues import fields_of, last_of
from services.routing.domain.steps import asked
from services.routing.domain.verdicts import AWAY, Away, in_the_way
from services.routing.domain.work import Passed, Turn, Visit, Work, microseconds
from shared.conditions import matches
from shared.events.config import QueueConfigured
from shared.events.ticket import TicketAssigned, TicketTransferred

Place = Literal["queue", "tier", "partner"]
How = Literal["taken", "supervisor", "transferred"]
OFFER_SECONDS = 30  # where a ticket came to its owner from no queue


class NoSuchPlace(ValueError):
    """There is nothing to send the ticket to: no such queue or agent, no queue of this tier or partner that takes it."""


class CannotTake(ValueError):
    """The agent cannot have the ticket now; `verdict` says why, as in the trace of decisions."""

    def __init__(self, agent_id: str, verdict: Away | Lack | Crowded) -> None:
        super().__init__(f"agent '{agent_id}' cannot have it: {verdict}")
        self.agent_id = agent_id
        self.verdict = verdict


class OfferedToAnother(ValueError):
    """Somebody else is asked just now whether they take it."""


def transfer(
    turn: Turn,
    actor: Actor,
    queues: Sequence[QueueConfigured],
    kind: Place,
    to_id: str,
    reason: str | None,
    again_after: timedelta,
) -> None:
    """Send it on to a queue; whoever gave it away is not asked for it again so soon. Raises what `permit` raises, NoSuchPlace."""
    permit(turn, actor, "queue")
    queue = _destination(queues, turn.work, kind, to_id)
    age_from, before = age_of(turn.work, turn.now), turn.work.owner
    turn.say(TicketTransferred(by_agent_id=actor.agent_id, to_kind=kind, to_id=to_id, reason=reason))
    left: LeaveReason = "partner" if queue.partner_id is not None and kind == "partner" else "transferred"
    leave(turn, left)
    let_go(turn, actor, queues, "transferred")
    turn.set(transfers=turn.work.transfers + 1, tier=queue.tier)
    turn.to_judge = True
    enter(turn, queue, "transferred", age_from)
    if before is not None and turn.work.visit is not None:
        passed = (Passed(before, turn.now + again_after),)
        turn.set(visit=msgspec.structs.replace(turn.work.visit, passed=passed))


def hand_to(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], agent_id: str, reason: str | None) -> None:
    """Give it to an agent who is there and has room, without asking. Raises what `permit` raises, NoSuchPlace, CannotTake."""
    permit(turn, actor, "assign")
    agent = _known(turn, agent_id)
    _colleague(turn, actor, agent)
    if turn.work.owner == agent_id:
        return
    turn.say(TicketTransferred(by_agent_id=actor.agent_id, to_kind="agent", to_id=agent_id, reason=reason))
    turn.set(transfers=turn.work.transfers + 1)
    turn.to_judge = True
    let_go(turn, actor, queues, "transferred", agent_id)
    _own(turn, agent_id, queues, "transferred")


def offer_to(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], agent_id: str, reason: str | None) -> str:
    """Ask an agent to take it over; the owner keeps it till then. Returns the transfer's id. Raises what `permit` raises,
    NoSuchPlace, CannotTake, TransferPending.
    """
    permit(turn, actor, "queue", owned=True)
    agent, owner = _known(turn, agent_id), turn.work.owner or ""
    _colleague(turn, actor, agent)
    if agent_id == owner:
        raise NoSuchPlace(f"agent '{agent_id}' has it already")
    queue = last_of(queues, turn.work)
    seconds = queue.offer_timeout_seconds if queue is not None else OFFER_SECONDS
    return handing.offer(turn, agent, owner, turn.now + timedelta(seconds=seconds), reason)


def accept_transfer(turn: Turn, agent_id: str, queues: Sequence[QueueConfigured]) -> None:
    """The agent who is asked takes it over. Raises TransferGone, CannotTake."""
    asked_for = handing.offered_to(turn, agent_id)
    agent = _known(turn, agent_id)
    if agent.state == "offline":
        raise CannotTake(agent_id, "offline")
    handing.end(turn, "accepted")
    accepted = TicketTransferred(
        by_agent_id=asked_for.by_agent_id,
        to_kind="agent",
        to_id=agent_id,
        warm=True,
        reason=asked_for.reason,
        transfer_id=asked_for.id,
    )
    turn.say(accepted)
    turn.set(transfers=turn.work.transfers + 1)
    turn.to_judge = True
    let_go(turn, Actor(asked_for.by_agent_id), queues, "transferred", agent_id)
    _own(turn, agent_id, queues, "transferred")


def take(turn: Turn, agent_id: str, queues: Sequence[QueueConfigured]) -> None:
    """The agent takes a waiting ticket by themselves; nothing for one that they have. Raises CommandRefused, NotAtWork, NotYours,
    CannotTake, OfferedToAnother.
    """
    work = turn.work
    if work.owner == agent_id:
        return
    allow(work, "assign")
    visit, queue = work.visit, last_of(queues, work)
    if visit is None or queue is None:
        raise NotYours(work.owner, None)
    if work.offer is not None:
        if work.offer.agent_id != agent_id or work.offer.expires_at <= turn.now:
            raise OfferedToAnother(f"agent '{work.offer.agent_id}' is asked just now")
        offers.accept(turn, work.offer.id, agent_id, queue)
        return
    agent, language = _known(turn, agent_id), work.ticket.intake.language
    obstacle = in_the_way(agent, asked(queue, work, visit, turn.now).queue, language, work.channel)
    if obstacle is not None:
        raise CannotTake(agent_id, obstacle)
    _own(turn, agent_id, queues, "taken")


def assign(turn: Turn, queues: Sequence[QueueConfigured], agent_id: str) -> None:
    """A supervisor gives it to an agent, whatever they can do, but never more than they can carry, nor to one who is not there.
    Raises CommandRefused, NotAtWork, NoSuchPlace, CannotTake.
    """
    allow(turn.work, "assign")
    agent = _known(turn, agent_id)
    if turn.work.owner == agent_id:
        return
    if not agent.profile.active or agent.state == "offline":
        raise CannotTake(agent_id, "offline" if agent.profile.active else "not_active")
    offers.rescind(turn, "supervisor")
    release(turn, "supervisor", agent_id)
    _own(turn, agent_id, queues, "supervisor")


def _own(turn: Turn, agent_id: str, queues: Sequence[QueueConfigured], how: How) -> None:
    """The agent owns it from now on, and its visit ends. Nobody owns it any more; a live offer of it is taken back. Raises
    CannotTake where there is no room.
    """
    offers.rescind(turn, "supervisor" if how == "supervisor" else "transferred")
    wrapping.cut_short(turn, agent_id)
    work, agent = turn.work, _known(turn, agent_id)
    full = crowded(agent, work.channel) if work.ticket.active else None
    if full is not None:
        raise CannotTake(agent_id, full)
    turn.say(_assigned(turn, agent, queues, work.visit, how))
    units = units_of(work.channel, agent) if work.ticket.active else 0
    if units:
        agent = load(agent, work.channel, units, turn.now)
        agent = msgspec.structs.replace(agent, tickets=agent.tickets + 1)
    turn.put(agent)
    turn.say_load(agent)
    attention = None if work.attention == NO_QUEUE else work.attention
    turn.set(visit=None, units=units, last_agent_id=agent_id, attention=attention)
    turn.beside(callback=None)
    turn.tell(agent_id, "ticket.assigned", how=how, queue_id=turn.work.ticket.routing.queue_id, channel=work.channel)


def _assigned(turn: Turn, agent: Agent, queues: Sequence[QueueConfigured], visit: Visit | None, how: How) -> TicketAssigned:
    queue = last_of(queues, turn.work)
    here = asked(queue, turn.work, visit, turn.now) if queue is not None and visit is not None else None
    serving = here.queue if here is not None else queue
    return TicketAssigned(
        agent_id=agent.id,
        how=how,
        queue_id=visit.queue_id if visit is not None else None,
        team_id=team_for(agent, serving) if serving is not None else None,
        partner_id=agent.profile.partner_id,
        visit=visit.number if visit is not None else None,
        waited_us=microseconds(visit.entered_at, turn.now) if visit is not None else None,
        step=here.step if here is not None else 0,
    )


def _destination(queues: Sequence[QueueConfigured], work: Work, kind: Place, to_id: str) -> QueueConfigured:
    """The queue that is meant: of a tier or partner the first whose rule takes the ticket."""
    if kind == "queue":
        named = next((queue for queue in queues if queue.id == to_id), None)
        if named is None:
            raise NoSuchPlace(f"there is no queue '{to_id}'")
        return named
    fields = fields_of(work)
    meant = (queue for queue in queues if to_id == (str(queue.tier) if kind == "tier" else queue.partner_id))
    fitting = next((queue for queue in meant if matches(queue.when, fields)), None)
    if fitting is None:
        raise NoSuchPlace(f"no queue of {kind} '{to_id}' takes it")
    return fitting


def _colleague(turn: Turn, actor: Actor, agent: Agent) -> None:
    """Refuse an agent who works for somebody else than whose the ticket is now, is not there, or has no room."""
    if agent.profile.partner_id != turn.work.ticket.partner_id:
        raise foreign(turn, actor, agent.id)
    if not agent.profile.active:
        raise CannotTake(agent.id, "not_active")
    away = AWAY.get(agent.state)
    if away is not None:
        raise CannotTake(agent.id, away)
    full = crowded(agent, turn.work.channel) if turn.work.ticket.active else None
    if full is not None:
        raise CannotTake(agent.id, full)


def foreign(turn: Turn, actor: Actor, agent_id: str) -> ValueError:
    """Why an agent who works for somebody else is none who could be asked: to a partner's agents there are no such agents, nor
    whether they are there just now.
    """
    asking = turn.agent(actor.agent_id)
    if asking is not None and asking.profile.partner_id is not None:
        return _nobody(agent_id)
    return CannotTake(agent_id, "other_partner")


def _nobody(agent_id: str) -> NoSuchPlace:
    return NoSuchPlace(f"there is no agent '{agent_id}'")


def _known(turn: Turn, agent_id: str) -> Agent:
    agent = turn.agent(agent_id)
    if agent is None:
        raise _nobody(agent_id)
    return agent
