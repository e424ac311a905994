"""kill -9 at every await of the transactions and of the relay: each process goes on where its transaction stood.

The points are found, not laid: a first run of each step of a contact's way lists them, so code that is added is killed too.
At each of them a process is killed, in a copy of the database; what it leaves is what was there before, or else the next
process makes of it what one that nobody disturbed makes of the same log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.demo.receivers import mail_server, twilio_api
from deploy.local.ports import free_ports
from shared.settings import Settings
from tests.faults.rig import open_rig
from tests.faults.stepping import PHASES, Point
from tests.faults.steps import STEPS, Stage, Step, Trial
from tests.faults.way import SETTINGS, company
from tests.infra import fresh_database
from tests.system import fresh_topics


@asynccontextmanager
async def open_stage(bootstrap: str, server_url: str, database: str, folder: Path) -> AsyncIterator[Stage]:
    """A new log, a company on this database, and the outside world."""
    await fresh_topics(Settings(kafka=bootstrap))
    mail_port, twilio_port = free_ports(2)
    outside = {
        "intake_mail_port": mail_port,
        "intake_twilio_url": f"http://127.0.0.1:{twilio_port}",
        "intake_twilio_account": "AC" + "0" * 32,
        "intake_twilio_tokens": "token",
    }
    async with AsyncExitStack() as stack:
        mailbox = await stack.enter_async_context(mail_server(mail_port))
        texts = await stack.enter_async_context(twilio_api(twilio_port))
        rig = await stack.enter_async_context(open_rig(bootstrap, server_url, folder, **SETTINGS, **outside))
        yield Stage(await company(rig, database, 1), mailbox, texts)


@pytest_asyncio.fixture(scope="module")
async def stage(
    kafka_bootstrap: str, database_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    async with (
        fresh_database(database_url, migrated_template) as database,
        open_stage(kafka_bootstrap, database_url, database, folder) as stage,
    ):
        yield stage


async def reach(stage: Stage, step: Step) -> Trial:
    """Do the steps before this one, where they were not done, and prepare it."""
    while STEPS[stage.done] is not step:
        earlier = STEPS[stage.done]
        await stage.way.go(earlier.part, **await earlier.given(stage))
        stage.done += 1
    return await Trial.of(stage, step)


async def kill(trial: Trial, points: list[Point]) -> None:
    """Kill at these points, when it was sent and when it was answered, some in one copy and some in another at the same time."""
    everywhere = [point.at(phase) for point in points for phase in PHASES]
    lanes = [everywhere[n :: trial.step.at_once] for n in range(trial.step.at_once)]
    wrong = [what for found in await asyncio.gather(*(trial.killed_at(lane) for lane in lanes if lane)) for what in found]
    wrong += await trial.go()
    assert not wrong, f"{len(wrong)} of {len(everywhere)} kills:\n" + "\n".join(wrong)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_killed_at_any_await_a_process_goes_on_where_its_transaction_stood(stage: Stage, step: Step) -> None:
    trial = await reach(stage, step)
    await kill(trial, trial.points)
