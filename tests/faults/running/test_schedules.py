"""Seeded schedules of faults under the simulator's load; after each, the complete history is checked.

`make test` takes one seed of each kind of fault, two kinds at a time, one after the other on one system. `make proof` takes
SEEDS seeds of up to four faults of any kind. There a system serves SEEDS_PER_SYSTEM seeds: starting one takes as long as a seed.
The whole history so far is judged after every seed, so that the seed that broke a promise is the one that fails, and its system
is not used again; the figures are rebuilt and compared once for each system, after its last seed.

`PATCHBAY_SEED=17` repeats one seed on a fresh system, `PATCHBAY_SEED=kill-1` one kind's, `PATCHBAY_SEED=kill+slow-44` one of each
of these kinds, `PATCHBAY_SEED=1-50` some.
"""

from __future__ import annotations

import asyncio
import os
from typing import get_args

import pytest

from simulator.truth import Act, MoveKind, Truth
from tests.faults.house import House
from tests.faults.houses import Houses
from tests.faults.schedule import KINDS, UNTIL_SETTLED, Schedule, Step, each, make
from tests.infra import LocalKafka

# Every kind once. The seeds are chosen: these faults meet a system at work, and services that have much to lose.
PAIRS = (
    "kill+slow-44",
    "pause+thin-5",
    "kafka+cut-19",
    "postgres+refused-100",
    "held+lost-request-2",
    "half-open+lost-answer-2",
    "commit+foreign-2",
    "twin+rebalance-43",
)
SEEDS = 200
SEEDS_PER_SYSTEM = 20
CONTACTS = 16
PER_SECOND = 5.0
FEWEST_MOVES = 4  # kinds of them, of eight, in so many schedules; some fifty moves are tried
REPEAT = "tests/faults/running/test_schedules.py"


def _named(name: str) -> list[str]:
    first, _, last = name.partition("-")
    return [str(seed) for seed in range(int(first), int(last) + 1)] if first.isdigit() and last else [name]


CHOSEN = _named(os.environ["PATCHBAY_SEED"]) if "PATCHBAY_SEED" in os.environ else None


def schedule_of(name: str) -> Schedule:
    """`17`: faults of any kind; `kill-3`: of that kind; `kill+slow-3`: one of each."""
    kinds, _, seed = name.rpartition("-")
    if "+" in kinds:
        return each(int(seed), kinds.split("+"))
    return make(int(seed), [kinds]) if kinds else make(int(seed))


async def let_loose(houses: Houses, name: str) -> None:
    """A schedule on a house, and what is promised afterwards. Raises AssertionError that says how to repeat it."""
    try:
        async with houses.whole() as house:
            await house.under(schedule_of(name), contacts=CONTACTS, rate=PER_SECOND)
            if len(house.schedules) >= SEEDS_PER_SYSTEM:
                await assert_figures(house)
                assert_moved(house.truth)
                await houses.leave()
    except AssertionError as error:
        raise AssertionError(f"{error}\nrepeat it: PATCHBAY_SEED={name} .venv/bin/python -m pytest {REPEAT}") from error


def assert_moved(truth: Truth) -> None:
    """Agents sent tickets on, handed them over, asked …: where all of it was refused nothing is promised of it."""
    made = {act.kind for act in truth.acts if act.status is not None and 200 <= act.status < 300}
    moved = made.intersection(get_args(MoveKind))
    assert len(moved) >= FEWEST_MOVES, f"of all moves only {sorted(moved)} were made"


async def assert_figures(house: House) -> None:
    """The figures that are rebuilt from the log are the live ones."""
    wrong = await house.wrong(figures=True)
    assert not wrong, f"after {house.schedules}: {wrong}"


@pytest.mark.parametrize("name", PAIRS if CHOSEN is None else CHOSEN)
async def test_promises_are_kept_under_each_kind_of_fault(houses: Houses, name: str) -> None:
    await let_loose(houses, name)


async def test_the_figures_are_the_log_s_after_all_these_faults(houses: Houses) -> None:
    async with houses.whole() as house:
        await assert_figures(house)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, SEEDS + 1) if CHOSEN is None else [])
async def test_promises_are_kept_under_any_faults(houses: Houses, seed: int) -> None:
    await let_loose(houses, str(seed))


@pytest.mark.proof
async def test_a_step_that_fails_leaves_no_server_down(houses: Houses, kafka_server: LocalKafka) -> None:
    ending = Step(0.0, "kafka", ("kafka",), 0.1, {"how": "restart"})
    failing = Step(0.2, "cut", ("no-such-link",), 0.1, {"every": 1.0})  # while the broker is ending, which takes longer
    with pytest.raises(AssertionError, match="no-such-link"):
        async with houses.whole() as house:
            await house.under(Schedule(0, (ending, failing)), contacts=1, rate=PER_SECOND)
    assert await asyncio.to_thread(kafka_server.answers)


def test_a_house_in_which_moves_are_refused_is_noticed() -> None:
    truth = Truth()
    kinds: tuple[MoveKind, ...] = get_args(MoveKind)[:FEWEST_MOVES]
    for kind in kinds:
        truth.acted(Act(kind, "dana", kind, 0.0, "t", status=409))
    with pytest.raises(AssertionError, match="of all moves only"):
        assert_moved(truth)
    for kind in kinds:
        truth.acted(Act(kind, "dana", kind, 0.0, "t", status=201))
    assert_moved(truth)


def test_a_schedule_is_its_seed_s_alone() -> None:
    assert make(17) == make(17)
    assert str(make(17)) == str(make(17))
    assert len({str(make(seed)) for seed in range(50)}) == 50


def test_every_kind_of_fault_is_in_a_pair() -> None:
    assert sorted(step.fault for name in PAIRS for step in schedule_of(name).steps) == sorted(KINDS)


def test_every_kind_of_fault_and_every_target_is_drawn() -> None:
    steps = [step for seed in range(1, SEEDS + 1) for step in make(seed).steps]
    assert {step.fault for step in steps} == set(KINDS)
    assert all(0 < step.seconds <= 10 or step.seconds == UNTIL_SETTLED for step in steps)
