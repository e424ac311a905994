"""What an agent says of a contact when it is over: how it went, and what it was about. Pure."""

from __future__ import annotations

from services.routing.domain import wrapping
from services.routing.domain.commands import Actor
from services.routing.domain.labels import relabelled
from services.routing.domain.work import Turn
from shared.events.ticket import TicketLabelled


def wrap_up(
    turn: Turn,
    actor: Actor,
    code: str | None = None,
    topic: str | None = None,
    product: str | None = None,
    of_agent_id: str | None = None,
) -> int:
    """The agent's wrap-up is done; a supervisor may end that of another. Returns how long it took, in microseconds. Raises
    NoWrapUp.
    """
    whose = of_agent_id if actor.supervisor and of_agent_id is not None else actor.agent_id
    took = wrapping.complete(turn, whose, code)
    label(turn, actor, topic, product)
    return took


def label(turn: Turn, actor: Actor, topic: str | None, product: str | None) -> None:
    """Say what the ticket is about. Nothing when that is said already."""
    fact = TicketLabelled(topic=topic, product=product, by_agent_id=actor.agent_id)
    after = relabelled(turn.work.labels, fact)
    if after != turn.work.labels:
        turn.say(fact)
        turn.set(labels=after)
        turn.to_judge = True
