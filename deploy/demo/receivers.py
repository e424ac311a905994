"""What stands outside of Patchbay: the customers' mail server and Twilio's REST API, played on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import parse_qs

import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shared.http import Server


@dataclass
class Mailbox:
    """Mails that arrived, by recipient. `listeners` hear of each as (recipient, bytes) in the mail server's thread; without
    `keep` only they do.
    """

    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    listeners: list[Callable[[str, bytes], None]] = field(default_factory=list)
    keep: bool = True

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail for each of its recipients."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        recipients = [recipient.lower() for recipient in envelope.rcpt_tos]
        if self.keep:
            message = email.message_from_bytes(content, policy=email.policy.default)
            self.mails.extend((recipient, message) for recipient in recipients)
        for listener in self.listeners:
            for recipient in recipients:
                listener(recipient, content)
        return "250 taken"

    def for_(self, address: str) -> list[EmailMessage]:
        """What one person received."""
        return [message for recipient, message in self.mails if recipient == address]


@dataclass
class Texts:
    """SMS that were sent through the played Twilio: (to, body)."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    messages: list[dict[str, str | None]] = field(default_factory=list)

    async def create(self, request: Request) -> JSONResponse:
        """`POST /2010-04-01/Accounts/{sid}/Messages.json` as Twilio answers it."""
        form = {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}
        self.sent.append((form.get("To", ""), form.get("Body", "")))
        message = {
            "sid": f"SM{len(self.sent):032x}",
            "status": "queued",
            "from": form.get("From"),
            "to": form.get("To"),
            "body": form.get("Body"),
            "date_created": format_datetime(datetime.now(UTC)),
            "error_code": None,
        }
        self.messages.append(message)
        return JSONResponse(message, status_code=201)

    async def read(self, request: Request) -> JSONResponse:
        """`GET` of the same resource: the newest first (https://www.twilio.com/docs/messaging/api/message-resource)."""
        wanted = {"to": request.query_params.get("To"), "from": request.query_params.get("From")}
        found = [m for m in reversed(self.messages) if all(value in (None, m[name]) for name, value in wanted.items())]
        return JSONResponse({"messages": found[: int(request.query_params.get("PageSize", "50"))]})


@asynccontextmanager
async def mail_server(port: int, *, keep: bool = True) -> AsyncIterator[Mailbox]:
    """A mail server on loopback, which keeps what it takes or only tells it. Raises OSError when the port is taken."""
    mailbox = Mailbox(keep=keep)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, ready_timeout=10)
    await asyncio.to_thread(controller.start)
    try:
        yield mailbox
    finally:
        await asyncio.to_thread(controller.stop)


@asynccontextmanager
async def twilio_api(port: int) -> AsyncIterator[Texts]:
    """Twilio's message resource on loopback."""
    texts = Texts()
    path = "/2010-04-01/Accounts/{sid}/Messages.json"
    app = Starlette(routes=[Route(path, texts.create, methods=["POST"]), Route(path, texts.read, methods=["GET"])])
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.02)
    if task.done():
        task.result()
    try:
        yield texts
    finally:
        server.should_exit = True
        await task
