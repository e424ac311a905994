"""Mail comes in by SMTP. `250` is said after the commit, so whoever has it may forget the mail."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from services.intake.inboxes import InboxBook
from services.intake.limiting import TooMuch
from services.intake.mail import LATER, MailTaker
from services.intake.settings import IntakeSettings
from services.intake.store.parked import Arrival
from shared import telemetry
from shared.accepting import Doorman
from shared.telemetry import log

RECIPIENTS_CAP = 100
CONVERSATIONS = 100  # at the same time; each may hold a mail of the largest size
LINE_SECONDS = 300.0  # RFC 5321, 4.5.3.2: how long a client may take between commands
NO_SENDER = "<>"  # as aiosmtpd calls it: who sends so wants nothing back
NOT_NOW = "451 4.3.0 Cannot store mail just now, try again later"
TOO_MUCH = "451 4.7.1 Too much mail from this sender just now, try again later"
KEPT = "250 2.0.0 OK, kept for a person to look at"
FULL = b"421 4.3.2 Too many connections, try again later\r\n"


@dataclass
class MailHandler:
    """What aiosmtpd asks: may this recipient be written to, and is this mail taken. Without slots: aiosmtpd looks at every
    attribute, of which `__weakref__` raises TypeError in a dataclass with slots of Python 3.11.2 (that of Debian 12).
    """

    taker: MailTaker
    inboxes: InboxBook

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: SmtpEnvelope, address: str, _options: list[str]
    ) -> str:
        """Only our own addresses: we pass no mail on."""
        if self.inboxes.current.at("email", address) is None:
            return "550 5.1.1 No such address here"
        if len(envelope.rcpt_tos) >= RECIPIENTS_CAP:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: SmtpEnvelope) -> str:  # noqa: N802
        """Parse, accept, and only then say so."""
        content = envelope.content
        inbox = self.inboxes.current.at("email", envelope.rcpt_tos[0])
        if not isinstance(content, bytes) or inbox is None:
            return NOT_NOW
        sender = "" if envelope.mail_from == NO_SENDER else envelope.mail_from or ""
        arrival = Arrival("smtp", content, sender, tuple(envelope.rcpt_tos), peer=_address(session.peer))
        with telemetry.span("smtp intake"):
            try:
                placement = await self.taker.take(arrival, inbox)
            except TooMuch:
                return TOO_MUCH
            except LATER:
                return NOT_NOW
        return KEPT if placement is None else f"250 2.0.0 OK, ticket #{placement.number}"


def _address(peer: object) -> str:
    """Of a peer, as asyncio tells it: address, port and more; empty where nobody tells."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


class Conversation(SMTP):
    """aiosmtpd's, which is among `going_on` as long as its connection lasts."""

    def __init__(self, going_on: set[SMTP], handler: MailHandler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._going_on = going_on

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol; comes again with STARTTLS."""
        self._going_on.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._going_on.discard(self)
        super().connection_lost(error)


class Full(asyncio.Protocol):
    """Sends a client away who comes while too many are there (RFC 5321, 3.8: 421 at any time, and close)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        writing = cast(asyncio.WriteTransport, transport)  # uvloop's own is no subclass
        writing.write(FULL)
        writing.close()


@dataclass(slots=True)
class MailListener:
    """The SMTP port. At most `most` clients at a time; others are told to come later."""

    settings: IntakeSettings
    handler: MailHandler
    most: int = CONVERSATIONS
    going_on: set[SMTP] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def run(self) -> None:
        """Until `stopping` is set or it is cancelled. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, self.settings.host, self.settings.smtp_port)
        self.port = server.sockets[0].getsockname()[1]
        log().info("listening for mail", port=self.port)
        doorman = Doorman(server, self._protocol)
        try:
            await self.stopping.wait()
        finally:
            doorman.close()
            server.close()

    def _protocol(self) -> asyncio.Protocol:
        if len(self.going_on) >= self.most:
            log().warning("too many mail connections", connections=len(self.going_on))
            return Full()
        return Conversation(
            self.going_on,
            self.handler,
            hostname="patchbay",
            ident="Patchbay",
            data_size_limit=self.settings.smtp_max_bytes,
            enable_SMTPUTF8=True,
            tls_context=self._tls(),
            timeout=LINE_SECONDS,
            loop=asyncio.get_running_loop(),
        )

    def _tls(self) -> ssl.SSLContext | None:
        certificate, key = self.settings.smtp_cert_file, self.settings.smtp_key_file
        if certificate is None or key is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context
