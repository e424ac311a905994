"""Requests signed by Standard Webhooks (https://www.standardwebhooks.com): who sent them, and which one it is.

Headers `webhook-id`, `webhook-timestamp` (five minutes to either side) and `webhook-signature` (several, where a secret is
being changed), HMAC-SHA256 over id, timestamp and the raw body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook, WebhookVerificationError

ID, SIGNATURE = "webhook-id", "webhook-signature"
ID_LIMIT = 200


class WrongSignature(ValueError):
    """The request was not signed with a secret of ours, or too long ago, or not at all."""


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether the request claims to be signed."""
    return SIGNATURE in headers or ID in headers


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str:
    """The id of a request that one of the secrets signed; the same id is the same request. Raises WrongSignature."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):  # the library unpacks and decodes what it is given without looking
            continue
        if 0 < len(headers[ID]) <= ID_LIMIT:
            return headers[ID]
    raise WrongSignature


def secrets_of(text: str) -> dict[str, tuple[str, ...]]:
    """`contact=whsec_a,whsec_b; shop=whsec_c` by inbox; lines and semicolons part inboxes. Raises ValueError naming the inbox."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.replace(";", "\n").splitlines():
        if not line.strip():
            continue
        inbox_id, equals, listed = line.partition("=")
        secrets = tuple(secret.strip() for secret in listed.split(",") if secret.strip())
        if not equals or not secrets:
            raise ValueError(f"'{inbox_id.strip()[:40]}' has no secret; write inbox=whsec_…, several parted by commas")
        for secret in secrets:
            _check(inbox_id.strip(), secret)
        found[inbox_id.strip()] = secrets
    return found


def _check(inbox_id: str, secret: str) -> None:
    try:
        Webhook(secret)
    except Exception as error:  # the library has three kinds for the same matter
        raise ValueError(f"a secret of '{inbox_id}' is not whsec_ and base64") from error
