"""Simulated traffic through the real engine waits as long as queueing theory says."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import pytest

from services.routing.domain.erlang import ErlangA, ErlangC, Overloaded
from simulator.virtual.day import Day
from simulator.virtual.worlds import one_line
from tests.counts import PROOF
from tests.unit.simulator.virtual.batches import Measured, measure

FEW = 2_500
# Erlangs, agents, mean handling in seconds, and how many contacts it takes for an interval that says something.
ERLANG_C = [
    (10, 14, 180, 40_000),
    (10, 13, 180, 60_000),
    (10, 12, 180, 80_000),
    (10, 11, 180, 150_000),
    (20, 24, 180, 60_000),
    (50, 55, 240, 100_000),
    (100, 110, 300, 100_000),
]
# The same with a mean patience in seconds; some have more work than their agents can do.
ERLANG_A = [(10, 11, 180, 180, 40_000), (30, 25, 240, 120, 40_000), (50, 50, 240, 600, 60_000), (12, 14, 180, 60, 40_000)]


def rows(all_of_them: Sequence[tuple[int, ...]], quick: set[int]) -> list[object]:
    """Each row; those that are quick in `make test` too."""
    return [
        pytest.param(*row, marks=[] if number in quick else [pytest.mark.proof], id=" ".join(map(str, row[:-1])))
        for number, row in enumerate(all_of_them)
    ]


def simulated(load: float, agents: int, handle: float, contacts: int, patience: float | None = None) -> Measured:
    contacts = contacts if PROOF else FEW
    world = one_line(load / handle, handle, agents, contacts * handle / load, patience)
    return measure(Day(world, seed=1).run(), agents)


@pytest.mark.parametrize(("load", "agents", "handle", "contacts"), rows(ERLANG_C, {0, 4}))
def test_calls_that_wait_for_ever_wait_as_erlang_c_says(load: int, agents: int, handle: int, contacts: int) -> None:
    theory, found = ErlangC(load / handle, handle, agents), simulated(load, agents, handle, contacts)
    assert found.waited.holds(theory.wait_probability), found.waited
    assert found.wait_seconds.holds(theory.answer_seconds), found.wait_seconds
    assert found.service_level.holds(theory.service_level(20)), found.service_level
    assert found.occupancy.holds(theory.occupancy), found.occupancy
    assert found.abandoned.mean == 0
    for other in (agents - ceil(agents / 10), agents + ceil(agents / 10) if PROOF else 0):
        assert not waits_like(found, load, other, handle), "the interval is so wide that other agents would do"


def waits_like(found: Measured, load: int, agents: int, handle: int) -> bool:
    """Whether what was found could be so with other agents. It could not where they are too few for any steady state."""
    try:
        return agents > 0 and found.waited.holds(ErlangC(load / handle, handle, agents).wait_probability)
    except Overloaded:
        return False


@pytest.mark.parametrize(("load", "agents", "handle", "patience", "contacts"), rows(ERLANG_A, {0}))
def test_calls_that_are_given_up_wait_as_erlang_a_says(load: int, agents: int, handle: int, patience: int, contacts: int) -> None:
    theory, found = ErlangA(load / handle, handle, agents, patience), simulated(load, agents, handle, contacts, patience)
    assert found.waited.holds(theory.wait_probability), found.waited
    assert found.wait_seconds.holds(theory.wait_seconds), found.wait_seconds
    assert found.service_level.holds(theory.service_level(20)), found.service_level
    assert found.occupancy.holds(theory.occupancy), found.occupancy
    assert found.abandoned.holds(theory.abandoned), found.abandoned
    assert not found.abandoned.holds(ErlangA(load / handle, handle, agents + ceil(agents / 10), patience).abandoned)
