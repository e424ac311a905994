"""Whatever comes in is answered without a 5xx, and what was taken is kept as it came: on a message, a word, or parked."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.message import EmailMessage
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from services.intake.channels import twilio
from services.intake.channels.provided import Provider
from services.intake.channels.sns import Sns
from services.intake.imap import _sender
from services.intake.mail import MailTaker
from services.intake.smtp import MailHandler
from services.intake.store.parked import Arrival
from tests.counts import PROOF
from tests.services.intake import provider_requests as ask
from tests.services.intake.fuzzed_providers import Damaged, damaged, events, mails, to_be_kept
from tests.services.intake.fuzzing import as_json, mutated, named, recorded_mails, revalued
from tests.services.intake.imap_server import imap_server
from tests.services.intake.kept import Answered, findable, lost
from tests.services.intake.test_imap import reading
from tests.services.intake.test_mail import SUPPORT, mail
from tests.services.intake.test_smtp_limits import END, client
from tests.services.intake.test_twilio import CALL, SMS
from tests.services.intake.world import PUBLIC, TOKEN, World, mail_port, process
from tests.waiting import until

IN_ALL = 200_000 if PROOF else 1_000
AT_ONCE = 100
CONNECTIONS = 20
LINE = 990  # bytes; by SMTP a line has 998 at most
SEED = 20_261_130
SECONDS = 1800 if PROOF else 120
SENDER = "ana@customers.example"
FORM_TYPE = "application/x-www-form-urlencoded"
CONTACT = {
    "channel": "email",
    "inbox": "support",
    "handle": {"kind": "email", "value": "ana@customers.example", "scope": ""},
    "text": "Bună ziua, unde este comanda mea?",
    "id": "msg-1",
    "name": "Ana",
    "subject": "Comanda",
    "language": "ro",
    "origin": "human",
    "sent_at": "2026-11-30T10:00:00Z",
    "in_reply_to": ["<a@b>"],
    "priority": 2,
    "topic": "orders",
    "tags": ["new"],
}
STATUS = {"To": "+40721234567", "From": "+40312295500", "ErrorCode": "30003", "Timestamp": "Thu, 15 Jan 2026 10:00:05 +0000"}
FORM = {"text": "Garanție?", "name": "Dan", "email": "dan@customers.example", "phone": "+40721234567", "submission_id": "s-1"}
VOICE_STATUS = "/v1/providers/twilio/voice/status"
ENDED = {**CALL, "CallStatus": "completed"}


Way = Callable[[World, random.Random, int], Awaitable[Answered]]


class Opened(NamedTuple):
    """A way by which contacts can come, and how to wait until what came was taken."""

    send: Way
    settle: Callable[[], Awaitable[None]]


Place = Callable[[World], AbstractAsyncContextManager[Opened]]


def answering(way: Way) -> Place:
    """A way on which each is answered when it was taken."""

    async def settled() -> None:
        return

    @asynccontextmanager
    async def place(_world: World) -> AsyncIterator[Opened]:
        yield Opened(way, settled)

    return place


def mails_to_damage() -> list[bytes]:
    """Mails to damage: our own, and recorded ones where they are there."""
    related = mail(subject="הזמנה 12", text="שלום, איפה ההזמנה שלי?")
    related.add_alternative("<p dir=rtl>שלום <img src=cid:a></p>", subtype="html")
    related.add_attachment(b"%PDF-1.4" + bytes(range(256)), maintype="application", subtype="pdf", filename="קובץ.pdf")
    report = EmailMessage()
    report["From"], report["To"], report["Subject"] = "MAILER-DAEMON@x.example", "support@patchbay.example", "Undelivered"
    report["Message-ID"] = "<report@x.example>"
    report.set_content("Your mail could not be delivered.")
    report.add_attachment(mail(Auto_Submitted="auto-replied"))
    return [
        bytes(one) for one in (mail(), related, report, mail(References="<a@b> <c@d>", In_Reply_To="<c@d>"))
    ] + recorded_mails()


MAILS = mails_to_damage()


def _mail(rng: random.Random, number: int) -> bytes:
    return mutated(rng, named(rng.choice(MAILS), number), MAILS)


async def taken_by_hand(world: World, raw: bytes) -> Answered:
    """A mail as the mail port hands it on, whatever bytes it has."""
    envelope = SmtpEnvelope()
    envelope.content, envelope.mail_from, envelope.rcpt_tos = raw, SENDER, [SUPPORT]
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
    handler = MailHandler(taker, world.intake.inboxes)
    answer = await handler.handle_DATA(cast(SMTP, None), Session(asyncio.get_running_loop()), envelope)
    assert answer.startswith("250"), answer
    return Answered(Arrival("smtp", raw, SENDER, (SUPPORT,)), taken=True)


async def by_mail(world: World, rng: random.Random, number: int) -> Answered:
    return await taken_by_hand(world, _mail(rng, number))


@asynccontextmanager
async def by_smtp(world: World) -> AsyncIterator[Opened]:
    """Over the wire, in lines as SMTP has them."""
    async with mail_port(world) as port:
        free = asyncio.Semaphore(CONNECTIONS)

        async def send(_world: World, rng: random.Random, number: int) -> Answered:
            lines = [part for line in re.split(rb"\r?\n", _mail(rng, number)) for part in _parts(line)]
            async with free, client(port) as one:
                assert (await one.begins()).startswith("354")
                answer = await one.says(*(b"." * line.startswith(b".") + line + b"\r\n" for line in lines), END)
            assert answer.startswith("250"), answer
            arrival = Arrival("smtp", b"".join(line + b"\r\n" for line in lines), "dan@customers.example", (SUPPORT,))
            return Answered(arrival, taken=True)

        async with answering(send)(world) as opened:
            yield opened


def _parts(line: bytes) -> list[bytes]:
    return [line[start : start + LINE] for start in range(0, len(line), LINE)] or [b""]


@asynccontextmanager
async def by_imap(world: World) -> AsyncIterator[Opened]:
    """Mails lie in a mailbox."""
    async with imap_server() as server, reading(world, server):

        async def bring(_world: World, rng: random.Random, number: int) -> Answered:
            raw = _mail(rng, number)
            await server.bring(raw)
            return Answered(Arrival("imap", raw, _sender(raw), ("support",)), taken=True)

        async def read() -> bool:
            return await world.count("mailbox", f"last_uid = {server.next_uid - 1}") == 1

        async def settle() -> None:
            await until("the mailbox is read to its end", read, SECONDS)

        yield Opened(bring, settle)


async def _signed(world: World, way: str, path: str, raw: bytes, query: str = "") -> Answered:
    url = f"{path}?{query}" if query else path
    pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    signature = twilio.signature(f"{PUBLIC}{url}", pairs, TOKEN)
    headers = {"Content-Type": FORM_TYPE, "X-Twilio-Signature": signature}
    answer = await world.http.post(url, content=raw, headers=headers)
    assert answer.status_code in (200, 204, 400, 403), (path, answer.status_code, answer.text)
    return Answered(Arrival(way, raw, query=query), taken=answer.is_success)


def _twilio(way: str, path: str, fields: dict[str, str], name: str) -> Way:
    async def send(world: World, rng: random.Random, number: int) -> Answered:
        seed = urlencode({**fields, name: f"{fields[name]}{number}"}).encode()
        return await _signed(world, way, path, mutated(rng, seed))

    return send


async def by_sms_status(world: World, rng: random.Random, number: int) -> Answered:
    """Of a message of ours and of nobody's."""
    fields = {**STATUS, "MessageSid": f"SM{number}", "MessageStatus": rng.choice(["delivered", "read", "failed", "undelivered"])}
    message = world.answer_id if rng.random() < 0.7 else f"m-{number}"
    raw = mutated(rng, urlencode(fields).encode())
    return await _signed(world, "twilio_sms_status", "/v1/providers/twilio/sms/status", raw, f"message={message}")


def _mail_provider(provider: Provider, seeds: str) -> Way:
    async def send(world: World, rng: random.Random, number: int) -> Answered:
        return await _proved(world, provider, damaged(rng, provider, rng.choice(mails(seeds)), number, "inbound"))

    return send


def _mail_events(provider: Provider) -> Way:
    async def send(world: World, rng: random.Random, number: int) -> Answered:
        seed = rng.choice(events(provider, world.answer_ref))
        return await _proved(world, provider, damaged(rng, provider, seed, number, "events"))

    return send


async def _proved(world: World, provider: Provider, one: Damaged) -> Answered:
    answer = await one.posted.to(world.http)
    assert answer.status_code == (406 if one.broken else 200), (one.posted, answer.status_code, answer.text)
    pieces = to_be_kept(provider, one, world.signer) if answer.is_success else ()
    return Answered(Arrival(provider, one.posted.body, media_type=one.content_type), answer.is_success, pieces)


async def by_form(world: World, rng: random.Random, number: int) -> Answered:
    body = {**FORM, "submission_id": f"s-{number}", "email": f"{number}@customers.example"}
    raw, kind = rng.choice(
        [
            (mutated(rng, urlencode(body).encode()), FORM_TYPE),
            (as_json(revalued(rng, body)), "application/json"),
            (mutated(rng, as_json(body)), "application/json"),
        ]
    )
    answer = await world.http.post("/v1/forms/contact", content=raw, headers={"Content-Type": kind})
    assert answer.status_code in (201, 400, 422), (answer.status_code, answer.text)
    if answer.status_code != 201:
        return Answered(Arrival("form", raw), taken=False)
    ticket_id = world.signer.ticket_of_status(answer.json()["status_url"].rpartition("/")[2])
    assert ticket_id is not None
    return Answered(Arrival("form", raw), taken=True, ids=(ticket_id,))


async def by_contact(world: World, rng: random.Random, number: int) -> Answered:
    body = {**CONTACT, "id": f"msg-{number}"}
    raw = as_json(revalued(rng, body)) if rng.random() < 0.7 else mutated(rng, as_json(body))
    answer = await world.http.post("/v1/contacts", content=raw, headers=world.connector)
    assert answer.status_code in (200, 201, 400, 422), (answer.status_code, answer.text)
    ids = (answer.json()["message_id"],) if answer.status_code == 201 else ()
    return Answered(Arrival("generic", raw), taken=answer.status_code == 201, ids=ids)


class Share(NamedTuple):
    """How many of a thousand come this way, and of how many of a hundred at least something is understood: a message, a word."""

    place: Place
    of_a_thousand: int
    understood: int


WAYS: dict[str, Share] = {
    "mail": Share(answering(by_mail), 200, 80),
    "mail by smtp": Share(by_smtp, 50, 80),
    "mail by imap": Share(by_imap, 30, 80),
    "twilio sms": Share(answering(_twilio("twilio_sms", "/v1/providers/twilio/sms", SMS, "MessageSid")), 100, 20),
    "twilio sms status": Share(answering(by_sms_status), 40, 8),
    "twilio call": Share(answering(_twilio("twilio_voice", "/v1/providers/twilio/voice", CALL, "CallSid")), 40, 20),
    "twilio status": Share(answering(_twilio("twilio_status", VOICE_STATUS, ENDED, "CallSid")), 40, 5),
    "mailgun": Share(answering(_mail_provider("mailgun", "mailgun")), 50, 30),
    "mailgun events": Share(answering(_mail_events("mailgun")), 25, 5),
    "sendgrid": Share(answering(_mail_provider("sendgrid", "sendgrid")), 40, 35),
    "sendgrid raw": Share(answering(_mail_provider("sendgrid", "sendgrid raw")), 40, 30),
    "sendgrid events": Share(answering(_mail_events("sendgrid")), 25, 50),
    "postmark": Share(answering(_mail_provider("postmark", "postmark")), 45, 25),
    "postmark events": Share(answering(_mail_events("postmark")), 25, 5),
    "ses": Share(answering(_mail_provider("ses", "ses")), 45, 12),
    "ses events": Share(answering(_mail_events("ses")), 25, 4),
    "form": Share(answering(by_form), 80, 12),
    "generic": Share(answering(by_contact), 100, 6),
}


async def answered(world: World) -> None:
    """An answer of ours has gone out, so that there is something of which providers can tell."""
    world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
    taken = (await world.http.post("/v1/contacts", json=CONTACT, headers=world.connector)).json()
    world.answer_id = await world.reply(taken["ticket_id"], taken["customer_id"], "Mâine.", "email")
    world.answer_ref = world.signer.message_ref(world.answer_id, taken["ticket_id"], "patchbay.example")


def test_the_shares_are_those_of_one_whole() -> None:
    assert sum(share.of_a_thousand for share in WAYS.values()) == 1000


async def test_a_mail_that_is_lost_is_missed_and_one_that_is_another_one_again_is_not(world: World) -> None:
    await findable(world)
    kept = bytes(mail(X_Way="1"))
    again = [await taken_by_hand(world, raw) for raw in (kept, kept.replace(b"X-Way: 1", b"X-Way: 2"))]
    assert (await lost(world, again), await world.count("message")) == ([], 1)
    other_words = Answered(Arrival("smtp", bytes(mail(text="Something else")), SENDER, (SUPPORT,)), taken=True)
    another = Answered(Arrival("smtp", bytes(mail(Message_ID="<another@c>")), SENDER, (SUPPORT,)), taken=True)
    assert await lost(world, [*again, other_words, another]) == [other_words, another]
    await taken_by_hand(world, other_words.arrival.body)
    assert await lost(world, [*again, other_words, another]) == [another]


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("name", list(WAYS))
async def test_damaged_contacts_are_answered_and_none_is_lost(database: str, name: str) -> None:
    place, share, understood = WAYS[name]
    count, rng = IN_ALL * share // 1000, random.Random(f"{SEED} {name}")
    limits = dict.fromkeys([f"intake_{name}_per_minute" for name in ("mail", "sms", "form", "sender")], 0)
    async with process(database, **limits, **ask.settings()) as world, place(world) as (send, settle):
        world.connector = await world.key("intake:write")
        await answered(world)
        await findable(world)
        before = await said(world)
        for start in range(0, count, AT_ONCE):
            answers = await asyncio.gather(*(send(world, rng, number) for number in range(start, min(start + AT_ONCE, count))))
            await settle()
            assert await lost(world, answers) == [], f"of those from {start} on"
        assert await said(world) - before >= count * understood / 100, "the damage is too great to try anything"


async def said(world: World) -> int:
    """How much was understood: messages and words."""
    return await world.count("message") + await world.count("word")
