"""Cells: where measures add up. Pure.

A figure is a sum of integers over cells. A cell is a measure, the hour (UTC) of the fact, the dimensions decided at its
time, and the bin of its duration. Sums of integers are the same in any order and any batching; that is why the figures are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple
from uuid import UUID, uuid5

Measure = Literal[
    "opened",
    "interaction",
    "first_response",
    "reply",
    "resolution",
    "assigned",
    "solved",
    "backlog",
    "backlog_now",
    "visit",
    "visit_handled",
    "visit_abandoned",
    "visit_withdrawn",
    "waiting_now",
    "offered",
    "offer_accepted",
    "offer_declined",
    "offer_expired",
    "offer_failed",
    "offer_rescinded",
    "talk",
    "hold",
    "wrap_up",
    "call_wrap_up",
    "taken",
    "transfer",
    "given_away",
    "escalation",
    "opened_escalated",
    "consult",
    "consult_answered",
    "callback",
    "commitment_kept",
    "commitment_broken",
    "commitment_running_now",
    "breach_cleared",
    "breach_published_late",
    "warned",
    "agent_state",
    "agents_now",
    "on_duty",
    "busy",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
LONGEST_US = 100 * 365 * 24 * HOUR_US  # longer durations are mistakes, and sums must stay within 64 bits
NOW_HOUR = -1  # the hour of what stands at this moment and is not kept over time (`…_now`)
NO_BIN = 0  # counts, durations of zero, and those that are only summed
ONLY_SUMMED: frozenset[Measure] = frozenset({"on_duty", "busy"})  # of which there are as many as offers and answers
_DIMS_NAMESPACE = UUID("b0a5c0de-0d13-5a7e-8c11-5f6b7a3c9e21")


class Dims(NamedTuple):
    """What a figure can be grouped and filtered by. Empty where it does not apply or is not known."""

    channel: str = ""
    queue: str = ""
    team: str = ""
    agent: str = ""
    priority: str = ""
    language: str = ""
    partner: str = ""
    topic: str = ""
    product: str = ""
    policy: str = ""
    target: str = ""
    state: str = ""


class Cell(NamedTuple):
    """One row of sums."""

    measure: Measure
    hour: int
    dims: Dims
    bin: int


class Amount(NamedTuple):
    """How many, and the sum of their durations in microseconds (0 for plain counts)."""

    n: int
    total_us: int


class Measured(NamedTuple):
    """`n` observations in one hour; each of `us` microseconds, when what is measured is a duration."""

    measure: Measure
    hour: int
    dims: Dims
    n: int = 1
    us: int | None = None


Changes = dict[Cell, Amount]


def add(changes: Changes, measured: Iterable[Measured], sign: Literal[1, -1] = 1) -> None:
    """Add what was measured to `changes` (or take it away); cells that come to nothing are dropped."""
    for measure, hour, dims, n, us in measured:
        lasted = min(us or 0, LONGEST_US)
        cell = Cell(measure, hour, dims, NO_BIN if measure in ONLY_SUMMED else bin_of(lasted))
        n_before, total_before = changes.get(cell, (0, 0))
        amount = Amount(n_before + sign * n, total_before + sign * n * lasted)
        if amount.n or amount.total_us:
            changes[cell] = amount
        else:
            changes.pop(cell, None)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    since = at - EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def hour_of(at_us: int) -> int:
    """Hours since 1970, UTC."""
    return at_us // HOUR_US


@lru_cache(maxsize=65_536)
def dims_id(dims: Dims) -> UUID:
    """An id that is the same for the same dimensions on every machine, so that a rebuild finds the same cells."""
    return uuid5(_DIMS_NAMESPACE, "\x1f".join(dims))


def _edges() -> list[int]:
    """Lower edges of the bins, each at most 101/99 of the one before.

    The bins of DDSketch (Masson, Rim, Lee 2019, https://arxiv.org/abs/1908.10693) with relative error 1 %: gamma is
    (1 + 0.01) / (1 - 0.01). Whole numbers, because logarithms may round differently on another machine.
    """
    edges = [1]
    while edges[-1] < LONGEST_US:
        edges.append(max(edges[-1] + 1, edges[-1] * 101 // 99))
    return edges


_EDGES = _edges()


def bin_of(us: int) -> int:
    """The bin of a duration: 0 for zero, then 1, 2, 3 … upwards."""
    return bisect_right(_EDGES, us)


def value_of(number: int) -> float:
    """The duration in microseconds that stands for a bin: within 1 % of each duration in it."""
    if number == NO_BIN:
        return 0.0
    low = _EDGES[number - 1]
    high = _EDGES[number] - 1 if number < len(_EDGES) else low
    return 2.0 * low * high / (low + high)


def quantile(bins: dict[int, int], percent: int) -> float | None:
    """The duration in microseconds at or below which `percent` of the observations lie, within 1 %; None of none.

    By nearest rank; `bins` says how many observations each bin holds.
    """
    count = sum(bins.values())
    if count <= 0:
        return None
    rank = max(1, -(-percent * count // 100))
    reached = 0
    for number in sorted(bins):
        reached += bins[number]
        if reached >= rank:
            return value_of(number)
    return value_of(max(bins))
