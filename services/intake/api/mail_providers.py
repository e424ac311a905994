"""Webhooks of mail providers: mail that comes in, and what became of mail that went out. docs/providers.md has their contracts.

Each provider has two URLs, `…/inbound` and `…/events`, and both take both: a webhook set to the wrong one loses nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from msgspec.structs import replace

from services.intake.acceptor import CONTACTS, NotTaken, Overloaded
from services.intake.api.edge import Intake, apart, body_of, overloaded, parts_of
from services.intake.channels import email, form_data, mailgun, provided, sendgrid, sns
from services.intake.channels.provided import JSON, Provider, Sorted, Unreadable
from services.intake.channels.taken_apart import read
from services.intake.domain.contacts import Contact, DeliveryWord, InboundMessage
from services.intake.domain.plan import Placement
from services.intake.limiting import LIMITED, quarantined
from services.intake.mail import NONE_OF_OURS, PARSE_SECONDS
from shared import telemetry
from shared.db import DatabaseAway
from shared.http import Problem, away
from shared.telemetry import log

router = APIRouter()
NOT_OURS = "it speaks of a message that did not go out from here"
# Said of a body that is too large. SendGrid drops mail on any 4xx; the others try again.
TOO_LARGE: Mapping[Provider, int] = {"mailgun": 413, "sendgrid": 503, "postmark": 413}
# JSON is read whole to find who signed it, so no more of it than such requests have: SNS brings 256 KiB at most, an event of
# Mailgun less.
SIGNED_INSIDE_BYTES = 2 * 2**20
Done = dict[str, str]
DONE: Done = {"status": "taken"}


@router.post("/v1/providers/mailgun/inbound")
async def mailgun_mail_received(request: Request) -> Done:
    """A route of Mailgun forwards a mail. Signed."""
    return await _of_mailgun(request)


@router.post("/v1/providers/mailgun/events")
async def mailgun_event_received(request: Request) -> Done:
    """Mailgun tells what became of a mail of ours. Signed."""
    return await _of_mailgun(request)


@router.post("/v1/providers/sendgrid/inbound")
async def sendgrid_mail_received(request: Request) -> Done:
    """SendGrid's Inbound Parse brings a mail. Signed, or with a credential in the URL."""
    return await _of_sendgrid(request, parts_of(request).mail_providers.sendgrid_inbound)


@router.post("/v1/providers/sendgrid/events")
async def sendgrid_events_received(request: Request) -> Done:
    """SendGrid tells what became of mails of ours, several at a time. Signed, or with a credential in the URL."""
    return await _of_sendgrid(request, parts_of(request).mail_providers.sendgrid_events)


@router.post("/v1/providers/postmark/inbound")
async def postmark_mail_received(request: Request) -> Done:
    """Postmark brings a mail. With a credential in the URL."""
    return await _of_postmark(request)


@router.post("/v1/providers/postmark/events")
async def postmark_event_received(request: Request) -> Done:
    """Postmark tells what became of a mail of ours. With a credential in the URL."""
    return await _of_postmark(request)


@router.post("/v1/providers/ses/inbound")
async def ses_mail_received(request: Request) -> Done:
    """Amazon SES brings a mail by SNS. Signed."""
    return await _of_ses(request)


@router.post("/v1/providers/ses/events")
async def ses_event_received(request: Request) -> Done:
    """Amazon SES tells by SNS what became of a mail of ours. Signed."""
    return await _of_ses(request)


async def _of_mailgun(request: Request) -> Done:
    intake, kind = parts_of(request), _content_type(request)
    keys = intake.mail_providers.mailgun
    if not keys:
        raise _not_configured("Mailgun", "PATCHBAY_INTAKE_MAILGUN_KEYS")
    _check_credential(request, intake, "mailgun")
    if form_data.media_type_of(kind) == JSON:
        return await _take_of_mailgun(intake, await body_of(request, SIGNED_INSIDE_BYTES), kind, keys)
    async with intake.bodies.of(request, too_large=TOO_LARGE["mailgun"]) as raw:
        return await _take_of_mailgun(intake, raw, kind, keys)


async def _take_of_mailgun(intake: Intake, raw: bytes, kind: str, keys: Sequence[str]) -> Done:
    if not await apart(len(raw), lambda: _signed_by_mailgun(raw, kind, keys)):
        raise _forged(406)
    await _take(intake, "mailgun", raw, kind)
    return DONE


def _signed_by_mailgun(raw: bytes, kind: str, keys: Sequence[str]) -> bool:
    try:
        return mailgun.is_signed(*mailgun.signature_of(raw, kind), keys)
    except (Unreadable, ValueError):
        return False


async def _of_sendgrid(request: Request, keys: Sequence[str]) -> Done:
    intake = parts_of(request)
    if not keys and not intake.mail_providers.credentials_of("sendgrid"):
        raise _not_configured("SendGrid", "its keys, or PATCHBAY_INTAKE_PROVIDER_CREDENTIALS")
    _check_credential(request, intake, "sendgrid", signs=bool(keys))
    header = "x-twilio-email-event-webhook-"
    timestamp, given = request.headers.get(header + "timestamp", ""), request.headers.get(header + "signature", "")
    async with intake.bodies.of(request, too_large=TOO_LARGE["sendgrid"]) as raw:
        if keys and not await apart(len(raw), lambda: sendgrid.is_signed(raw, timestamp, given, keys)):
            raise _forged(403)
        await _take(intake, "sendgrid", raw, _content_type(request))
    return DONE


async def _of_postmark(request: Request) -> Done:
    intake = parts_of(request)
    if not intake.mail_providers.credentials_of("postmark"):
        raise _not_configured("Postmark", "PATCHBAY_INTAKE_PROVIDER_CREDENTIALS")
    _check_credential(request, intake, "postmark", signs=False)
    async with intake.bodies.of(request, too_large=TOO_LARGE["postmark"]) as raw:
        await _take(intake, "postmark", raw, JSON)
    return DONE


async def _of_ses(request: Request) -> Done:
    intake = parts_of(request)
    topics = intake.mail_providers.ses_topics
    if not topics:
        raise _not_configured("Amazon SES", "PATCHBAY_INTAKE_SES_TOPICS")
    _check_credential(request, intake, "ses")
    raw = await body_of(request, SIGNED_INSIDE_BYTES)
    await _check_sns(intake, raw, topics)
    await _take(intake, "ses", raw, JSON)
    return DONE


async def _check_sns(intake: Intake, raw: bytes, topics: frozenset[str]) -> None:
    """Whether it is SNS that speaks, of a topic of ours; a subscription is confirmed. Raises Problem 403, 503."""
    try:
        message = await apart(len(raw), lambda: provided.mapping(provided.loaded(raw)))
    except Unreadable:
        raise _forged(403) from None
    if (topic := provided.text(message.get("TopicArn"))) not in topics:
        detail = "This topic is not one of PATCHBAY_INTAKE_SES_TOPICS. Add its ARN there, if it is yours."
        raise Problem(403, "unknown-topic", detail)
    try:
        await intake.sns.verify(message)
        if message.get("Type") == "SubscriptionConfirmation":
            await intake.sns.confirm(message)
            log().info("subscription confirmed", topic=topic)
    except sns.Forged:
        raise _forged(403) from None
    except sns.NotReached:
        detail = "SNS does not answer, so its signature cannot be verified just now. Send it again."
        raise Problem(503, "sns-not-reached", detail, headers={"Retry-After": "20"}) from None


async def _take(intake: Intake, provider: Provider, raw: bytes, media_type: str) -> None:
    """Take all of an authentic request: what is understood, each piece by itself; the rest is kept. Raises Problem 406, 503."""
    try:
        async with intake.readers, asyncio.timeout(PARSE_SECONDS):
            found = await asyncio.to_thread(_read, intake, provider, raw, media_type)
    except Exception as error:  # noqa: BLE001 - nothing authentic may be lost for what is in it
        reason = str(error) if isinstance(error, Unreadable) else type(error).__name__
        await intake.park(provider, reason, media_type, raw)
        return
    contacts = await _within_limits(intake, provider, found)
    CONTACTS.labels("email", "not_ours").inc(found.others)
    CONTACTS.labels("email", "own_loop").inc(found.own)
    for contact, placed in zip(contacts, await _accept(intake, contacts), strict=True):
        await _settle(intake, provider, contact, placed, raw, media_type)
    for stored in found.stored:
        await intake.fetch_later(stored, raw)
    for one in found.unknown:
        await intake.park(provider, one.reason, media_type if one.raw is None else JSON, raw if one.raw is None else one.raw)


async def _within_limits(intake: Intake, provider: Provider, found: Sorted) -> list[Contact]:
    """The contacts; in quarantine where their sender sends too much and SNS, which tries three times within a minute, would drop
    them. The others try again for hours. Raises Problem 503, DatabaseAway.
    """
    contacts: list[Contact] = []
    for contact in found.contacts:
        seconds = await _over(intake, contact, provider)
        if seconds and provider != "ses":
            raise _too_much(seconds)
        contacts.append(quarantined(contact) if seconds and isinstance(contact, InboundMessage) else contact)
    if found.own and provider != "ses" and (seconds := await intake.limiter.of_kept(email.OWN_LOOP)):
        raise _too_much(seconds)
    return contacts


async def _over(intake: Intake, contact: Contact, provider: Provider) -> float:
    """For how many seconds there is more than may come of what came by mail; 0.0 for all that the provider itself says."""
    if isinstance(contact, InboundMessage):
        return await intake.limiter.of_sender(contact, provider)
    if not isinstance(contact, DeliveryWord) or contact.provider != email.PROVIDER:
        return 0.0
    known = contact.message_id is not None
    return await (intake.limiter.of_report(contact) if known else intake.limiter.of_kept(NONE_OF_OURS))


def _too_much(seconds: float) -> Problem:
    LIMITED.labels("email", "refused").inc()
    detail = "More mail came from this sender than is taken in a minute. Send it again later."
    return Problem(503, "too-much-from-sender", detail, headers={"Retry-After": str(math.ceil(seconds))})


def _read(intake: Intake, provider: Provider, raw: bytes, media_type: str) -> Sorted:
    return provided.sort(read(provider, raw, media_type), provider, intake.inboxes.current, intake.signer, intake.settings.border)


async def _accept(intake: Intake, contacts: Sequence[Contact]) -> list[Placement | BaseException]:
    if not contacts:
        return []
    traceparent = telemetry.current_traceparent()
    try:
        placed = await intake.acceptor.accept([replace(contact, traceparent=traceparent) for contact in contacts])
    except Overloaded:
        raise overloaded() from None
    except TimeoutError:
        raise away() from None
    if any(isinstance(one, DatabaseAway) for one in placed):
        raise away()
    return placed


async def _settle(
    intake: Intake, provider: Provider, contact: Contact, placed: Placement | BaseException, raw: bytes, media_type: str
) -> None:
    if isinstance(placed, Placement) and placed.reused:
        raise _forged(406)  # the token was given to another request before
    if isinstance(placed, Placement) and not placed.unknown:
        return
    reason = NOT_OURS if isinstance(placed, Placement) else str(placed) if isinstance(placed, NotTaken) else type(placed).__name__
    whole = provider == "ses" or not isinstance(contact, DeliveryWord) or contact.media_type != JSON
    await intake.park(provider, reason, media_type if whole else contact.media_type, raw if whole else contact.raw)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _check_credential(request: Request, intake: Intake, provider: Provider, *, signs: bool = True) -> None:
    """Whether the URL brings a credential, where one is set for this provider. Whoever signs is known by its signature: that no
    credential of ours is in its URL is a setting that does not fit, so it is told to come again (503), and nothing is lost until
    somebody has seen to it. Nothing else proves the others: 403, and where none came 401, on which SendGrid would drop the mail.
    Raises Problem.
    """
    credentials = intake.mail_providers.credentials_of(provider)
    given = provided.proof(request.headers.get("authorization", ""), request.url.query, credentials) if credentials else "right"
    if given == "right":
        return
    # SNS brings a password only when it is asked for.
    is_sns = provider == "ses" and given == "missing" and any(":" in one for one in credentials)
    if not is_sns:
        log().warning("credential of a provider does not fit", provider=provider, given=given)
    if given == "wrong":
        detail = "The credential in the URL is none of PATCHBAY_INTAKE_PROVIDER_CREDENTIALS."
        raise Problem(503 if signs else 403, "bad-credential", detail)
    detail = "Put a credential of PATCHBAY_INTAKE_PROVIDER_CREDENTIALS into the URL, or name there whose it is (`postmark=…`)."
    asks = is_sns or provider == "postmark"
    challenge = {"WWW-Authenticate": 'Basic realm="patchbay"'} if asks else {}
    raise Problem(401 if asks else 503, "unauthorized", detail, headers=challenge)


def _not_configured(name: str, what: str) -> Problem:
    """Later, not never: the provider keeps what it has until we are set up."""
    return Problem(503, "provider-not-configured", f"Requests of {name} cannot be told from others'. Set {what}.")


def _forged(status: int) -> Problem:
    return Problem(
        status, "bad-signature", "The signature does not fit. Check the key, and that nothing changes the body on its way."
    )
