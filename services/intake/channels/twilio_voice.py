"""Calls through Twilio: the incoming call, answered in TwiML, and the status callbacks as words about it."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from services.intake.channels import twilio
from services.intake.channels.clean import clean_line
from services.intake.domain import handles
from services.intake.domain.contacts import CallOutcome, CallPhase, Handle, InboundCall
from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.domain.speech import Language, language_for
from services.intake.speaking import SPEECHES

QUEUE_NAME_LIMIT = 64  # of Twilio's <Enqueue>

PHASES: dict[str, CallPhase] = {
    "queued": "ringing",
    "initiated": "ringing",
    "ringing": "ringing",
    "in-progress": "answered",
    "answered": "answered",
    "completed": "ended",
    "busy": "ended",
    "failed": "ended",
    "no-answer": "ended",
    "canceled": "ended",
}
OUTCOMES: dict[str, CallOutcome] = {
    "completed": "completed",
    "busy": "busy",
    "failed": "failed",
    "no-answer": "no_answer",
    "canceled": "cancelled",
}
VOICES: dict[Language, str] = {"he": "he-IL", "ar": "arb", "ro": "ro-RO", "en": "en-GB"}


class Unreadable(ValueError):
    """A signed request that says nothing about a call; the message says what is missing."""


def parse(raw: bytes, pairs: twilio.Pairs, inboxes: Inboxes, *, incoming: bool) -> InboundCall:
    """A signed request as a word about a call: the `incoming` call itself, or a status callback. Raises Unreadable."""
    values = twilio.single(pairs)
    sid, status = values.get("CallSid"), values.get("CallStatus", "ringing" if incoming else "")
    if not sid:
        raise Unreadable("CallSid is missing")
    phase = PHASES.get(status)
    if phase is None:
        raise Unreadable("CallStatus is missing or not known")
    inbox = inboxes.at_or_default("phone", values.get("To") or values.get("Called") or "")
    sequence = _number(values.get("SequenceNumber"))
    word = "init" if incoming else str(sequence) if sequence is not None else status
    return InboundCall(
        provider=twilio.PROVIDER,
        call_ref=clean_line(sid),
        dedup_key=f"{clean_line(sid)}:{word}",
        content_hash=twilio.content_hash(values),
        inbox=inbox.id,
        handle=_caller(values, inbox),
        phase=phase,
        sequence=sequence,
        outcome=OUTCOMES.get(status),
        duration_us=(_number(values.get("CallDuration")) or 0) * 1_000_000,
        provider_time=twilio.timestamp(values),
        name=clean_line(values.get("CallerName", "")),
        partner_id=inbox.partner_id,
        raw=raw,
    )


def greeting(inbox: Inbox) -> str:
    """TwiML that greets the caller in the inbox's language and lets them wait in its queue."""
    language = language_for(inbox.language, "en")
    greeting = SPEECHES[language].say("Hello. Thank you for calling. An agent will answer soon.")
    said = f"<Say language={quoteattr(VOICES[language])}>{escape(greeting)}</Say>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Response>{said}'
        f"<Enqueue>{escape(clean_line(inbox.id)[:QUEUE_NAME_LIMIT])}</Enqueue></Response>"
    )


def _caller(values: Mapping[str, str], inbox: Inbox) -> Handle | None:
    try:
        return handles.phone(values.get("From") or values.get("Caller") or "", inbox.region)
    except handles.WrongHandle:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
