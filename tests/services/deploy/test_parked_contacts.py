"""What an operator does about contacts that could not be taken, on a real PostgreSQL with intake running beside."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy import cli, parked_contacts
from services.intake.replaying import Replayer
from shared.events.message import MessageReceived
from tests.services.intake.test_parked import CURE, POISON
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, process
from tests.services.shared.test_pipeline import running


async def patchbay(database: str, *arguments: str) -> Result:
    """`./patchbay parked contacts …` against the test's database."""
    environment = {"PATCHBAY_DATABASE": database, "COLUMNS": "400"}
    return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, ["parked", "contacts", *arguments], env=environment))


async def park(world: World) -> str:
    """A text message is kept, and what keeps it is mended. Returns its id."""
    await world.execute(POISON)
    assert (await sms(world, Body="canary words")).status_code == 200
    await world.execute(CURE)
    return "1"


async def test_they_are_listed_without_a_word_of_customers(database: str) -> None:
    assert "Nothing is parked" in (await patchbay(database, "list")).output
    async with process(database) as world:
        await park(world)
    listed = (await patchbay(database, "list")).output
    for part in ("1 parked contacts", "sms", "CheckViolationError"):
        assert part in listed
    assert "canary" not in listed
    assert "0721234567" not in listed


async def test_one_is_exported_as_it_came_for_its_reader_only(database: str, tmp_path: Path) -> None:
    async with process(database) as world:
        number = await park(world)
    file = tmp_path / "contact"
    assert (await patchbay(database, "export", number, str(file))).exit_code == 0
    assert (b"canary+words" in file.read_bytes(), file.stat().st_mode & 0o777) == (True, 0o600)
    again = await patchbay(database, "export", number, str(file))
    assert (again.exit_code, "not there yet" in again.output) == (1, True)


async def test_a_replay_is_waited_for_and_makes_one_message(database: str) -> None:
    async with process(database) as world:
        number = await park(world)
        replayer = Replayer(world.intake.acceptor, world.intake.inboxes, world.signer)
        async with running(replayer.run):
            done = await patchbay(database, "replay", number)
        assert (done.exit_code, "it is taken" in done.output) == (0, True), done.output
        assert len(await world.events(MessageReceived)) == 1
    assert "Nothing is parked" in (await patchbay(database, "list")).output


async def test_a_replay_that_fails_again_says_why(database: str) -> None:
    async with process(database) as world:
        number = await park(world)
        await world.execute(POISON)
        replayer = Replayer(world.intake.acceptor, world.intake.inboxes, world.signer)
        async with running(replayer.run):
            failed = await patchbay(database, "replay", number)
    assert (failed.exit_code, "It failed again: CheckViolationError" in failed.output) == (1, True), failed.output


async def test_intake_that_does_not_run_is_named_after_the_wait_and_the_mark_stays(database: str) -> None:
    async with process(database) as world:
        number = await park(world)
        outcome = await parked_contacts.replay(world.parts.engine, int(number), wait_seconds=0.3)
    assert outcome is not None
    assert (outcome.done, "intake has not done it" in outcome.said) == (False, True)
    assert "replay" in (await patchbay(database, "list")).output


async def test_a_discarded_one_is_gone(database: str) -> None:
    async with process(database) as world:
        number = await park(world)
        assert (await patchbay(database, "discard", number)).exit_code == 0
        assert (await world.count("parked_contact"), await world.log()) == (0, [])


@pytest.mark.parametrize("command", ["replay", "discard", "export"])
@pytest.mark.parametrize(("number", "code"), [("7", 1), ("0", 2), ("99999999999999999999", 2), ("first", 2)])
async def test_one_that_is_not_there_is_said(database: str, tmp_path: Path, command: str, number: str, code: int) -> None:
    more = [str(tmp_path / "file")] if command == "export" else []
    answer = await patchbay(database, command, number, *more)
    assert answer.exit_code == code, answer.output
    assert os.listdir(tmp_path) == []
