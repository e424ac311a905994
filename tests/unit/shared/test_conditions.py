"""Conditions: a table of each operator, trees, JSON, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.conditions import All, AnyOf, Condition, Fields, Operator, Test, Value, WrongCondition, check, matches

FIELDS: Fields = {
    "language": "he",
    "priority": 3,
    "vip": True,
    "plan": None,
    "tags": ("refund", "urgent"),
}
LEAVES: list[tuple[str, Operator, Value, bool]] = [
    ("language", "equals", "he", True),
    ("language", "equals", "ar", False),
    ("plan", "equals", "gold", False),
    ("missing", "equals", "gold", False),
    ("language", "differs", "ar", True),
    ("language", "differs", "he", False),
    ("plan", "differs", "gold", True),
    ("missing", "differs", "gold", True),
    ("language", "in", ("he", "ar"), True),
    ("language", "in", ("ro",), False),
    ("language", "in", (), False),
    ("missing", "in", ("he",), False),
    ("language", "not_in", ("ro",), True),
    ("language", "not_in", ("he",), False),
    ("missing", "not_in", ("he",), True),
    ("priority", "at_least", 3, True),
    ("priority", "at_least", 4, False),
    ("priority", "at_most", 3, True),
    ("priority", "at_most", 2, False),
    ("missing", "at_least", 0, False),
    ("language", "at_most", 3, False),
    ("tags", "has", "refund", True),
    ("tags", "has", "order", False),
    ("language", "has", "he", False),
    ("missing", "has", "refund", False),
    ("vip", "is_set", True, True),
    ("plan", "is_set", True, False),
    ("plan", "is_set", False, True),
    ("missing", "is_set", False, True),
]


@pytest.mark.parametrize(("field", "op", "value", "expected"), LEAVES)
def test_a_leaf_compares_one_field(field: str, op: Operator, value: Value, expected: bool) -> None:
    assert matches(Test(field=field, op=op, value=value), FIELDS) is expected


def test_every_operator_is_in_the_table() -> None:
    assert {op for _, op, _, _ in LEAVES} == set(Operator.__args__)  # type: ignore[attr-defined]


def test_an_empty_all_is_true_and_an_empty_any_is_false() -> None:
    assert matches(All(), {})
    assert not matches(AnyOf(), {})


def test_a_condition_on_a_missing_value_is_never_an_error() -> None:
    tree = All(of=(AnyOf(of=(Test(field="missing", op="at_most", value=3), Test(field="vip", op="is_set"))), All()))
    assert matches(tree, FIELDS)


REFUSED: list[tuple[Condition, str]] = [
    (Test(field="colour", op="equals", value="red"), "when.field"),
    (Test(field="language", op="in", value="he"), "when.value"),
    (Test(field="priority", op="at_least", value="3"), "when.value"),
    (Test(field="priority", op="at_most", value=True), "when.value"),
    (All(of=(All(), AnyOf(of=(Test(field="colour", op="is_set"),)))), "when.of[1].of[0].field"),
]


@pytest.mark.parametrize(("condition", "path"), REFUSED)
def test_a_condition_that_cannot_be_evaluated_is_refused_with_its_place(condition: Condition, path: str) -> None:
    with pytest.raises(WrongCondition) as refused:
        check(condition, frozenset(FIELDS))
    assert refused.value.path == path
    assert refused.value.reason


def leaves() -> st.SearchStrategy[Condition]:
    return st.sampled_from([Test(field=field, op=op, value=value) for field, op, value, _ in LEAVES])


def grown(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, max_size=3).map(tuple)
    return several.map(lambda of: All(of=of)) | several.map(lambda of: AnyOf(of=of))


conditions = st.recursive(leaves(), grown, max_leaves=12)


@given(conditions)
def test_a_condition_means_the_same_after_json(condition: Condition) -> None:
    again = msgspec.json.decode(msgspec.json.encode(condition), type=Condition)
    assert again == condition
    assert matches(again, FIELDS) == matches(condition, FIELDS)


@given(conditions)
def test_a_condition_over_known_fields_passes_the_check_and_can_be_evaluated(condition: Condition) -> None:
    check(condition, frozenset(FIELDS) | {"missing"})
    assert matches(condition, FIELDS) in (True, False)


@given(st.lists(conditions, max_size=4).map(tuple))
def test_all_and_any_are_those_of_their_parts(parts: tuple[Condition, ...]) -> None:
    assert matches(All(of=parts), FIELDS) == all(matches(part, FIELDS) for part in parts)
    assert matches(AnyOf(of=parts), FIELDS) == any(matches(part, FIELDS) for part in parts)
