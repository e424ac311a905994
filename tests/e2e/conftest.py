"""One whole system for the end-to-end tests of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.system import READERS, SERVICES, System, running_system


@pytest_asyncio.fixture(scope="module")
async def system(kafka_bootstrap: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    folder: Path = tmp_path_factory.mktemp("system")
    async with running_system(kafka_bootstrap, module_database, folder, (*SERVICES, *READERS)) as running:
        yield running
