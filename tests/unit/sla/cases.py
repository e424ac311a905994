"""Stories of tickets and what is said of their clocks: the words in which tests tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.events.config import SlaTarget
from shared.events.ticket import (
    TicketAbsorbed,
)
from tests.unit.sla.desk import OFFICE, Desk, at, message, opened, policy, target

HOUR = target("first_response", 60)
DAY = target("resolution", 480)
QUICK = target("next_response", 30)


@dataclass(frozen=True)
class Case:
    """A story: who says what when (I intake, R routing, T the timers), and what is said of the clocks."""

    name: str
    targets: tuple[SlaTarget, ...]
    story: tuple[tuple[object, ...], ...]
    told: tuple[str, ...] = field(default=())
    office: bool = False


def told_of(case: Case) -> list[str]:
    desk = Desk(policy(*case.targets), OFFICE if case.office else None)
    for who, when, *facts in case.story:
        if who == "T":
            desk.ring(str(when))
        elif who == "I":
            desk.intake(str(when), *facts)  # type: ignore[arg-type]
        else:
            desk.routing(str(when), *facts)  # type: ignore[arg-type]
    return desk.told()


def absorbed(since: str, answered: str | None = None) -> TicketAbsorbed:
    """Told of a ticket whose customer waits since then; or again, when a reply to it had crossed the merge."""
    return TicketAbsorbed(
        ticket_id="t0",
        number=1,
        opened_at=at(since),
        unanswered_since=at(since) if answered is None else None,
        first_responded_at=at(answered) if answered is not None else None,
        first_response_us=None,
        interactions=1,
        replies=0,
        reply_us_sum=0,
        reply_us_count=0,
    )


ASKED = ("I", "09:00", opened(), message())
FIRST = "started first_response.1 10:00"
WHOLE = "started resolution.1 17:00"
