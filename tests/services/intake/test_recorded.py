"""What providers sent, as another project recorded it: each request on the real edge, read as it was read there."""

from __future__ import annotations

import asyncio

import pytest

from tests.recorded import anymail


async def test_recorded_requests_come_to_what_they_came_to_where_they_were_recorded(database: str) -> None:
    missed: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] = set()
    count = 0
    for one in anymail.SETS:
        outcomes = await asyncio.to_thread(one.outcomes, lambda: database)
        if outcomes is None:
            pytest.skip("needs ../shared/fixtures beside the repository")
        count += len(outcomes)
        missed |= {(one.name, outcome.name) for outcome in outcomes if outcome.miss}
        known |= {(one.name, name) for name in one.known}
    assert count >= 141
    assert missed == known
