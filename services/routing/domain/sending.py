"""Steps of a queue that send tickets on, as to a partner's queue: a share of them, or those who would wait too long. Pure.

Whom a share takes is decided by the ticket's lot, a number of 0 to 99 from its id and the queue's: the same in every process, at
every time, and when the ticket comes back. Several shares of a queue take parts of the lots that lie beside each other, so that
none takes from another; a share that is raised takes who it took, and more, unless one before it was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

from services.routing.domain.foreseen import Foreseen
from services.routing.domain.work import Visit
from shared.events.config import QueueConfigured, RoutingStep
from shared.events.ticket import SentOn

LOTS = 100


def lot_of(queue_id: str, ticket_id: str) -> int:
    """The ticket's lot in this queue, 0 to 99; it says nothing of its lot in another."""
    digest = blake2b(f"{queue_id}|{ticket_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % LOTS


def at_entry(queue: QueueConfigured) -> list[int]:
    """The numbers of the steps that are looked at when a rule places a ticket in the queue, counted from 1."""
    return [number for number, step in enumerate(queue.steps, 1) if step.after_seconds == 0]


def reached(queue: QueueConfigured, visit: Visit, now: datetime) -> list[int]:
    """The numbers of the steps of later on that a visit has reached."""
    since = visit.entered_at
    return [
        number
        for number, step in enumerate(queue.steps, 1)
        if step.after_seconds > 0 and since + timedelta(seconds=step.after_seconds) <= now
    ]


def sent_on(queue: QueueConfigured, ticket_id: str, numbers: Sequence[int], wait: Foreseen | None) -> tuple[str, SentOn] | None:
    """To which queue the first of these steps that takes the ticket sends it, and why; None where none does. Where nobody can say
    how long it would `wait`, it stays.
    """
    lot = lot_of(queue.id, ticket_id)
    for number, step, lots in _sending(queue):
        over = step.over_wait_seconds
        too_long = over is None or (wait is not None and wait.seconds > over)
        if number not in numbers or lot not in lots or not too_long or step.to_queue_id is None:
            continue
        why = SentOn(
            from_queue_id=queue.id,
            step=number,
            queue_version=queue.version,
            lot=lot if step.share_percent is not None else None,
            share_percent=step.share_percent,
            over_wait_seconds=over,
            wait_seconds=round(wait.seconds) if over is not None and wait is not None else None,
            estimator=wait.estimator if over is not None and wait is not None else None,
        )
        return step.to_queue_id, why
    return None


def by_wait(queue: QueueConfigured) -> bool:
    """Whether a step of the queue asks how long somebody would wait."""
    return any(step.over_wait_seconds is not None for step in queue.steps)


def fault(queue: QueueConfigured, number: int) -> tuple[str, str] | None:
    """The first thing that is wrong with a step that sends on: in which of its fields, and why."""
    step = queue.steps[number - 1]
    if step.to_queue_id == queue.id:
        return "to_queue_id", "the queue itself"
    if step.required_skills is not None or step.team_ids is not None or step.any_agent:
        return "to_queue_id", "a step sends on, or asks less of agents; make two of it"
    if step.share_percent is not None and not 1 <= step.share_percent <= LOTS:
        return "share_percent", "between 1 and 100"
    if sum(one.share_percent or 0 for one in queue.steps[:number]) > LOTS:
        return "share_percent", "the shares of a queue are more than 100 together"
    if step.over_wait_seconds is not None and step.over_wait_seconds < 1:
        return "over_wait_seconds", "at least 1"
    if step.after_seconds == 0 and step.share_percent in (None, LOTS) and step.over_wait_seconds is None:
        return "share_percent", "it would send everything on at once; let the queue's `when` say so"
    return None


def _sending(queue: QueueConfigured) -> Iterator[tuple[int, RoutingStep, range]]:
    """The steps that send on, with their numbers, and the lots that each takes."""
    taken = 0
    for number, step in enumerate(queue.steps, 1):
        if step.to_queue_id is None:
            continue
        share = step.share_percent
        yield number, step, range(LOTS) if share is None else range(taken, taken + share)
        taken += share or 0
