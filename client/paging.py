"""Lists that come in pages, read to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of a list. `next_cursor` is where the next page begins, None on the last."""

    items: list[T]
    next_cursor: str | None = None


class Paged(Protocol[Item]):
    """What a list's page has."""

    @property
    def items(self) -> Sequence[Item]:
        """What is on it."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next begins."""


async def every(page_of: Callable[..., Awaitable[Paged[T]]], *names: str, **query: Any) -> AsyncIterator[T]:
    """All that a list has, page by page: `every(routing.list_queues)`, `every(sla.list_at_risk, within_seconds=600)`.

    What comes in between and lies ahead is in it. Raises ProblemError, NoAnswer.
    """
    cursor: str | None = None
    while True:
        page = await page_of(*names, **query, cursor=cursor)
        for item in page.items:
            yield item
        cursor = page.next_cursor
        if cursor is None:
            return
