"""An expert is asked about a ticket: they see it, note on it and answer, and its owner keeps it. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from services.routing.domain.agents import Agent, occupy, vacate
from services.routing.domain.besides import Consult
from services.routing.domain.work import Turn
from shared.events.base import derived_id
from shared.events.config import QueueConfigured
from shared.events.work import ConsultAnswered, ConsultEnded, ConsultPersonal, ConsultRequested

Ended = Literal["answered", "cancelled", "transferred", "expired"]
MOST = 10  # questions that are open at once, of one ticket
# Where a ticket came to its owner from no queue.
SECONDS, UNITS = 86_400, 0


class NoConsult(ValueError):
    """There is no such question that is open, or it was put to somebody else."""


class TooManyConsults(ValueError):
    """As many questions are open as may be."""


def ask(turn: Turn, by_agent_id: str, expert: Agent, queue: QueueConfigured | None, text: str, skill: str | None) -> str:
    """Ask the expert, who has as long as the queue says; it takes as much of them as it says. Returns the consultation's id.
    Raises OverCapacity, TooManyConsults.
    """
    work = turn.work
    if len(work.besides.consults) >= MOST:
        raise TooManyConsults(f"at most {MOST} questions are open at once")
    units, seconds = (queue.consult_units, queue.consult_seconds) if queue is not None else (UNITS, SECONDS)
    consult_id, expires_at = derived_id("consult", work.id, turn.cause), turn.now + timedelta(seconds=seconds)
    if units:
        turn.put(occupy(expert, units))
        turn.say_load(turn.changed[expert.id])
    asked = Consult(id=consult_id, by_agent_id=by_agent_id, expert_id=expert.id, expires_at=expires_at, units=units)
    turn.beside(consults=(*work.besides.consults, asked))
    requested = ConsultRequested(
        consult_id=consult_id, agent_id=by_agent_id, expert_id=expert.id, skill=skill, expires_at=expires_at, units=units
    )
    turn.say(requested, person=work.sealed_under, personal=ConsultPersonal(text=text))
    told = {"by_agent_id": by_agent_id, "skill": skill, "expires_at": expires_at.isoformat()}
    turn.tell(expert.id, "consult.requested", consult_id=consult_id, **told)
    return consult_id


def answer(turn: Turn, consult_id: str, expert_id: str, text: str) -> None:
    """The expert answers, which ends it. Raises NoConsult."""
    asked = of(turn, consult_id)
    if asked.expert_id != expert_id:
        raise NoConsult("it was put to somebody else")
    answered = ConsultAnswered(consult_id=consult_id, expert_id=expert_id)
    turn.say(answered, person=turn.work.sealed_under, personal=ConsultPersonal(text=text))
    _end(turn, asked, "answered")


def cancel(turn: Turn, consult_id: str) -> None:
    """It is no longer asked. Raises NoConsult."""
    _end(turn, of(turn, consult_id), "cancelled")


def end_all(turn: Turn, new_owner: str | None = None) -> None:
    """The owner lets the ticket go: nobody is left to be answered. Whoever was asked and has it now needs no question."""
    for asked in turn.work.besides.consults:
        _end(turn, asked, "transferred" if asked.expert_id == new_owner else "cancelled")


def expire(turn: Turn) -> None:
    """End those that were not answered in time."""
    for asked in turn.work.besides.consults:
        if asked.expires_at <= turn.now:
            _end(turn, asked, "expired")


def of(turn: Turn, consult_id: str) -> Consult:
    """The open question of this id. Raises NoConsult."""
    found = next((one for one in turn.work.besides.consults if one.id == consult_id), None)
    if found is None:
        raise NoConsult("it is not open")
    return found


def _end(turn: Turn, asked: Consult, outcome: Ended) -> None:
    expert = turn.agent(asked.expert_id)
    if expert is not None and asked.units:
        freed = vacate(expert, asked.units)
        turn.put(freed)
        turn.say_load(freed)
    turn.beside(consults=tuple(one for one in turn.work.besides.consults if one.id != asked.id))
    turn.say(ConsultEnded(consult_id=asked.id, outcome=outcome))
    for agent_id in sorted({asked.by_agent_id, asked.expert_id}):
        turn.tell(agent_id, "consult.ended", consult_id=asked.id, outcome=outcome)
