"""`patchbay send`: each channel against a process that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
import uvicorn
from typer.testing import CliRunner, Result

from deploy import cli
from services.intake.__main__ import make_app
from shared.events.message import MessageReceived
from shared.http import Server
from tests.services.intake.world import MASTER, TOKEN, NoConsumer, World, mail_port, process

Command = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture
async def listening(database: str) -> AsyncIterator[tuple[World, Command]]:
    """A process with its ports, and the command line as one who runs it has it."""
    async with process(database) as world, mail_port(world) as smtp:
        server = Server(uvicorn.Config(make_app(world.intake, NoConsumer()), port=0, log_config=None, lifespan="off"))  # type: ignore[arg-type]
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        world.settings.intake_public_url = url
        environment = {
            "PATCHBAY_MASTER_KEY": MASTER,
            "PATCHBAY_INTAKE_PUBLIC_URL": url,
            "PATCHBAY_INTAKE_TWILIO_TOKENS": TOKEN,
            "PATCHBAY_SMTP_PORT": str(smtp),
            "COLUMNS": "400",
        }

        async def run(*arguments: str, **more: str) -> Result:
            return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, ["send", *arguments], env={**environment, **more}))

        yield world, run
        server.should_exit = True
        await serving


async def test_each_channel_can_be_tried(listening: tuple[World, Command], tmp_path: Path) -> None:
    world, run = listening
    await world.inbox("chat", channel="chat", address="chat")
    (tmp_path / "photo.png").write_bytes(b"png")
    key = (await world.key("intake:write"))["Authorization"].removeprefix("Bearer ")
    results = [
        await run("email", "--attach", str(tmp_path / "photo.png")),
        await run("sms"),
        await run("form"),
        await run("generic", "--attach", str(tmp_path / "photo.png"), PATCHBAY_KEY=key),
    ]
    assert [result.exit_code for result in results] == [0] * 4, [result.output for result in results]
    received = await world.events(MessageReceived)
    assert [event.data.channel for event in received] == ["email", "sms", "form", "chat"]
    assert [len(event.data.attachments) for event in received] == [1, 0, 0, 1]


async def test_what_is_refused_and_who_does_not_answer_is_said_with_a_code(listening: tuple[World, Command]) -> None:
    world, run = listening
    await world.inbox("support", channel="email", address="support@patchbay.example")
    away = {"PATCHBAY_INTAKE_PUBLIC_URL": "http://127.0.0.1:1", "PATCHBAY_SMTP_PORT": "1"}
    cases = [
        (await run("generic", "--key", "wrong"), 1, "401"),
        (await run("sms", PATCHBAY_INTAKE_TWILIO_TOKENS="forged"), 1, "bad-signature"),
        (await run("form", "--text", ""), 1, "body.text"),
        (await run("email", "--to", "nobody@patchbay.example"), 1, "refused"),
        (await run("email", "--subject", "a\nBcc: x"), 2, "no mail"),
        (await run("generic", "--key", "k", "--handle", "nothing"), 2, "kind:value"),
        (await run("sms", PATCHBAY_INTAKE_TWILIO_TOKENS=""), 2, "PATCHBAY_INTAKE_TWILIO_TOKENS"),
        (await run("form", **away), 3, "Nobody answers"),
        (await run("email", **away), 3, "No mail is taken"),
    ]
    assert [(result.exit_code, said in result.output) for result, _, said in cases] == [(code, True) for _, code, _ in cases], [
        result.output for result, _, _ in cases
    ]
    assert await world.events(MessageReceived) == []
