"""Files that a message points to: how they are fetched from a provider that fails on purpose, and when again."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from services.intake.channels.media import Credentials, fetch
from services.intake.domain.delivery import NotNow, Refused
from services.intake.domain.media import BACK_OFF_SECONDS, Fetch, Fetched, FetchOutcome, judge
from services.intake.domain.reach import Reach
from services.intake.guarded_http import guarded_client
from shared.events.base import Attachment
from shared.events.message import AttachmentFailed, AttachmentFetched

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PICTURE = b"\x89PNG\r\n\x1a\n" + b"x" * 100


def response(status: int, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", "Connection: close", *headers, "", "")).encode() + body


def picture(*headers: str) -> bytes:
    return response(200, f"Content-Length: {len(PICTURE)}", "Content-Type: image/png", *headers, body=PICTURE)


@dataclass
class Provider:
    """Answers a path with what is set for it, in turn, the last one for ever; `endless` writes until it is left, `slow` a byte
    now and then.
    """

    answers: dict[str, list[bytes]] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    written: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split()[1]
            if path in ("/endless", "/slow"):
                await self._go_on(writer, 65536 if path == "/endless" else 1, 0 if path == "/endless" else 0.05)
            else:
                waiting = self.answers[path]
                writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _go_on(self, writer: asyncio.StreamWriter, size: int, pause: float) -> None:
        writer.write(response(200, "Content-Type: image/png"))
        while not writer.is_closing():
            writer.write(b"x" * size)
            self.written += size
            await writer.drain()
            await asyncio.sleep(pause)


@asynccontextmanager
async def provider(**answers: bytes | list[bytes]) -> AsyncIterator[Provider]:
    """One on a free port; the names of its paths have no slash."""
    played = Provider({f"/{path}": said if isinstance(said, list) else [said] for path, said in answers.items()})
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.port = server.sockets[0].getsockname()[1]
    try:
        yield played
    finally:
        server.close()


async def fetched(played: Provider, url: str, most: int = 1000, also: Sequence[str] = ()) -> FetchOutcome:
    credentials = Credentials(played.url, "AC1", "token")
    async with guarded_client(Reach.of([], [f"127.0.0.1:{played.port}", *also])) as client:
        return await fetch(client, url, credentials, most)


async def test_a_file_is_fetched_as_the_provider_has_it() -> None:
    async with provider(a=picture('Content-Disposition: inline; filename="a b.png"')) as played:
        assert await fetched(played, f"{played.url}/a") == Fetched("image/png", PICTURE, "a b.png")
    assert f"Basic {base64.b64encode(b'AC1:token').decode()}" in played.heads[0]


@pytest.mark.parametrize("said", ["text/html\x00", "nonsense", "", "IMAGE/PNG; charset=x", "a/b/c", "image/png,text/html"])
async def test_a_type_is_one_or_none(said: str) -> None:
    answer = response(200, "Content-Length: 1", *([f"Content-Type: {said}"] if "\x00" not in said else []), body=b"x")
    async with provider(a=answer) as played:
        got = await fetched(played, f"{played.url}/a")
    assert isinstance(got, Fetched)
    assert got.media_type == ("image/png" if said.startswith("IMAGE") else "application/octet-stream")


async def test_a_redirect_is_followed_and_the_credentials_stay_with_the_provider() -> None:
    async with provider(b=picture()) as other, provider() as played:
        played.answers["/a"] = [response(307, f"Location: http://127.0.0.1:{other.port}/b")]
        got = await fetched(played, f"{played.url}/a", also=[f"127.0.0.1:{other.port}"])
        assert isinstance(got, Fetched)
        assert "authorization" in played.heads[0].lower()
        assert "authorization" not in other.heads[0].lower()


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "scheme-not-allowed"),
        ("https://169.254.169.254/latest/meta-data/", "host-not-allowed"),
        ("http://127.0.0.1/", "scheme-not-allowed"),
        ("https://127.0.0.1/", "host-not-allowed"),
        ("//[::1]:1/", "scheme-not-allowed"),
        ("file:///etc/passwd", "scheme-not-allowed"),
        ("gopher://127.0.0.1:6379/_x", "scheme-not-allowed"),
        ("https://user:secret@127.0.0.1/", "url-with-credentials"),
        ("https://elsewhere.example/", "host-not-allowed"),
        ("http://[", "scheme-not-allowed"),
        ("/a", "too-many-redirects"),
    ],
)
async def test_a_redirect_to_anywhere_else_is_the_end(location: str, code: str) -> None:
    async with provider(a=response(302, f"Location: {location}")) as played:
        assert await fetched(played, f"{played.url}/a") == Refused(code)


@pytest.mark.parametrize("url", ["", "nonsense", "javascript:1", "http://", "https://[::1", "https://a b/", "//x/y"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    async with provider() as played:
        assert isinstance(await fetched(played, url), Refused)
    assert played.heads == []


async def test_an_endless_file_is_left_soon() -> None:
    async with provider() as played:
        assert await fetched(played, f"{played.url}/endless", most=100_000) == Refused("too-large")
    assert played.written < 5_000_000, "what the sockets hold, and no more"


async def test_a_file_that_says_it_is_too_large_is_not_read() -> None:
    for length in ("1001", "9" * 16):
        async with provider(a=response(200, f"Content-Length: {length}", body=b"x")) as played:
            assert await fetched(played, f"{played.url}/a") == Refused("too-large")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (response(200, "Content-Length: 500", body=b"short"), NotNow("broke-off")),
        (response(200, "Content-Length: -1", body=b"x"), NotNow("broke-off")),
        (response(200, "Content-Length: 0"), NotNow("empty")),
        (response(200, "Content-Length: 3", "Content-Encoding: gzip", body=b"\x1f\x8b\x08"), Refused("encoded")),
        (b"nonsense\r\n\r\n", NotNow("broke-off")),
        (b"", NotNow("broke-off")),
        (response(404), NotNow("http-404")),
        (response(401), NotNow("http-401")),
        (response(500), NotNow("http-500")),
        (response(503), NotNow("http-503")),
        (response(429), NotNow("http-429")),
        (response(304), NotNow("http-304")),
        (response(410), Refused("http-410")),
        (response(400), Refused("http-400")),
    ],
)
async def test_what_may_pass_is_tried_again_and_what_will_not_is_over(answer: bytes, outcome: FetchOutcome) -> None:
    async with provider(a=answer) as played:
        assert await fetched(played, f"{played.url}/a") == outcome


FETCH = Fetch("a1", "m1", "https://x.example/", 1)


@pytest.mark.parametrize("attempt", range(1, len(BACK_OFF_SECONDS) + 1))
def test_each_attempt_waits_longer_than_the_one_before(attempt: int) -> None:
    verdict = judge(Fetch("a1", "m1", "u", attempt), NotNow("http-404"), NOW)
    assert verdict.fact is None
    assert verdict.due_at is not None
    assert (verdict.due_at - NOW).total_seconds() == BACK_OFF_SECONDS[attempt - 1]
    assert list(BACK_OFF_SECONDS) == sorted(set(BACK_OFF_SECONDS))


def test_after_the_last_attempt_it_has_failed_and_what_is_refused_fails_at_once() -> None:
    last = len(BACK_OFF_SECONDS) + 1
    given_up = AttachmentFailed(message_id="m1", attachment_id="a1", code="http-404", attempts=last)
    assert judge(Fetch("a1", "m1", "u", last), NotNow("http-404"), NOW).fact == given_up
    refused = AttachmentFailed(message_id="m1", attachment_id="a1", code="too-large", attempts=1)
    assert judge(FETCH, Refused("too-large"), NOW).fact == refused


def test_a_file_that_came_is_told() -> None:
    file = Attachment(id="a1", media_type="image/png", size_bytes=1, sha256="0")
    assert judge(FETCH, file, NOW).fact == AttachmentFetched(message_id="m1", attachment=file)
