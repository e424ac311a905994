"""Twilio's webhooks: incoming SMS and WhatsApp messages, incoming calls, status callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from services.intake import consents
from services.intake.api.edge import Intake, NotTaken, body_of, parts_of
from services.intake.api.mail_providers import NOT_OURS
from services.intake.channels import twilio, twilio_sms, twilio_voice
from services.intake.domain.contacts import DeliveryWord, InboundMessage
from services.intake.limiting import quarantined
from services.intake.store.parked import Way
from shared.http import Problem
from shared.telemetry import log

router = APIRouter()
TWIML = "text/xml"
FORM = "application/x-www-form-urlencoded"
BODY_BYTES = 256 * 1024  # a message has 1,600 characters and ten links at most
Read = TypeVar("Read")


@router.post("/v1/providers/twilio/sms", response_class=Response, responses={200: {"content": {TWIML: {}}}})
async def twilio_sms_received(request: Request) -> Response:
    """A message came in. Signed by Twilio; answered with an empty TwiML document once it is stored."""
    intake = parts_of(request)
    raw, pairs = await _signed(request, intake)
    contact = await _read(intake, "twilio_sms", raw, lambda: twilio_sms.parse(raw, pairs, intake.inboxes.current))
    if contact is not None:
        await _take(intake, contact, raw)
    return Response(twilio.EMPTY_RESPONSE, media_type=TWIML)


@router.post("/v1/providers/twilio/sms/status", status_code=204)
async def twilio_sms_status(request: Request) -> Response:
    """What became of a message of ours, in any order and any number of times."""
    intake = parts_of(request)
    raw, pairs = await _signed(request, intake)
    query = _query(request)
    word = await _read(
        intake, "twilio_sms_status", raw, lambda: twilio_sms.parse_status(raw, pairs, twilio_sms.message_named(query)), query
    )
    if word is not None:
        await _heard(intake, word, raw, pairs, query)
    return Response(status_code=204)


@router.post("/v1/providers/twilio/voice", response_class=Response, responses={200: {"content": {TWIML: {}}}})
async def twilio_call_received(request: Request) -> Response:
    """A call comes in. Answered with TwiML that greets the caller and lets them wait."""
    intake = parts_of(request)
    raw, pairs = await _signed(request, intake)
    values = twilio.single(pairs)
    await _word(intake, raw, pairs, incoming=True)
    inbox = intake.inboxes.current.at_or_default("phone", values.get("To") or values.get("Called") or "")
    return Response(twilio_voice.greeting(inbox), media_type=TWIML)


@router.post("/v1/providers/twilio/voice/status", status_code=204)
async def twilio_call_status(request: Request) -> Response:
    """What became of a call, in any order and any number of times."""
    intake = parts_of(request)
    raw, pairs = await _signed(request, intake)
    await _word(intake, raw, pairs, incoming=False)
    return Response(status_code=204)


WEBHOOKS = (twilio_sms_received, twilio_sms_status, twilio_call_received, twilio_call_status)


async def _read(intake: Intake, way: Way, raw: bytes, read: Callable[[], Read], query: str = "") -> Read | None:
    """What a signed request says; None where that is nothing known, or a defect of ours shows in it: it is kept as it came."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - Twilio tries once more at most: nothing signed may be lost for what is in it
        known = isinstance(error, twilio_sms.Unreadable | twilio_voice.Unreadable)
        if not known:
            log().error("contact not read", way=way, error=type(error).__name__, exc_info=error)
        await intake.park(way, str(error) if known else type(error).__name__, FORM, raw, query)
        return None


async def _word(intake: Intake, raw: bytes, pairs: twilio.Pairs, *, incoming: bool) -> None:
    way: Way = "twilio_voice" if incoming else "twilio_status"
    inboxes = intake.inboxes.current
    word = await _read(intake, way, raw, lambda: twilio_voice.parse(raw, pairs, inboxes, incoming=incoming))
    if word is None:
        return
    try:
        await intake.take(word)
    except NotTaken as error:
        await intake.park(way, str(error), word.media_type, raw)


async def _heard(intake: Intake, word: DeliveryWord, raw: bytes, pairs: twilio.Pairs, query: str) -> None:
    """Also that somebody wrote STOP to Twilio."""
    try:
        placement = await intake.take(word)
    except NotTaken as error:
        await intake.park("twilio_sms_status", str(error), FORM, raw, query)
        return
    if placement.unknown:
        await intake.park("twilio_sms_status", NOT_OURS, FORM, raw, query)
        return
    number = twilio_sms.refusing(word, pairs)
    if number is not None:
        await consents.withdraw(intake.parts.engine, intake.parts.outbox, number, word.channel, word.cause)


async def _take(intake: Intake, contact: InboundMessage, raw: bytes) -> None:
    """Whatever the limit of its sender: Twilio tries once more at most, and then a customer's message would be lost."""
    over = await intake.limiter.of_sender(contact)
    try:
        await intake.take(quarantined(contact) if over else contact)
    except NotTaken as error:
        await intake.park("twilio_sms", str(error), contact.media_type, raw)


async def _signed(request: Request, intake: Intake) -> tuple[bytes, list[tuple[str, str]]]:
    """The raw body and its pairs, when Twilio signed them. Raises Problem 403; 503 when we cannot tell."""
    raw = await body_of(request, BODY_BYTES)
    tokens = intake.twilio_tokens
    if not tokens:
        detail = "No Twilio auth token is configured, so no request of Twilio can be told from others. Set one."
        # Later, not never: the next request, or the fallback URL, may find us set up.
        raise Problem(503, "twilio-not-configured", detail, headers={"Retry-After": "60"})
    query = _query(request)
    url = f"{intake.settings.public_url}{request.scope['path']}{'?' if query else ''}{query}"
    try:
        pairs = twilio.form(raw)
    except ValueError:
        raise Problem(400, "malformed-form", "The body is not an urlencoded form.") from None
    if not twilio.is_signed(url, pairs, request.headers.get("x-twilio-signature", ""), tokens):
        detail = "The signature does not fit. Check the auth token, and that the public URL is the one Twilio calls."
        raise Problem(403, "bad-signature", detail)
    return raw, pairs


def _query(request: Request) -> str:
    text: str = request.scope["query_string"].decode("latin-1")
    return text
