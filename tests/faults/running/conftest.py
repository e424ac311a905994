"""The running system on which these tests let their faults loose, one after the other."""

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import moving_clock
from tests.faults.houses import Houses
from tests.infra import LocalKafka, LocalPostgres, create_template


@pytest_asyncio.fixture(scope="package")
async def houses(
    kafka_server: LocalKafka, postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Houses]:
    """For all tests of this folder: what one fault did must not show after the next either."""
    # A name of its own each time: a run may come back to this folder after other tests.
    template = await create_template(postgres_server.url, moving_clock.migrate, f"template_movable_{secrets.token_hex(3)}")
    houses = Houses(kafka_server, postgres_server, template, tmp_path_factory.mktemp("houses"))
    yield houses
    await houses.leave()
