"""Who let an offer pass without an answer is `missed`: asked nothing more until they, or a supervisor, say they are there."""

from __future__ import annotations

from services.routing.domain.agents import change_state
from services.routing.domain.work import Turn
from shared.events.base import Draft


def miss(turn: Turn, agent_id: str) -> None:
    """The agent did not answer. Nothing for one who went away meanwhile."""
    agent = turn.agent(agent_id)
    if agent is None or agent.state != "available":
        return
    missed, fact = change_state(agent, "missed", turn.now, "offer_expired")
    turn.put(missed)
    if fact is not None:
        turn.drafts.append(Draft(key=agent.id, data=fact, cause=turn.cause))
        turn.tell(agent.id, "agent.state_changed", state="missed")
