"""The automatic confirmation: number, link to the status, and the promised time, in the customer's language. Pure.

Numbers and dates stand between FSI and PDI (Unicode UAX #9), so that they keep their order inside right-to-left text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from services.intake.domain import subjects
from shared.events.base import Channel, Direction

Language = Literal["he", "ar", "ro", "en"]
LANGUAGES: tuple[Language, ...] = ("he", "ar", "ro", "en")
TEXTS: frozenset[Channel] = frozenset({"sms", "whatsapp"})  # confirmed by a short text
FSI, PDI = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said in one language; `{number}`, `{link}` and `{time}` are filled in."""

    subject: str
    received: str
    promised: str
    status: str
    status_names: dict[str, str]
    direction: Direction = "ltr"


WORDINGS: dict[Language, Wording] = {
    "he": Wording(
        subject="פנייתך התקבלה: {number}",
        received="שלום, קיבלנו את פנייתך. מספר הפנייה הוא {number}.",
        promised="נשיב לך עד {time}.",
        status="אפשר לעקוב אחר הטיפול כאן: {link}",
        status_names={
            "new": "התקבלה",
            "open": "בטיפול",
            "pending": "ממתינה לתשובתך",
            "on_hold": "ממתינה לגורם נוסף",
            "resolved": "נפתרה",
            "closed": "סגורה",
        },
        direction="rtl",
    ),
    "ar": Wording(
        subject="تم استلام طلبك: {number}",
        received="مرحبًا، لقد استلمنا رسالتك. رقم التذكرة هو {number}.",
        promised="سنرد عليك قبل {time}.",
        status="يمكنك متابعة حالة الطلب هنا: {link}",
        status_names={
            "new": "تم الاستلام",
            "open": "قيد المعالجة",
            "pending": "في انتظار ردك",
            "on_hold": "في انتظار جهة أخرى",
            "resolved": "تم الحل",
            "closed": "مغلقة",
        },
        direction="rtl",
    ),
    "ro": Wording(
        subject="Am primit solicitarea dumneavoastră: {number}",
        received="Bună ziua, am primit mesajul dumneavoastră. Numărul tichetului este {number}.",
        promised="Vă răspundem până la {time}.",
        status="Puteți urmări starea tichetului aici: {link}",
        status_names={
            "new": "primit",
            "open": "în lucru",
            "pending": "așteaptă răspunsul dumneavoastră",
            "on_hold": "așteaptă un terț",
            "resolved": "rezolvat",
            "closed": "închis",
        },
    ),
    "en": Wording(
        subject="We received your request: {number}",
        received="Hello, we have received your message. Your ticket number is {number}.",
        promised="We will answer by {time}.",
        status="You can follow its status here: {link}",
        status_names={
            "new": "received",
            "open": "in progress",
            "pending": "waiting for your answer",
            "on_hold": "waiting for a third party",
            "resolved": "resolved",
            "closed": "closed",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A confirmation ready to be sent."""

    subject: str
    text: str
    language: Language
    direction: Direction


def confirmed_on(channel: Channel) -> Channel:
    """The channel on which a contact of this one is confirmed: the same, but a form by e-mail."""
    return channel if channel in TEXTS else "email"


def language_for(detected: str, inbox_language: str) -> Language:
    """The language to write in: the customer's where we speak it, else the inbox's, else English."""
    for wanted in (detected, inbox_language):
        for language in LANGUAGES:
            if wanted.partition("-")[0] == language:
                return language
    return "en"


def number_text(number: int) -> str:
    """`#100234`, kept together and in order inside any text."""
    return f"{FSI}#{number}{PDI}"


def time_text(at: datetime, zone: str) -> str:
    """A promised time as people of that zone read it: day.month.year hour:minute."""
    return f"{FSI}{at.astimezone(ZoneInfo(zone)):%d.%m.%Y %H:%M}{PDI}"


def write(number: int, link: str, language: Language, promised_by: datetime | None = None, zone: str = "UTC") -> Confirmation:
    """The confirmation of a ticket."""
    wording = WORDINGS[language]
    lines = [wording.received.format(number=number_text(number))]
    if promised_by is not None:
        lines.append(wording.promised.format(time=time_text(promised_by, zone)))
    lines.append(wording.status.format(link=f"{FSI}{link}{PDI}"))
    return Confirmation(
        subject=wording.subject.format(number=subjects.token(number)),
        text="\n\n".join(lines),
        language=language,
        direction=wording.direction,
    )
