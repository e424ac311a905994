"""What the demonstration's customers send: real MIME mail, signed Twilio requests, a form."""

from __future__ import annotations

import asyncio
import smtplib
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import make_msgid
from urllib.parse import urlencode
from uuid import uuid4

from client import Answer, Intake, Request
from deploy.local.ports import HOST
from simulator import twilio
from simulator.places import NO_ACCOUNT


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that a customer writes, and what the agent will answer."""

    language: str
    name: str
    address: str
    subject: str
    text: str
    answer: str
    to: str = "support@patchbay.example"


MAILS = (
    Mail(
        "he",
        "נועה לוי",
        "noa@customers.example",
        "ההזמנה שלי לא הגיעה",
        "שלום,\nהזמנתי נעליים לפני שבועיים והחבילה עדיין לא הגיעה. מספר ההזמנה 88213. תוכלו לבדוק?\nתודה, נועה",
        "שלום נועה, החבילה נמצאת במרכז ההפצה ותגיע מחר עד 14:00.",
    ),
    Mail(
        "ar",
        "ليلى حداد",
        "layla@customers.example",
        "فاتورة خاطئة",
        "مرحبا،\nوصلتني فاتورة بمبلغ مختلف عن المبلغ الذي دفعته. أرجو مراجعة الفاتورة وإرسال نسخة صحيحة.\nشكرا، ليلى",
        "مرحبا ليلى، صححنا الفاتورة وأرسلنا نسخة جديدة إلى بريدك.",
    ),
    Mail(
        "ro",
        "Ioana Popescu",
        "ioana@customers.example",
        "Nu pot intra în cont",
        "Bună ziua,\nNu mai pot intra în contul meu de ieri, deși parola este corectă. Mă puteți ajuta?\nMulțumesc, Ioana",
        "Bună ziua, Ioana. V-am trimis o legătură pentru schimbarea parolei.",
    ),
    Mail(
        "en",
        "Grace Miller",
        "grace@customers.example",
        "Wrong size delivered",
        "Hello,\nI ordered the jacket in size M but received size L. How can I exchange it for the right one?\nThanks, Grace",
        "Hello Grace, we have sent the right size today; please keep the box for the courier.",
    ),
)
LEFT_ALONE = Mail(
    "en",
    "Tom Baker",
    "tom@customers.example",
    "Is anybody there?",
    "Hello,\nI have been trying to reach somebody about my refund for a while now. Please answer me as soon as you can.\nTom",
    "",
    to="unattended@patchbay.example",
)


def written_by(mail: Mail, run: int) -> Mail:
    """The mail as a person of this run writes it: the same name, an address of its own."""
    name, _, host = mail.address.partition("@")
    return replace(mail, address=f"{name}.{run}@{host}")


async def send_mail(mail: Mail, port: int, host: str = HOST) -> str:
    """Send it over SMTP. Returns its Message-ID. Raises smtplib.SMTPException, OSError."""
    message = EmailMessage()
    message["From"] = f"{mail.name} <{mail.address}>"
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Message-ID"] = make_msgid(domain="customers.example")
    message.set_content(mail.text)
    await asyncio.to_thread(_deliver, message, host, port)
    return str(message["Message-ID"])


def _deliver(message: EmailMessage, host: str, port: int) -> None:
    with smtplib.SMTP(host, port, timeout=15) as client:
        client.send_message(message)


@dataclass(frozen=True, slots=True)
class Twilio:
    """Twilio as it calls our webhooks: form-encoded and signed."""

    token: str
    public_url: str
    intake: Intake

    async def call(self, path: str, fields: dict[str, str]) -> Answer:
        """POST `fields`, signed. Raises ProblemError, NoAnswer."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": twilio.signature(self.public_url + path, fields, self.token),
        }
        return await self.intake.send(Request("POST", path, headers, urlencode(fields).encode()))

    async def text(self, sender: str, to: str, body: str) -> None:
        """An SMS comes in."""
        await self.call("/v1/providers/twilio/sms", twilio.message(f"SM{uuid4().hex}", NO_ACCOUNT, sender, to, body))

    async def ring(self, caller: str, to: str) -> str:
        """A call comes in. Returns its CallSid."""
        sid = f"CA{uuid4().hex}"
        answer = await self.call("/v1/providers/twilio/voice", twilio.call(sid, NO_ACCOUNT, caller, to, "ringing"))
        if b"<Response" not in answer.content:
            raise ValueError("the answer to an incoming call is no TwiML")
        return sid

    async def status(self, sid: str, caller: str, to: str, status: str, sequence: int, seconds: int = 0) -> None:
        """A status callback of the call."""
        incoming = twilio.call(sid, NO_ACCOUNT, caller, to, status)
        await self.call("/v1/providers/twilio/voice/status", twilio.call_status(incoming, sequence, seconds))
