"""What is going to happen when, in virtual time: the clock jumps from one thing to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, at midnight


@dataclass(slots=True)
class Agenda:
    """Things to do, in the order of their time; those of one microsecond in the order in which they were put down."""

    _us: int = 0
    _things: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._us / 1e6

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return START + timedelta(microseconds=self._us)

    def at(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        """Do it so many seconds after the start, or now if that is over."""
        heappush(self._things, (max(round(seconds * 1e6), self._us), next(self._numbers), action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        """Do it so many seconds from now."""
        self.at(self.seconds + seconds, action, *arguments)

    def next(self, until_seconds: float) -> Callable[[], None] | None:
        """Go to the time of the next thing, and return it to be done; None when its time is after that."""
        if not self._things or self._things[0][0] > until_seconds * 1e6:
            return None
        self._us, _, action, arguments = heappop(self._things)
        return partial(action, *arguments)
