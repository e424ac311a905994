"""Amazon SNS: its signature, its certificates, and the confirmation of a subscription.

Signature (SNS, "Verifying the signatures of Amazon SNS messages"): RSA PKCS#1 v1.5, version 1 with SHA-1 and 2 with SHA-256, over
the names and values of some fields, a line each. The certificate is fetched from hosts of SNS only, over TLS, which no other
server can play, with a client that goes to REACH alone: so the URL in a message leads nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.intake.domain.reach import Reach

REACH = Reach.of(["*.amazonaws.com", "*.amazonaws.com.cn"])
NOTIFICATION = "Notification"
CONFIRMATIONS = frozenset({"SubscriptionConfirmation", "UnsubscribeConfirmation"})
FETCH_SECONDS = 5.0
CERTIFICATE_BYTES = 20_000
CERTIFICATES_CAP = 20
# A region, such as us-gov-west-1, and nothing else: sns.s3.amazonaws.com is a bucket of somebody's.
_HOST = r"https://sns\.[a-z]{2,8}(?:-[a-z]{2,12}){1,3}-\d{1,2}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(rf"{_HOST}/[A-Za-z0-9._-]{{1,200}}\.pem")
_SUBSCRIBE = re.compile(rf"{_HOST}/\?[^\s#]{{1,3000}}")
TRYING = "https://sns.patchbay.invalid/try.pem"  # what is signed with the key that the operator trusts names it so
_HASHES: Mapping[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}


class Forged(Exception):
    """The signature does not hold, or the certificate is not one of SNS."""


class NotReached(Exception):
    """SNS does not answer just now."""


def signed_part(message: Mapping[str, Any]) -> bytes:
    """What is signed of a message."""
    if message.get("Type") == NOTIFICATION:
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None).encode("utf-8", "replace")


def key_of(certificate: bytes) -> rsa.RSAPublicKey:
    """The key of a PEM certificate. Raises ValueError."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("its key is not of RSA")
    return key


def _holds(key: rsa.RSAPublicKey, given: str, message: Mapping[str, Any], algorithm: hashes.HashAlgorithm) -> bool:
    try:
        key.verify(base64.b64decode(given, validate=True), signed_part(message), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


class Sns:
    """Verifies what SNS signed and confirms subscriptions. Certificates are kept: they are named by what is in them.

    `trying`: a key beside those of SNS, whose messages name TRYING.
    """

    def __init__(self, http: httpx.AsyncClient, trying: rsa.RSAPublicKey | None = None) -> None:
        self._http = http
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        self._trying = trying

    async def verify(self, message: Mapping[str, Any]) -> None:
        """Raises Forged, NotReached."""
        version, given = message.get("SignatureVersion"), message.get("Signature")
        url = message.get("SigningCertURL")
        if version not in ("1", "2") or not isinstance(given, str) or not isinstance(url, str):
            raise Forged
        key = self._trying if url == TRYING and self._trying is not None else await self._key(url)
        if not await asyncio.to_thread(_holds, key, given, message, _HASHES[version]()):  # it may be as large as a mail
            raise Forged

    async def confirm(self, message: Mapping[str, Any]) -> None:
        """Say yes to a verified subscription. Raises Forged when its link leads elsewhere, NotReached."""
        url = message.get("SubscribeURL")
        if not isinstance(url, str) or not _SUBSCRIBE.fullmatch(url):
            raise Forged
        await self._get(url)

    async def _key(self, url: str) -> rsa.RSAPublicKey:
        if not _CERTIFICATE.fullmatch(url):
            raise Forged
        if url not in self._keys:
            try:
                key = key_of(await self._get(url))
            except ValueError:
                raise NotReached from None
            if len(self._keys) >= CERTIFICATES_CAP:
                self._keys.clear()
            self._keys[url] = key
        return self._keys[url]

    async def _get(self, url: str) -> bytes:
        content = bytearray()
        try:
            async with self._http.stream("GET", url, timeout=FETCH_SECONDS, follow_redirects=False) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > CERTIFICATE_BYTES:
                        raise NotReached
        except httpx.HTTPError:
            raise NotReached from None
        if response.status_code != 200:
            raise NotReached
        return bytes(content)
