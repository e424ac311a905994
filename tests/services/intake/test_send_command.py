"""`patchbay send`: each channel against a process that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
import uvicorn
from typer.testing import CliRunner, Result

from deploy import cli, sending_mail
from deploy.local import trying
from deploy.local.settings import LocalSettings
from services.intake.__main__ import make_app
from services.intake.channels.sns import Sns
from services.intake.settings import IntakeSettings
from shared.events.call import CallEnded, CallReceived
from shared.events.message import MessagePersonal, MessageReceived
from shared.http import Server
from tests.services.intake.imap_server import imap_server
from tests.services.intake.test_imap import idling, mailbox, reading
from tests.services.intake.test_imap import taken as read_through
from tests.services.intake.world import MASTER, TOKEN, NoConsumer, World, mail_port, process

Command = Callable[..., Awaitable[Result]]


@asynccontextmanager
async def served(database: str, **more: object) -> AsyncIterator[tuple[World, Command]]:
    """A process with its ports, and the command line as one who runs it has it."""
    async with process(database, **more) as world, mail_port(world) as smtp:
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
            "PATCHBAY_SECRETS_DIR": "/nothing/is/there",  # nor what a `make run` here has made
            "COLUMNS": "400",
        }

        async def run(*arguments: str, **given: str) -> Result:
            return await asyncio.to_thread(
                lambda: CliRunner().invoke(cli.app, ["send", *arguments], env={**environment, **given})
            )

        yield world, run
        server.should_exit = True
        await serving


@pytest_asyncio.fixture
async def listening(database: str) -> AsyncIterator[tuple[World, Command]]:
    """One where no provider of mail is set up."""
    async with served(database) as running:
        yield running


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


async def test_each_provider_of_mail_can_be_tried_with_the_keys_that_make_run_makes(database: str, tmp_path: Path) -> None:
    trying.make(tmp_path)
    told = trying.environment(LocalSettings(), tmp_path, {})
    own: dict[str, object] = {name.removeprefix("PATCHBAY_").lower(): value for name, value in told.items()}
    certificate = IntakeSettings.model_validate({"master_key": MASTER, **own}).ses_certificate
    async with served(database, **own) as (world, run):
        world.intake.sns = Sns(httpx.AsyncClient(trust_env=False), certificate)
        (tmp_path / "photo.png").write_bytes(b"png")
        told["PATCHBAY_SECRETS_DIR"] = str(tmp_path)
        attach = "--attach", str(tmp_path / "photo.png")
        ways = [*sending_mail.COMMANDS, "sendgrid --plain"]
        for way in ways:
            result = await run(*way.split(), "--subject", f"By {way} שלום", "--text", "Bună ziua, שלום", *attach, **told)
            assert result.exit_code == 0, result.output
        received = await world.events(MessageReceived)
        opened = [await world.opened(event, MessagePersonal) for event in received]
        assert [one.subject for one in opened if isinstance(one, MessagePersonal)] == [f"By {way} שלום" for way in ways]
        assert {one.text for one in opened if isinstance(one, MessagePersonal)} == {"Bună ziua, שלום"}
        assert {len(event.data.attachments) for event in received} == {1}
        assert await world.count("parked_contact") == 0
        assert await world.count("message", "media_type LIKE 'multipart/form-data%'") == 1, "one is kept taken apart, as it came"
        wrong = {**told, "PATCHBAY_SECRETS_DIR": str(tmp_path / "other")}
        trying.make(tmp_path / "other")
        refused = [await run(provider, **wrong) for provider in ("sendgrid", "ses")]
        assert [(result.exit_code, "bad-signature" in result.output) for result in refused] == [(1, True)] * 2


@pytest.mark.proof
async def test_a_form_that_asks_for_a_token_can_be_tried_as_a_person_fills_it_in(listening: tuple[World, Command]) -> None:
    world, run = listening
    await world.inbox("page", channel="form", address="page")
    refused, taken = await run("form", "--inbox", "page"), await run("form", "--inbox", "page", "--token")
    assert (refused.exit_code, "body.token" in refused.output, taken.exit_code) == (1, True, 0), (refused.output, taken.output)
    assert await world.count("message") == 1


async def test_the_help_says_how_sendgrid_posts_a_mail(listening: tuple[World, Command]) -> None:
    _, run = listening
    result = await run("sendgrid", "--help")
    assert (result.exit_code, "--plain" in result.output, "taken apart" in result.output) == (0, True, True), result.output


async def test_a_call_can_be_tried(listening: tuple[World, Command]) -> None:
    world, run = listening
    result = await run("call", "--seconds", "3")
    assert result.exit_code == 0, result.output
    assert len(await world.events(CallReceived)) == len(await world.events(CallEnded)) == 1


async def test_a_form_that_servers_sign_can_be_tried(database: str) -> None:
    secrets = f"shop=whsec_{'a' * 32}"
    async with served(database, intake_webhook_secrets=secrets) as (world, run):
        await world.inbox("shop", channel="form", address="shop", guard="signature")
        told = {"PATCHBAY_INTAKE_WEBHOOK_SECRETS": secrets}
        refused, taken = await run("form", "--inbox", "shop"), await run("form", "--inbox", "shop", "--signed", **told)
        assert (refused.exit_code, "wrong-signature" in refused.output, taken.exit_code) == (1, True, 0), taken.output
        unset = await run("form", "--inbox", "other", "--signed", **told)
        assert (unset.exit_code, "PATCHBAY_INTAKE_WEBHOOK_SECRETS" in unset.output) == (2, True)
        assert await world.count("message") == 1


async def test_a_mailbox_can_be_tried(listening: tuple[World, Command]) -> None:
    world, run = listening
    async with imap_server() as server:
        boxes = msgspec.json.encode([mailbox(server), mailbox(server, inbox="sales", folder="Sales", user="sales")]).decode()
        told = {"PATCHBAY_INTAKE_IMAP_MAILBOXES": boxes}
        async with reading(world, server):
            await idling(server)
            result = await run("imap", "--subject", "By IMAP שלום", **told)
            assert (result.exit_code, "support/INBOX" in result.output) == (0, True), result.output
            await read_through(world, 1)
    [received] = await world.events(MessageReceived)
    told_in = await world.opened(received, MessagePersonal)
    assert isinstance(told_in, MessagePersonal)
    assert (received.data.inbox, told_in.subject) == ("support", "By IMAP שלום")
    cases = [(await run("imap", "--inbox", "none", **told), 2, "MAILBOXES"), (await run("imap", **told), 3, "Check its settings")]
    assert [(result.exit_code, said in result.output) for result, _, said in cases] == [(code, True) for _, code, _ in cases]


@pytest.mark.parametrize("provider", sending_mail.COMMANDS)
async def test_what_cannot_be_signed_is_said_with_the_setting_that_is_missing(
    listening: tuple[World, Command], provider: str
) -> None:
    _, run = listening
    result = await run(provider)
    assert (result.exit_code, "Set PATCHBAY_INTAKE_" in result.output) == (2, True), result.output


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
