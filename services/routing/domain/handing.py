"""An owner's offer to hand a ticket over: the owner keeps it until the agent who is asked says yes. Pure.

It is no offer of a queue: the ticket waits nowhere, so nobody else is asked, and what becomes of it is told to its owner.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from services.routing.domain.agents import Agent, load, units_of, unload
from services.routing.domain.besides import HandOver
from services.routing.domain.missing import miss
from services.routing.domain.work import Turn
from shared.events.base import derived_id
from shared.events.work import TransferEnded, TransferOffered

Ended = Literal["accepted", "declined", "expired", "withdrawn"]


class TransferGone(ValueError):
    """The hand-over is no longer offered: answered, expired, taken back, or to somebody else."""


class TransferPending(ValueError):
    """The ticket is offered to be handed over already."""


def offer(turn: Turn, agent: Agent, by_agent_id: str, expires_at: datetime, reason: str | None) -> str:
    """Ask the agent to take it over; the caller made sure of room. Returns the transfer's id. Raises TransferPending."""
    work = turn.work
    if work.besides.hand_over is not None:
        raise TransferPending(f"it is offered to agent '{work.besides.hand_over.to_agent_id}' already")
    transfer_id, units = derived_id("transfer", work.id, turn.cause), units_of(work.channel, agent)
    turn.put(load(agent, work.channel, units, turn.now))
    asked = HandOver(
        id=transfer_id, by_agent_id=by_agent_id, to_agent_id=agent.id, expires_at=expires_at, units=units, reason=reason
    )
    turn.beside(hand_over=asked)
    offered = TransferOffered(
        transfer_id=transfer_id, by_agent_id=by_agent_id, to_agent_id=agent.id, expires_at=expires_at, reason=reason
    )
    turn.say(offered)
    told = {"channel": work.channel, "language": work.ticket.intake.language, "expires_at": expires_at.isoformat()}
    turn.tell(agent.id, "transfer.offered", transfer_id=transfer_id, by_agent_id=by_agent_id, **told)
    return transfer_id


def offered_to(turn: Turn, agent_id: str) -> HandOver:
    """What is offered to this agent and can be accepted. Raises TransferGone."""
    asked = _asked(turn, agent_id)
    if asked.expires_at <= turn.now:
        raise TransferGone("it expired")
    return asked


def decline(turn: Turn, agent_id: str, reason: str | None) -> None:
    """The agent does not want it; it stays with its owner. Raises TransferGone."""
    _asked(turn, agent_id)
    end(turn, "declined", reason)


def expire(turn: Turn) -> None:
    """Nobody answered in time: it stays with its owner, and who was asked is `missed`, as with any offer."""
    asked = turn.work.besides.hand_over
    if asked is not None and asked.expires_at <= turn.now:
        end(turn, "expired")
        miss(turn, asked.to_agent_id)


def end(turn: Turn, outcome: Ended, reason: str | None = None) -> None:
    """It is over, if there is one: the agent who was asked is free of it, and both are told."""
    asked = turn.work.besides.hand_over
    if asked is None:
        return
    agent = turn.agent(asked.to_agent_id)
    if agent is not None:
        turn.put(unload(agent, turn.work.channel, asked.units, turn.now))
    turn.beside(hand_over=None)
    turn.say(TransferEnded(transfer_id=asked.id, to_agent_id=asked.to_agent_id, outcome=outcome, reason=reason))
    for agent_id in sorted({asked.by_agent_id, asked.to_agent_id}):
        turn.tell(agent_id, "transfer.ended", transfer_id=asked.id, to_agent_id=asked.to_agent_id, outcome=outcome)


def _asked(turn: Turn, agent_id: str) -> HandOver:
    asked = turn.work.besides.hand_over
    if asked is None or asked.to_agent_id != agent_id:
        raise TransferGone("it is no longer offered to you")
    return asked
