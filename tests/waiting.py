"""Waiting for an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(what: str, condition: Callable[[], Awaitable[bool] | bool], seconds: float = 30.0) -> None:
    """Wait for an outcome. Raises TimeoutError that names it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                outcome = condition()
                if await outcome if isinstance(outcome, Awaitable) else outcome:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {seconds:.0f} s") from None
