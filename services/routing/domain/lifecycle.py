"""What happens to a ticket in routing when the customer's side moves: placed, reopened, abandoned, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.routing.domain import consulting, handing, offers, sending, wrapping
from services.routing.domain.agents import Agent, has_room, load, units_of, unload
from services.routing.domain.besides import Callback
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.queues import came_as, choose, elsewhere, last_of
from services.routing.domain.steps import entered, filed, version_of
from services.routing.domain.work import CameAs, Turn, Visit, Work, microseconds
from shared.events.config import QueueConfigured
from shared.events.ticket import SentOn, TicketLeftQueue, TicketQueued, TicketReleased
from shared.events.work import ActionRequired

QueueReason = CameAs
LeaveReason = Literal["abandoned", "spam", "merged", "cancelled", "callback", "partner", "transferred", "resolved"]
ReleaseReason = Literal["transferred", "supervisor", "shift_ended", "presence_lost", "resolved", "closed", "escalated"]

NO_QUEUE = "no_queue"
# Why the live offer is taken back, said for each reason for which its ticket leaves the queue.
RESCIND_REASON: dict[LeaveReason, offers.RescindReason] = {
    "abandoned": "abandoned",
    "spam": "spam",
    "merged": "merged",
    "cancelled": "withdrawn",
    "callback": "withdrawn",
    "partner": "transferred",
    "transferred": "transferred",
    "resolved": "withdrawn",
}


def place(
    turn: Turn,
    queues: Sequence[QueueConfigured],
    reason: QueueReason,
    age_from: datetime,
    preferred: str | None = None,
    regular: str | None = None,
) -> None:
    """Begin a visit to the queue whose rule takes the ticket; when none does, people are asked to look. Spam waits nowhere.

    `regular` is the agent who served the customer last, whom a sticky queue asks first. The queue may send it on at once.
    """
    if turn.work.ticket.spam:
        return
    queue = choose(queues, turn.work, reason)
    if queue is None:
        if turn.work.attention != NO_QUEUE:
            turn.say(ActionRequired(code="no_queue"))
            turn.set(attention=NO_QUEUE)
        return
    known = regular if queue.strategy == "sticky" else None
    enter(turn, queue, reason, age_from, preferred or known)
    turn.to_judge = True
    if queue.steps:
        _send_on(turn, queues, queue, sending.at_entry(queue), turn.waits.get(queue.id))


def place_at_last(turn: Turn, queues: Sequence[QueueConfigured], age_from: datetime) -> None:
    """A ticket that no rule took waits where one takes it by now. Nothing for one that waits or is owned meanwhile; one on
    which nobody has to work any more is no longer looked at.
    """
    work = turn.work
    if work.attention != NO_QUEUE:
        return
    if work.visit is not None or work.owner is not None or not work.ticket.active or work.ticket.spam:
        turn.set(attention=None)
        return
    place(turn, queues, comes_at_last(work), age_from, work.last_agent_id)


def comes_at_last(work: Work) -> QueueReason:
    """Why a ticket that no rule took is queued when one does."""
    return "returned" if work.visits else "opened"


def _go_on(turn: Turn, queues: Sequence[QueueConfigured], wait: Foreseen | None) -> None:
    """A ticket that reached steps of its queue goes to where one of them sends it; `wait` is how long it still would. What a step
    sent where it is stays there, so that no steps send it in circles.
    """
    work, visit = turn.work, turn.work.visit
    queue = last_of(queues, work)
    if visit is not None and queue is not None and work.came_as != "overflowed":
        _send_on(turn, queues, queue, sending.reached(queue, visit, turn.now), wait)


def _send_on(
    turn: Turn, queues: Sequence[QueueConfigured], queue: QueueConfigured, numbers: Sequence[int], wait: Foreseen | None
) -> None:
    visit = turn.work.visit
    found = sending.sent_on(queue, turn.work.id, numbers, wait)
    if visit is None or found is None:
        return
    to_queue_id, why = found
    other = next((one for one in queues if one.id == to_queue_id), None)
    if other is not None:
        leave(turn, "partner" if other.partner_id not in (None, queue.partner_id) else "transferred")
        enter(turn, other, "overflowed", visit.age_from, visit.preferred, why)
        turn.to_judge = True


def enter(
    turn: Turn,
    queue: QueueConfigured,
    reason: QueueReason,
    age_from: datetime,
    preferred: str | None = None,
    sent_on: SentOn | None = None,
) -> None:
    """Begin a visit to this queue."""
    number = turn.work.visits + 1
    visit = Visit(queue_id=queue.id, number=number, entered_at=turn.now, age_from=age_from, preferred=preferred)
    visit = entered(queue, turn.work, visit, turn.now)
    attention = None if turn.work.attention == NO_QUEUE else turn.work.attention
    because = came_as(turn.work, queue.id, reason)
    turn.set(visits=number, visit=visit, attention=attention, age_from=age_from, came_as=because)
    if turn.work.besides.callback is not None:
        turn.beside(callback=Callback())
    turn.say(
        TicketQueued(
            queue_id=queue.id,
            visit=number,
            reason=reason,
            age_from=age_from,
            required_skills=tuple(sorted(queue.required_skills)),
            partner_id=queue.partner_id,
            sent_on=sent_on,
        )
    )


def settle(turn: Turn, queues: Sequence[QueueConfigured], deadline: datetime | None = None, wait: Foreseen | None = None) -> None:
    """Queues were configured anew, or the ticket reached a step, or has another `deadline`: it waits where the rules send it now,
    with the age and the agent it had, and stands there as the queue says, or goes on to where a step sends it; `wait` is how long
    it still would. Nothing for a ticket that does not wait; one that is offered is left alone until that is over.
    """
    work, visit = turn.work, turn.work.visit
    if visit is None or work.offer is not None:
        return
    queue = last_of(queues, work)
    changed = queue is None or abs(visit.filed_under) < version_of(queue)
    if queue is not None and not (changed and elsewhere(queues, work)):
        turn.set(visit=filed(queue, work, visit, turn.now, deadline))
        _go_on(turn, queues, wait)
        return
    leave(turn, "transferred")
    place(turn, queues, "returned", visit.age_from, visit.preferred)


def age_of(work: Work, now: datetime) -> datetime:
    """From when it counts as waiting where it is queued again: it keeps the place that it had, unless it rested since."""
    rested = work.ticket.routing.decision
    since = work.ticket.waiting_since
    if work.age_from is None or (rested is not None and rested.at > work.age_from and since is not None):
        return since or work.ticket.intake.opened_at or now
    return work.age_from


def leave(turn: Turn, reason: LeaveReason, returns_at: datetime | None = None) -> None:
    """End the visit without an agent, if there is one; its live offer is taken back first."""
    visit = turn.work.visit
    if visit is None:
        return
    offers.rescind(turn, RESCIND_REASON[reason])
    turn.say(
        TicketLeftQueue(
            queue_id=visit.queue_id,
            visit=visit.number,
            reason=reason,
            waited_us=microseconds(visit.entered_at, turn.now),
            returns_at=returns_at,
        )
    )
    turn.set(visit=None)


def release(turn: Turn, reason: ReleaseReason, new_owner: str | None = None) -> None:
    """The owner owns it no longer, if there is one; what they asked of others on it is over."""
    owner = turn.work.owner
    if owner is None:
        return
    handing.end(turn, "withdrawn")
    consulting.end_all(turn, new_owner)
    put_down(turn)
    turn.say(TicketReleased(agent_id=owner, reason=reason))
    turn.tell(owner, "ticket.released", reason=reason)


def put_down(turn: Turn) -> None:
    """Give the owner the units back: nobody has to work on the ticket now. Who is in wrap-up for it keeps them till its end."""
    if wrapping.keep_units(turn):
        return
    work = turn.work
    agent = turn.agent(work.owner) if work.owner else None
    if agent is not None and work.units:
        lighter = unload(agent, work.channel, work.units, turn.now)
        lighter = msgspec.structs.replace(lighter, tickets=max(agent.tickets - 1, 0))
        turn.put(lighter)
        turn.say_load(lighter)
    turn.set(units=0)


def pick_up(turn: Turn, agent: Agent) -> bool:
    """The owner works on a rested ticket again; False when there is no room for it."""
    work = turn.work
    if work.units or wrapping.return_units(turn):
        return True
    if not has_room(agent, work.channel):
        return False
    units = units_of(work.channel, agent)
    heavier = load(agent, work.channel, units, turn.now)
    heavier = msgspec.structs.replace(heavier, tickets=agent.tickets + 1)
    turn.put(heavier)
    turn.say_load(heavier)
    turn.set(units=units)
    return True


def customer_wrote(turn: Turn, queues: Sequence[QueueConfigured], at: datetime) -> None:
    """A message or call of the customer that wants an answer: the owner is told; a rested ticket goes back to work.

    It stays with an owner who is available and has room. Otherwise it waits in a queue, where the one who had it last
    is preferred.
    """
    work = turn.work
    if work.ticket.active and not work.ticket.spam and work.visit is None:
        go_on(turn, queues, at, "message.received")


def go_on(turn: Turn, queues: Sequence[QueueConfigured], at: datetime, notice: str) -> None:
    """There is something to do on a ticket that waits in no queue: for its owner, who is told; or it waits, as old as `at`."""
    work = turn.work
    owner = turn.agent(work.owner) if work.owner else None
    if owner is not None:
        awake = work.units > 0 or (owner.state == "available" and owner.profile.active)
        if awake and pick_up(turn, owner):
            turn.tell(owner.id, notice)
            return
        release(turn, "presence_lost" if owner.state != "available" else "transferred")
    place(turn, queues, "reopened" if work.visits else "opened", at, work.last_agent_id)


def take_out(turn: Turn, reason: LeaveReason) -> None:
    """The ticket is not worked any more: out of its queue, off its owner."""
    leave(turn, reason)
    release(turn, "closed")
    if turn.work.attention == NO_QUEUE:
        turn.set(attention=None)


def lose(turn: Turn, queues: Sequence[QueueConfigured], grace: timedelta) -> None:
    """The owner is gone from a conversation for longer than is waited for them: it waits again, where it stood."""
    work = turn.work
    owner = turn.agent(work.live_agent_id) if work.live_agent_id is not None else None
    if owner is None or owner.state != "offline" or owner.state_since + grace > turn.now:
        return
    age_from, queue = age_of(work, turn.now), last_of(queues, work)
    release(turn, "presence_lost")
    if queue is None:
        place(turn, queues, "returned", age_from)
    else:
        enter(turn, queue, "returned", age_from)


def came_back(turn: Turn, queues: Sequence[QueueConfigured], at: datetime) -> None:
    """Not spam after all, or unmerged: it waits again, with the age it had."""
    work = turn.work
    if work.visit is None and work.owner is None and work.ticket.active and not work.ticket.spam:
        place(turn, queues, "returned", at, work.last_agent_id)
