"""What providers sent, as another project recorded it: each request on the real edge, read as it was read there."""

from __future__ import annotations

import asyncio

import pytest

from tests.recorded import anymail


async def test_recorded_requests_come_to_what_they_came_to_where_they_were_recorded(database: str) -> None:
    if not anymail.FOLDER.exists():
        pytest.skip("needs ../shared/fixtures beside the repository")
    outcomes = await asyncio.to_thread(lambda: list(anymail.requests(database)))
    missed = {name: why for name, ok, why in outcomes if not ok}
    assert len(outcomes) >= 141
    assert missed.keys() == anymail.ON_PURPOSE.keys(), missed
