"""Parsing mail as it comes by SMTP, beside the standard library's parser on the same mails. One core, no network, no database."""

from __future__ import annotations

import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage

from bench.figures import Column, Goal, Line, Repeat, lines
from bench.interleave import interleaved, quick
from bench.requests import TEXT
from bench.world import BenchFailed
from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.channels.language import warm_up
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer

NAME = "mail"
ROUNDS = 30
GOALS = (Goal("ratio", "at least", 0.5), Goal("value", "at least", 300.0))
TEXTS = (
    TEXT,
    "שלום, ההזמנה שלי עדיין לא הגיעה ודף המעקב לא מראה שום דבר מאז יום שני. תוכלו לבדוק בבקשה?",
    "مرحبا، لم يصل طلبي بعد وصفحة التتبع لا تعرض شيئا منذ يوم الاثنين. هل يمكنكم التحقق من فضلكم؟",
    "Bună ziua, comanda mea nu a ajuns, iar pagina de urmărire nu arată nimic de luni. Puteți verifica, vă rog?",
)
OWN = "support@bench.invalid"
HEADERS = ("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References")


async def run() -> list[Line]:
    """Measure."""
    warm_up()
    mails = [mail.as_bytes(policy=policy.SMTP) for mail in _mails()]
    inbox = Inbox(id="support", channel="email", address=OWN)
    around, signer = Envelope("customer@bench.invalid", (OWN,)), Signer(b"a secret of the bench, 32 bytes!")

    def ours(raw: bytes) -> None:
        contact = email.parse(raw, around, inbox, signer)
        if not isinstance(contact, InboundMessage) or not contact.text:
            raise BenchFailed("a mail of the bench was not read")

    async def product() -> Repeat:
        return {"rate": _rate(ours, mails)}

    structured: list[Repeat] = []

    async def baseline() -> Repeat:
        structured.append({"rate": _rate(_structured, mails)})
        return {"rate": _rate(_plainly, mails)}

    products, baselines = await interleaved("mails", baseline, product)
    bounded = (Column("rate", "small mails parsed on one core", "mails/s", GOALS),)
    beside = (Column("rate", "small mails parsed, beside policy.default", "mails/s"),)
    return [
        *lines(NAME, bounded, products, baselines, "stdlib email: message_from_bytes, headers decoded, all payloads decoded"),
        *lines(NAME, beside, products, structured, "the same through policy.default, whose headers are structured"),
    ]


def _mails() -> list[EmailMessage]:
    """In four languages: plain text, text and HTML with a quoted reply, and with a small attachment."""
    return [make(n, text) for n, text in enumerate(TEXTS) for make in (_plain, _reply, _attached)]


def _plain(n: int, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Customer {n} <customer-{n}@bench.invalid>"
    mail["To"] = OWN
    mail["Subject"] = text[:40]
    mail["Date"] = "Mon, 05 Jan 2026 08:00:00 +0000"
    mail["Message-ID"] = f"<{n}.{len(text)}@bench.invalid>"
    mail.set_content(text + "\n\n" + text)
    return mail


def _reply(n: int, text: str) -> EmailMessage:
    mail = _plain(n, text)
    mail["In-Reply-To"] = "<earlier@bench.invalid>"
    mail["References"] = "<first@bench.invalid> <earlier@bench.invalid>"
    mail.add_alternative(f"<html><body><p>{text}</p><blockquote><p>{text}</p></blockquote></body></html>", subtype="html")
    return mail


def _attached(n: int, text: str) -> EmailMessage:
    mail = _plain(n, text)
    mail.add_attachment(bytes(range(256)) * 16, maintype="application", subtype="pdf", filename="invoice.pdf")
    return mail


def _plainly(raw: bytes) -> None:
    mail = message_from_bytes(raw)
    for name in HEADERS:
        str(make_header(decode_header(mail.get(name, ""))))
    if not [part.get_payload(decode=True) for part in mail.walk()]:
        raise BenchFailed("a mail of the bench was not read")


def _structured(raw: bytes) -> None:
    mail = message_from_bytes(raw, policy=policy.default)
    body = mail.get_body(("plain", "html"))
    if body is None or not body.get_content():
        raise BenchFailed("a mail of the bench was not read")
    for name in HEADERS:
        str(mail[name])
    for part in mail.iter_attachments():
        part.get_content()


def _rate(parse: Callable[[bytes], None], mails: list[bytes]) -> float:
    rounds = ROUNDS // 5 if quick() else ROUNDS
    began = time.perf_counter()
    for _ in range(rounds):
        for raw in mails:
            parse(raw)
    return rounds * len(mails) / (time.perf_counter() - began)
