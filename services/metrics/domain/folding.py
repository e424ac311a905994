"""A state, what it was when the batch began, and what the batch measured for good: their difference is what is booked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from services.metrics.domain.agents import Agent, Named, agent_standing, named_standing
from services.metrics.domain.cells import Changes, Measured, add
from services.metrics.domain.promises import (
    Breaches,
    Clocks,
    Warnings,
    breaches_standing,
    clocks_standing,
    warnings_standing,
)
from services.metrics.domain.story import Story, standing

State = TypeVar("State", Story, Clocks, Breaches, Warnings, Agent, Named)
AnyState = Story | Clocks | Breaches | Warnings | Agent | Named


class Folded(msgspec.Struct, Generic[State], frozen=True):
    """The state of one key within a batch."""

    before: State
    state: State
    measured: tuple[Measured, ...] = ()

    def then(self, state: State, measured: Iterable[Measured]) -> Folded[State]:
        """After one more fact; the same object when nothing changed."""
        more = tuple(measured)
        if state is self.state and not more:
            return self
        return Folded(self.before, state, self.measured + more)


STANDING: dict[type[AnyState], Callable[[Any], list[Measured]]] = {
    Story: standing,
    Clocks: clocks_standing,
    Breaches: breaches_standing,
    Warnings: warnings_standing,
    Agent: agent_standing,
    Named: named_standing,
}


def changes(folded: Iterable[Folded[Any]]) -> Changes:
    """What a batch adds to the cells: what it measured for good, and what its keys stand for now less what they stood for."""
    booked: Changes = {}
    for one in folded:
        add(booked, one.measured)
        if one.state is not one.before:
            stands = STANDING[type(one.state)]
            gone, come = _difference(stands(one.before), stands(one.state))
            add(booked, come)
            add(booked, gone, -1)
    return booked


def _difference(before: list[Measured], after: list[Measured]) -> tuple[list[Measured], list[Measured]]:
    """What is only in `before`, and what is only in `after`: most of what a key stands for stays as it is."""
    gone, come = list(before), []
    for measured in after:
        if measured in gone:
            gone.remove(measured)
        else:
            come.append(measured)
    return gone, come
