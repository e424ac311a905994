"""Bodies of requests that nobody has proven yet: how large one may be, how long it may take to come, and how much of all is held
at a time, also of those that are as large as a mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.intake.held_bytes import AT_ONCE, Room, Share
from shared.http import Problem
from shared.telemetry import log

# Postmark says a mail twice when asked for the raw one: as it came, and its files in Base64 once more. What providers say beside
# a mail, and what JSON and forms make of a character here and there, is in the half, and in BESIDE_BYTES where a mail is small.
TIMES_THE_MAIL = 2.5
BESIDE_BYTES = 2 * 2**20
READ_SECONDS = 90.0  # Postmark itself gives up after two minutes
SMALL_SECONDS = 60.0
# Of small bodies so much is held at a time; what SNS and Twilio bring at most, 256 KiB, is never put off, for they soon give up.
SMALL_AT_ONCE_BYTES = 64 * 2**20
UNCOUNTED_BYTES = 320 * 2**10


@dataclass(slots=True)
class LargeBodies:
    """Those that this process holds. `most_bytes`: of one."""

    most_bytes: int
    room: Room
    read_seconds: float = READ_SECONDS

    @classmethod
    def of_mails(cls, mail_bytes: int) -> LargeBodies:
        """As mail providers post mails of up to so many bytes."""
        most = BESIDE_BYTES + int(TIMES_THE_MAIL * mail_bytes)
        return cls(most, Room(AT_ONCE * most))

    @asynccontextmanager
    async def of(self, request: Request, *, too_large: int) -> AsyncIterator[bytes]:
        """The body of a request, held until the end of the block. Raises Problem: with the status `too_large`, before all of it
        is read; 503 when no more can be held just now, or it does not come.
        """
        share, length = Share(self.room), request.headers.get("content-length", "")
        check = partial(self._check, too_large=too_large)
        check(int(length) if length.isdecimal() else 0)
        try:
            yield await read(request, share, self.read_seconds, check)
        finally:
            share.give_back()

    def _check(self, size: int, too_large: int) -> None:
        if size > self.most_bytes:
            log().error("body refused", reason="too large", most_bytes=self.most_bytes)
            detail = f"The body is larger than {self.most_bytes} bytes. PATCHBAY_SMTP_MAX_BYTES says how large a mail may be."
            raise Problem(too_large, "too-large", detail)


@dataclass(slots=True)
class SmallBodies:
    """Those that this process reads of requests of which it is not known yet who sends them."""

    room: Room
    read_seconds: float = SMALL_SECONDS

    @classmethod
    def of_all(cls) -> SmallBodies:
        """As forms, Twilio and SNS post them."""
        return cls(Room(SMALL_AT_ONCE_BYTES, small_bytes=UNCOUNTED_BYTES))

    async def of(self, request: Request, most_bytes: int) -> bytes:
        """The body of a request, counted while it comes. Raises Problem: 413 before more of it is read than such requests have;
        503 when no more can be held just now, or it does not come.
        """
        share = Share(self.room)

        def check(size: int) -> None:
            if size > most_bytes:
                raise Problem(413, "too-large", f"The body is larger than {most_bytes} bytes; send less at once.")

        try:
            return await read(request, share, self.read_seconds, check)
        finally:
            share.give_back()


async def read(request: Request, share: Share, seconds: float, check: Callable[[int], None]) -> bytes:
    """The body as far as `check` lets it come. Raises what that raises, and Problem."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                check(len(body))
                if not share.grow(len(body)):  # by what came: whoever only says how much will come holds nothing
                    raise _later("overloaded", "Other large requests are coming in. Send it again.")
    except TimeoutError:
        raise _later("too-slow", "The body did not come in time. Send it again.") from None
    except ClientDisconnect:
        raise Problem(400, "cut-off", "The connection ended before all of the body had come.") from None
    return bytes(body)


def _later(code: str, detail: str) -> Problem:
    return Problem(503, code, detail, headers={"Retry-After": "20"})
