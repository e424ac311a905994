"""Requests as mail providers make them, signed with the tests' own keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from services.intake.channels.sns import signed_part

MAILGUN_KEY = "key-of-the-test"
CREDENTIAL = "provider:secret"
TOPIC = "arn:aws:sns:eu-west-1:111111111111:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
BOUNDARY = "xYzZY"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
FILE = b"%PDF-1.4 \x00\xff\r\n-- not text \r"
Provider = Literal["mailgun", "sendgrid", "postmark", "ses"]


@dataclass(frozen=True)
class Posted:
    """A request to be made."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def to(self, http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(self.path, content=self.body, headers={"Authorization": basic(CREDENTIAL), **self.headers})

    def altered(self, old: bytes, new: bytes) -> Posted:
        """With something changed on its way."""
        assert old in self.body
        return replace(self, body=self.body.replace(old, new, 1))


@cache
def sendgrid_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def sendgrid_public() -> str:
    raw = sendgrid_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(raw).decode()


@cache
def sns_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def sns_certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(sns_key().public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(sns_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def settings() -> dict[str, object]:
    """What a process needs to know them."""
    return {
        "intake_mailgun_keys": f"key-before,{MAILGUN_KEY}",
        "intake_sendgrid_inbound_keys": sendgrid_public(),
        "intake_sendgrid_event_keys": sendgrid_public(),
        "intake_ses_topics": TOPIC,
        "intake_provider_credentials": f"before:it,{CREDENTIAL},ses=before:it,ses={CREDENTIAL}",
    }


def multipart(fields: Sequence[tuple[str, bytes | tuple[str, str, bytes]]]) -> bytes:
    """A form; a file is its name, type and content."""
    parts = []
    for name, value in fields:
        if isinstance(value, bytes):
            parts.append(b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value))
        else:
            head = f'Content-Disposition: form-data; name="{name}"; filename="{value[0]}"\r\nContent-Type: {value[1]}\r\n\r\n'
            parts.append(head.encode() + value[2])
    body = b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY.encode(), part) for part in parts)
    return body + b"--%s--\r\n" % BOUNDARY.encode()


def mailgun_signature(token: str, key: str = MAILGUN_KEY) -> dict[str, str]:
    """What Mailgun signs, and its signature."""
    stamp = "1771000000"
    signature = hmac.digest(key.encode(), (stamp + token).encode(), hashlib.sha256).hex()
    return {"timestamp": stamp, "token": token, "signature": signature}


def mailgun(
    fields: Sequence[tuple[str, bytes | tuple[str, str, bytes]]], token: str = "t" * 50, key: str = MAILGUN_KEY
) -> Posted:
    """A route of Mailgun forwards a mail."""
    signed = [(name, value.encode()) for name, value in mailgun_signature(token, key).items()]
    return Posted("/v1/providers/mailgun/inbound", multipart([*fields, *signed]), FORM)


def mailgun_event(event: Mapping[str, object], token: str) -> Posted:
    body = {"signature": mailgun_signature(token), "event-data": event}
    return Posted("/v1/providers/mailgun/events", json.dumps(body).encode(), JSON)


def sendgrid(
    body: bytes, headers: Mapping[str, str], where: str = "inbound", key: ec.EllipticCurvePrivateKey | None = None
) -> Posted:
    signature = base64.b64encode((key or sendgrid_key()).sign(b"1771000000" + body, ec.ECDSA(hashes.SHA256()))).decode()
    header = "X-Twilio-Email-Event-Webhook-"
    signed = {header + "Timestamp": "1771000000", header + "Signature": signature}
    return Posted(f"/v1/providers/sendgrid/{where}", body, {**headers, **signed})


def basic(credential: str) -> str:
    """The header that a URL with a password makes."""
    return "Basic " + base64.b64encode(credential.encode()).decode()


def postmark(body: Mapping[str, object], where: str = "inbound") -> Posted:
    return Posted(f"/v1/providers/postmark/{where}", json.dumps(body).encode(), JSON)


def ses(message: str, where: str = "inbound", version: str = "2", **more: str) -> Posted:
    """A notification of SNS, or (`Type=…`) one of its questions."""
    body: dict[str, str] = {
        "Type": "Notification",
        "MessageId": "8f6dee70-c885-558a-be7d-bd48bbf5335e",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": "2026-03-01T10:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **more,
    }
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    body["Signature"] = base64.b64encode(sns_key().sign(signed_part(body), padding.PKCS1v15(), digest)).decode()
    return Posted(f"/v1/providers/ses/{where}", json.dumps(body).encode(), {"Content-Type": "text/plain; charset=UTF-8"})


class SnsHost(httpx.AsyncBaseTransport):
    """SNS's own host, as our process reaches it: gives its certificate, and hears that a subscription is confirmed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.away:
            raise httpx.ConnectError("away")
        return httpx.Response(200, content=sns_certificate() if request.url.path.endswith(".pem") else b"<ok/>")
