"""Work after a contact: whoever is through with a ticket is in wrap-up for it until they say so, or its time is over.

What the ticket took of the agent stays taken meanwhile. While the agent still owns the ticket at work (a call that ended) its
owner's units are those; when it is let go or rests, the wrap-up holds them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from services.routing.domain.agents import unload
from services.routing.domain.besides import WrapUp
from services.routing.domain.work import Turn, Work, microseconds
from shared.events.config import QueueConfigured
from shared.events.work import WrapUpCompleted, WrapUpStarted


class NoWrapUp(ValueError):
    """The agent is not in wrap-up for this ticket."""


def begin(turn: Turn, queue: QueueConfigured | None) -> None:
    """The owner is through with the contact. Nothing where the queue gives no time for it, or it began already."""
    work = turn.work
    if work.owner is None or not work.units or queue is None or queue.wrap_up_seconds == 0 or _of(work, work.owner) is not None:
        return
    ends_by = turn.now + timedelta(seconds=queue.wrap_up_seconds)
    wrap_up = WrapUp(agent_id=work.owner, since=turn.now, ends_by=ends_by)
    turn.beside(wrap_ups=(*work.besides.wrap_ups, wrap_up))
    turn.say(WrapUpStarted(agent_id=work.owner, ends_by=ends_by))
    turn.tell(work.owner, "wrap_up.started", ends_by=ends_by.isoformat())


def keep_units(turn: Turn) -> bool:
    """The owner lets the ticket go or rest; what it took stays with their wrap-up. False when they are in none."""
    work = turn.work
    wrap_up = _of(work, work.owner)
    agent = turn.agent(work.owner) if work.owner is not None else None
    if wrap_up is None or agent is None or not work.units:
        return False
    _replace(turn, wrap_up, msgspec.structs.replace(wrap_up, units=work.units))
    turn.set(units=0)
    fewer = msgspec.structs.replace(agent, tickets=max(agent.tickets - 1, 0))
    turn.put(fewer)
    turn.say_load(fewer)
    return True


def return_units(turn: Turn) -> bool:
    """The owner works on a rested ticket again; what their wrap-up held is the ticket's. False when it holds nothing."""
    work = turn.work
    wrap_up = _of(work, work.owner)
    agent = turn.agent(work.owner) if work.owner is not None else None
    if wrap_up is None or agent is None or not wrap_up.units:
        return False
    _replace(turn, wrap_up, msgspec.structs.replace(wrap_up, units=0))
    turn.set(units=wrap_up.units)
    more = msgspec.structs.replace(agent, tickets=agent.tickets + 1)
    turn.put(more)
    turn.say_load(more)
    return True


def complete(turn: Turn, agent_id: str, code: str | None) -> int:
    """The agent is through with the wrap-up, too. Returns how long it took, in microseconds. Raises NoWrapUp."""
    wrap_up = _of(turn.work, agent_id)
    if wrap_up is None:
        raise NoWrapUp(f"agent '{agent_id}' is in no wrap-up for it")
    _end(turn, wrap_up, turn.now, code)
    _say_load(turn, agent_id)
    return microseconds(wrap_up.since, turn.now)


def expire(turn: Turn) -> None:
    """End those whose time is over, as of when it was."""
    for wrap_up in turn.work.besides.wrap_ups:
        if wrap_up.ends_by <= turn.now:
            _end(turn, wrap_up, wrap_up.ends_by, None, timed_out=True)
            _say_load(turn, wrap_up.agent_id)


def cut_short(turn: Turn, agent_id: str) -> None:
    """The agent has the ticket again: what they write of it is no longer after it. The caller says how much they carry."""
    wrap_up = _of(turn.work, agent_id)
    if wrap_up is not None:
        _end(turn, wrap_up, turn.now, None)


def _end(turn: Turn, wrap_up: WrapUp, until: datetime, code: str | None, *, timed_out: bool = False) -> None:
    agent = turn.agent(wrap_up.agent_id)
    if agent is not None and wrap_up.units:
        turn.put(unload(agent, turn.work.channel, wrap_up.units, turn.now))
    _replace(turn, wrap_up, None)
    took = microseconds(wrap_up.since, until)
    turn.say(WrapUpCompleted(agent_id=wrap_up.agent_id, wrap_up_us=took, code=code, timed_out=timed_out))
    turn.tell(wrap_up.agent_id, "wrap_up.completed", timed_out=timed_out)


def _say_load(turn: Turn, agent_id: str) -> None:
    agent = turn.changed.get(agent_id)
    if agent is not None:
        turn.say_load(agent)


def _replace(turn: Turn, wrap_up: WrapUp, after: WrapUp | None) -> None:
    changed = (after if one.agent_id == wrap_up.agent_id else one for one in turn.work.besides.wrap_ups)
    turn.beside(wrap_ups=tuple(one for one in changed if one is not None))


def _of(work: Work, agent_id: str | None) -> WrapUp | None:
    return next((one for one in work.besides.wrap_ups if one.agent_id == agent_id), None)
