"""What queueing theory says, against values computed elsewhere and against the chains themselves."""

from __future__ import annotations

from math import factorial, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.erlang import ErlangA, ErlangC, Overloaded, erlang_b

# Erlangs, agents, mean handling in seconds; then P(wait), service level in 20 s, mean wait in seconds, occupancy. The first row
# is what pyworkforce's README shows, the others were computed independently of this code.
ROWS = [
    (10, 14, 180, 0.1741, 0.8884, 7.84, 0.7143),
    (10, 13, 180, 0.2853, 0.7956, 17.12, 0.7692),
    (10, 12, 180, 0.4494, 0.6402, 40.44, 0.8333),
    (10, 11, 180, 0.6821, 0.3896, 122.78, 0.9091),
    (20, 24, 180, 0.2981, 0.8089, 13.41, 0.8333),
    (50, 55, 240, 0.3845, 0.7465, 18.46, 0.9091),
    (100, 110, 300, 0.2370, 0.8783, 7.11, 0.9091),
]


@pytest.mark.parametrize(("load", "agents", "handle", "waits", "level", "answer", "occupied"), ROWS)
def test_erlang_c_gives_the_known_rows(
    load: float, agents: int, handle: float, waits: float, level: float, answer: float, occupied: float
) -> None:
    queue = ErlangC(load / handle, handle, agents)
    assert queue.wait_probability == pytest.approx(waits, abs=6e-5)
    assert queue.service_level(20) == pytest.approx(level, abs=6e-5)
    assert queue.answer_seconds == pytest.approx(answer, abs=6e-3)
    assert queue.occupancy == pytest.approx(occupied, abs=6e-5)


@given(st.floats(0.1, 30), st.integers(0, 40))
def test_the_recursion_is_the_formula_with_factorials(load: float, agents: int) -> None:
    terms = [load**n / factorial(n) for n in range(agents + 1)]
    assert erlang_b(load, agents) == pytest.approx(terms[-1] / sum(terms), rel=1e-9)


def test_thousands_of_agents_overflow_nothing() -> None:
    assert 0 < erlang_b(5_000, 5_000) < 0.02
    assert ErlangC(4_900 / 300, 300, 5_000).wait_probability < 0.3
    assert erlang_b(1, 2_000) == 0.0


# pyworkforce's own regression values for 100 calls in 30 minutes, handled in 3, with a patience of 5: of 14 agents to six digits,
# of 13 as far as its README shows them.
def test_erlang_a_gives_the_known_values() -> None:
    queue = ErlangA(100 / 1800, 180, 14, 300)
    assert queue.wait_probability == pytest.approx(0.14526, abs=6e-6)
    assert queue.abandoned == pytest.approx(0.013984, abs=6e-7)
    assert queue.occupancy == pytest.approx(0.704297, abs=6e-7)
    assert queue.wait_seconds / 60 == pytest.approx(0.069919, abs=6e-7)
    assert queue.service_level(20) == pytest.approx(0.916792, abs=6e-7)
    fewer = ErlangA(100 / 1800, 180, 13, 300)
    assert fewer.service_level(20) == pytest.approx(0.858, abs=1e-3)
    assert fewer.abandoned == pytest.approx(0.025, abs=1e-3)


@given(st.floats(0.2, 40), st.integers(1, 40), st.floats(20, 2_000))
def test_erlang_a_is_the_steady_state_of_its_chain(load: float, agents: int, patience: float) -> None:
    queue = ErlangA(load / 180, 180, agents, patience)
    chain = steady(load / 180, 180, agents, patience)
    waits = sum(chain[agents:])
    leave = sum((n - agents) / patience * share for n, share in enumerate(chain) if n > agents)
    assert queue.wait_probability == pytest.approx(waits, rel=1e-6, abs=1e-12)
    assert queue.abandoned == pytest.approx(leave / (load / 180), rel=1e-6, abs=1e-12)


def steady(arrivals: float, handle: float, agents: int, patience: float) -> list[float]:
    """How likely it is that so many are in the house, by going from state to state."""
    terms, total = [1.0], 1.0
    while len(terms) <= agents + 5 or terms[-1] > 1e-15 * total:
        number = len(terms)
        terms.append(terms[-1] * arrivals / (min(number, agents) / handle + max(number - agents, 0) / patience))
        total += terms[-1]
    return [term / total for term in terms]


def test_who_waits_for_ever_makes_erlang_a_the_same_as_erlang_c() -> None:
    patient, endless = ErlangA(20 / 180, 180, 24, 1e7), ErlangC(20 / 180, 180, 24)
    assert patient.wait_probability == pytest.approx(endless.wait_probability, rel=1e-3)
    assert patient.wait_seconds == pytest.approx(endless.answer_seconds, rel=1e-3)
    assert patient.service_level(20) == pytest.approx(endless.service_level(20), rel=1e-3)


def test_with_abandonment_more_work_than_agents_has_a_steady_state() -> None:
    queue = ErlangA(1_500 / 300, 300, 1_000, 36_000)
    assert isfinite(queue.wait_seconds)
    assert queue.abandoned == pytest.approx(1 / 3, rel=1e-3)
    assert queue.wait_probability == pytest.approx(1.0)
    assert 0 <= queue.service_level(20) < 1e-6


@pytest.mark.parametrize(
    ("numbers", "named"),
    [((0.0, 180, 14), "arrivals_per_second"), ((0.1, -1, 14), "handle_seconds"), ((0.1, 180, 0), "agents")],
)
def test_numbers_that_mean_nothing_are_refused_by_name(numbers: tuple[float, float, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ErlangC(*numbers)
    with pytest.raises(ValueError, match=named):
        ErlangA(*numbers, 60)


def test_without_abandonment_too_much_work_has_no_answer() -> None:
    with pytest.raises(Overloaded):
        ErlangC(14 / 180, 180, 14)
