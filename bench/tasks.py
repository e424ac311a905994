"""Ending what a bench runs beside itself."""

from __future__ import annotations

import asyncio

from bench.world import BenchFailed

TRY_SECONDS = 3.0
TRIES = 5


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel and wait, again if need be: `asyncio.wait_for` of Python 3.11 forgets a cancellation that comes at the very
    moment its awaitable is done (https://github.com/python/cpython/issues/86296). Raises BenchFailed, and what a task raised.
    """
    for _ in range(TRIES):
        for task in tasks:
            task.cancel()
        _, running = await asyncio.wait(tasks, timeout=TRY_SECONDS)
        if not running:
            break
    else:
        raise BenchFailed("a task that was cancelled did not end")
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error
