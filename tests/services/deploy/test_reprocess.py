"""`patchbay intake reprocess` on a real PostgreSQL, with intake running beside."""

from __future__ import annotations

import asyncio
import json
from io import StringIO

from rich.console import Console
from typer.testing import CliRunner, Result

from deploy import cli
from deploy.local.screen import Screen
from deploy.reprocessing import reprocess
from services.intake.replaying import AT_ONCE, Replayer
from shared.events.message import MessageReceived
from tests.services.intake import provider_requests as ask
from tests.services.intake.test_twilio import post
from tests.services.intake.world import World, process
from tests.services.shared.test_pipeline import running


async def patchbay(database: str, *arguments: str) -> Result:
    """`./patchbay intake …` against the test's database."""
    environment = {"PATCHBAY_DATABASE": database, "COLUMNS": "400"}
    return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, ["intake", *arguments], env=environment))


def replayer(world: World) -> Replayer:
    return Replayer(world.intake.acceptor, world.intake.inboxes, world.signer)


async def park(world: World, count: int) -> None:
    """Text messages that nobody can read yet; the update comes after them."""
    for n in range(count):
        await post(
            world, "/v1/providers/twilio/sms", {"Sid": f"SM{n}", "From": "+40721234567", "To": "+40312295500", "Body": "a"}
        )
    await world.execute(
        "UPDATE intake.parked_contact SET body = convert_to(replace(convert_from(body, 'UTF8'), 'Sid=', 'MessageSid='), 'UTF8')"
    )


async def test_all_of_a_way_are_taken_once_and_the_others_left(database: str) -> None:
    async with process(database, **ask.settings()) as world:
        await park(world, AT_ONCE + 5)
        events = json.dumps([{"event": "teleported"}]).encode()
        assert (await ask.sendgrid(events, ask.JSON, "events").to(world.http)).status_code == 200
        async with running(replayer(world).run):
            done = await patchbay(database, "reprocess", "--way", "twilio_sms")
            assert (done.exit_code, f"{AT_ONCE + 5} taken" in done.output) == (0, True), done.output
            nothing = await patchbay(database, "reprocess", "--way", "twilio_sms")
            assert (nothing.exit_code, "Nothing of this kind" in nothing.output) == (0, True)
            kept = await patchbay(database, "reprocess", "--reason", "NOT known")
            assert (kept.exit_code, "1 could not be taken: its event is not known" in kept.output) == (1, True), kept.output
        assert len(await world.events(MessageReceived)) == AT_ONCE + 5


async def test_who_waits_is_shown_how_many_are_done(database: str) -> None:
    shown = StringIO()
    screen = Screen(Console(file=shown, force_terminal=True, width=120))
    async with process(database) as world:
        await park(world, AT_ONCE + 5)
        async with running(replayer(world).run):
            found = await reprocess(world.parts.engine, "twilio_sms", None, screen)
    assert found.taken == AT_ONCE + 5
    counts = [f"{done}/{AT_ONCE + 5}" in shown.getvalue() for done in (0, AT_ONCE + 5)]
    assert ("Trying again" in shown.getvalue(), counts) == (True, [True, True])


async def test_where_intake_does_not_run_it_says_so(database: str) -> None:
    async with process(database) as world:
        await park(world, 2)
        found = await reprocess(world.parts.engine, None, None, Screen(), silence_seconds=0.1)
        assert (found.taken, found.waiting) == (0, 2)


async def test_a_way_that_there_is_not_is_named(database: str) -> None:
    answer = await patchbay(database, "reprocess", "--way", "pigeon")
    assert (answer.exit_code, "twilio_sms" in answer.output) == (2, True)
