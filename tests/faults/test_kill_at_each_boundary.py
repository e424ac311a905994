"""kill -9 of each service at each boundary: nothing acknowledged is lost, nothing is doubled inward.

`make test` kills several services in each of six rounds, so that every boundary is met once; `make proof` takes each alone.
"""

import asyncio

import pytest

from tests.faults.conftest import Load
from tests.system import until

ROUNDS: list[dict[str, str]] = [
    {"intake": "before-commit:3", "routing": "after-send:2"},
    {"intake": "after-commit:3", "sla": "before-send:1", "metrics": "after-commit:1"},
    {"intake": "before-send:4", "routing": "before-commit:4", "metrics": "before-commit:1"},
    {"intake": "after-send:2", "sla": "after-commit:1"},
    {"intake": "before-outward:2", "routing": "after-commit:4", "sla": "after-send:1"},
    {"intake": "after-outward:2", "routing": "before-send:4", "sla": "before-commit:1"},
]
ALONE = [{service: point} for round_ in ROUNDS for service, point in round_.items()]


def _name(round_: dict[str, str]) -> str:
    return "+".join(f"{service}-{point.partition(':')[0]}" for service, point in round_.items())


async def kill_at(load: Load, round_: dict[str, str], contacts: int) -> None:
    system = load.system
    for service in round_:
        system.processes[service].end()
    killed = {service: system.start(service, crash_at=point) for service, point in round_.items()}
    sending = asyncio.create_task(load.send_many(_name(round_), contacts))
    revived = [asyncio.create_task(_revive(load, service)) for service in killed]
    await asyncio.gather(*revived)
    for service, process in killed.items():
        assert process.exit_code == -9, f"{service}: {process.exit_code}\n{process.tail()}"
    await sending
    await load.settled()
    await load.check()


async def _revive(load: Load, service: str) -> None:
    """Wait for the kill, then start the service again as a supervisor does."""
    process = load.system.processes[service]
    await until(f"{service} dies at its boundary", lambda: process.exit_code is not None, 60)
    await load.system.restart(service)


@pytest.mark.parametrize("round_", ROUNDS, ids=_name)
async def test_services_killed_at_a_boundary_go_on_where_their_transactions_stood(
    load: Load, contacts: int, round_: dict[str, str]
) -> None:
    await kill_at(load, round_, contacts)


@pytest.mark.proof
@pytest.mark.parametrize("round_", ALONE, ids=_name)
async def test_a_service_killed_at_a_boundary_alone_goes_on_where_its_transaction_stood(
    load: Load, contacts: int, round_: dict[str, str]
) -> None:
    await kill_at(load, round_, 2 * contacts)
