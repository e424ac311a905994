"""Preparing ends with one sentence for people, whatever does not allow it."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.setup import check_master_key
from shared import db
from shared.personal import WrongMasterKey
from shared.service import NotReady, resources
from shared.settings import Settings
from tests.services.shared.conftest import Plumbing, plumbing, plumbing_template

__all__ = ["plumbing", "plumbing_template"]

PROJECT = Path(__file__).resolve().parents[3]
KEY = base64.b64encode(bytes(32)).decode()


def _setup(**settings: str) -> tuple[int, str]:
    """Exit code and last line of `python -m deploy.setup`, which the supervisor shows."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
    environment = {**clean, "PATCHBAY_MASTER_KEY": KEY, "PATCHBAY_KAFKA": "127.0.0.1:1", **settings}
    command = [sys.executable, "-m", "deploy.setup"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


def test_a_setting_that_is_wrong_is_named() -> None:
    code, said = _setup(PATCHBAY_PARTITIONS="abc")
    assert code == 1
    assert "PATCHBAY_PARTITIONS" in said
    assert "pydantic" not in said


@pytest.fixture
async def poor(empty_database: str) -> str:
    """The URL of a user who may create nothing."""
    name = f"poor_{urlsplit(empty_database).path.strip('/')}"
    connection = await asyncpg.connect(empty_database)
    await connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'poor'")
    await connection.close()
    parts = urlsplit(empty_database)
    return urlunsplit(parts._replace(netloc=f"{name}:poor@{parts.hostname}:{parts.port}"))


async def test_a_user_without_the_right_to_create_is_told_how_to_get_it(poor: str) -> None:
    code, said = _setup(PATCHBAY_DATABASE=poor)
    assert code == 1
    assert "GRANT CREATE ON DATABASE" in said


async def test_a_user_whose_password_is_wrong_is_told_which_setting_to_correct(poor: str) -> None:
    code, said = _setup(PATCHBAY_DATABASE=poor.replace(":poor@", ":rich@"))
    assert code == 1
    assert "Correct it." in said
    assert "PATCHBAY_DATABASE" in said
    assert "rich" not in said


async def test_a_master_key_of_another_database_lets_nothing_start(plumbing: Plumbing) -> None:
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.check_master_key(conn)
        await plumbing.keys.create(conn, ["customer-a", "customer-b"])
        await plumbing.keys.destroy(conn, ["customer-a"])
        await plumbing.keys.check_master_key(conn)
    async with resources("intake", plumbing.settings):
        pass
    other = plumbing.settings.model_copy(update={"master_key": Settings(master_key=KEY).master_key})
    with pytest.raises(NotReady, match="The master key does not fit this database"):
        async with resources("intake", other):
            pass
    await check_master_key(plumbing.settings)
    with pytest.raises(WrongMasterKey, match="PATCHBAY_MASTER_KEY_FILE"):
        await check_master_key(other)
