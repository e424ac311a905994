"""Cells add up in any order; bins keep every duration within one percent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.metrics.domain.cells import (
    EPOCH,
    HOUR_US,
    LONGEST_US,
    Changes,
    Dims,
    Measured,
    add,
    bin_of,
    dims_id,
    microseconds,
    quantile,
    value_of,
)

DURATIONS = st.integers(min_value=0, max_value=50 * 365 * 24 * HOUR_US)
MEASURED = st.builds(
    Measured,
    st.sampled_from(["reply", "resolution"]),
    st.integers(0, 2),
    st.sampled_from([Dims(), Dims(channel="sms"), Dims(agent="dana")]),
    st.integers(-2, 2),
    st.none() | st.integers(0, 1000),
)


@given(DURATIONS)
def test_the_value_of_a_bin_is_within_one_percent_of_each_duration_in_it(us: int) -> None:
    assert abs(value_of(bin_of(us)) - us) <= 0.01 * us


@given(DURATIONS, DURATIONS)
def test_a_longer_duration_is_never_in_a_lower_bin(one: int, other: int) -> None:
    assert (bin_of(one) <= bin_of(other)) == (one <= other) or bin_of(one) == bin_of(other)


def test_zero_has_a_bin_of_its_own_and_beyond_the_last_edge_there_is_one_bin() -> None:
    assert (bin_of(0), value_of(0)) == (0, 0.0)
    assert bin_of(10**18) == bin_of(10**17)
    assert value_of(bin_of(10**18)) > 0


@given(st.lists(DURATIONS, min_size=1, max_size=60), st.integers(1, 99))
def test_a_quantile_is_within_one_percent_of_the_observation_at_its_rank(durations: list[int], percent: int) -> None:
    bins: dict[int, int] = {}
    for us in durations:
        bins[bin_of(us)] = bins.get(bin_of(us), 0) + 1
    rank = max(1, -(-percent * len(durations) // 100))
    exact = sorted(durations)[rank - 1]
    found = quantile(bins, percent)
    assert found is not None
    assert abs(found - exact) <= 0.01 * exact


def test_a_duration_beyond_all_reason_is_cut_so_that_sums_stay_within_64_bits() -> None:
    changes: Changes = {}
    add(changes, [Measured("talk", 0, Dims(), us=2**63)])
    assert [amount.total_us for amount in changes.values()] == [LONGEST_US]


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 50) is None


@given(st.lists(MEASURED, max_size=20), st.randoms(use_true_random=False))
def test_what_is_added_in_any_order_comes_to_the_same(measured: list[Measured], random: object) -> None:
    one: Changes = {}
    add(one, measured)
    shuffled = list(measured)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other: Changes = {}
    for single in shuffled:
        add(other, [single])
    assert one == other


@given(st.lists(MEASURED, max_size=20))
def test_what_is_added_and_taken_away_leaves_no_trace(measured: list[Measured]) -> None:
    changes: Changes = {}
    add(changes, measured)
    add(changes, measured, -1)
    assert changes == {}


def test_the_id_of_dimensions_never_changes() -> None:
    assert str(dims_id(Dims(channel="email", queue="support"))) == "9570a927-ed96-5261-89cd-709eed3e7579"


def test_an_instant_is_whole_microseconds_since_1970() -> None:
    assert microseconds(EPOCH) == 0
    assert microseconds(EPOCH.replace(year=2026, microsecond=7)) == 1_767_225_600_000_007
