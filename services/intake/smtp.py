"""Mail comes in by SMTP. `250` is said after the commit, so whoever has it may forget the mail."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from functools import partial

from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from services.intake.channels.clean import clean_text
from services.intake.held_bytes import AT_ONCE, Room
from services.intake.inboxes import InboxBook
from services.intake.limiting import TooMuch
from services.intake.mail import LATER, MailTaker, NoRoom
from services.intake.owners import owner_of
from services.intake.settings import IntakeSettings
from services.intake.smtp_conversation import Conversation, Door, Full
from services.intake.smtp_peers import CONVERSATIONS, Peers
from services.intake.store.parked import Arrival
from shared import telemetry
from shared.accepting import Doorman
from shared.telemetry import log

RECIPIENTS_CAP = 100
LINE_SECONDS = 300.0  # RFC 5321, 4.5.3.2: how long a client may take between commands
NO_SENDER = "<>"  # as aiosmtpd calls it: who sends so wants nothing back
NOT_NOW = "451 4.3.0 Cannot store mail just now, try again later"
TOO_MUCH = "451 4.7.1 Too much mail from this sender just now, try again later"
NO_ROOM = "451 4.3.1 No room just now to keep such a mail for a person, try again later"
KEPT = "250 2.0.0 OK, kept for a person to look at"


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
        sender = "" if envelope.mail_from == NO_SENDER else clean_text(envelope.mail_from or "")
        recipients = tuple(map(clean_text, envelope.rcpt_tos))
        arrival = Arrival("smtp", content, sender, recipients, peer=owner_of(_address(session.peer)))
        with telemetry.span("smtp intake"):
            try:
                placement = await self.taker.take(arrival, inbox)
            except TooMuch:
                return TOO_MUCH
            except NoRoom:
                return NO_ROOM
            except LATER:
                return NOT_NOW
            except Exception as error:  # noqa: BLE001 - aiosmtpd would say 500, and the mail would be sent back
                log().error("mail not taken", error=type(error).__name__, exc_info=error)
                return NOT_NOW
        return KEPT if placement is None else f"250 2.0.0 OK, ticket #{placement.number}"


def _address(peer: object) -> str:
    """Of a peer, as asyncio tells it: address, port and more; empty where nobody tells."""
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


@dataclass(slots=True)
class MailListener:
    """The SMTP port. At most `most` clients at a time, and so many of one address and one network as the settings say; others
    are told to come later. `room`: for the mails of all of them that are larger than most.
    """

    settings: IntakeSettings
    handler: MailHandler
    most: int = CONVERSATIONS
    room: Room = field(init=False)
    peers: Peers = field(init=False)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def __post_init__(self) -> None:
        self.room = Room(AT_ONCE * self.settings.smtp_max_bytes)
        self.peers = Peers(self.most, self.settings.smtp_per_peer, self.settings.smtp_per_network, self.settings.relays)

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
        if self.peers.full:
            log().warning("too many mail connections", connections=len(self.peers.talking))
            return Full()
        return Door(self.peers, partial(self._conversation, self._tls()))

    def _conversation(self, tls: ssl.SSLContext | None) -> Conversation:
        return Conversation(
            self.peers,
            self.room,
            self.handler,
            hostname="patchbay",
            ident="Patchbay",
            data_size_limit=self.settings.smtp_max_bytes,
            enable_SMTPUTF8=True,
            tls_context=tls,
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
