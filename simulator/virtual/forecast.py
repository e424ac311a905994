"""What the estimators say to those who begin to wait in a virtual day, held against how long they then wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from services.routing.domain import estimates
from services.routing.domain.agents import eligible, units_of
from services.routing.domain.estimates import ESTIMATORS, Estimate, Place, Queue, Seen
from services.routing.domain.scores import Score, score
from services.routing.domain.work import Visit, Work
from shared.events.config import EstimatorName
from simulator.virtual.house import House

COUNTED_FOR_SECONDS = 60.0


@dataclass(slots=True)
class Told:
    """What one contact was told when it began to wait, and how long it did; None while it does, and when no agent came."""

    place: Place
    estimates: dict[EstimatorName, Estimate]
    at: datetime
    waited_seconds: float | None = None


@dataclass(slots=True)
class Forecast:
    """What was seen of each lane: of those whom the same agents take."""

    told: dict[str, Told] = field(default_factory=dict)
    _seen: dict[str, Seen] = field(default_factory=dict)
    _servers: dict[str, tuple[datetime, int]] = field(default_factory=dict)

    def ask(self, house: House, work: Work) -> None:
        """Somebody begins to wait."""
        visit = work.visit
        assert visit is not None
        head = house.lines.head(visit.lane)
        oldest = house.works[head].visit if head is not None else None
        queue = Queue(
            servers=self._count(house, visit.lane, work),
            oldest_waits_seconds=_seconds(oldest, house.now) if oldest is not None else None,
        )
        place, seen = Place(house.lines.ahead(work.id), _seconds(visit, house.now)), self._seen.get(visit.lane, Seen())
        said = {name: estimate(seen, queue, place, house.now) for name, estimate in ESTIMATORS.items()}
        self.told[work.id] = Told(place, said, house.now)

    def started(self, lane: str, ticket_id: str, waited_seconds: float, now: datetime) -> None:
        """An agent has it."""
        self._seen[lane] = estimates.started(self._seen.get(lane, Seen()), waited_seconds, now)
        told = self.told.get(ticket_id)
        if told is not None:
            told.waited_seconds = (now - told.at).total_seconds()

    def left(self, lane: str, waited_seconds: float) -> None:
        """Somebody lost patience."""
        self._seen[lane] = estimates.abandoned(self._seen.get(lane, Seen()), waited_seconds)

    def handled(self, lane: str, seconds: float) -> None:
        """An agent is through with one."""
        self._seen[lane] = estimates.handled(self._seen.get(lane, Seen()), seconds)

    def scores(self) -> dict[EstimatorName, Score]:
        """What each estimator was worth."""
        total = dict.fromkeys(ESTIMATORS, Score())
        for told in self.told.values():
            for name, estimate in told.estimates.items():
                total[name] += score(estimate, told.waited_seconds)
        return total

    def _count(self, house: House, lane: str, work: Work) -> int:
        """How many tickets of this kind the agents who are there can have at once, counted anew each minute."""
        known = self._servers.get(lane)
        if known is not None and (house.now - known[0]).total_seconds() < COUNTED_FOR_SECONDS:
            return known[1]
        queue, language = house.queue_of(work), work.ticket.intake.language
        number = sum(
            agent.capacity_units // units_of(work.channel, agent)
            for agent in house.agents.values()
            if agent.state == "available" and eligible(agent, queue, language)
        )
        self._servers[lane] = house.now, number
        return number


def _seconds(visit: Visit, now: datetime) -> float:
    return (now - visit.entered_at).total_seconds()
