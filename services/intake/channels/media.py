"""Fetching one file that a message points to, from its provider or from where the provider sends us."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from email.message import Message
from typing import TypeVar

import httpx

from services.intake.channels.clean import clean_line
from services.intake.domain.delivery import NotNow, Refused
from services.intake.domain.media import Fetched, FetchOutcome
from services.intake.guarded_http import Forbidden

REDIRECTS_CAP = 3
OPAQUE = "application/octet-stream"
# Words that may change: the provider does not have it yet, does not know us yet, or is busy.
_MAY_PASS = frozenset({401, 403, 404, 408, 409, 423, 425, 429})
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Credentials:
    """As whom to ask the provider, and nobody else: its origin is that of `base_url`."""

    base_url: str
    user: str
    password: str

    def for_url(self, url: httpx.URL) -> dict[str, str]:
        """The header for this URL; none where it is another origin (RFC 6454, 4)."""
        own = httpx.URL(self.base_url)
        if (own.scheme, own.raw_host, _port(own)) != (url.scheme, url.raw_host, _port(url)):
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()}


async def fetch(client: httpx.AsyncClient, url: str, credentials: Credentials | None, most_bytes: int) -> FetchOutcome:
    """Fetch it once with a guarded client; redirects are followed, each as a URL of its own. Never raises: what happened is
    the outcome.
    """
    return await attempted(_fetched(client, url, credentials, most_bytes))


async def attempted(fetching: Awaitable[Got]) -> Got | Refused | NotNow:
    """What an attempt with a guarded client came to, when it may also have come to nothing on its way."""
    try:
        return await fetching
    except Forbidden as refused:
        return Refused(refused.code)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError):
        return Refused("url-not-usable")
    except httpx.TimeoutException:
        return NotNow("too-slow")
    except httpx.HTTPError:
        return NotNow("broke-off")


async def whole(response: httpx.Response, most_bytes: int) -> bytes | Refused | NotNow:
    """All that a good response brings, as it came over the wire and no more than `most_bytes` of it."""
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return Refused("encoded")
    told = response.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and (len(told) > 15 or int(told) > most_bytes):
        return Refused("too-large")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most_bytes:
            return Refused("too-large")
    return bytes(content) if content else NotNow("empty")


async def _fetched(client: httpx.AsyncClient, url: str, credentials: Credentials | None, most_bytes: int) -> FetchOutcome:
    target = httpx.URL(url)
    for _ in range(REDIRECTS_CAP + 1):
        if target.userinfo:
            return Refused("url-with-credentials")
        # What is encoded could become a thousand times as large before it is counted.
        headers = {"Accept-Encoding": "identity", "User-Agent": "Patchbay"}
        headers |= credentials.for_url(target) if credentials is not None else {}
        async with client.stream("GET", target, headers=headers, follow_redirects=False) as response:
            if not response.has_redirect_location:
                return await _taken(response, most_bytes)
            target = target.join(response.headers["location"])
    return Refused("too-many-redirects")


async def _taken(response: httpx.Response, most_bytes: int) -> FetchOutcome:
    status = response.status_code
    if status != 200:
        final = 400 <= status < 500 and status not in _MAY_PASS
        return Refused(f"http-{status}") if final else NotNow(f"http-{status}")
    content = await whole(response, most_bytes)
    return Fetched(_media_type(response), content, _name(response)) if isinstance(content, bytes) else content


def _media_type(response: httpx.Response) -> str:
    said = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return said if _MEDIA_TYPE.fullmatch(said) else OPAQUE


def _name(response: httpx.Response) -> str:
    header = Message()
    header["Content-Disposition"] = clean_line(response.headers.get("content-disposition", ""), 1000)
    return clean_line(header.get_filename() or "")


def _port(url: httpx.URL) -> int:
    return url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
