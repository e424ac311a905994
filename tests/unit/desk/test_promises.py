"""What is shown of promises, however the two topics that tell of them cross."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from services.desk.domain.promises import Promises, heard
from shared.events.sla import (
    ClockCancelled,
    ClockFact,
    ClockMet,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    SlaBreachCleared,
    SlaBreached,
    SlaBreachRetracted,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def clock(kind: type[ClockFact], clock_id: str = "k1", **more: Any) -> ClockFact:
    given = {
        "clock_id": clock_id,
        "target": "first_response",
        "cycle": 1,
        "policy_id": "gold",
        "policy_version": 1,
        "dedup_key": clock_id,
        "channel": "email",
        "priority": 2,
    }
    return kind(**{**given, **more})


def due(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def started(hours: float = 1, clock_id: str = "k1") -> ClockFact:
    return clock(ClockStarted, clock_id, started_at=START, deadline=due(hours), target_us=3_600_000_000)


BROKEN = clock(SlaBreached, deadline=due(1), target_us=1)
CLEARED = clock(SlaBreachCleared, deadline=due(1), fulfilled_at=due(2), over_us=1, elapsed_us=2)
RETRACTED = clock(SlaBreachRetracted, deadline=due(1), cause_event_id="e")


def after(*facts: ClockFact) -> Promises:
    promises = Promises()
    for fact in facts:
        promises = heard(promises, fact)
    return promises


def test_the_next_that_runs_is_what_is_due() -> None:
    promises = after(started(3, "k1"), started(2, "k2"), started(5, "k3"))
    assert promises.due_at == due(2)
    assert [one.clock_id for one in promises.standing] == ["k2", "k1", "k3"]


@pytest.mark.parametrize(
    ("fact", "due_at", "standing"),
    [
        (clock(ClockPaused, remaining_us=5, reason="pending"), None, 1),
        (clock(ClockMet, met_at=START, elapsed_us=1, deadline=due(1)), None, 0),
        (clock(ClockCancelled, reason="closed"), None, 0),
        (clock(ClockResumed, deadline=due(4), remaining_us=5), due(4), 1),
        (BROKEN, due(1), 1),
        (CLEARED, None, 0),
    ],
)
def test_what_no_longer_runs_is_not_due(fact: ClockFact, due_at: datetime | None, standing: int) -> None:
    promises = after(started(1), fact)
    assert (promises.due_at, len(promises.standing)) == (due_at, standing)


def test_a_broken_promise_stays_broken_when_it_is_done_late_and_not_when_it_is_taken_back() -> None:
    assert after(started(), BROKEN).breached
    assert after(started(), BROKEN, CLEARED).breached
    assert not after(started(), BROKEN, RETRACTED).breached


@pytest.mark.parametrize("ends", [(BROKEN,), (BROKEN, CLEARED), (BROKEN, RETRACTED)])
def test_clocks_and_breaches_may_cross(ends: tuple[ClockFact, ...]) -> None:
    """Each topic in its own order, the two in any."""
    runs = (
        started(1),
        clock(ClockPaused, remaining_us=5, reason="pending"),
        clock(ClockResumed, deadline=due(1), remaining_us=5),
    )
    facts = [*((0, n) for n in range(len(runs))), *((1, n) for n in range(len(ends)))]
    outcomes = {
        repr(after(*((runs, ends)[topic][n] for topic, n in order)).clocks)
        for order in permutations(facts)
        if all([n for topic, n in order if topic == which] == list(range(len((runs, ends)[which]))) for which in (0, 1))
    }
    assert len(outcomes) == 1
