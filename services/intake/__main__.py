"""The process of intake: settings, resources, and what runs: serve, take mail, accept, fetch, send, consume, relay, tick."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from services.intake.acceptor import Acceptor
from services.intake.answering import Answerer
from services.intake.api import (
    admin,
    by_hand,
    contacts,
    customer_events,
    customers,
    files,
    forms,
    mail_providers,
    merges,
    spam_rules,
    status,
    survey_page,
    surveys,
    twilio,
    uploads,
    word_lists,
)
from services.intake.api.edge import Intake
from services.intake.api.short import shorten
from services.intake.channels.language import tell_apart, warm_up
from services.intake.channels.sns import REACH, Sns
from services.intake.closing import Ticker
from services.intake.fetching import MediaFetcher
from services.intake.guarded_http import guarded_client
from services.intake.imap import ImapReader
from services.intake.inboxes import InboxBook
from services.intake.mail import MailTaker
from services.intake.recalling import recall
from services.intake.replaying import Replayer
from services.intake.s3_settings import reach_of
from services.intake.sending import Sender, ToSend
from services.intake.settings import IntakeSettings
from services.intake.smtp import MailHandler, MailListener
from services.intake.store.projections import PromiseProjection, TicketProjection
from services.intake.stored_mail import Storage, StoredMailFetcher
from services.intake.word_lists import WordBook
from shared.consumer import Consumer
from shared.http import create_app, make_server
from shared.recalling import come_back
from shared.service import Resources, main, resources, run_until_stopped

# So long may an agent's reply lie on the log before it goes out.
LINGER_MS = 25
PARTS = (
    contacts,
    twilio,
    mail_providers,
    forms,
    status,
    survey_page,
    surveys,
    word_lists,
    spam_rules,
    uploads,
    files,
    by_hand,
    customers,
    customer_events,
    merges,
    admin,
)
LARGE_BYTES = 32 * 2**20
# Contacts with their files, 500 customers, uploads: nothing else comes near the usual limit.
LARGE = dict.fromkeys(("/v1/contacts", "/v1/customers", "/v1/uploads"), LARGE_BYTES)
PROVIDERS = "/v1/providers/"  # what they post is as large as a mail, or as small as a text message: the routes know


def make_app(intake: Intake, consumer: Consumer) -> FastAPI:
    """The HTTP application."""
    app = create_app(
        "intake", "Patchbay intake", intake.parts.database_ready, consumer.healthy, large=LARGE, limiting=(PROVIDERS,)
    )
    app.state.authenticator = intake.parts.authenticator
    app.state.intake = intake
    for part in PARTS:
        app.include_router(part.router)
    signed = ((webhook, twilio.BODY_BYTES) for webhook in twilio.WEBHOOKS)
    shorten(app, (contacts.router, twilio.router), ((contacts.post_contacts, 0), *signed))
    return app


@dataclass(frozen=True, slots=True)
class Outward:
    """How this process speaks to others: to whom its settings name; to SNS; to where files of messages are; to buckets of S3."""

    named: httpx.AsyncClient
    sns: httpx.AsyncClient
    media: httpx.AsyncClient
    s3: httpx.AsyncClient


async def serve(settings: IntakeSettings, parts: Resources, http: Outward) -> None:
    """Everything, until the process is told to stop."""
    to_send = asyncio.Event()
    signer = settings.signer()
    inboxes = InboxBook(parts.engine)
    await inboxes.refresh()
    words = WordBook(parts.engine)
    await words.refresh()
    acceptor = Acceptor(parts.engine, parts.outbox, to_send, words, settings.rules)
    await acceptor.spam.refresh()
    secrets = settings.twilio_tokens, settings.webhook_secrets, settings.mail_providers
    intake = Intake(settings, parts, acceptor, inboxes, signer, *secrets, Sns(http.sns, settings.ses_certificate))
    consumed = ToSend(to_send)
    answerer = Answerer(parts.outbox)
    projections = TicketProjection(answerer.answer, consumed.note), PromiseProjection(consumed.note)
    consumer = parts.consumer(projections, committed=consumed.committed, linger_ms=LINGER_MS)
    server = make_server(make_app(intake, consumer), settings.host, settings.intake_port)
    taker = MailTaker(acceptor, signer, inboxes, intake.limiter, settings.border)
    storage = Storage(intake.buckets, http.s3, settings.smtp_max_bytes)
    mail = MailListener(settings, MailHandler(taker, inboxes))

    def drain() -> None:
        server.should_exit = True
        mail.stopping.set()

    await run_until_stopped(
        {
            "serve": server.serve,
            "serve-mail": mail.run,
            "read-mail": ImapReader(settings.mailboxes, taker, inboxes, settings.smtp_max_bytes).run,
            "accept": acceptor.run,
            "send": Sender(settings, parts.engine, parts.outbox, inboxes, signer, http.named, to_send).run,
            "fetch": MediaFetcher(settings, parts.engine, parts.outbox, http.media).run,
            "fetch-mail": StoredMailFetcher(parts.engine, storage, taker).run,
            "inboxes": inboxes.run,
            "words": words.run,
            "spam-rules": acceptor.spam.run,
            "consume": consumer.run,
            "relay": parts.relay().run,
            "measure": parts.measure,
            "replay": Replayer(acceptor, inboxes, signer, settings.border, storage).run,
            "tick": Ticker(settings, parts.engine, parts.outbox).run,
        },
        drain,
    )


async def run() -> None:
    """Open what is needed, and serve."""
    settings = IntakeSettings()
    tell_apart(settings.languages)
    await asyncio.to_thread(warm_up)
    async with (
        resources("intake", settings) as parts,
        httpx.AsyncClient(trust_env=False) as named,
        guarded_client(REACH) as sns,
        guarded_client(settings.media_reach) as media,
        guarded_client(reach_of(settings.buckets.values())) as s3,
    ):
        await serve(settings, await come_back(parts, settings.intake_port, recall), Outward(named, sns, media, s3))


if __name__ == "__main__":
    main("intake", IntakeSettings, run)
