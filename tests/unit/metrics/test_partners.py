"""A partner is told its own figures, and none that cannot be told of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.metrics.api import _confined
from services.metrics.definitions import BY_ID
from shared.auth import Caller
from shared.http import Problem

HOUSE = Caller("operations", frozenset({"ops:read"}))
NORTH = Caller("north", frozenset({"partner:north"}), "north")
VOLUME = BY_ID["ticket_volume"]
OF_THE_HOUSE = replace(VOLUME, dimensions=("channel",))


def test_the_house_asks_for_what_it_likes() -> None:
    asked = {"channel": ["email"], "partner": ["south"]}
    assert _confined(HOUSE, VOLUME, asked) == asked
    assert _confined(HOUSE, OF_THE_HOUSE, {}) == {}


def test_a_partner_gets_its_own_whether_it_asks_for_it_or_not() -> None:
    assert _confined(NORTH, VOLUME, {"channel": ["email"]}) == {"channel": ["email"], "partner": ["north"]}
    assert _confined(NORTH, VOLUME, {"partner": ["north"]}) == {"partner": ["north"]}


@pytest.mark.parametrize("asked", [["south"], ["north", "south"], [""]])
def test_a_partner_gets_nobody_else_s(asked: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        _confined(NORTH, VOLUME, {"partner": asked})
    assert refused.value.status == 403


def test_what_cannot_be_told_of_a_partner_is_not_told_to_one() -> None:
    with pytest.raises(Problem) as refused:
        _confined(NORTH, OF_THE_HOUSE, {})
    assert refused.value.status == 403
