"""The automatic confirmation: number, link to the status, and the promised time, in the customer's language. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.intake.domain import subjects
from services.intake.domain.speech import Speech, time_text
from shared.events.base import Channel

TEXTS: frozenset[Channel] = frozenset({"sms", "whatsapp"})  # confirmed by a short text
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# Up to here a wait is told in the smaller unit: 90 minutes, 36 hours.
IN_MINUTES, IN_HOURS = timedelta(minutes=90), timedelta(hours=36)


@dataclass(frozen=True, slots=True)
class Written:
    """Something we say by mail, ready to be sent. `link` stands in its text."""

    subject: str
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """By when an answer was promised, counted from when the customer wrote, told in this time zone."""

    by: datetime
    since: datetime
    zone: str = "UTC"


def confirmed_on(channel: Channel) -> Channel:
    """The channel on which a contact of this one is confirmed: the same, but a form by e-mail."""
    return channel if channel in TEXTS else "email"


def write(number: int, link: str, speech: Speech, promise: Promise | None = None) -> Written:
    """The confirmation of a ticket."""
    lines = [
        speech.say("Hello, we have received your message. Your ticket number is {number}.", number=f"#{number}"),
        *([promised(promise, speech)] if promise is not None else []),
        speech.plainly("You can follow its status here: {link}", link=link),
    ]
    subject = speech.plainly("We received your request: {number}", number=subjects.token(number))
    return Written(subject, "\n\n".join(lines), link)


def promised(promise: Promise, speech: Speech) -> str:
    """Within what, and by when, in a sentence. A part of a unit is told as the whole."""
    wait, time = promise.by - promise.since, time_text(promise.by, promise.zone)
    if wait <= IN_MINUTES:
        minutes = _whole(wait, MINUTE)
        return speech.count(
            "We will answer within {n} minute, by {time}.", "We will answer within {n} minutes, by {time}.", minutes, time=time
        )
    if wait <= IN_HOURS:
        hours = _whole(wait, HOUR)
        return speech.count(
            "We will answer within {n} hour, by {time}.", "We will answer within {n} hours, by {time}.", hours, time=time
        )
    days = _whole(wait, DAY)
    return speech.count(
        "We will answer within {n} day, by {time}.", "We will answer within {n} days, by {time}.", days, time=time
    )


def write_short(number: int, speech: Speech, promise: Promise | None = None) -> str:
    """The confirmation as a text message: one part of an SMS, which is 160 letters of the GSM alphabet, to which the English and
    Romanian texts keep, or 70 of any other.
    """
    parts = [speech.shortly("We have received your message. Your ticket number is {number}.", number=f"#{number}")]
    if promise is not None:
        time = f"{promise.by.astimezone(ZoneInfo(promise.zone)):%d.%m %H:%M}"
        parts.append(speech.shortly("We will answer by {time}.", time=time))
    return " ".join(parts)


def _whole(wait: timedelta, unit: timedelta) -> int:
    return max(1, -(-wait // unit))
