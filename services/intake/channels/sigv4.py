"""AWS Signature Version 4 of a GET that has no body and no query, as Amazon S3 and those who speak like it want it. Pure.

Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
Why it stands here: docs/decisions/0023.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce

ALGORITHM, SERVICE, ENDING = "AWS4-HMAC-SHA256", "s3", "aws4_request"
NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """Who asks. The session token belongs to keys that are good for some hours only (AWS STS)."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def signed(keys: Keys, region: str, path: str, headers: Mapping[str, str], at: datetime) -> dict[str, str]:
    """These headers, whose names are in small letters, with those that prove who asks. `path` and the `host` among the headers
    are as they go over the wire.
    """
    stamp = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    told = {**headers, "x-amz-content-sha256": NO_BODY, "x-amz-date": stamp}
    if keys.session_token:
        told["x-amz-security-token"] = keys.session_token
    names = sorted(told)
    canonical = ["GET", path, "", *(f"{name}:{told[name].strip()}" for name in names), "", ";".join(names), NO_BODY]
    scope = (stamp[:8], region, SERVICE, ENDING)
    said = "\n".join((ALGORITHM, stamp, "/".join(scope), hashlib.sha256("\n".join(canonical).encode()).hexdigest()))
    key = reduce(_mac, scope, f"AWS4{keys.secret_key}".encode())
    credential = f"Credential={keys.access_key}/{'/'.join(scope)}"
    proof = f"{ALGORITHM} {credential},SignedHeaders={';'.join(names)},Signature={_mac(key, said).hex()}"
    return {**told, "authorization": proof}


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), hashlib.sha256)
