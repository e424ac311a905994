"""Waiting with an end. Not `asyncio.wait_for`: before Python 3.12 it may swallow a cancellation that comes as the wait ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def within(awaited: Awaitable[Result], seconds: float) -> Result:
    """What is awaited, if it comes within so many seconds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        return await awaited
