"""One running system for many tests of faults: starting one takes as long as several faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import moving_clock
from tests.faults.house import House, open_house
from tests.infra import LocalKafka, LocalPostgres


@dataclass
class Houses:
    """A house for each test: the one before, as long as it is whole."""

    kafka: LocalKafka
    postgres: LocalPostgres
    template: str
    folder: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    house: House | None = None
    opened: int = 0

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[House]:
        """The house to let the next fault loose on. One in which a promise was broken is not used again: what the next test
        found there would say nothing.
        """
        if self.house is None:
            self.opened += 1
            database = await self.stack.enter_async_context(moving_clock.fresh(self.postgres.url, self.template))
            folder = self.folder / str(self.opened)
            folder.mkdir()
            self.house = await self.stack.enter_async_context(open_house(self.kafka, self.postgres, database, folder))
        try:
            yield self.house
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """The next test gets a new one."""
        self.house = None
        await self.stack.aclose()
