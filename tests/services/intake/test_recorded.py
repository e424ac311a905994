"""What providers sent, as another project recorded it: each request on the real edge, read as it was read there."""

from __future__ import annotations

import asyncio

import pytest

from tests.recorded import anymail
from tests.recorded.sets import Outcome


async def test_recorded_requests_come_to_what_they_came_to_where_they_were_recorded(database: str) -> None:
    surprises: list[Outcome] = []
    count = 0
    for one in anymail.SETS:
        outcomes = await asyncio.to_thread(one.outcomes, lambda: database)
        if outcomes is None:
            pytest.skip("needs ../shared/fixtures beside the repository")
        count += len(outcomes)
        surprises += one.surprises(outcomes)
    assert count >= 141
    assert surprises == []
