"""One process of intake as tests drive it: real PostgreSQL, its HTTP application, its acceptor; and what it published."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import TypeVar

import httpx
import msgspec
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI

from services.intake.__main__ import make_app
from services.intake.acceptor import Acceptor
from services.intake.answering import Answerer
from services.intake.api.edge import Intake
from services.intake.channels.sns import REACH, Sns
from services.intake.closing import Ticker
from services.intake.domain.tokens import Signer
from services.intake.guarded_http import guarded_client
from services.intake.held_bytes import Room
from services.intake.inboxes import InboxBook
from services.intake.mail import MailTaker
from services.intake.sending import Sender
from services.intake.settings import IntakeSettings
from services.intake.smtp import MailHandler, MailListener
from services.intake.smtp_peers import CONVERSATIONS
from services.intake.store.projections import PromiseProjection, TicketProjection
from services.intake.word_lists import WordBook
from shared import auth, db
from shared.auth import Authenticator
from shared.events.base import NOTHING_SEEN, Attachment, Channel, Event, Fact, FactT, PersonalFact, Position, derived_id, event_id
from shared.events.codec import decode, encode
from shared.events.message import ReplyPersonal, ReplyRequested
from shared.events.ticket import TicketCloseRequested
from shared.folding import AnyProjection, Folder
from shared.outbox import Outbox
from shared.parking import Parking
from shared.personal import Erased, KeyRing
from shared.records import Record
from shared.service import Resources
from tests.clients import TLS

TOKEN = "twilio-test-token"
PUBLIC = "https://intake.test"
MASTER = base64.b64encode(b"m" * 32).decode()

Content = TypeVar("Content", bound=msgspec.Struct)


@dataclass
class World:
    """A process, and hands to reach into it."""

    settings: IntakeSettings
    parts: Resources
    intake: Intake
    http: httpx.AsyncClient
    sender: Sender
    to_send: asyncio.Event
    offset: int = 0
    connector: dict[str, str] = field(default_factory=dict)
    answer_id: str = ""  # an answer of ours, and its Message-ID
    answer_ref: str = ""

    @property
    def signer(self) -> Signer:
        return self.intake.signer

    async def key(self, *scopes: str) -> dict[str, str]:
        """Headers of a new API key."""
        async with db.transaction(self.parts.engine) as conn:
            key = await auth.create_key(conn, secrets.token_hex(4), "test", scopes)
        return {"Authorization": f"Bearer {key}"}

    async def inbox(self, inbox_id: str, **config: object) -> None:
        """Configure an inbox through the API."""
        answer = await self.http.put(f"/v1/inboxes/{inbox_id}", json=config, headers=await self.key("admin"))
        assert answer.status_code == 200, answer.text

    async def inbox_changed(self, inbox_id: str, **config: object) -> None:
        """Change an inbox through the API."""
        headers = await self.key("admin")
        etag = (await self.http.get(f"/v1/inboxes/{inbox_id}", headers=headers)).headers["etag"]
        answer = await self.http.put(f"/v1/inboxes/{inbox_id}", json=config, headers={**headers, "If-Match": etag})
        assert answer.status_code == 200, answer.text

    async def log(self) -> list[Event[Fact]]:
        """What was published, in order."""
        async with db.transaction(self.parts.engine) as conn:
            return [decode(row.value) for row in await conn.execute(sa.text("SELECT value FROM intake.outbox ORDER BY id"))]

    async def events(self, kind: type[FactT]) -> list[Event[FactT]]:
        """What was published of one type, in order."""
        return [event for event in await self.log() if isinstance(event.data, kind)]  # type: ignore[misc]

    async def close(self, ticket_id: str, seq: int = 1) -> None:
        """Let an agent close the ticket."""
        asked = TicketCloseRequested(agent_id="dana")
        assert await self.say(ticket_id, asked, seen=Position(1, 999), start=seq) == []

    async def opened(self, event: Event[PersonalFact], shape: type[Content]) -> Content | Erased:
        """What is in an event's box."""
        sealed = event.data.personal
        assert sealed is not None
        async with db.transaction(self.parts.engine) as conn:
            await self.parts.keys.load(conn, [sealed.customer_id])
        return self.parts.keys.open(sealed, shape, event.id)

    async def count(self, table: str, where: str = "true") -> int:
        """Rows of a table of intake."""
        async with db.transaction(self.parts.engine) as conn:
            return (await conn.execute(sa.text(f"SELECT count(*) FROM intake.{table} WHERE {where}"))).scalar_one()  # type: ignore[no-any-return]

    async def somebody_waits(self) -> bool:
        """Whether a transaction waits for what another holds."""
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with db.transaction(self.parts.engine) as conn:
            return bool(await db.fetch(conn, waiting))

    async def execute(self, statement: str, **values: object) -> None:
        """Reach into the tables."""
        async with db.transaction(self.parts.engine) as conn:
            await conn.execute(sa.text(statement), values)

    async def fold(self, projection: AnyProjection, events: Sequence[Event[Fact]]) -> list[str]:
        """Let records come in from the log. Returns the reasons of those that were parked."""
        records = []
        for event in events:
            records.append(Record(projection.topic.name, 0, self.offset, event.key, encode(event)))
            self.offset += 1
        async with db.transaction(self.parts.engine) as conn:
            failures = await self.parts.folder.fold(conn, projection, records)
        return [failure.error for failure in failures]

    async def say(self, ticket_id: str, *facts: Fact, seen: Position = NOTHING_SEEN, start: int = 1) -> list[str]:
        """Let routing say these facts about a ticket, from seq `start` on."""
        events = [
            Event(
                id=event_id(f"routing {ticket_id} {start + n}", fact.TYPE, ticket_id),
                type=fact.TYPE,
                writer="routing",
                position=Position(1, start + n),
                key=ticket_id,
                time=datetime.now(UTC),
                data=fact,
                seen=seen,
            )
            for n, fact in enumerate(facts)
        ]
        return await self.fold(TicketProjection(Answerer(self.parts.outbox).answer), events)

    async def reply(
        self,
        ticket_id: str,
        customer_id: str,
        text: str,
        channel: Channel,
        seq: int = 1,
        *,
        cc: tuple[str, ...] = (),
        files: tuple[tuple[Attachment, str], ...] = (),
        signature: str = "",
        subject: str = "",
        language: str = "und",
    ) -> str:
        """Let an agent's reply come in. Returns its id."""
        message_id = derived_id("reply", ticket_id, str(seq))
        identity = event_id(f"routing {ticket_id} {seq}", ReplyRequested.TYPE, ticket_id)
        async with db.transaction(self.parts.engine) as conn:
            seals = await self.parts.keys.seals(conn, [customer_id])
        names = tuple(name for _, name in files)
        personal = ReplyPersonal(text=text, subject=subject, attachment_names=names, signature=signature)
        fact = ReplyRequested(
            message_id=message_id,
            agent_id="dana",
            customer_id=customer_id,
            channel=channel,
            language=language,
            cc_customer_ids=cc,
            attachments=tuple(file for file, _ in files),
            personal=seals.seal(customer_id, personal, identity),
        )
        assert await self.say(ticket_id, fact, start=seq, seen=Position(1, 99)) == []
        return message_id

    async def reply_ids(self) -> list[str]:
        """The replies that were asked for."""
        async with db.transaction(self.parts.engine) as conn:
            found = await conn.execute(sa.text("SELECT message_id FROM intake.delivery WHERE kind = 'reply' ORDER BY n"))
            return list(found.scalars())

    def ticker(self) -> Ticker:
        return Ticker(self.settings, self.parts.engine, self.parts.outbox)

    def promise_projection(self) -> PromiseProjection:
        return PromiseProjection()


class NoConsumer:
    """Stands where the application asks whether the consumer turns; these tests hand records in themselves."""

    def healthy(self) -> bool:
        return True


_applications: list[FastAPI] = []


@asynccontextmanager
async def _http(intake: Intake) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the process's HTTP application: of one whose process has ended, where there is one, because FastAPI makes all
    routes anew for each, which takes longer than most tests. What is a process's own is in the application's state.
    """
    app = _applications.pop() if _applications else make_app(intake, NoConsumer())  # type: ignore[arg-type]
    app.state.intake, app.state.authenticator = intake, intake.parts.authenticator
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=PUBLIC) as http:
            yield http
    finally:
        _applications.append(app)


@asynccontextmanager
async def process(database: str, **more: object) -> AsyncIterator[World]:
    """A process on this database."""
    values: dict[str, object] = {
        "database": database,
        "master_key": MASTER,
        "intake_public_url": PUBLIC,
        "intake_twilio_tokens": f"old-token,{TOKEN}",
        "intake_twilio_account": "AC" + "0" * 32,
        "smtp_port": 1,
        **more,
    }
    settings = IntakeSettings.model_validate(values)
    engine = db.make_engine(settings, "test-intake")
    keys = KeyRing(settings.master_key_bytes())
    outbox = Outbox(schema="intake", incarnation=1, keys=keys, wake=asyncio.Event())
    parts = Resources("intake", settings, engine, keys, outbox, Folder(outbox, Parking("intake", "test")), Authenticator(engine))
    to_send = asyncio.Event()
    signer = settings.signer()
    inboxes = InboxBook(engine)
    await inboxes.refresh()
    acceptor = Acceptor(engine, outbox, to_send, WordBook(engine))
    secrets = settings.twilio_tokens, settings.webhook_secrets, settings.mail_providers
    sns = Sns(guarded_client(REACH, trusting=TLS))
    intake = Intake(settings, parts, acceptor, inboxes, signer, *secrets, sns=sns)
    accepting = asyncio.create_task(acceptor.run())
    try:
        async with (
            _http(intake) as http,
            httpx.AsyncClient(trust_env=False, verify=TLS) as outward,
        ):
            sender = Sender(settings, engine, outbox, inboxes, signer, outward, to_send)
            yield World(settings, parts, intake, http, sender, to_send)
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await engine.dispose()


@asynccontextmanager
async def mail_port(world: World, most: int = CONVERSATIONS, room: Room | None = None) -> AsyncIterator[int]:
    """The process listens for mail on a free port, at most so many clients at a time."""
    settings = world.settings.model_copy(update={"smtp_port": 0})
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter, world.settings.border)
    listener = MailListener(settings, MailHandler(taker, world.intake.inboxes), most)
    listener.room = room or listener.room
    listening = asyncio.create_task(listener.run())
    async with asyncio.timeout(5):
        while listener.port == 0:
            assert not listening.done(), listening
            await asyncio.sleep(0.01)
    try:
        yield listener.port
    finally:
        listener.stopping.set()
        await listening


BREAKS_OFF = "the connection breaks after the mail was taken and before that is said"


class MailServer:
    """The customers' mail server: keeps what it is given, and answers as it is told to; `refused` says what it answers to a
    recipient or (`<>`: none) a sender.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.senders: list[str] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.refused: dict[str, str] = {}

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 OK queued as 1"
        if answer.startswith("250") or answer == BREAKS_OFF:
            assert isinstance(envelope.content, bytes)
            mail = BytesParser(policy=default).parsebytes(envelope.content)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.senders.append(envelope.mail_from or "")
            self.recipients.append(list(envelope.rcpt_tos))
        if answer == BREAKS_OFF:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer


@asynccontextmanager
async def mail_server() -> AsyncIterator[tuple[MailServer, int]]:
    """A mail server on a free port."""
    handler = MailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="sink", loop=loop), "127.0.0.1", 0)
    try:
        yield handler, server.sockets[0].getsockname()[1]
    finally:
        server.close()
