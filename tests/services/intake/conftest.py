"""A process of intake on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.services.intake.world import World, process


@pytest_asyncio.fixture
async def world(database: str) -> AsyncIterator[World]:
    """One process."""
    async with process(database) as running:
        yield running
