"""Whatever comes in is answered without a 5xx, and what was taken is kept as it came: on a message, a word, or parked."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import cast
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from services.intake.acceptor import CONTACTS
from services.intake.channels import twilio
from services.intake.channels.provided import Provider
from services.intake.channels.sns import Sns
from services.intake.mail import MailTaker
from services.intake.smtp import MailHandler
from shared import db
from tests.counts import PROOF
from tests.services.intake import provider_requests as ask
from tests.services.intake.fuzzed_providers import Damaged, damaged, events, mails, to_be_kept
from tests.services.intake.fuzzing import as_json, mutated, named, recorded_mails, revalued
from tests.services.intake.test_mail import mail
from tests.services.intake.test_twilio import CALL, SMS
from tests.services.intake.world import PUBLIC, TOKEN, World, process

IN_ALL = 200_000 if PROOF else 1_000
AT_ONCE = 100
SEED = 20_261_130
SECONDS = 1800 if PROOF else 120
FORM_TYPE = "application/x-www-form-urlencoded"
KEPT = """
    SELECT count(*) FROM unnest(CAST(:pieces AS bytea[]), CAST(:wholes AS bytea[])) AS w(piece, whole)
    WHERE EXISTS (SELECT 1 FROM intake.message WHERE sha256(body) IN (w.piece, w.whole))
        OR EXISTS (SELECT 1 FROM intake.word WHERE sha256(body) IN (w.piece, w.whole))
        OR EXISTS (SELECT 1 FROM intake.parked_contact WHERE sha256(body) IN (w.piece, w.whole))
    """
# Each statement of KEPT looks for a hundred among all there are.
FINDABLE = ("message", "word", "parked_contact")
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


@dataclass
class Answered:
    """What was sent, and whether it was taken; else it was refused as the sender's fault. `pieces` are kept each by itself or
    with the whole of it.
    """

    raw: bytes
    taken: bool
    pieces: Sequence[bytes] | None = None

    def kept(self) -> set[tuple[bytes, bytes]]:
        """The hashes of what must be kept."""
        pieces = (self.raw,) if self.pieces is None else self.pieces
        return {(_hash(piece), _hash(self.raw)) for piece in pieces} if self.taken else set()


Way = Callable[[World, random.Random, int], Awaitable[Answered]]


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def repeated() -> float:
    """How many contacts intake has taken for another one again, or for another of its name, so far."""
    samples = [sample for metric in CONTACTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return sum(sample.value for sample in samples if sample.labels["fate"] in ("repeated", "dedup_conflict"))


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


async def by_mail(world: World, rng: random.Random, number: int) -> Answered:
    raw = mutated(rng, named(rng.choice(MAILS), number), MAILS)
    envelope = SmtpEnvelope()
    envelope.content, envelope.mail_from, envelope.rcpt_tos = raw, "ana@customers.example", ["support@patchbay.example"]
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
    handler = MailHandler(taker, world.intake.inboxes)
    answer = await handler.handle_DATA(cast(SMTP, None), cast(Session, None), envelope)
    assert answer.startswith("250"), answer
    return Answered(raw, taken=True)


async def _signed(world: World, path: str, raw: bytes) -> Answered:
    pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    signature = twilio.signature(f"{PUBLIC}{path}", pairs, TOKEN)
    headers = {"Content-Type": FORM_TYPE, "X-Twilio-Signature": signature}
    answer = await world.http.post(path, content=raw, headers=headers)
    assert answer.status_code in (200, 204, 400, 403), (path, answer.status_code, answer.text)
    return Answered(raw, taken=answer.is_success)


def _twilio(path: str, fields: dict[str, str], name: str) -> Way:
    async def send(world: World, rng: random.Random, number: int) -> Answered:
        seed = urlencode({**fields, name: f"{fields[name]}{number}"}).encode()
        return await _signed(world, path, mutated(rng, seed))

    return send


async def by_sms_status(world: World, rng: random.Random, number: int) -> Answered:
    """Of a message of ours and of nobody's."""
    fields = {**STATUS, "MessageSid": f"SM{number}", "MessageStatus": rng.choice(["delivered", "read", "failed", "undelivered"])}
    message = world.answer_id if rng.random() < 0.7 else f"m-{number}"
    return await _signed(world, f"/v1/providers/twilio/sms/status?message={message}", mutated(rng, urlencode(fields).encode()))


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
    return Answered(one.posted.body, answer.is_success, pieces)


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
    return Answered(raw, taken=answer.status_code == 201)


async def by_contact(world: World, rng: random.Random, number: int) -> Answered:
    body = {**CONTACT, "id": f"msg-{number}"}
    raw = as_json(revalued(rng, body)) if rng.random() < 0.7 else mutated(rng, as_json(body))
    answer = await world.http.post("/v1/contacts", content=raw, headers=world.connector)
    assert answer.status_code in (200, 201, 400, 422), (answer.status_code, answer.text)
    return Answered(raw, taken=answer.status_code == 201)


# Each with its share of a thousand.
WAYS: dict[str, tuple[Way, int]] = {
    "mail": (by_mail, 280),
    "twilio sms": (_twilio("/v1/providers/twilio/sms", SMS, "MessageSid"), 100),
    "twilio sms status": (by_sms_status, 40),
    "twilio call": (_twilio("/v1/providers/twilio/voice", CALL, "CallSid"), 40),
    "twilio status": (_twilio("/v1/providers/twilio/voice/status", {**CALL, "CallStatus": "completed"}, "CallSid"), 40),
    "mailgun": (_mail_provider("mailgun", "mailgun"), 50),
    "mailgun events": (_mail_events("mailgun"), 25),
    "sendgrid": (_mail_provider("sendgrid", "sendgrid"), 40),
    "sendgrid raw": (_mail_provider("sendgrid", "sendgrid raw"), 40),
    "sendgrid events": (_mail_events("sendgrid"), 25),
    "postmark": (_mail_provider("postmark", "postmark"), 45),
    "postmark events": (_mail_events("postmark"), 25),
    "ses": (_mail_provider("ses", "ses"), 45),
    "ses events": (_mail_events("ses"), 25),
    "form": (by_form, 80),
    "generic": (by_contact, 100),
}


async def answered(world: World) -> None:
    """An answer of ours has gone out, so that there is something of which providers can tell."""
    world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
    taken = (await world.http.post("/v1/contacts", json=CONTACT, headers=world.connector)).json()
    world.answer_id = await world.reply(taken["ticket_id"], taken["customer_id"], "Mâine.", "email")
    world.answer_ref = world.signer.message_ref(world.answer_id, taken["ticket_id"], "patchbay.example")


def test_the_shares_are_those_of_one_whole() -> None:
    assert sum(share for _, share in WAYS.values()) == 1000


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("name", list(WAYS))
async def test_damaged_contacts_are_answered_and_none_is_lost(database: str, name: str) -> None:
    way, share = WAYS[name]
    count, rng = IN_ALL * share // 1000, random.Random(f"{SEED} {name}")
    taken = 0
    limits = dict.fromkeys([f"intake_{name}_per_minute" for name in ("mail", "sms", "form", "sender")], 0)
    async with process(database, **limits, **ask.settings()) as world:
        world.connector = await world.key("intake:write")
        await answered(world)
        async with db.transaction(world.parts.engine) as conn:
            for table in FINDABLE:
                await conn.execute(sa.text(f"CREATE INDEX ON intake.{table} (sha256(body))"))
        for start in range(0, count, AT_ONCE):
            numbers, repeats = range(start, min(start + AT_ONCE, count)), repeated()
            answers = await asyncio.gather(*(way(world, rng, number) for number in numbers))
            sent = sorted({pair for one in answers for pair in one.kept()})
            taken += len(sent)
            async with db.transaction(world.parts.engine) as conn:
                hashes = {"pieces": [piece for piece, _ in sent], "wholes": [whole for _, whole in sent]}
                kept = (await conn.execute(sa.text(KEPT), hashes)).scalar_one()
            # What bears another one's name, or is another one again, is not kept twice: that is counted, and nothing else may be.
            assert len(sent) - kept <= repeated() - repeats, f"of {len(sent)} taken from {start} on, {kept} are kept"
    assert taken >= count * 0.05, "hardly any was taken: the damage is too great to try anything"
