"""Whatever comes in is answered without a 5xx, and what was taken is kept as it came: on a message, a word, or parked."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import cast
from urllib.parse import parse_qsl, urlencode

import pytest
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from services.intake.acceptor import CONTACTS
from services.intake.channels import twilio
from services.intake.mail import MailTaker
from services.intake.smtp import MailHandler
from shared import db
from tests.counts import PROOF
from tests.services.intake.fuzzing import as_json, mutated, named, recorded_mails, revalued
from tests.services.intake.test_mail import mail
from tests.services.intake.test_twilio import CALL, SMS
from tests.services.intake.world import PUBLIC, TOKEN, World, process

IN_ALL = 200_000 if PROOF else 2_000
AT_ONCE = 100
SEED = 20_261_130
SECONDS = 1800 if PROOF else 120
FORM_TYPE = "application/x-www-form-urlencoded"
KEPT = """
    SELECT count(*) FROM unnest(CAST(:hashes AS bytea[])) h WHERE EXISTS (SELECT 1 FROM intake.message WHERE sha256(body) = h)
        OR EXISTS (SELECT 1 FROM intake.word WHERE sha256(body) = h)
        OR EXISTS (SELECT 1 FROM intake.parked_contact WHERE sha256(body) = h)
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
FORM = {"text": "Garanție?", "name": "Dan", "email": "dan@customers.example", "phone": "+40721234567", "submission_id": "s-1"}


@dataclass
class Answered:
    """What was sent, and whether it was taken; else it was refused as the sender's fault."""

    raw: bytes
    taken: bool


Way = Callable[[World, random.Random, int], Awaitable[Answered]]


def repeated() -> float:
    """How many contacts intake has taken for another one again, or for another of its name, so far."""
    samples = [sample for metric in CONTACTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return sum(sample.value for sample in samples if sample.labels["fate"] in ("repeated", "dedup_conflict"))


def mails() -> list[bytes]:
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


MAILS = mails()


async def by_mail(world: World, rng: random.Random, number: int) -> Answered:
    raw = mutated(rng, named(rng.choice(MAILS), number), MAILS)
    envelope = SmtpEnvelope()
    envelope.content, envelope.mail_from, envelope.rcpt_tos = raw, "ana@customers.example", ["support@patchbay.example"]
    handler = MailHandler(MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes), world.intake.inboxes)
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


WAYS: dict[str, tuple[Way, float]] = {
    "mail": (by_mail, 0.5),
    "twilio sms": (_twilio("/v1/providers/twilio/sms", SMS, "MessageSid"), 0.15),
    "twilio call": (_twilio("/v1/providers/twilio/voice", CALL, "CallSid"), 0.05),
    "twilio status": (_twilio("/v1/providers/twilio/voice/status", {**CALL, "CallStatus": "completed"}, "CallSid"), 0.05),
    "form": (by_form, 0.1),
    "generic": (by_contact, 0.15),
}


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("name", list(WAYS))
async def test_damaged_contacts_are_answered_and_none_is_lost(database: str, name: str) -> None:
    way, share = WAYS[name]
    count, rng = int(IN_ALL * share), random.Random(f"{SEED} {name}")
    taken = 0
    async with process(database, intake_form_per_minute=10**9, intake_sender_per_minute=10**9) as world:
        world.connector = await world.key("intake:write")
        async with db.transaction(world.parts.engine) as conn:
            for table in FINDABLE:
                await conn.execute(sa.text(f"CREATE INDEX ON intake.{table} (sha256(body))"))
        for start in range(0, count, AT_ONCE):
            numbers, repeats = range(start, min(start + AT_ONCE, count)), repeated()
            answers = await asyncio.gather(*(way(world, rng, number) for number in numbers))
            sent = {hashlib.sha256(one.raw).digest() for one in answers if one.taken}
            taken += len(sent)
            async with db.transaction(world.parts.engine) as conn:
                kept = (await conn.execute(sa.text(KEPT), {"hashes": list(sent)})).scalar_one()
            # What bears another one's name, or is another one again, is not kept twice: that is counted, and nothing else may be.
            assert len(sent) - kept <= repeated() - repeats, f"of {len(sent)} taken from {start} on, {kept} are kept"
    assert taken >= count * 0.05, "hardly any was taken: the damage is too great to try anything"
