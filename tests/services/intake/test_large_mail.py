"""Mails of the largest size: taken whichever way they come, and read beside the event loop, which goes on turning."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

from fastapi.routing import APIRoute

from services.intake.__main__ import PARTS, PROVIDERS
from services.intake.api.mail_providers import SIGNED_INSIDE_BYTES
from services.intake.mail import MailTaker
from services.intake.store.parked import Arrival
from shared.events.message import MessageReceived
from tests.services.intake import provider_requests as ask
from tests.services.intake.world import World, process

MOST = 25_000_000  # by default the largest mail taken
FILES = 100
SUPPORT = "support@patchbay.example"
HEAD = (
    "From: Ana Pop <ana@customers.example>\r\n"
    f"To: {SUPPORT}\r\n"
    "Subject: Everything\r\n"
    "Date: Sun, 01 Mar 2026 10:00:00 +0200\r\n"
    "Message-ID: <large@customers.example>\r\n"
    "MIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n'
    "\r\n"
    "--b\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "\r\n"
    "Here is all of it.\r\n"
)


def headers_of(n: int) -> str:
    """Of a file."""
    named = f'Content-Type: image/png\r\nContent-Disposition: attachment; filename="{n}.png"\r\n'
    return f"--b\r\n{named}Content-Transfer-Encoding: base64\r\n\r\n"


@cache
def file_content() -> bytes:
    """Of one of the files, so that with all of them the mail is as large as it may be."""
    lines = (MOST - len(HEAD) - FILES * (len(headers_of(FILES)) + 2)) // FILES // 78
    return random.Random(1).randbytes(57 * lines)


@cache
def large_mail() -> bytes:
    """As it comes by SMTP."""
    content = base64.encodebytes(file_content()).replace(b"\n", b"\r\n")
    mail = HEAD.encode() + b"".join(headers_of(n).encode() + content for n in range(FILES)) + b"--b--\r\n"
    assert MOST * 0.99 < len(mail) <= MOST
    return mail


@dataclass
class Turns:
    """For how long the event loop stood still at most, and how long it was watched, in seconds."""

    longest: float = 0.0
    took: float = 0.0

    @property
    def went_on(self) -> bool:
        """It stood still for a part of the time only: who read the mail on the loop would hold it for most of it."""
        return self.longest < self.took / 3


@asynccontextmanager
async def watched() -> AsyncIterator[Turns]:
    """Watch how the loop turns meanwhile."""
    turns, loop = Turns(), asyncio.get_running_loop()
    begun = last = loop.time()

    def turned() -> None:
        nonlocal last
        turns.longest, last = max(turns.longest, loop.time() - last), loop.time()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            turned()

    ticking = asyncio.create_task(tick())
    try:
        yield turns
    finally:
        turned()
        turns.took = loop.time() - begun
        ticking.cancel()


def stand_still() -> None:
    time.sleep(0.1)


async def test_a_loop_that_stands_still_is_seen() -> None:
    async with watched() as still:
        await asyncio.sleep(0.02)
        stand_still()
    async with watched() as turning:
        await asyncio.to_thread(stand_still)
    assert (still.went_on, turning.went_on) == (False, True), (still, turning)


async def test_a_mail_of_25_mb_with_a_hundred_files_is_read_while_the_loop_goes_on_turning(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    inbox = world.intake.inboxes.current.at("email", SUPPORT)
    assert inbox is not None
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
    arrival = Arrival("smtp", large_mail(), "ana@customers.example", (SUPPORT,))
    async with watched() as turns:
        placement = await taker.take(arrival, inbox)
    assert placement is not None
    assert turns.went_on, turns
    [received] = await world.events(MessageReceived)
    assert len(received.data.attachments) == FILES


async def test_postmark_brings_it_whole_and_taken_apart_in_one_body_of_twice_its_size(database: str) -> None:
    content = base64.b64encode(file_content()).decode()
    files = [{"Name": f"{n}.png", "ContentType": "image/png", "Content": content} for n in range(FILES)]
    whole = large_mail().decode()
    posted = ask.postmark({"OriginalRecipient": SUPPORT, "TextBody": "All of it.", "RawEmail": whole, "Attachments": files})
    assert len(posted.body) > 1.99 * MOST
    async with process(database, **ask.settings()) as world:
        await world.inbox("support", channel="email", address=SUPPORT)
        async with watched() as turns:
            answer = await posted.to(world.http)
        assert answer.status_code == 200, answer.text
        assert turns.went_on, turns
        [received] = await world.events(MessageReceived)
        assert (received.data.provider, len(received.data.attachments)) == ("postmark", FILES)
        assert world.intake.bodies.room.held == 0


# Of each provider, of a body that proves nothing: its type, and the answer to one of the largest size and to one byte more.
LIMITS = {"mailgun": (ask.FORM, 406, 413), "sendgrid": (ask.JSON, 403, 503), "postmark": (ask.JSON, 200, 413)}


async def test_a_byte_more_than_the_largest_is_refused_with_the_code_on_which_the_provider_tries_again(database: str) -> None:
    async with process(database, smtp_max_bytes=10_000, **ask.settings()) as world:
        most = world.intake.bodies.most_bytes
        for provider, (kind, *statuses) in LIMITS.items():
            assert await _at_the_limit(world, provider, kind, most) == statuses, provider


async def test_of_json_that_has_to_be_read_to_find_who_signed_it_no_more_is_read_than_such_requests_have(database: str) -> None:
    async with process(database, **ask.settings()) as world:
        assert world.intake.bodies.most_bytes > 20 * SIGNED_INSIDE_BYTES
        assert await _at_the_limit(world, "mailgun", ask.JSON, SIGNED_INSIDE_BYTES) == [406, 413]
        assert await _at_the_limit(world, "ses", ask.JSON, SIGNED_INSIDE_BYTES) == [403, 413]


async def _at_the_limit(world: World, provider: str, kind: Mapping[str, str], most: int) -> list[int]:
    """What is said to a body that is as large as may be, and to one that is a byte larger."""
    headers = {"Authorization": ask.basic(ask.CREDENTIAL), **kind}
    url = f"/v1/providers/{provider}/inbound"
    answers = [await world.http.post(url, content=b"{}".ljust(most + n), headers=headers) for n in (0, 1)]
    assert answers[1].json()["code"] == "too-large"
    return [answer.status_code for answer in answers]


async def test_each_route_of_providers_reads_no_more_than_such_requests_have(database: str) -> None:
    paths = {route.path for part in PARTS for route in part.router.routes if isinstance(route, APIRoute)}
    headers = {"Authorization": ask.basic(ask.CREDENTIAL), **ask.JSON}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 2**16
        raise AssertionError("it is read to its end")

    async with process(database, smtp_max_bytes=10_000, **ask.settings()) as world:
        asked = sorted(path for path in paths if path.startswith(PROVIDERS))
        assert len(asked) >= 12
        for path in asked:
            answer = await world.http.post(path, content=endless(), headers=headers)
            assert (answer.status_code in (413, 503), answer.json()["code"]) == (True, "too-large"), path
