"""What a change of the configuration would do to the tickets and agents that there are, without doing it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.routing.domain import lifecycle, sending
from services.routing.domain.agents import ANY_LANGUAGE, Agent, Spoken, eligible, lacks
from services.routing.domain.configuration import Configuration
from services.routing.domain.escalating import NOTHING_PROMISED, Promised, raises
from services.routing.domain.foreseen import Foreseen
from services.routing.domain.lifecycle import NO_QUEUE
from services.routing.domain.queues import came_as, choose, elsewhere, last_of
from services.routing.domain.steps import asked, at_step
from services.routing.domain.work import CameAs, Visit, Work
from shared.events.config import QueueConfigured

NAMED = 20  # of each kind, by id
Lane = tuple[str, int, str]  # a queue, how many of its steps are reached, and the language that it asks for ("*": none)
NOBODY: frozenset[str] = frozenset()
NO_WAITS: Mapping[str, Foreseen] = {}


class Move(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket would go on waiting in another queue, be it that a step sends it on; `rule_id`: sent up by this rule."""

    ticket_id: str
    from_queue_id: str
    to_queue_id: str
    rule_id: str | None = None


class Moves(msgspec.Struct, frozen=True):
    """How many, and the first of them."""

    count: int = 0
    first: tuple[Move, ...] = ()


class Tickets(msgspec.Struct, frozen=True):
    """How many, and the ids of the first of them."""

    count: int = 0
    ticket_ids: tuple[str, ...] = ()


class Loss(msgspec.Struct, frozen=True):
    """An agent, and how many of the tickets that wait could no longer be offered to them."""

    agent_id: str
    tickets: int


class Losses(msgspec.Struct, frozen=True):
    """How many agents, and those who would lose most."""

    count: int = 0
    first: tuple[Loss, ...] = ()


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """Of the `waiting` tickets: those that go elsewhere (`moved`), wait in a queue that is gone and find none (`stranded`), are
    taken by a queue for the first time (`placed`); those that some agent could be offered and nobody could before, or the other
    way round, whoever is there just now; the agents who could be offered fewer; and what is offered to agents who would not be
    offered it any more: they may still accept, unless they are no longer active.
    """

    waiting: int = 0
    moved: Moves = Moves()
    stranded: Tickets = Tickets()
    placed: Tickets = Tickets()
    matchable: Tickets = Tickets()
    unmatchable: Tickets = Tickets()
    agents_losing: Losses = Losses()
    offers_misplaced: Tickets = Tickets()


@dataclass(slots=True)
class _Side:
    """Who can be offered what under one configuration. Looked up once for each lane."""

    queues: Mapping[str, QueueConfigured]
    agents: tuple[Agent, ...]
    able: dict[Lane, frozenset[str]] = field(default_factory=dict)
    spoken: dict[Spoken, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, configuration: Configuration, agents: Mapping[str, Agent], now: datetime) -> _Side:
        """With the agents as the configuration has them; only the active ones can be offered anything."""
        as_they_are = {
            agent_id: msgspec.structs.replace(agents[agent_id], profile=profile)
            if agent_id in agents
            else Agent(id=agent_id, profile=profile, state_since=now, idle_since=now)
            for agent_id, profile in configuration.profiles.items()
            if profile.active
        }
        return cls({queue.id: queue for queue in configuration.queues}, tuple(as_they_are.values()))

    def lane(self, work: Work, visit: Visit, now: datetime) -> Lane:
        """Where the ticket stands in its queue."""
        queue, language = self.queues.get(visit.queue_id), work.ticket.intake.language
        if queue is None:
            return visit.queue_id, 0, "*"
        unspoken = frozenset() if self._is_spoken(queue, language) else frozenset({(queue.id, language)})
        here = asked(queue, work, visit, now, unspoken)
        return queue.id, here.step, language if here.queue.skill_by_language and language != ANY_LANGUAGE else "*"

    def who(self, lane: Lane) -> frozenset[str]:
        """The agents who can take what stands there."""
        found = self.able.get(lane)
        if found is None:
            found = self.able[lane] = self._who(*lane)
        return found

    def _who(self, queue_id: str, step: int, language: str) -> frozenset[str]:
        queue = self.queues.get(queue_id)
        if queue is None:
            return NOBODY
        relaxed = at_step(queue, step)
        if language == "*":
            relaxed = msgspec.structs.replace(relaxed, skill_by_language=False)
        return frozenset(agent.id for agent in self.agents if eligible(agent, relaxed, language))

    def _is_spoken(self, queue: QueueConfigured, language: str) -> bool:
        """Whether anybody speaks it who serves the queue, at last."""
        if not queue.skill_by_language or language == ANY_LANGUAGE:
            return True
        key = (queue.id, language)
        if key not in self.spoken:
            widest = msgspec.structs.replace(at_step(queue, len(queue.steps)), skill_by_language=False)
            speaking = (agent for agent in self.agents if language in agent.profile.languages)
            self.spoken[key] = any(lacks(agent, widest, ANY_LANGUAGE) is None for agent in speaking)
        return self.spoken[key]


@dataclass(slots=True)
class _Told:
    """Tickets of one kind: counted, the first named. They are looked at in order of id."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, ticket_id: str) -> None:
        """One more."""
        self.count += 1
        if len(self.ids) < NAMED:
            self.ids.append(ticket_id)

    @property
    def tickets(self) -> Tickets:
        """As it is told."""
        return Tickets(self.count, tuple(self.ids))


class Foresight:
    """Looks at tickets, some at a time, and tells what the change would do to all it was shown."""

    def __init__(
        self,
        before: Configuration,
        after: Configuration,
        agents: Mapping[str, Agent],
        now: datetime,
        of_comers: Mapping[str, Foreseen] = NO_WAITS,
    ) -> None:
        self._after, self._now, self._of_comers = after, now, of_comers
        self._was, self._is = _Side.of(before, agents, now), _Side.of(after, agents, now)
        self._rules_change, self._queues_change = before.rules != after.rules, before.queues != after.queues
        self._waiting, self._moves, self._moved = 0, list[Move](), 0
        self._stranded, self._placed, self._offers = _Told(), _Told(), _Told()
        self._matchable, self._unmatchable = _Told(), _Told()
        self._lanes: Counter[tuple[Lane, Lane]] = Counter()

    def look(self, works: Iterable[Work], promised: Mapping[str, Promised], waits: Mapping[str, Foreseen] = NO_WAITS) -> None:
        """Tickets that wait, are offered, or found no queue; how the promises stand that run on them; and how long they wait."""
        for work in works:
            if work.visit is not None:
                self._wait(work, work.visit, promised.get(work.id, NOTHING_PROMISED), waits.get(work.id))
            elif work.attention == NO_QUEUE and choose(self._after.queues, work, lifecycle.comes_at_last(work)) is not None:
                self._placed.add(work.id)

    def effects(self) -> Effects:
        """Of all that was looked at."""
        lost: Counter[str] = Counter()
        for (was, becomes), tickets in self._lanes.items():
            lost.update(dict.fromkeys(self._was.who(was) - self._is.who(becomes), tickets))
        most = sorted(lost.items(), key=lambda loss: (-loss[1], loss[0]))
        return Effects(
            waiting=self._waiting,
            moved=Moves(self._moved, tuple(self._moves)),
            stranded=self._stranded.tickets,
            placed=self._placed.tickets,
            matchable=self._matchable.tickets,
            unmatchable=self._unmatchable.tickets,
            agents_losing=Losses(len(most), tuple(Loss(*loss) for loss in most[:NAMED])),
            offers_misplaced=self._offers.tickets,
        )

    def _wait(self, work: Work, visit: Visit, promised: Promised, wait: Foreseen | None) -> None:
        self._waiting += 1
        was = self._was.lane(work, visit, self._now)
        becomes = self._is.lane(*self._goes(work, visit, promised, wait), self._now)
        self._lanes[was, becomes] += 1
        before, after = self._was.who(was), self._is.who(becomes)
        if after and not before:
            self._matchable.add(work.id)
        elif before and not after:
            self._unmatchable.add(work.id)
        if work.offer is not None and work.offer.agent_id in before - after:
            self._offers.add(work.id)

    def _goes(self, work: Work, visit: Visit, promised: Promised, wait: Foreseen | None) -> tuple[Work, Visit]:
        """The ticket as it would wait. What is offered stays as long as it is; all does where no queue is another."""
        if work.offer is not None:
            return work, visit
        queues, origin = self._after.queues, visit.queue_id
        there = elsewhere(queues, work) if self._queues_change else None
        if there is not None:
            work, visit = self._in(work, visit, there, "returned")
        elif last_of(queues, work) is None:
            self._stranded.add(work.id)
            return work, visit
        if self._queues_change:
            work, visit = self._sent_on(work, visit, wait, moved=there is not None)
        judged = self._rules_change or visit.queue_id != origin
        raised = raises(work, queues, self._after.rules, promised) if judged else None
        if raised is not None:
            work, visit = self._in(work, visit, raised[1], "escalated")
        if visit.queue_id != origin:
            self._moved += 1
            if len(self._moves) < NAMED:
                by = raised[0].id if raised is not None else None
                self._moves.append(Move(ticket_id=work.id, from_queue_id=origin, to_queue_id=visit.queue_id, rule_id=by))
        return work, visit

    def _sent_on(self, work: Work, visit: Visit, wait: Foreseen | None, *, moved: bool) -> tuple[Work, Visit]:
        """As a step of its queue would send it on, if one does."""
        queue = last_of(self._after.queues, work)
        if queue is None or work.came_as == "overflowed":
            return work, visit
        numbers = sending.at_entry(queue) if moved else sending.reached(queue, visit, self._now)
        found = sending.sent_on(queue, work.id, numbers, self._of_comers.get(queue.id) if moved else wait)
        other = next((one for one in self._after.queues if found is not None and one.id == found[0]), None)
        return (work, visit) if other is None else self._in(work, visit, other, "overflowed")

    def _in(self, work: Work, visit: Visit, queue: QueueConfigured, reason: CameAs) -> tuple[Work, Visit]:
        begun = msgspec.structs.replace(visit, queue_id=queue.id, entered_at=self._now)
        return msgspec.structs.replace(work, visit=begun, came_as=came_as(work, queue.id, reason)), begun
