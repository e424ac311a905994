"""What Twilio's requests have in common: the signature over the raw form, and the form itself.

Signature (Twilio, "Validating Signatures from Twilio"): base64 of HMAC-SHA1, with the auth token as key, over the full URL
followed by each parameter's name and value, sorted; repeated values sorted and taken once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

PROVIDER = "twilio"
EMPTY_RESPONSE = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
PARAMS_CAP = 500
_PORTS = {"https": 443, "http": 80}

Pairs = Sequence[tuple[str, str]]


def form(raw: bytes) -> list[tuple[str, str]]:
    """The pairs of an urlencoded body (WHATWG URL, 5.1), empty values too. Raises ValueError when it is none."""
    text = raw.decode("utf-8")
    if text.count("&") >= PARAMS_CAP:
        raise ValueError("too many parameters")
    return [(_decoded(name), _decoded(value)) for name, _, value in (pair.partition("=") for pair in text.split("&") if pair)]


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " ")) if "%" in text or "+" in text else text


def single(pairs: Pairs) -> dict[str, str]:
    """Each parameter once; the first value counts."""
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value)
    return values


def signature(url: str, pairs: Pairs, token: str) -> str:
    """The signature of a request."""
    return _signature(url, _signed_part(pairs), token)


def is_signed(url: str, pairs: Pairs, given: str, tokens: Sequence[str]) -> bool:
    """Whether one of our tokens made this signature, over the URL with or without its port (proxies change that)."""
    told, part = given.encode("utf-8", "replace"), _signed_part(pairs)
    candidates = (_signature(variant, part, token) for token in tokens for variant in _variants(url))
    return any(hmac.compare_digest(candidate.encode(), told) for candidate in candidates)


def _signed_part(pairs: Pairs) -> str:
    return "".join(name + value for name, value in sorted(set(pairs)))


def _signature(url: str, part: str, token: str) -> str:
    return base64.b64encode(hmac.digest(token.encode(), (url + part).encode(), hashlib.sha1)).decode()


@lru_cache(maxsize=64)
def _variants(url: str) -> tuple[str, ...]:
    """The URL as it is given first: it is the one that Twilio was told, mostly."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else _host_as_written(parts.netloc)
    bare = urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}"))
    port = parts.port or _PORTS.get(parts.scheme, 443)
    return tuple(sorted((bare, urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}:{port}"))), key=lambda one: one != url))


def _host_as_written(netloc: str) -> str:
    """The host in the case it was written in: the signature is over the letters."""
    return netloc.rpartition("@")[2].partition(":")[0]


def content_hash(values: Mapping[str, str]) -> str:
    """What tells two requests about the same thing apart from two different ones: all that was said, whatever its order."""
    return hashlib.sha256("\n".join(f"{name}={values[name]}" for name in sorted(values)).encode("utf-8", "replace")).hexdigest()


def timestamp(values: Mapping[str, str]) -> datetime | None:
    """Twilio's own instant (`Timestamp`, RFC 2822)."""
    try:
        return parsedate_to_datetime(values["Timestamp"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
