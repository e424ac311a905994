"""Fetching one object of a bucket of Amazon S3, or of who speaks as S3 does (Amazon S3 API Reference, GetObject)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx

from services.intake.channels.media import attempted, whole
from services.intake.channels.sigv4 import Keys, signed
from services.intake.domain.delivery import NotNow, Refused
from services.intake.s3_settings import Bucket

ERROR_BYTES = 4096  # of what S3 says when it gives nothing
# Of what is no 5xx: the server is busy, or our clock or our keys are late. All else stays as it is until a person sees to it.
_MAY_PASS = frozenset({408, 409, 423, 425, 429})
_CODES_MAY_PASS = frozenset({"ExpiredToken", "RequestTimeout", "RequestTimeTooSkewed", "SlowDown"})
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,60})</Code>")
# How the encryption client of SES marks what it stored (AWS SDK, `CryptoStorageMode` in the metadata).
_ENCRYPTED_BEFORE = "x-amz-meta-x-amz-key"
ENCRYPTED, NOT_NAMED, INTERRUPTED = Refused("encrypted"), Refused("bucket-not-named"), Refused("interrupted")
WHY = {
    "404": "it is not there",
    "403": "S3 does not let us have it",
    "too-large": "it is larger than PATCHBAY_SMTP_MAX_BYTES",
    "encrypted": "its receipt rule encrypts it before it is stored; let the bucket do that instead",
    "bucket-not-named": "PATCHBAY_INTAKE_S3_BUCKETS does not name its bucket",
    "interrupted": "whoever fetched it was interrupted each time",
    "key-not-usable": "its key is none that a URL can hold",
    "address-not-allowed": "the name of S3 leads to a private address; name it as `endpoint`, if that is meant",
}


async def fetch(client: httpx.AsyncClient, bucket: Bucket, keys: Keys, key: str, most_bytes: int) -> bytes | Refused | NotNow:
    """The object of this key, asked for once with a guarded client; no redirect is followed. Never raises: what happened is the
    outcome.
    """
    return await attempted(_fetched(client, bucket, keys, key, most_bytes))


async def _fetched(client: httpx.AsyncClient, bucket: Bucket, keys: Keys, key: str, most_bytes: int) -> bytes | Refused | NotNow:
    path = bucket.path_of(key)
    url = httpx.URL(bucket.origin + path)
    if url.raw_path != path.encode("ascii"):  # such as `..`, which would lead to another object
        return Refused("key-not-usable")
    headers = signed(keys, bucket.region, path, {"host": url.netloc.decode("ascii")}, datetime.now(UTC))
    unsigned = {"accept-encoding": "identity", "user-agent": "Patchbay"}
    async with client.stream("GET", url, headers={**headers, **unsigned}, follow_redirects=False) as response:
        if response.status_code != 200:
            return await _against_it(response)
        if any(name.startswith(_ENCRYPTED_BEFORE) for name in response.headers):
            return ENCRYPTED
        return await whole(response, most_bytes)


async def _against_it(response: httpx.Response) -> Refused | NotNow:
    said = bytearray()
    async for chunk in response.aiter_raw():
        said += chunk
        if len(said) >= ERROR_BYTES:
            break
    found = _CODE.search(said[:ERROR_BYTES])
    code = found[1].decode("ascii") if found is not None else ""
    told = f"{response.status_code} {code}".strip()
    may_pass = response.status_code >= 500 or response.status_code in _MAY_PASS or code in _CODES_MAY_PASS
    return NotNow(told) if may_pass else Refused(told)


def reason(outcome: Refused | NotNow) -> str:
    """Why a mail is not had, for a person: what it means, and what was said."""
    if isinstance(outcome, NotNow):
        return f"the mail in S3 could not be fetched until now ({outcome.code})"
    meant = WHY.get(outcome.code.partition(" ")[0]) or ("S3 refuses it" if outcome.code[:1].isdigit() else "it is not asked for")
    return f"the mail in S3 cannot be had: {meant} ({outcome.code})"
