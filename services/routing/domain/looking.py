"""Which agents a pass looks at: the few who are first in turn, and more of them only where that may matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from services.routing.domain.agents import ANY_LANGUAGE, EVERYBODY, Spoken, needs
from services.routing.domain.choice import BY_IDLE_TIME, counted
from services.routing.domain.match import Decided, Pair
from services.routing.domain.steps import asked, at_step
from services.routing.domain.work import Work
from shared.events.config import QueueConfigured, Strategy


class Needed(NamedTuple):
    """Whom tickets that wait may be offered to: agents of any of the teams who have all the abilities, in the order of the
    strategy; the best of them has most of what is `counted`.
    """

    strategy: Strategy
    teams: tuple[str, ...]
    needs: tuple[str, ...]
    counted: tuple[str, ...]


class Wanted(NamedTuple):
    """A language that tickets of a queue ask for, and who serves the queue at last: agents of any of the teams who have all the
    abilities, of this partner (or ours).
    """

    queue: str
    language: str
    teams: tuple[str, ...]
    needs: tuple[str, ...]
    partner: str | None


@dataclass(slots=True)
class Look:
    """The tickets of a pass, each with its queue as it asks for it; and those who were found to be first in turn."""

    works: Sequence[Work]
    asked: Mapping[str, QueueConfigured]
    first: set[str] = field(default_factory=set)
    cut: bool = False

    @classmethod
    def at(cls, works: Sequence[Work], queues: Mapping[str, QueueConfigured], now: datetime) -> Look:
        """What the tickets ask for now."""
        look = cls(works, {})
        look.ask(queues, now, frozenset())
        return look

    def ask(self, queues: Mapping[str, QueueConfigured], now: datetime, unspoken: Set[Spoken]) -> None:
        """They ask for what they ask now, and for none of the languages that nobody speaks."""
        visits = [(work, work.visit) for work in self.works if work.visit is not None and work.visit.queue_id in queues]
        self.asked = {work.id: asked(queues[visit.queue_id], work, visit, now, unspoken).queue for work, visit in visits}

    def preferred(self) -> set[str]:
        """The agents who had the tickets last."""
        return {work.visit.preferred for work in self.works if work.visit is not None and work.visit.preferred is not None}

    def saw(self, agent_ids: set[str], at_most: int) -> None:
        """These were found in the order of their turn, where at most so many of a kind were asked for."""
        self.first |= agent_ids
        self.cut = len(agent_ids) >= at_most

    def in_turn(self) -> list[Work]:
        """The tickets for which the longest idle are not the first to be asked."""
        return [work for work in self.works if work.id in self.asked and not self._by_idle_time(work)]

    def unsettled(self, decided: Decided) -> list[Work]:
        """The tickets that have nobody and are not kept, or somebody before whom others who were not looked at may come."""
        paired = {pair.ticket_id: pair.agent_id for pair in decided.pairs}
        asking = [work for work in self.works if work.id not in decided.kept]
        return [work for work in asking if work.id not in paired or self._doubtful(work, paired[work.id])]

    def apart(self, pairs: Iterable[Pair]) -> bool:
        """Whether each ticket for which idle time decides has an agent of its own: else somebody further away may be free."""
        by_idle_time = {work.id for work in self.works if self._by_idle_time(work)}
        agents = [pair.agent_id for pair in pairs if pair.ticket_id in by_idle_time]
        return len(set(agents)) == len(agents)

    def needed(self, works: Iterable[Work]) -> set[Needed]:
        """What these tickets ask of an agent."""
        visits = [(self.asked[work.id], work.ticket.intake.language) for work in works if work.id in self.asked]
        return {Needed(q.strategy, teams_of(q), needs(q, language), counted(q, language)) for q, language in visits}

    def _by_idle_time(self, work: Work) -> bool:
        queue = self.asked.get(work.id)
        return queue is None or queue.strategy in BY_IDLE_TIME

    def _doubtful(self, work: Work, agent_id: str) -> bool:
        preferred = work.visit is not None and work.visit.preferred == agent_id
        return self.cut and not self._by_idle_time(work) and agent_id not in self.first and not preferred


def languages_wanted(works: Iterable[Work], queues: Mapping[str, QueueConfigured]) -> set[Wanted]:
    """The languages that these tickets ask for."""
    visits = [(work, queues[work.visit.queue_id]) for work in works if work.visit and work.visit.queue_id in queues]
    asking = {(work.ticket.intake.language, queue.id) for work, queue in visits if queue.skill_by_language}
    return {_wanted(language, queues[queue_id]) for language, queue_id in asking if language != ANY_LANGUAGE}


def _wanted(language: str, queue: QueueConfigured) -> Wanted:
    widest = at_step(queue, len(queue.steps))
    return Wanted(queue.id, language, teams_of(widest), needs(widest, ANY_LANGUAGE), queue.partner_id)


def teams_ever(queues: Iterable[QueueConfigured]) -> set[str]:
    """The teams who serve these queues at first, and those who do at last."""
    return {team for queue in queues for step in (0, len(queue.steps)) for team in teams_of(at_step(queue, step))}


def teams_of(queue: QueueConfigured) -> tuple[str, ...]:
    """The teams who serve the queue."""
    return tuple(sorted(queue.team_ids)) or (EVERYBODY,)
