"""What came of a run in virtual time, contact by contact and in figures. All times are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

Outcome = Literal["waits", "answered", "abandoned"]


@dataclass(slots=True)
class Contact:
    """One contact: what it brought along, and what became of it. `ended` is when an agent had it or it was abandoned, `done` when
    the agent was through.
    """

    stream: str
    lane: str
    arrived: float
    handling: float
    patience: float | None = None
    again_after: float | None = None
    outcome: Outcome = "waits"
    ended: float | None = None
    done: float | None = None
    began_by_itself: bool = True

    @property
    def waited(self) -> float | None:
        """How long it was in the queue; None while it is."""
        return None if self.ended is None else self.ended - self.arrived


@dataclass(frozen=True, slots=True)
class Figures:
    """Contacts in numbers. Waits are of those that were answered; shares are from 0 to 1, None of nothing."""

    offered: int
    answered: int
    abandoned: int
    waiting: int
    in_hand: int
    handled: int
    came_again: int
    waited: float | None
    answer_seconds: float | None
    service_level: float | None
    median_seconds: float | None
    slowest_seconds: float | None


def figures(contacts: Sequence[Contact], within_seconds: float = 20.0) -> Figures:
    """The figures of these contacts. Service level: answered within so long, of all that were answered or abandoned.
    `slowest_seconds` is the 95th percentile.
    """
    waits = sorted(contact.waited for contact in contacts if contact.outcome == "answered" and contact.waited is not None)
    abandoned = sum(contact.outcome == "abandoned" for contact in contacts)
    ended = len(waits) + abandoned
    handled = sum(contact.done is not None for contact in contacts)
    return Figures(
        offered=len(contacts),
        answered=len(waits),
        abandoned=abandoned,
        waiting=len(contacts) - ended,
        in_hand=len(waits) - handled,
        handled=handled,
        came_again=sum(not contact.began_by_itself for contact in contacts),
        waited=(sum(wait > 0 for wait in waits) + abandoned) / ended if ended else None,
        answer_seconds=sum(waits) / len(waits) if waits else None,
        service_level=sum(wait <= within_seconds for wait in waits) / ended if ended else None,
        median_seconds=_percentile(waits, 0.5),
        slowest_seconds=_percentile(waits, 0.95),
    )


def busy_seconds(contacts: Sequence[Contact], begins: float, ends: float) -> float:
    """How long agents were at work on these contacts between two instants, all together."""
    spans = ((contact.ended, contact.done) for contact in contacts if contact.outcome == "answered" and contact.ended is not None)
    return sum(max(min(done if done is not None else ends, ends) - max(began, begins), 0.0) for began, done in spans)


@dataclass(slots=True)
class Results:
    """All contacts of a run in the order in which they came, and the seconds that it lasted."""

    seconds: float = 0.0
    decisions: int = 0
    contacts: list[Contact] = field(default_factory=list)

    def of(self, stream: str) -> list[Contact]:
        """Those of one stream."""
        return [contact for contact in self.contacts if contact.stream == stream]


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[max(ceil(share * len(ordered)) - 1, 0)] if ordered else None
