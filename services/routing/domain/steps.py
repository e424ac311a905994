"""What a queue asks of agents for a ticket, which is less the longer the ticket waits in it: steps only widen. Pure.

Steps that send tickets on (`sending.py`) stand among them, and change nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from services.routing.domain import sending
from services.routing.domain.agents import Spoken
from services.routing.domain.order import worth_in
from services.routing.domain.work import Visit, Work
from shared.events.config import QueueConfigured, RoutingStep

MOST_STEPS = 10


class Asked(NamedTuple):
    """What is asked for a ticket at an instant: the queue as its step has it (0 before the first); `kept`: while the agent who
    had it last is there, nobody else is asked. `lane` groups what the same agents can take.
    """

    queue: QueueConfigured
    step: int
    kept: bool
    lane: str


def asked(queue: QueueConfigured, work: Work, visit: Visit, now: datetime, unspoken: Set[Spoken] = frozenset()) -> Asked:
    """What the queue asks for the ticket now. A language that nobody who serves the queue speaks (`unspoken`) is asked of nobody:
    the ticket would wait for ever.
    """
    step = step_of(queue, visit, now)
    relaxed = at_step(queue, step)
    kept = any(now < end for end in _kept_until(queue, visit))
    language = work.ticket.intake.language if relaxed.skill_by_language else "*"
    lane = f"{queue.id}|{work.channel}|{language}{f'|{step}' if step else ''}{'|kept' if kept else ''}"
    if relaxed.skill_by_language and (queue.id, language) in unspoken:
        relaxed = msgspec.structs.replace(relaxed, skill_by_language=False)
    return Asked(relaxed, step, kept, lane)


def step_of(queue: QueueConfigured, visit: Visit, now: datetime) -> int:
    """How many steps the ticket has reached."""
    return sum(reached <= now for reached in _steps_at(queue, visit))


def at_step(queue: QueueConfigured, number: int) -> QueueConfigured:
    """The queue as it is after so many steps."""
    for step in queue.steps[:number]:
        queue = _relaxed(queue, step)
    return queue


def entered(queue: QueueConfigured, work: Work, visit: Visit, now: datetime) -> Visit:
    """A visit that begins, filed. Where promises count it is to be filed again, with what is promised."""
    visit = filed(queue, work, visit, now, None)
    return visit if queue.due_lead_seconds is None else to_be_filed(visit)


def to_be_filed(visit: Visit) -> Visit:
    """The visit, to be filed again as soon as may be."""
    return msgspec.structs.replace(visit, filed_under=-abs(visit.filed_under))


def filed(queue: QueueConfigured, work: Work, visit: Visit, now: datetime, deadline: datetime | None) -> Visit:
    """The visit with what the queue, as it is configured now, says of its lane and place, and when to look at that again. The
    `deadline` is that of the promise that is due next, where one runs.
    """
    lead = queue.due_lead_seconds
    instants = (*_steps_at(queue, visit), *_kept_until(queue, visit))
    return msgspec.structs.replace(
        visit,
        lane=asked(queue, work, visit, now).lane,
        worth=worth_in(queue),
        due_from=deadline - timedelta(seconds=lead) if deadline is not None and lead is not None else None,
        filed_under=version_of(queue),
        file_again_at=min((instant for instant in instants if instant > now), default=None),
    )


def version_of(queue: QueueConfigured) -> int:
    """That of all queues as this one was read with them (`store.config.queues`); its own where it was not read."""
    return queue.config_version or queue.version


def fault(queue: QueueConfigured) -> tuple[str, str] | None:
    """The first thing that is wrong with the queue's steps: where, and why."""
    if len(queue.steps) > MOST_STEPS:
        return "steps", f"at most {MOST_STEPS}"
    before, since = queue, 0
    for n, step in enumerate(queue.steps):
        where = f"steps[{n}]"
        if step.to_queue_id is not None and step.after_seconds >= since:
            wrong = sending.fault(queue, n + 1)
            if wrong is not None:
                return f"{where}.{wrong[0]}", wrong[1]
            since = step.after_seconds
            continue
        if step.after_seconds <= since:
            return f"{where}.after_seconds", f"more than {since}: each step comes after the one before it"
        if step.share_percent is not None or step.over_wait_seconds is not None:
            return f"{where}.to_queue_id", "say to which queue"
        narrowed = _narrowed(before, step)
        if narrowed is not None:
            return f"{where}.{narrowed}", "asks more than the step before it, or than the queue; steps only widen"
        after = _relaxed(before, step)
        if after == before:
            return where, "changes nothing"
        before, since = after, step.after_seconds
    return None


def _relaxed(queue: QueueConfigured, step: RoutingStep) -> QueueConfigured:
    if step.any_agent:
        return msgspec.structs.replace(queue, required_skills={}, team_ids=(), skill_by_language=False)
    return msgspec.structs.replace(
        queue,
        required_skills=queue.required_skills if step.required_skills is None else step.required_skills,
        team_ids=queue.team_ids if step.team_ids is None else step.team_ids,
    )


def _narrowed(before: QueueConfigured, step: RoutingStep) -> str | None:
    for skill, level in (step.required_skills or {}).items():
        if not 1 <= level <= before.required_skills.get(skill, 0):
            return f"required_skills.{skill}"
    missing = not before.team_ids or not set(before.team_ids) <= set(step.team_ids or ())
    return "team_ids" if step.team_ids and missing else None


def _steps_at(queue: QueueConfigured, visit: Visit) -> Iterator[datetime]:
    return (visit.entered_at + timedelta(seconds=step.after_seconds) for step in queue.steps)


def _kept_until(queue: QueueConfigured, visit: Visit) -> Iterator[datetime]:
    if visit.preferred is not None and queue.prefer_last_agent_seconds is not None:
        yield visit.entered_at + timedelta(seconds=queue.prefer_last_agent_seconds)
