"""Bodies as large as a mail: how large one may be, how long it may take to come, and how much of all is held at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from services.intake.held_bytes import AT_ONCE, Room, Share
from shared.http import Problem
from shared.telemetry import log

# Postmark says a mail twice when asked for the raw one: as it came, and its files in Base64 once more. What providers say beside
# a mail, and what JSON and forms make of a character here and there, is in the half, and in BESIDE_BYTES where a mail is small.
TIMES_THE_MAIL = 2.5
BESIDE_BYTES = 2 * 2**20
READ_SECONDS = 90.0  # Postmark itself gives up after two minutes


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
        share = Share(self.room)
        try:
            yield await self._read(request, share, too_large)
        finally:
            share.give_back()

    async def _read(self, request: Request, share: Share, too_large: int) -> bytes:
        body, length = bytearray(), request.headers.get("content-length", "")
        try:
            async with asyncio.timeout(self.read_seconds):
                self._check(int(length) if length.isdecimal() else 0, too_large)
                async for chunk in request.stream():
                    body += chunk
                    self._check(len(body), too_large)
                    if not share.grow(len(body)):  # by what came: whoever only says how much will come holds nothing
                        raise _later("overloaded", "Other large mails are coming in. Send it again.")
        except TimeoutError:
            raise _later("too-slow", "The body did not come in time. Send it again.") from None
        return bytes(body)

    def _check(self, size: int, too_large: int) -> None:
        if size > self.most_bytes:
            log().error("body refused", reason="too large", most_bytes=self.most_bytes)
            detail = f"The body is larger than {self.most_bytes} bytes. PATCHBAY_SMTP_MAX_BYTES says how large a mail may be."
            raise Problem(too_large, "too-large", detail)


def _later(code: str, detail: str) -> Problem:
    return Problem(503, code, detail, headers={"Retry-After": "20"})
