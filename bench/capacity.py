"""How many contacts a second a running system keeps up with: they come out at the other end as fast as they go in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.figures import Repeat
from bench.interleave import quick
from bench.lines.system import WARM_UP_PER_SECOND, WARM_UP_SECONDS, System
from bench.load import Job
from bench.requests import Target
from bench.world import load

CONNECTIONS = 128
SECONDS = 3.0
QUICK_SECONDS = 3.0
EASY, EASY_SECONDS = 10.0, 2.0
STEP = 1.15
STEPS_UP, STEPS_DOWN = 1, 6
KEPT_SHARE = 0.93
PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Capacity:
    """Of one running system. `also` is what else has to be done, as for `System.settled`, whose NotSettled all methods raise."""

    running: System
    target: Target
    also: Sequence[str] = ()
    warm_up_per_second: float = WARM_UP_PER_SECOND
    rate: float = 0.0
    number: int = 1
    lag: float = 0.0

    async def warm_up(self) -> None:
        """Find how long the last contacts take when there is next to nothing to do: that is no falling behind."""
        await self._through(self.warm_up_per_second, WARM_UP_SECONDS)
        self.lag = median([await self._through(EASY, EASY_SECONDS) - EASY_SECONDS for _ in range(3)])

    async def flood(self, contacts: int) -> Repeat:
        """So many contacts within a second: how many come out at the other end in a second, from the first to the last."""
        self.rate = contacts / await self._through(float(contacts), 1.0)
        return {"rate": self.rate}

    async def kept(self) -> Repeat:
        """The highest rate that is kept up with, by steps from the one found before: up while it is kept, else down."""
        if await self._keeps(self.rate):
            for _ in range(STEPS_UP):
                if not await self._keeps(self.rate * STEP):
                    break
                self.rate *= STEP
            return {"rate": self.rate}
        for _ in range(STEPS_DOWN):
            self.rate /= STEP
            if await self._keeps(self.rate):
                return {"rate": self.rate}
        return {"rate": 0.0}

    async def _keeps(self, rate: float) -> bool:
        """Whether the contacts come out as fast as they go in: all of them within hardly more than the time of the load."""
        seconds = QUICK_SECONDS if quick() else SECONDS
        return seconds / (await self._through(rate, seconds) - self.lag) >= KEPT_SHARE

    async def _through(self, rate: float, seconds: float) -> float:
        """Contacts at this rate: seconds from the first until nothing is left to do."""
        job = Job(mode="open", target=self.target, connections=CONNECTIONS, seconds=seconds, first=self.number, per_second=rate)
        outcome = await load(job)
        self.number = outcome.next
        return outcome.accepted / outcome.rate + await self.running.settled(PATIENCE_SECONDS, self.also)
