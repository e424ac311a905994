"""Tells stories: facts of several writers as events, each with its place in its writer's sequence and its time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.metrics.domain.cells import Amount, Cell, Changes, Dims, Measure, hour_of, microseconds
from services.metrics.domain.folding import AnyState, Folded, changes
from services.metrics.domain.story import Story
from services.metrics.handlers import HANDLERS
from shared.events.base import NOTHING_SEEN, Event, Fact, Position, Writer, event_id
from shared.events.call import CallReceived
from shared.events.message import MessageReceived, Origin, ReplyRequested
from shared.events.ticket import TicketAssigned, TicketOpened, TicketQueued, TicketResolved

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = hour_of(microseconds(START))


def at(seconds: float) -> datetime:
    """So many seconds after the start."""
    return START + timedelta(seconds=seconds)


@dataclass
class Teller:
    """Tells the facts of one key. `seen` is, unless said otherwise, all that the other writer has told so far."""

    key: str = "t1"
    events: list[Event[Any]] = field(default_factory=list)
    _last: dict[Writer, int] = field(default_factory=lambda: defaultdict(int))

    def say(self, writer: Writer, fact: Fact, seconds: float, *, seen: int | None = None) -> Event[Any]:
        """One fact, told `seconds` after the start."""
        other: Writer = "intake" if writer == "routing" else "routing"
        self._last[writer] += 1
        seq, known = self._last[writer], self._last[other] if seen is None else seen
        event: Event[Any] = Event(
            id=event_id(f"{writer}{seq}", fact.TYPE, self.key),
            type=fact.TYPE,
            writer=writer,
            position=Position(1, seq),
            key=self.key,
            time=at(seconds),
            data=fact,
            seen=Position(1, known) if known else NOTHING_SEEN,
        )
        self.events.append(event)
        return event

    def opened(self, seconds: float = 0, **fields: Any) -> None:
        """The ticket is opened (without a message)."""
        given = {"number": 100_001, "customer_id": "c1", "channel": "email", "inbox": "help", "language": "he", **fields}
        self.say("intake", TicketOpened(**given), seconds)

    def wrote(self, seconds: float, origin: Origin = "human", **fields: Any) -> None:
        """The customer writes."""
        given = {
            "message_id": f"m{seconds}",
            "customer_id": "c1",
            "channel": "email",
            "inbox": "help",
            "provider": "smtp",
            "origin": origin,
            **fields,
        }
        self.say("intake", MessageReceived(**given), seconds)

    def called(self, seconds: float, call_id: str = "call1") -> None:
        """The customer calls."""
        call = CallReceived(call_id=call_id, customer_id="c1", inbox="line", provider="twilio", provider_ref="CA1")
        self.say("intake", call, seconds)

    def queued(self, seconds: float, queue_id: str = "support", visit: int = 1) -> None:
        """The ticket comes into a queue."""
        fact = TicketQueued(queue_id=queue_id, visit=visit, reason="opened", age_from=at(seconds))
        self.say("routing", fact, seconds)

    def assigned(self, seconds: float, agent_id: str = "dana", visit: int | None = 1, **fields: Any) -> None:
        """An agent has the ticket."""
        given = {"queue_id": "support", "team_id": "first", **fields}
        self.say("routing", TicketAssigned(agent_id=agent_id, how="accepted", visit=visit, **given), seconds)

    def replied(self, seconds: float, agent_id: str = "dana", *, seen: int | None = None, **fields: Any) -> None:
        """An agent answers."""
        given = {"message_id": f"r{seconds}", "customer_id": "c1", "channel": "email", **fields}
        self.say("routing", ReplyRequested(agent_id=agent_id, **given), seconds, seen=seen)

    def resolved(self, seconds: float, agent_id: str = "dana", *, seen: int | None = None) -> None:
        """An agent resolves."""
        self.say("routing", TicketResolved(agent_id=agent_id), seconds, seen=seen)


def folded(events: Iterable[Event[Any]], empty: AnyState | None = None) -> Folded[Any]:
    """The events folded by the handlers, as one batch on an empty state."""
    state: AnyState = Story() if empty is None else empty
    one: Folded[Any] = Folded(state, state)
    for event in events:
        one, drafts = HANDLERS[type(event.data)](None, one, event, START)
        assert not drafts
    return one


def booked(events: Iterable[Event[Any]], empty: AnyState | None = None) -> Changes:
    """What the events come to in the cells."""
    return changes([folded(events, empty)])


def count(cells: Changes, measure: Measure, hour: int | None = None, **dims: str) -> int:
    """How many of a measure there are, of these dimensions."""
    return sum(amount.n for cell, amount in _matching(cells, measure, dims) if hour is None or cell.hour == hour)


def seconds(cells: Changes, measure: Measure, **dims: str) -> float:
    """The sum of the durations of a measure, of these dimensions."""
    return sum(amount.total_us for _, amount in _matching(cells, measure, dims)) / 1e6


def _matching(cells: Changes, measure: Measure, dims: dict[str, str]) -> list[tuple[Cell, Amount]]:
    assert dims.keys() <= set(Dims._fields)
    return [
        (cell, amount)
        for cell, amount in cells.items()
        if cell.measure == measure and all(getattr(cell.dims, name) == value for name, value in dims.items())
    ]
