"""Seeded schedules of faults under the simulator's load; after each, the complete history is checked.

`make test` takes one seed of each kind of fault, one after the other on one system. `make proof` takes SEEDS seeds of up to
four faults of any kind. There a system serves SEEDS_PER_SYSTEM seeds: starting one takes as long as a seed. The whole history
so far is judged after every seed, so that the seed that broke a promise is the one that fails, and its system is not used
again; the figures are rebuilt and compared once for each system, after its last seed.

`PATCHBAY_SEED=17` repeats one seed on a fresh system, `PATCHBAY_SEED=kill-1` one kind's, `PATCHBAY_SEED=1-50` some.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.house import House, open_house
from tests.faults.schedule import KINDS, UNTIL_SETTLED, Schedule, make
from tests.infra import LocalKafka, LocalPostgres, fresh_database

SEEDS = 200
SEEDS_PER_SYSTEM = 20
CONTACTS = 16
PER_SECOND = 5.0


def _named(name: str) -> list[str]:
    first, _, last = name.partition("-")
    return [str(seed) for seed in range(int(first), int(last) + 1)] if first.isdigit() and last else [name]


CHOSEN = _named(os.environ["PATCHBAY_SEED"]) if "PATCHBAY_SEED" in os.environ else None


def schedule_of(name: str) -> Schedule:
    """`17`: faults of any kind; `kill-3`: of that kind."""
    kind, _, seed = name.rpartition("-")
    return make(int(seed), [kind]) if kind else make(int(seed))


@dataclass
class Houses:
    """A house for each schedule: the one before, as long as it is whole and young."""

    kafka: LocalKafka
    postgres: LocalPostgres
    template: str
    folder: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    house: House | None = None
    opened: int = 0

    async def whole(self) -> House:
        """The house to let the next schedule loose on."""
        if self.house is None:
            self.opened += 1
            database = await self.stack.enter_async_context(fresh_database(self.postgres.url, self.template))
            folder = self.folder / str(self.opened)
            folder.mkdir()
            opening = open_house(self.kafka, self.postgres, database, folder)
            self.house = await self.stack.enter_async_context(opening)
        return self.house

    async def leave(self) -> None:
        """The next schedule gets a new one."""
        self.house = None
        await self.stack.aclose()

    async def let_loose(self, name: str) -> None:
        """A schedule on a house, and what is promised afterwards. Raises AssertionError that says how to repeat it."""
        house = await self.whole()
        try:
            await house.under(schedule_of(name), contacts=CONTACTS, rate=PER_SECOND)
            if len(house.schedules) >= SEEDS_PER_SYSTEM:
                wrong = await house.wrong(figures=True)
                assert not wrong, f"after {house.schedules}: {wrong}"
                await self.leave()
        except AssertionError as error:
            await self.leave()
            raise AssertionError(
                f"{error}\nrepeat it: PATCHBAY_SEED={name} .venv/bin/python -m pytest tests/faults/test_schedules.py"
            ) from error


@pytest_asyncio.fixture(scope="module")
async def houses(
    kafka_server: LocalKafka,
    postgres_server: LocalPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Houses]:
    houses = Houses(kafka_server, postgres_server, migrated_template, tmp_path_factory.mktemp("schedules"))
    yield houses
    await houses.leave()


@pytest.mark.parametrize("kind", [f"{kind}-1" for kind in KINDS] if CHOSEN is None else CHOSEN)
async def test_promises_are_kept_under_one_kind_of_fault(houses: Houses, kind: str) -> None:
    await houses.let_loose(kind)


async def test_the_figures_are_the_log_s_after_all_these_faults(houses: Houses) -> None:
    house = await houses.whole()
    assert not await house.wrong(figures=True)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, SEEDS + 1) if CHOSEN is None else [])
async def test_promises_are_kept_under_any_faults(houses: Houses, seed: int) -> None:
    await houses.let_loose(str(seed))


def test_a_schedule_is_its_seed_s_alone() -> None:
    assert make(17) == make(17)
    assert str(make(17)) == str(make(17))
    assert len({str(make(seed)) for seed in range(50)}) == 50


def test_every_kind_of_fault_and_every_target_is_drawn() -> None:
    steps = [step for seed in range(1, SEEDS + 1) for step in make(seed).steps]
    assert {step.fault for step in steps} == set(KINDS)
    assert all(0 < step.seconds <= 10 or step.seconds == UNTIL_SETTLED for step in steps)
