"""kill -9 of services of a whole system at the boundaries of their work: nothing acknowledged is lost, nothing is doubled inward.

All services at once, each at one boundary after the other, while customers write: at some in `make test`, at all in `make proof`.
Where else a process can die, each place alone, is in test_crash_points.py.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count

import pytest

from tests.faults.house import SETTLE_SECONDS, House
from tests.faults.houses import Houses
from tests.system import until

BOUNDARIES: Mapping[str, Sequence[str]] = {
    "intake": (
        "before-commit:3",
        "after-commit:3",
        "before-send:4",
        "after-send:2",
        "before-outward:2",
        "after-outward:2",
    ),
    "routing": ("after-send:2", "before-commit:4", "after-commit:4", "before-send:4"),
    "sla": ("before-send:1", "after-commit:1", "after-send:1", "before-commit:1"),
    "metrics": ("after-commit:1", "before-commit:1"),
}
# Each kind of boundary at one service; before-outward only in the proof.
SOME: Mapping[str, Sequence[str]] = {
    "intake": ("before-commit:3", "after-outward:2"),
    "routing": ("after-commit:4", "before-send:4"),
    "sla": ("after-send:1",),
    "metrics": ("before-commit:1",),
}
CONTACTS = 12
PER_SECOND = 6.0
SECONDS_A_KILL = 15


async def kill_at(house: House, boundaries: Mapping[str, Sequence[str]]) -> None:
    """Kill each of these services at its boundaries, one after the other, while customers write; then judge all there was."""
    patience = SECONDS_A_KILL * max(map(len, boundaries.values())) + SETTLE_SECONDS
    killing = asyncio.gather(*(_kill(house, service, points) for service, points in boundaries.items()))
    try:
        for seed in count():
            async with house.at_work(seed, CONTACTS, PER_SECOND, seconds=patience):
                pass
            if killing.done():
                break
    finally:
        killing.cancel()
    await killing
    wrong = await house.wrong(figures=True)
    assert not wrong, "\n".join(wrong)


async def _kill(house: House, service: str, points: Sequence[str]) -> None:
    await asyncio.to_thread(house.system.processes[service].end)
    for point in points:
        process = house.system.start(service, crash_at=point)
        await until(f"{service} dies at {point}", lambda process=process: process.exit_code is not None, 60)  # type: ignore[misc]
        assert process.exit_code == -9, f"{service}: {process.exit_code}\n{process.tail()}"
    await house.system.restart(service)


@pytest.mark.parametrize("boundaries", [SOME, pytest.param(BOUNDARIES, marks=pytest.mark.proof)], ids=["some", "all"])
async def test_services_killed_at_boundary_after_boundary_go_on_where_their_transactions_stood(
    houses: Houses, boundaries: Mapping[str, Sequence[str]]
) -> None:
    async with houses.whole() as house:
        await kill_at(house, boundaries)
