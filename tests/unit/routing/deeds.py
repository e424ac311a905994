"""What may be done to a ticket, by name: for houses that are worked on at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from services.routing.domain import (
    afterwards,
    calling_back,
    commands,
    consulting,
    escalating,
    experts,
    handing,
    lifecycle,
    moves,
    wrapping,
)
from services.routing.domain.commands import Actor
from services.routing.domain.work import Turn
from shared.conditions import Test
from shared.events.config import QueueConfigured, RuleConfigured
from shared.ticket import CommandRefused
from tests.unit.routing.story import BACK_OFF, START

Queues = Sequence[QueueConfigured]
Deed = Callable[[Turn, Actor, Queues, str], object]
LATER = timedelta(seconds=30)
RULES = (
    RuleConfigured(
        id="sent-about",
        version=1,
        effective_from=START,
        kind="escalate",
        position=1,
        when=Test(field="transfers", op="at_least", value=2),
    ),
)
REFUSALS = (
    CommandRefused,
    commands.NotYours,
    commands.NotAtWork,
    moves.CannotTake,
    moves.NoSuchPlace,
    moves.OfferedToAnother,
    handing.TransferGone,
    handing.TransferPending,
    escalating.NoHigherTier,
    calling_back.NothingWaits,
    wrapping.NoWrapUp,
    consulting.NoConsult,
    consulting.TooManyConsults,
)


def _transfer(kind: moves.Place, to_id: str) -> Deed:
    return lambda turn, actor, queues, _: moves.transfer(turn, actor, queues, kind, to_id, None, BACK_OFF)


def _answer(turn: Turn, text: str) -> None:
    for asked in turn.work.besides.consults[:1]:
        experts.answer(turn, Actor(asked.expert_id), asked.id, text)


def _end(turn: Turn, actor: Actor) -> None:
    for asked in turn.work.besides.consults[:1]:
        experts.cancel(turn, actor, asked.id)


# What whoever holds a ticket, or a supervisor, does; the last argument is some agent.
DEEDS: Mapping[str, Deed] = {
    "resolve": lambda turn, actor, queues, _: commands.resolve(turn, actor, None, queues),
    "pend": lambda turn, actor, _queues, _: commands.pend(turn, actor),
    "hold": lambda turn, actor, _queues, _: commands.put_on_hold(turn, actor, None),
    "reopen": lambda turn, actor, queues, _: commands.reopen(turn, actor, queues, None),
    "give back": lambda turn, actor, queues, _: commands.give_back(turn, actor, queues, lifecycle.age_of(turn.work, turn.now)),
    "spam": lambda turn, actor, _queues, _: commands.mark_spam(turn, actor),
    "not spam": lambda turn, actor, queues, _: commands.unmark_spam(turn, actor, queues, turn.now),
    "urgent": lambda turn, actor, _queues, _: commands.prioritise(turn, actor, 4),
    "not urgent": lambda turn, actor, _queues, _: commands.prioritise(turn, actor, 1),
    "to the second line": _transfer("queue", "second"),
    "to the first tier": _transfer("tier", "1"),
    "to the partner": _transfer("partner", "north"),
    "hand over": lambda turn, actor, queues, other: moves.hand_to(turn, actor, queues, other, None),
    "offer": lambda turn, actor, queues, other: moves.offer_to(turn, actor, queues, other, None),
    "escalate": lambda turn, actor, queues, _: escalating.escalate(turn, actor, queues),
    "consult": lambda turn, actor, queues, other: experts.ask(turn, actor, queues, [other], "How?"),
    "end the question": lambda turn, actor, _queues, _: _end(turn, actor),
    "call back": lambda turn, actor, queues, _: calling_back.request(turn, actor, queues, turn.now + LATER),
    "call back in turn": lambda turn, actor, queues, _: calling_back.request(turn, actor, queues, None),
}
# What others do: the agent named, whoever was asked, rules.
OTHERS: Mapping[str, Deed] = {
    "take": lambda turn, _actor, queues, other: moves.take(turn, other, queues),
    "assign": lambda turn, _actor, queues, other: moves.assign(turn, queues, other),
    "accept": lambda turn, _actor, queues, other: moves.accept_transfer(turn, _asked(turn, other), queues),
    "decline": lambda turn, _actor, _queues, other: handing.decline(turn, _asked(turn, other), None),
    "answer": lambda turn, _actor, _queues, _: _answer(turn, "So."),
    "wrap up": lambda turn, _actor, _queues, other: afterwards.wrap_up(turn, Actor(_through(turn, other)), "done", "parcels"),
    "rules": lambda turn, _actor, queues, _: escalating.by_rule(turn, queues, RULES),
}


def _asked(turn: Turn, other: str) -> str:
    """Whoever is asked to take it over, else somebody."""
    return turn.work.besides.hand_over.to_agent_id if turn.work.besides.hand_over is not None else other


def _through(turn: Turn, other: str) -> str:
    """Whoever is in wrap-up for it, else somebody."""
    return next((one.agent_id for one in turn.work.besides.wrap_ups), other)
