"""Mailboxes that take tokens: from a file, by a refresh token, by the client's own credentials; refused, renewed, never shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from structlog.testing import capture_logs

from services.intake.imap_settings import mailboxes_of
from services.intake.imap_tokens import NotAdmitted, Tokens
from tests.services.intake.imap_server import ImapServer, imap_server
from tests.services.intake.test_imap import mail, mailbox, reading, taken, until
from tests.services.intake.world import World

SECRETS = ("client-secret-1", "refresh-1", "refresh-2", "token-1", "token-2")


@dataclass
class Endpoint:
    """A token endpoint. `answers` are (status, body), in turn; the last one for ever."""

    answers: list[tuple[int, bytes]]
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        form = parse_qs((await reader.readexactly(length)).decode())
        self.asked.append({name: values[0] for name, values in form.items()})
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()


def token(value: str, **more: object) -> tuple[int, bytes]:
    return 200, json.dumps({"access_token": value, "token_type": "Bearer", "expires_in": 3600, **more}).encode()


def refused(code: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": code, "error_description": "secret words of refresh-1"}).encode()


@asynccontextmanager
async def endpoint(*answers: tuple[int, bytes]) -> AsyncIterator[Endpoint]:
    played = Endpoint(list(answers))
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    try:
        yield played
    finally:
        server.close()


def oauth(played: Endpoint, **more: str) -> dict[str, object]:
    given = {"token_url": played.url, "client_id": "client-1", "client_secret": "client-secret-1", "refresh_token": "refresh-1"}
    return {**given, **more}


async def test_a_mailbox_is_read_with_a_token_of_the_endpoint(world: World) -> None:
    async with imap_server() as server, endpoint(token("token-1")) as played:
        server.token = "token-1"
        await server.bring(mail(1))
        async with reading(world, server, password="", oauth=oauth(played, scope="https://mail.google.com/")):
            await taken(world, 1)
            server.cut()
            await server.bring(mail(2))
            await taken(world, 2)
    expected = {
        "client_id": "client-1",
        "client_secret": "client-secret-1",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "scope": "https://mail.google.com/",
    }
    assert played.asked == [expected], "the second login used the token that was there"
    assert not any(said.startswith("LOGIN") for said in server.said)


async def test_a_token_that_is_refused_is_said_so_and_asked_for_anew(world: World) -> None:
    async with imap_server() as server, endpoint(token("token-1"), token("token-2")) as played:
        server.token = "token-2"
        await server.bring(mail(1))
        with capture_logs() as logs:
            async with reading(world, server, password="", oauth=oauth(played)):
                await taken(world, 1)
    [told] = [entry for entry in logs if entry["event"] == "mailbox not read"]
    assert (told["error"], told["reason"][:43]) == ("NotAdmitted", "the server does not take the access token; ")
    assert len(played.asked) == 2
    assert not any(secret in str(logs) for secret in SECRETS)


async def test_an_endpoint_that_refuses_is_told_by_its_code_alone(world: World) -> None:
    async with imap_server() as server, endpoint(refused("invalid_grant")) as played:
        with capture_logs() as logs:
            async with reading(world, server, password="", oauth=oauth(played)):

                async def told() -> bool:
                    return any(entry["event"] == "mailbox not read" for entry in logs)

                await until(told)
    reasons = {entry["reason"] for entry in logs if entry["event"] == "mailbox not read"}
    assert reasons == {"the token endpoint gives no token (invalid_grant); check the client and its refresh token"}
    assert server.logins == 0
    assert not any(secret in str(logs) for secret in (*SECRETS, "secret words"))


async def test_a_token_of_a_file_is_read_at_each_login(world: World, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-1\n")
    async with imap_server() as server:
        server.token = "token-1"
        await server.bring(mail(1))
        async with reading(world, server, password="", token_file=str(file)):
            await taken(world, 1)
            server.token = "token-2"
            file.write_text("token-2\n")
            server.cut()
            await server.bring(mail(2))
            await taken(world, 2)


async def asked(played: Endpoint, server: ImapServer | None = None, **more: str) -> tuple[Tokens, str]:
    tokens = Tokens(mailbox(server or ImapServer(port=1), password="", oauth=oauth(played, **more)))
    return tokens, await asyncio.to_thread(tokens.current)


async def test_without_a_refresh_token_the_client_asks_for_itself() -> None:
    async with endpoint(token("token-1")) as played:
        _, got = await asked(played, refresh_token="", scope="https://outlook.office365.com/.default")
    assert got == "token-1"
    assert played.asked[0]["grant_type"] == "client_credentials"
    assert "refresh_token" not in played.asked[0]


async def test_a_new_refresh_token_takes_the_place_of_the_old_one_also_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "refresh"
    file.write_text("refresh-1\n")
    async with endpoint(token("token-1", refresh_token="refresh-2", expires_in="30"), token("token-2")) as played:
        tokens, got = await asked(played, refresh_token="", refresh_token_file=str(file))
        assert (got, file.read_text(), file.stat().st_mode & 0o777) == ("token-1", "refresh-2", 0o600)
        assert await asyncio.to_thread(tokens.current) == "token-2", "it lives shorter than a token is used"
    assert [form["refresh_token"] for form in played.asked] == ["refresh-1", "refresh-2"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{}"),
        (200, b"nonsense"),
        (200, b"[]"),
        (200, b'{"access_token": 7}'),
        (500, b""),
        (302, b""),
        (400, b'{"error": 1}'),
    ],
)
async def test_what_is_no_token_is_said_so(answer: tuple[int, bytes]) -> None:
    async with endpoint(answer) as played:
        with pytest.raises(NotAdmitted, match=f"status {answer[0]}"):
            await asked(played)


async def test_an_endpoint_that_is_away_is_away_for_now() -> None:
    async with endpoint(token("x")) as played:
        pass
    with pytest.raises(ConnectionError, match="does not answer"):
        await asked(played)


@pytest.mark.parametrize(
    "url", ["http://login.example/token", "ftp://127.0.0.1/x", "https://user:pw@login.example/t", "nonsense"]
)
def test_a_secret_is_sent_over_tls_or_to_this_machine(url: str) -> None:
    box = {"host": "h", "user": "u", "inbox": "i", "oauth": {"token_url": url, "client_id": "c"}}
    with pytest.raises(ValueError, match="token_url"):
        mailboxes_of(json.dumps([box]))
