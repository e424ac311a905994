"""The confirmation as a text message: the ticket's number and, where it is known, until when it is answered. Pure.

One part of an SMS: 160 letters of the GSM alphabet, which the English and Romanian texts keep to, or 70 of any other.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from services.intake.domain.confirmation import FSI, PDI, Language


class ShortWording(msgspec.Struct, frozen=True):
    """What is said in one language; `{number}` and `{time}` are filled in. `isolated`: they stand in right-to-left text."""

    received: str
    promised: str
    isolated: bool = False


SHORT_WORDINGS: dict[Language, ShortWording] = {
    "he": ShortWording("קיבלנו את פנייתך, מספרה {number}.", "נשיב עד {time}.", isolated=True),
    "ar": ShortWording("استلمنا رسالتك، رقمها {number}.", "نرد قبل {time}.", isolated=True),
    "ro": ShortWording("Am primit mesajul dvs. Tichetul are nr. {number}.", "Raspundem cel mai tarziu pe {time}."),
    "en": ShortWording("We have received your message. Your ticket number is {number}.", "We will answer by {time}."),
}


def write_short(number: int, language: Language, promised_by: datetime | None, zone: str) -> str:
    """The whole text message."""
    wording = SHORT_WORDINGS[language]
    parts = [wording.received.format(number=_kept(f"#{number}", wording))]
    if promised_by is not None:
        time = f"{promised_by.astimezone(ZoneInfo(zone)):%d.%m %H:%M}"
        parts.append(wording.promised.format(time=_kept(time, wording)))
    return " ".join(parts)


def _kept(text: str, wording: ShortWording) -> str:
    return f"{FSI}{text}{PDI}" if wording.isolated else text
