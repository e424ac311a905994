"""kill -9 of each service at each boundary: nothing acknowledged is lost, nothing is doubled inward."""

import asyncio

import pytest

from tests.faults.conftest import Load
from tests.system import until

CASES = [
    ("intake", "before-commit:3"),
    ("intake", "after-commit:3"),
    ("intake", "before-send:4"),
    ("intake", "after-send:2"),
    ("intake", "before-outward:2"),
    ("intake", "after-outward:2"),
    ("routing", "before-commit:4"),
    ("routing", "after-commit:4"),
    ("routing", "before-send:4"),
    ("routing", "after-send:2"),
    ("sla", "before-commit:3"),
    ("sla", "after-commit:3"),
    ("sla", "before-send:3"),
    ("sla", "after-send:2"),
    ("metrics", "before-commit:3"),
    ("metrics", "after-commit:3"),
]


@pytest.mark.parametrize(("service", "crash_at"), CASES, ids=[f"{s}-{c.partition(':')[0]}" for s, c in CASES])
async def test_a_service_killed_at_a_boundary_goes_on_where_its_transaction_stood(
    load: Load, contacts: int, service: str, crash_at: str
) -> None:
    system = load.system
    await load.send_many("before", 2)
    await load.settled()
    system.processes[service].end()
    killed = system.start(service, crash_at=crash_at)
    sending = asyncio.create_task(load.send_many("during", contacts))
    await until(f"{service} dies {crash_at}", lambda: killed.exit_code is not None, 60)
    assert killed.exit_code == -9, killed.tail()
    await system.restart(service)
    await sending
    await load.settled()
    await load.check()
