"""Product and baseline by turns, so that a machine that gets slower or faster does so for both."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from bench.figures import Repeat

Measure = Callable[[], Awaitable[Repeat]]
REPEATS = 5
QUICK_REPEATS = 2


def quick() -> bool:
    """Whether BENCH_QUICK asks for a short run that shows that everything works, not for figures to quote."""
    return os.environ.get("BENCH_QUICK", "") not in ("", "0")


def repeats() -> int:
    """How often each side is measured."""
    return QUICK_REPEATS if quick() else REPEATS


async def interleaved(baseline: Measure, product: Measure, times: int | None = None) -> tuple[list[Repeat], list[Repeat]]:
    """Baseline, product, baseline, product …: (the product's repeats, the baseline's repeats)."""
    products, baselines = [], []
    for _ in range(times or repeats()):
        baselines.append(await baseline())
        products.append(await product())
    return products, baselines


async def repeated(product: Measure, times: int | None = None) -> list[Repeat]:
    """A product for which there is no baseline, several times."""
    return [await product() for _ in range(times or repeats())]
