"""What repeats come to, and where sampled stacks spent their time."""

import pytest

from bench import flame
from bench.figures import Column, Goal, Line, lines, percentile

AT_LEAST_AS_FAST = Goal("ratio", "at least", 1.0)


def test_a_ratio_is_taken_between_neighbours_and_its_median_is_judged() -> None:
    line = Line("b", "rate", "1/s", (90.0, 110.0, 200.0), "bare", (100.0, 100.0, 100.0), (AT_LEAST_AS_FAST,))
    assert line.ratio is not None
    assert (line.ratio.lowest, line.ratio.median, line.ratio.highest) == (0.9, 1.1, 2.0)
    assert line.verdict == "met"


def test_every_goal_has_to_be_kept() -> None:
    slow = Goal("value", "at least", 300.0)
    assert Line("b", "rate", "1/s", (110.0,), "bare", (100.0,), (AT_LEAST_AS_FAST, slow)).verdict == "missed"


def test_a_line_without_goals_is_not_judged() -> None:
    assert Line("b", "rate", "1/s", (1.0,)).verdict == "no goal"


def test_a_goal_for_a_ratio_needs_a_baseline() -> None:
    with pytest.raises(ValueError, match="no baseline"):
        _ = Line("b", "rate", "1/s", (1.0,), goals=(AT_LEAST_AS_FAST,)).verdict


def test_columns_become_lines_of_all_repeats() -> None:
    [p50, p99] = lines(
        "b", (Column("p50", "half", "ms"), Column("p99", "most", "ms")), [{"p50": 1, "p99": 9}, {"p50": 2, "p99": 8}]
    )
    assert (p50.product, p99.product) == ((1, 2), (9, 8))


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_function_costs_what_it_does_itself_and_what_it_calls_once_for_each_stack() -> None:
    samples = flame.stacks("main;parse 3\nmain;parse;main 1\nmain 4\nmain;_worker (concurrent/futures/thread.py:69) 90\n")
    cost = {one.function: (one.own, one.cumulative) for one in flame.costs(samples)}
    assert cost == {"main": (0.625, 1.0), "parse": (0.375, 0.5)}


def test_a_flame_graph_names_its_functions_safely() -> None:
    drawn = flame.svg(flame.stacks("<module>;run 10"), "a & b")
    assert "&lt;module&gt; 100.0%" in drawn
    assert "a &amp; b: 10 samples" in drawn
