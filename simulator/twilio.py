"""Twilio's webhooks as Twilio sends them: form-encoded, signed, with the same tokens when it tries again."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from email.utils import formatdate

API_VERSION = "2010-04-01"


def signature(url: str, fields: Mapping[str, str], token: str) -> str:
    """`X-Twilio-Signature`: base64 of HMAC-SHA1 over the URL and each field's name and value, sorted by name."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()


def message(sid: str, account: str, sender: str, to: str, body: str) -> dict[str, str]:
    """The fields of an incoming SMS."""
    return {
        "MessageSid": sid,
        "SmsSid": sid,
        "SmsMessageSid": sid,
        "AccountSid": account,
        "From": sender,
        "To": to,
        "Body": body,
        "NumMedia": "0",
        "NumSegments": str(1 + len(body) // (160 if body.isascii() else 70)),
        "ApiVersion": API_VERSION,
    }


def call(sid: str, account: str, caller: str, to: str, status: str) -> dict[str, str]:
    """The fields of an incoming call."""
    return {
        "CallSid": sid,
        "AccountSid": account,
        "From": caller,
        "To": to,
        "Caller": caller,
        "Called": to,
        "CallStatus": status,
        "Direction": "inbound",
        "ApiVersion": API_VERSION,
    }


def call_status(incoming: Mapping[str, str], sequence: int, seconds: int = 0, at_seconds: float | None = None) -> dict[str, str]:
    """The fields of a status callback: those of the call, its place in the order, and when (Unix time) it was so."""
    fields = {**incoming, "SequenceNumber": str(sequence), "CallbackSource": "call-progress-events"}
    if at_seconds is not None:
        fields["Timestamp"] = formatdate(at_seconds)
    if incoming["CallStatus"] == "completed":
        fields |= {"CallDuration": str(seconds), "Duration": str(1 + seconds // 60)}
    return fields
