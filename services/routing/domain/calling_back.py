"""The customer is called back instead of waiting: the ticket leaves its queue, and comes back at its time, where it stood."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.routing.domain.besides import Callback
from services.routing.domain.commands import Actor, allow
from services.routing.domain.lifecycle import age_of, enter, leave, place
from services.routing.domain.queues import last_of
from services.routing.domain.resting import FURTHEST, WrongTime
from services.routing.domain.work import Turn
from shared.events.call import CallbackRequested
from shared.events.config import QueueConfigured


class NothingWaits(ValueError):
    """The ticket waits in no queue, so there is no waiting to spare its customer."""


def request(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], not_before: datetime | None) -> datetime:
    """An agent says that the customer would rather be called back. Returns when the ticket comes back. Raises CommandRefused,
    NotAtWork, NothingWaits, WrongTime.
    """
    allow(turn.work, "queue")
    if not_before is not None and not_before > turn.now + FURTHEST:
        raise WrongTime(f"it lies more than {FURTHEST.days} days ahead")
    if turn.work.owner is not None:
        raise NothingWaits(f"agent '{turn.work.owner}' has it")
    customer_id = turn.work.ticket.intake.customer_id
    turn.say(CallbackRequested(customer_id=customer_id, not_before=not_before, by_agent_id=actor.agent_id))
    return spare(turn, queues, not_before)


def spare(turn: Turn, queues: Sequence[QueueConfigured], not_before: datetime | None) -> datetime:
    """The customer waits no more, and is called when it is their turn, not before the instant given. Returns when it comes back.
    Nothing for a ticket that somebody has, or on which nobody has to work. Who hung up already, or asks for another time, waits
    again for this instant, so that the log tells when they are called.
    """
    work, due_at = turn.work, max(not_before or turn.now, turn.now)
    if work.owner is not None or not work.ticket.active or work.ticket.spam or work.ticket.intake.withdrawn:
        return due_at
    if work.visit is None:
        _wait_again(turn, queues)
    if turn.work.visit is not None:
        leave(turn, "callback", due_at)
        turn.beside(callback=Callback(due_at=due_at))
        come_back(turn, queues)
    return due_at


def come_back(turn: Turn, queues: Sequence[QueueConfigured]) -> None:
    """It waits again when its time is there, in its queue, with the age that it had."""
    callback = turn.work.besides.callback
    if turn.work.awaits_callback and callback is not None and callback.due_at is not None and callback.due_at <= turn.now:
        turn.beside(callback=Callback())
        _wait_again(turn, queues)


def _wait_again(turn: Turn, queues: Sequence[QueueConfigured]) -> None:
    work = turn.work
    age_from, queue = age_of(work, turn.now), last_of(queues, work)
    if queue is None:
        place(turn, queues, "returned", age_from, work.last_agent_id)
    else:
        enter(turn, queue, "returned", age_from, work.last_agent_id)
