"""Product and baseline by turns, so that a machine that gets slower or faster does so for both."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from math import inf

from bench.figures import Repeat
from bench.progress import tell

Measure = Callable[[], Awaitable[Repeat]]
REPEATS = 5
QUICK_REPEATS = 2


def quick() -> bool:
    """Whether BENCH_QUICK asks for a short run that shows that everything works, not for figures to quote."""
    return os.environ.get("BENCH_QUICK", "") not in ("", "0")


def repeats() -> int:
    """How often each side is measured."""
    return QUICK_REPEATS if quick() else REPEATS


async def interleaved(what: str, baseline: Measure, product: Measure) -> tuple[list[Repeat], list[Repeat]]:
    """Baseline, product, baseline, product …: (the product's repeats, the baseline's repeats)."""
    products, baselines = [], []
    for turn in range(1, repeats() + 1):
        tell(f"{what}: baseline, {turn} of {repeats()}")
        baselines.append(await baseline())
        tell(f"{what}: {turn} of {repeats()}")
        products.append(await product())
    return products, baselines


async def repeated(what: str, product: Measure, at_most_seconds: float = inf) -> list[Repeat]:
    """A product for which there is no baseline, as often; no new repeat begins after so many seconds."""
    found: list[Repeat] = []
    began = time.monotonic()
    for turn in range(1, repeats() + 1):
        if found and time.monotonic() - began > at_most_seconds:
            break
        tell(f"{what}: {turn} of {repeats()}")
        found.append(await product())
    return found
