"""What the facts about promises measure: kept, broken, warned of. Pure.

Clocks and breaches are on topics of their own and are folded apart, so that it does not matter which is read first: a kept
promise is told by its clock, a broken one by its breach, and sla says only one of the two to stand.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from services.metrics.domain.cells import NOW_HOUR, Dims, Measured, hour_of, microseconds
from shared.events.base import Event
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
    SlaWarned,
)

_Promise = TypeVar("_Promise")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A promise kept, in the hour in which it was."""

    hour: int
    dims: Dims
    elapsed_us: int


class Clocks(msgspec.Struct, frozen=True, array_like=True):
    """The promises of one ticket, by clock: those that go on, and those kept."""

    going: dict[str, Dims] = {}
    kept: dict[str, Kept] = {}


class Broken(msgspec.Struct, frozen=True, array_like=True):
    """A promise broken, in the hour of its deadline."""

    hour: int
    dims: Dims


class Breaches(msgspec.Struct, frozen=True, array_like=True):
    """The broken promises of one ticket, by clock; without those retracted."""

    broken: dict[str, Broken] = {}


class Warnings(msgspec.Struct, frozen=True, array_like=True):
    """Warnings are counted and nothing is remembered of them."""


def promise_dims(fact: ClockFact, state: str = "") -> Dims:
    """The dimensions as sla decided them."""
    return Dims(
        channel=fact.channel,
        queue=fact.queue_id or "",
        team=fact.team_id or "",
        agent=fact.agent_id or "",
        priority=str(fact.priority),
        partner=fact.partner_id or "",
        policy=fact.policy_id,
        target=fact.target,
        state=state,
    )


def clock_going(
    clocks: Clocks, event: Event[ClockStarted] | Event[ClockPaused] | Event[ClockResumed]
) -> tuple[Clocks, list[Measured]]:
    """The promise goes on; if it had been kept, that is taken back (the ticket was reopened under the same clock)."""
    fact = event.data
    state = "paused" if isinstance(fact, ClockPaused) else "running"
    going = {**clocks.going, fact.clock_id: promise_dims(fact, state)}
    return Clocks(going, _without(clocks.kept, fact.clock_id)), []


def clock_met(clocks: Clocks, event: Event[ClockMet]) -> tuple[Clocks, list[Measured]]:
    """Kept, in the hour in which it was fulfilled."""
    fact = event.data
    kept = Kept(hour_of(microseconds(fact.met_at)), promise_dims(fact), max(0, fact.elapsed_us))
    return Clocks(_without(clocks.going, fact.clock_id), {**clocks.kept, fact.clock_id: kept}), []


def clock_cancelled(clocks: Clocks, event: Event[ClockCancelled]) -> tuple[Clocks, list[Measured]]:
    """Nothing is promised any more: neither kept nor broken. What had been kept before stays kept."""
    return Clocks(_without(clocks.going, event.data.clock_id), clocks.kept), []


def breached(breaches: Breaches, event: Event[SlaBreached]) -> tuple[Breaches, list[Measured]]:
    """Broken, in the hour of the deadline. How late that was said is a figure of its own."""
    fact, dims = event.data, promise_dims(event.data)
    hour = hour_of(microseconds(fact.deadline))
    late = Measured("breach_published_late", hour, dims, us=max(0, fact.published_late_us))
    return Breaches({**breaches.broken, fact.clock_id: Broken(hour, dims)}), [late]


def breach_retracted(breaches: Breaches, event: Event[SlaBreachRetracted]) -> tuple[Breaches, list[Measured]]:
    """It had not been broken after all."""
    return Breaches(_without(breaches.broken, event.data.clock_id)), []


def breach_cleared(breaches: Breaches, event: Event[SlaBreachCleared]) -> tuple[Breaches, list[Measured]]:
    """Done at last, too late: it stays broken."""
    fact = event.data
    hour = hour_of(microseconds(fact.fulfilled_at))
    return breaches, [Measured("breach_cleared", hour, promise_dims(fact), us=max(0, fact.over_us))]


def warned(warnings: Warnings, event: Event[SlaWarned]) -> tuple[Warnings, list[Measured]]:
    """About to be broken."""
    return warnings, [Measured("warned", hour_of(microseconds(event.time)), promise_dims(event.data))]


def clocks_standing(clocks: Clocks) -> list[Measured]:
    """What the clocks of a ticket stand for at this moment."""
    kept = [Measured("commitment_kept", promise.hour, promise.dims, us=promise.elapsed_us) for promise in clocks.kept.values()]
    return kept + [Measured("commitment_running_now", NOW_HOUR, dims) for dims in clocks.going.values()]


def breaches_standing(breaches: Breaches) -> list[Measured]:
    """What the breaches of a ticket stand for at this moment."""
    return [Measured("commitment_broken", promise.hour, promise.dims) for promise in breaches.broken.values()]


def warnings_standing(_warnings: Warnings) -> list[Measured]:
    """Nothing."""
    return []


def _without(promises: dict[str, _Promise], clock_id: str) -> dict[str, _Promise]:
    if clock_id not in promises:
        return promises
    return {other: promise for other, promise in promises.items() if other != clock_id}
