"""How often somebody may try, and what a provider's words become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.signing_in import Allowance, again_free_at, place_of, scopes_of, wait, way_back

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FIVE = Allowance(5, timedelta(minutes=1))


def attempts(allowance: Allowance, seconds: list[int]) -> int:
    """How many of the attempts at these instants are allowed."""
    free_at, allowed = None, 0
    for second in seconds:
        now = START + timedelta(seconds=second)
        if not wait(allowance, free_at, now):
            free_at, allowed = again_free_at(allowance, free_at, now), allowed + 1
    return allowed


def test_so_many_at_once_then_one_each_so_often() -> None:
    assert attempts(FIVE, [0] * 100) == 5
    assert attempts(FIVE, [0] * 100 + [59]) == 5
    assert attempts(FIVE, [0] * 100 + [60, 60]) == 6
    assert attempts(FIVE, [0] * 100 + [300] * 100) == 10, "all of it is free again after its time"


def test_how_long_to_wait_is_said() -> None:
    assert wait(FIVE, None, START) == timedelta()
    full = START + 5 * FIVE.each
    assert wait(FIVE, full, START) == timedelta(minutes=1)
    assert wait(FIVE, full, START + timedelta(seconds=45)) == timedelta(seconds=15)


@given(st.lists(st.integers(0, 3600), max_size=200).map(sorted))
def test_in_no_hour_more_is_allowed_than_at_once_and_each_minute(seconds: list[int]) -> None:
    assert attempts(FIVE, seconds) <= FIVE.at_once + 60


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str, place: str) -> None:
    assert place_of(address) == place


@pytest.mark.parametrize(
    ("asked", "to"),
    [
        ("/console/c/42?tab=1", "/console/c/42?tab=1"),
        ("", "/"),
        ("console", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/é", "/"),
    ],
)
def test_only_a_path_of_ours_is_gone_back_to(asked: str, to: str) -> None:
    assert way_back(asked) == to


@pytest.mark.parametrize(
    ("groups", "scopes"),
    [
        (["support"], ("agent:dana",)),
        (["support", "leads", "cooks"], ("agent:dana", "ops:read", "supervisor")),
        ("leads", ("ops:read", "supervisor")),
        (["cooks"], ()),
        ([], ()),
        (None, ()),
        ([["support"], 7, None], ()),
        ({"support": True}, ()),
    ],
)
def test_groups_become_what_their_members_may_do(groups: object, scopes: tuple[str, ...]) -> None:
    assert scopes_of(groups, {"support": ("agent",), "leads": ("supervisor", "ops:read")}, "dana") == scopes
