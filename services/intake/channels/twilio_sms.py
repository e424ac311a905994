"""SMS and WhatsApp through Twilio: the incoming webhook, and Twilio's REST API for what goes out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

import httpx

from services.intake.channels import twilio
from services.intake.channels.clean import clean_line, clean_text
from services.intake.channels.language import direction_of, language_of
from services.intake.domain import handles
from services.intake.domain.consent import consent_in
from services.intake.domain.contacts import DeliveryWord, Handle, InboundMessage, SentWord
from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from services.intake.domain.inboxes import Inboxes
from services.intake.domain.scores import score_in
from shared.events.base import Channel, cut_text

MEDIA_CAP = 10
MEDIA_URL_LIMIT = 2000
SEND_SECONDS = 15.0
CLOCKS_APART = timedelta(seconds=5)  # Twilio tells whole seconds, by its own clock
LOOK_BACK = 50  # messages to the same number that are looked through for one whose fate is not known
NO_LOOKUP = frozenset({404, 405, 501})
# 401 and 403 are about us, as while a token is changed or the account is suspended; what Twilio has against a message is a 400.
_NOT_NOW = frozenset({401, 403, 429, 503})
OPTED_OUT = "opted-out"
_UNSUBSCRIBED = "21610"  # https://www.twilio.com/docs/api/errors/21610: the recipient wrote STOP to this number
_WHATSAPP = "whatsapp:"
# https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
_ON_ITS_WAY = frozenset({"accepted", "scheduled", "queued", "sending", "sent", "partially_delivered"})
_FATES: dict[str, SentWord] = {
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}


class Unreadable(ValueError):
    """A signed request that is no message; the message says what is missing."""


def parse(raw: bytes, pairs: twilio.Pairs, inboxes: Inboxes) -> InboundMessage:
    """A signed request as a contact. Raises Unreadable."""
    values = twilio.single(pairs)
    sid, sender, recipient = values.get("MessageSid") or values.get("SmsSid"), values.get("From"), values.get("To")
    if not sid or sender is None or recipient is None:
        raise Unreadable("MessageSid, From or To is missing")
    channel: Channel = "whatsapp" if sender.startswith(_WHATSAPP) else "sms"
    inbox = inboxes.at_or_default(channel, recipient.removeprefix(_WHATSAPP))
    sent_from = _handle(sender.removeprefix(_WHATSAPP), inbox.region)
    text, cut = cut_text(clean_text(values.get("Body", "").strip()))
    language = language_of(text)
    media = _media(values)
    return InboundMessage(
        provider=twilio.PROVIDER,
        dedup_key=clean_line(sid),
        content_hash=twilio.content_hash({name: values.get(name, "") for name in ("From", "To", "Body", "NumMedia")}),
        channel=channel,
        inbox=inbox.id,
        handle=sent_from,
        name=clean_line(values.get("ProfileName", "")),
        text=text,
        text_cut=cut,
        language=language,
        direction=direction_of(text, language),
        provider_time=twilio.timestamp(values),
        confirm=channel == "sms" and sent_from is not None and inbox.confirm and inbox.id in inboxes.by_id,
        partner_id=inbox.partner_id,
        raw=raw,
        media_type="application/x-www-form-urlencoded",
        consent=consent_in(values.get("Body", ""), values.get("OptOutType", "")),
        media=media,
        score=score_in(text) if not media else None,  # a picture is no answer to a question, whatever stands below it
    )


def message_named(query: str) -> str | None:
    """The id of our message in the URL of a status callback; its part behind the `?`."""
    return dict(parse_qsl(query, keep_blank_values=True)).get("message")


def parse_status(raw: bytes, pairs: twilio.Pairs, message_id: str | None) -> DeliveryWord | None:
    """A signed status callback as a word about a message of ours, which its URL names; None for the states before it arrived,
    which say nothing that was not known. Raises Unreadable.
    """
    values = twilio.single(pairs)
    sid, status = values.get("MessageSid") or values.get("SmsSid"), values.get("MessageStatus") or values.get("SmsStatus", "")
    if not sid:
        raise Unreadable("MessageSid is missing")
    if status in _ON_ITS_WAY:
        return None
    kind = _FATES.get(status)
    if kind is None:
        raise Unreadable("MessageStatus is missing or not known")
    return DeliveryWord(
        provider=twilio.PROVIDER,
        dedup_key=f"{clean_line(sid)}:{status}",
        kind=kind,
        message_id=message_id,
        provider_ref=clean_line(sid),
        channel="whatsapp" if values.get("To", "").startswith(_WHATSAPP) else "sms",
        code=_code(values.get("ErrorCode") or status) if kind == "failed" else "",
        provider_time=twilio.timestamp(values),
        raw=raw,
        media_type="application/x-www-form-urlencoded",
    )


def refusing(word: DeliveryWord, pairs: twilio.Pairs) -> str | None:
    """The number to which nothing may go any more, where the status says that its owner wrote STOP to Twilio."""
    to = _handle(twilio.single(pairs).get("To", "").removeprefix(_WHATSAPP), None) if word.code == OPTED_OUT else None
    return to.value if to is not None and to.kind == "phone" else None


def _code(said: str) -> str:
    """Twilio's error as a code of ours."""
    known = clean_line(said)[:20]
    return OPTED_OUT if known == _UNSUBSCRIBED else f"twilio-{known}"


def _handle(sender: str, region: str | None) -> Handle | None:
    try:
        return handles.phone(sender, region)
    except handles.WrongHandle:
        return None


def _media(values: Mapping[str, str]) -> tuple[str, ...]:
    """Where pictures and the like are; they are fetched when the message was accepted."""
    count = values.get("NumMedia", "0")
    number = min(int(count), MEDIA_CAP) if count.isascii() and count.isdigit() and len(count) < 10 else 0
    urls = (clean_line(values.get(f"MediaUrl{n}", ""), MEDIA_URL_LIMIT) for n in range(number))
    return tuple(url for url in urls if url)


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """Where and as whom to send."""

    base_url: str
    account_sid: str
    auth_token: str


async def send(
    client: httpx.AsyncClient,
    account: TwilioAccount,
    sender: str,
    recipient: str,
    body: str,
    *,
    channel: Channel,
    tried_since: datetime | None,
    callback: str,
) -> Outcome:
    """Send one message; Twilio says to `callback` what becomes of it. With `tried_since`, first ask Twilio whether an
    attempt made since then got through. Never raises.
    """
    if channel == "whatsapp":
        sender, recipient = _WHATSAPP + sender, _WHATSAPP + recipient
    url = f"{account.base_url.rstrip('/')}/2010-04-01/Accounts/{account.account_sid}/Messages.json"
    headers = {"Authorization": _basic(account.account_sid, account.auth_token)}
    if tried_since is not None:
        found = await _find(client, url, headers, sender, recipient, body, tried_since)
        if found is not None:
            return found
    try:
        form = {"To": recipient, "From": sender, "Body": body, "StatusCallback": callback}
        response = await client.post(url, data=form, headers=headers, timeout=SEND_SECONDS)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
        return NotNow("twilio-away")
    except httpx.HTTPError:
        return Unknown("twilio-broke-off")
    return _outcome(response)


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    said = _json(response)
    if 200 <= status < 300:
        sid = said.get("sid")
        return Accepted(sid if isinstance(sid, str) else None)
    if status in _NOT_NOW:
        return NotNow(f"twilio-{status}")
    if status >= 500:
        return Unknown(f"twilio-{status}")
    return Refused(_code(str(said.get("code", status))), "Twilio refused the message")


async def _find(
    client: httpx.AsyncClient,
    url: str,
    headers: Mapping[str, str],
    sender: str,
    recipient: str,
    body: str,
    since: datetime,
) -> Accepted | NotNow | None:
    """The message that an earlier attempt may have left at Twilio; None when there is none, or (with a provider that only
    plays Twilio) nowhere to ask; NotNow when Twilio does not say.
    """
    query = {"To": recipient, "From": sender, "PageSize": str(LOOK_BACK)}
    try:
        response = await client.get(url, params=query, headers=dict(headers), timeout=SEND_SECONDS)
    except httpx.HTTPError:
        return NotNow("twilio-away")
    if response.status_code in NO_LOOKUP:
        return None
    messages = _json(response).get("messages")
    if response.status_code != 200 or not isinstance(messages, list):
        return NotNow(f"twilio-lookup-{response.status_code}")
    for message in messages:
        if isinstance(message, dict) and message.get("body") == body and _made_since(message, since):
            return Accepted(str(message.get("sid")))
    return None


def _made_since(message: Mapping[str, object], since: datetime) -> bool:
    """Whether Twilio made it since then: the same words may have been sent to the same person before."""
    try:
        made = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return False
    return made.tzinfo is not None and made >= since - CLOCKS_APART


def _json(response: httpx.Response) -> dict[str, object]:
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
