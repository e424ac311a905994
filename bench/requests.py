"""The requests that are sent: each of another customer, with an id of its own, built in microseconds."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote_plus

import msgspec

TEXT = "Hello, my order has not arrived and the tracking page shows nothing since Monday. Could you look into it, please?"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where and what: a generic contact on a chat, one on e-mail, an SMS. `key` is the API key for contacts; `token` signs for
    Twilio, whose URL is `signed_url`.
    """

    kind: Literal["contact", "mail", "sms"]
    host: str
    port: int
    path: str
    key: str = ""
    token: str = ""
    signed_url: str = ""


def make(target: Target) -> Callable[[int], bytes]:
    """The function that makes the nth request."""
    if target.kind == "sms":
        return _sms(target)
    return _contact(target, contact_body if target.kind == "contact" else mail_body)


def contact_body(n: int) -> bytes:
    """A generic contact of the nth customer, on a chat."""
    return (
        f'{{"id":"bench-{n}","channel":"chat","inbox":"bench","handle":{{"kind":"visitor","value":"visitor-{n}"}},'
        f'"name":"Visitor {n}","text":"{TEXT}","language":"en"}}'
    ).encode()


def mail_body(n: int) -> bytes:
    """A generic contact of the nth customer, on e-mail: what an agent answers is sent there."""
    return (
        f'{{"id":"bench-{n}","channel":"email","inbox":"letters","handle":{{"kind":"email","value":"visitor-{n}@bench.invalid"}},'
        f'"name":"Visitor {n}","text":"{TEXT}","language":"en"}}'
    ).encode()


def _contact(target: Target, body_of: Callable[[int], bytes]) -> Callable[[int], bytes]:
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nAuthorization: Bearer {target.key}\r\n"
        "Content-Type: application/json\r\nIdempotency-Key: "
    ).encode()

    def nth(n: int) -> bytes:
        body = body_of(n)
        return b"%sbench-%d\r\nContent-Length: %d\r\n\r\n%s" % (head, n, len(body), body)

    return nth


def sms_form(n: int) -> dict[str, str]:
    """The form of an incoming SMS of the nth customer, with the fields Twilio sends
    (https://www.twilio.com/docs/messaging/guides/webhook-request)."""
    sid = f"SM{n:032x}"
    return {
        "ToCountry": "RO",
        "SmsMessageSid": sid,
        "NumMedia": "0",
        "SmsSid": sid,
        "SmsStatus": "received",
        "Body": TEXT,
        "To": "+40312345678",
        "NumSegments": "1",
        "MessageSid": sid,
        "AccountSid": "AC" + "0" * 32,
        "From": f"+4072{n % 10_000_000:07d}",
        "ApiVersion": "2010-04-01",
    }


def twilio_signature(token: str, url: str, form: dict[str, str]) -> str:
    """X-Twilio-Signature: base64 of HMAC-SHA1 over the URL and the sorted form
    (https://www.twilio.com/docs/usage/webhooks/webhooks-security)."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def _sms(target: Target) -> Callable[[int], bytes]:
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: "
    ).encode()

    def nth(n: int) -> bytes:
        form = sms_form(n)
        body = "&".join(f"{name}={quote_plus(value)}" for name, value in form.items()).encode()
        signature = twilio_signature(target.token, target.signed_url, form).encode()
        return b"%s%s\r\nContent-Length: %d\r\n\r\n%s" % (head, signature, len(body), body)

    return nth
