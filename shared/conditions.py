"""Conditions over named fields, used by queue rules and SLA policies. Pure.

A condition is a tree: `All` and `Any` of other conditions, with `Test` (field, operator, value) as leaves.
An empty `All` is true: it is how a rule that matches everything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Operator = Literal["equals", "differs", "in", "not_in", "at_least", "at_most", "has", "is_set"]
Value = str | int | bool | tuple[str, ...]
Fields = Mapping[str, "str | int | bool | tuple[str, ...] | None"]


class Test(msgspec.Struct, frozen=True, kw_only=True, tag="test", tag_field="is"):
    """One comparison: `field` `op` `value`, e.g. language in (he, ar)."""

    __test__ = False  # pytest would take the name for a test class

    field: str
    op: Operator
    value: Value = True


class All(msgspec.Struct, frozen=True, kw_only=True, tag="all", tag_field="is"):
    """True when each part is true; true when there is none."""

    of: tuple[Test | All | AnyOf, ...] = ()


class AnyOf(msgspec.Struct, frozen=True, kw_only=True, tag="any", tag_field="is"):
    """True when at least one part is true."""

    of: tuple[Test | All | AnyOf, ...] = ()


Condition = Test | All | AnyOf


class WrongCondition(ValueError):
    """A condition that can never be evaluated; `path` says where in the tree, e.g. `of[1].field`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def matches(condition: Condition, fields: Fields) -> bool:
    """Whether `fields` satisfy `condition`. A field that is missing or None satisfies only `differs` and `not_in`."""
    if isinstance(condition, All):
        return all(matches(part, fields) for part in condition.of)
    if isinstance(condition, AnyOf):
        return any(matches(part, fields) for part in condition.of)
    return _holds(condition, fields.get(condition.field))


def check(condition: Condition, known_fields: frozenset[str], path: str = "when") -> None:
    """Refuse a condition that names an unknown field or compares with an unusable value. Raises WrongCondition."""
    if isinstance(condition, All | AnyOf):
        for index, part in enumerate(condition.of):
            check(part, known_fields, f"{path}.of[{index}]")
        return
    if condition.field not in known_fields:
        raise WrongCondition(f"{path}.field", f"unknown field '{condition.field}', one of {', '.join(sorted(known_fields))}")
    if condition.op in ("in", "not_in") and not isinstance(condition.value, tuple):
        raise WrongCondition(f"{path}.value", f"'{condition.op}' needs a list of texts")
    if condition.op in ("at_least", "at_most") and (isinstance(condition.value, bool) or not isinstance(condition.value, int)):
        raise WrongCondition(f"{path}.value", f"'{condition.op}' needs a whole number")


def _holds(test: Test, actual: str | int | bool | tuple[str, ...] | None) -> bool:
    expected = test.value
    match test.op:
        case "equals":
            return actual is not None and actual == expected
        case "differs":
            return actual != expected
        case "in":
            return isinstance(expected, tuple) and isinstance(actual, str) and actual in expected
        case "not_in":
            return isinstance(expected, tuple) and not (isinstance(actual, str) and actual in expected)
        case "at_least":
            return isinstance(actual, int) and isinstance(expected, int) and actual >= expected
        case "at_most":
            return isinstance(actual, int) and isinstance(expected, int) and actual <= expected
        case "has":
            return isinstance(actual, tuple) and expected in actual
        case "is_set":
            return (actual is not None) == bool(expected)
