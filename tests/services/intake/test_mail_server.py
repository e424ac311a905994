"""The mail server that takes our mail on hears our password where nobody else can."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.intake.channels.mail_server import MailServer
from services.intake.channels.outgoing_mail import Outgoing, compose, send
from services.intake.domain.delivery import Accepted, NotNow, Outcome
from tests.services.intake.world import MailServer as Sink
from tests.services.shared.test_tls import certify

HERE = "127.0.0.1"
ELSEWHERE = "0.0.0.0"  # noqa: S104 - leads here, and does not say so
MAIL = Outgoing(
    message_ref="<1@patchbay.example>",
    sender="support@patchbay.example",
    recipient="ana@customers.example",
    reply_to="support@patchbay.example",
    subject="Re: Comanda",
    text="Vine mâine.",
    language="ro",
    direction="ltr",
    at=datetime(2026, 11, 30, tzinfo=UTC),
    loop_mark="mark",
)


@dataclass
class Relay:
    """A mail server with accounts: what was sent there, and the passwords that it heard."""

    port: int = 0
    sink: Sink = field(default_factory=Sink)
    heard: list[bytes] = field(default_factory=list)

    def let_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, said: LoginPassword) -> AuthResult:
        """Whoever says a password."""
        self.heard.append(said.password)
        return AuthResult(success=True)


@asynccontextmanager
async def relay(tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """One that lets itself be told a password in clear, with or without STARTTLS."""
    one, loop = Relay(), asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(one.sink, hostname="relay", tls_context=tls, authenticator=one.let_in, auth_require_tls=False, loop=loop)

    server = await loop.create_server(protocol, HERE, 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A server's, and the server's side of TLS with it."""
    file, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certify(file, key, ELSEWHERE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return file, context


async def sent(to: Relay, host: str, *, password: str | None = "secret") -> Outcome:
    username = "patchbay" if password is not None else None
    return await send(MailServer(host, to.port, username, password), MAIL, compose(MAIL))


async def test_a_password_is_not_said_in_clear_to_a_server_elsewhere_and_the_mail_waits() -> None:
    async with relay() as one:
        assert await sent(one, ELSEWHERE) == NotNow("mail-server-without-tls")
        assert (one.heard, one.sink.mails) == ([], [])


async def test_a_password_is_said_over_tls(certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with relay(certificate[1]) as one:
        assert isinstance(await sent(one, ELSEWHERE), Accepted)
        assert (one.heard, len(one.sink.mails)) == ([b"secret"], 1)


async def test_a_password_is_not_said_to_whom_no_certificate_names(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with relay(certificate[1]) as one:
        assert await sent(one, ELSEWHERE) == NotNow("mail-server-away")
        assert (one.heard, one.sink.mails) == ([], [])


@pytest.mark.parametrize(("host", "password", "heard"), [(HERE, "secret", [b"secret"]), (ELSEWHERE, None, [])])
async def test_a_server_on_this_machine_or_without_a_password_needs_no_tls(
    host: str, password: str | None, heard: list[bytes]
) -> None:
    async with relay() as one:
        assert isinstance(await sent(one, host, password=password), Accepted)
        assert (one.heard, len(one.sink.mails)) == (heard, 1)


@pytest.mark.parametrize(
    ("host", "only"),
    [
        ("localhost", False),
        ("127.0.0.2", False),
        ("::1", False),
        ("mail.example.com", True),
        ("10.0.0.1", True),
        ("localhost.example.com", True),
    ],
)
def test_only_this_machine_hears_passwords_without_tls(host: str, *, only: bool) -> None:
    assert MailServer(host, 587, "patchbay", "secret").hears_by_tls_only is only
    assert not MailServer(host, 587).hears_by_tls_only
