"""Who may ask an expert about a ticket, and whom: one who is named, or the best of those who have a skill. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.routing.domain import consulting
from services.routing.domain.agents import Agent
from services.routing.domain.commands import Actor, fits, permit
from services.routing.domain.moves import CannotTake, NoSuchPlace, foreign
from services.routing.domain.queues import last_of
from services.routing.domain.verdicts import AWAY
from services.routing.domain.work import Turn
from shared.events.config import QueueConfigured


class NobodyKnows(ValueError):
    """Nobody who has the skill is there and has attention left."""


def ask(
    turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], candidates: Sequence[str], text: str, skill: str | None = None
) -> tuple[str, str]:
    """Whoever holds the ticket asks the first of the `candidates` who can be asked; without a `skill` there is one, by name.
    Returns the ids of the consultation and of the expert. Raises what `permit` raises, TextTooLong, NobodyKnows, NoSuchPlace,
    CannotTake, TooManyConsults.
    """
    permit(turn, actor, "assign", owned=True)
    fits(text)
    queue = last_of(queues, turn.work)
    asker = turn.work.owner or actor.agent_id
    for agent_id in candidates:
        try:
            expert = _askable(turn, actor, agent_id, queue)
        except (NoSuchPlace, CannotTake):
            if skill is None:
                raise
        else:
            return consulting.ask(turn, asker, expert, queue, text, skill), expert.id
    raise NobodyKnows(f"nobody who has the skill '{skill}' can be asked now")


def _askable(turn: Turn, actor: Actor, agent_id: str, queue: QueueConfigured | None) -> Agent:
    """The agent, who is there, has attention left, and may see the ticket. Raises NoSuchPlace, CannotTake."""
    agent = turn.agent(agent_id)
    if agent is None:
        raise NoSuchPlace(f"there is no agent '{agent_id}'")
    if agent_id == turn.work.owner:
        raise NoSuchPlace(f"agent '{agent_id}' has the ticket")
    # A partner's agents see what is theirs.
    if agent.profile.partner_id not in (None, turn.work.ticket.partner_id):
        raise foreign(turn, actor, agent_id)
    if not agent.profile.active:
        raise CannotTake(agent_id, "not_active")
    if agent.state in AWAY and agent.state != "wrap_up":
        raise CannotTake(agent_id, AWAY[agent.state])
    if queue is not None and agent.used_units + queue.consult_units > agent.capacity_units:
        raise CannotTake(agent_id, "at_capacity")
    return agent


def answer(turn: Turn, actor: Actor, consult_id: str, text: str) -> None:
    """The expert answers. Raises NoConsult, TextTooLong."""
    fits(text)
    consulting.answer(turn, consult_id, actor.agent_id, text)


def cancel(turn: Turn, actor: Actor, consult_id: str) -> None:
    """Whoever holds the ticket needs no answer any more, or the expert has none. Raises NoConsult, NotYours, CommandRefused."""
    asked = consulting.of(turn, consult_id)
    if asked.expert_id != actor.agent_id:
        permit(turn, actor, "note", owned=True)
    consulting.cancel(turn, consult_id)
