"""Replies to customers of a connector of one's own: posted to its webhook, signed by Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: `webhook-id` is the message's id,
the same however often it is sent; `webhook-signature` holds one signature for each secret that is valid now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec
from standardwebhooks import Webhook

from services.intake.domain.delivery import Accepted, NotNow, Outcome, Refused, Unknown
from shared.events.base import Channel, Direction, Moment

SEND_SECONDS = 15.0
COME_AGAIN = frozenset({408, 425, 429})
TYPE = "message.sent"


class Recipient(msgspec.Struct, frozen=True):
    """The customer's handle, as the connector once gave it."""

    kind: str
    value: str
    scope: str


class OutgoingFile(msgspec.Struct, frozen=True):
    """A file of the reply; `content` is written as base64."""

    name: str
    media_type: str
    size_bytes: int
    content: bytes


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the connector is to bring to the customer. `in_reply_to`: the connector's name for the customer's last message."""

    message_id: str
    ticket_id: str
    ticket_number: int
    customer_id: str
    inbox: str
    channel: Channel
    to: Recipient | None
    text: str
    subject: str
    language: str
    direction: Direction
    in_reply_to: str | None
    attachments: tuple[OutgoingFile, ...] = ()


class Envelope(msgspec.Struct, frozen=True):
    """The body of the request: the same bytes at each attempt."""

    type: str
    timestamp: Moment
    data: OutgoingMessage


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to post, and the secrets that sign: several while one is being changed."""

    url: str
    secrets: tuple[str, ...]


async def send(client: httpx.AsyncClient, hook: Hook, message: OutgoingMessage, asked_at: datetime) -> Outcome:
    """Post it once. Never raises."""
    body = msgspec.json.encode(Envelope(TYPE, asked_at, message))
    headers = signed(hook.secrets, message.message_id, body, datetime.now(UTC))
    try:
        # Only the head is read: whatever a connector answers with, the status is its word.
        async with client.stream(
            "POST", hook.url, content=body, headers=headers, timeout=SEND_SECONDS, follow_redirects=False
        ) as response:
            return _outcome(response)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
        return NotNow("webhook-away")
    except httpx.InvalidURL:
        return Refused("webhook-url", "the webhook of the inbox is no URL")
    except httpx.HTTPError:
        return Unknown("webhook-broke-off")


def signed(secrets: Sequence[str], message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of a request with this body."""
    text = body.decode()
    return {
        "content-type": "application/json",
        "user-agent": "Patchbay",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, text) for secret in secrets),
    }


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        return Accepted()
    if status in COME_AGAIN or status >= 500:
        return NotNow(f"webhook-{status}", retry_after(response.headers.get("retry-after", ""), datetime.now(UTC)))
    return Refused(f"webhook-{status}", "the connector will not take the message")


def retry_after(said: str, now: datetime) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number of them, or a date; 0 when it says neither."""
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max((parsedate_to_datetime(said).replace(tzinfo=UTC) - now).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
