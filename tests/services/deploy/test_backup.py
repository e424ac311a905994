"""Backup and restore of the database by the operator's commands, on a real PostgreSQL."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typer.testing import CliRunner, Result

from deploy import cli, restoring, setup
from shared.recalling import READS_BACK

Command = Callable[..., Awaitable[Result]]
MASTER = secrets.token_bytes(32)


@pytest.fixture
def patchbay(database: str) -> Command:
    """Runs a command against the test's database."""

    async def run(*arguments: str, master: bytes = MASTER) -> Result:
        environment = {"PATCHBAY_DATABASE": database, "PATCHBAY_MASTER_KEY": base64.b64encode(master).decode()}
        return await asyncio.to_thread(CliRunner().invoke, cli.app, list(arguments), env=environment)

    return run


async def execute(database: str, *statements: str) -> None:
    connection = await asyncpg.connect(database, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=20)
    finally:
        await connection.close(timeout=5)


async def values(database: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(database, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(statement, timeout=20)]
    finally:
        await connection.close(timeout=5)


def wrapped(customer_id: str) -> str:
    nonce = secrets.token_bytes(12)
    return (nonce + AESGCM(MASTER).encrypt(nonce, secrets.token_bytes(32), customer_id.encode())).hex()


def key_of(customer_id: str) -> str:
    return f"INSERT INTO keys.customer_key (customer_id, wrapped) VALUES ('{customer_id}', '\\x{wrapped(customer_id)}')"


def read_up_to(service: str, topic: str, offset: int) -> str:
    return f"INSERT INTO {service}.consumer_offset (topic, partition, next_offset) VALUES ('{topic}', 3, {offset})"


async def backed_up(database: str, patchbay: Command, file: Path) -> None:
    """A house with something in it, and its backup."""
    await execute(
        database,
        key_of("ana"),
        key_of("mihai"),
        read_up_to("intake", "tickets", 50),
        read_up_to("metrics", "tickets", 70),
        read_up_to("routing", "customers", 20),
        "SELECT setval('intake.ticket_number', 100500)",
        "INSERT INTO auth.api_key (id, name, hash, scopes) VALUES ('door', 'door', '\\x01', '{intake:write}')",
    )
    made = await patchbay("backup", str(file))
    assert made.exit_code == 0, made.output
    assert "master key" in made.output


async def test_a_restored_database_is_that_of_the_backup_and_its_services_read_back_the_rest(
    database: str, patchbay: Command, tmp_path: Path
) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    await execute(
        database,
        "SELECT setval('intake.ticket_number', 100900)",
        "UPDATE intake.consumer_offset SET next_offset = 900",
        "UPDATE sla.incarnation SET number = 6",
    )
    done = await patchbay("restore", str(tmp_path / "a.backup"), "--yes")
    assert done.exit_code == 0, done.output
    assert await values(database, "SELECT last_value FROM intake.ticket_number") == [(100500,)]
    assert await values(database, "SELECT number FROM intake.incarnation") == [(2,)]
    assert await values(database, "SELECT number FROM sla.incarnation") == [(7,)], "higher than any that was in use"
    marks = await values(database, "SELECT topic, next_offset FROM intake.recall WHERE partition = 3 ORDER BY 1")
    assert marks == [("customers", 20), ("tickets", 50)], "its own topics from where anybody was, tickets from where it was"
    assert await values(database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%before%'") == []


async def test_a_restored_backup_that_was_not_read_back_yet_is_backed_up_as_such(
    database: str, patchbay: Command, tmp_path: Path
) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    assert (await patchbay("restore", str(tmp_path / "a.backup"), "--yes")).exit_code == 0
    await execute(database, "UPDATE intake.consumer_offset SET next_offset = 900")
    assert (await patchbay("backup", str(tmp_path / "b.backup"))).exit_code == 0
    assert (await patchbay("restore", str(tmp_path / "b.backup"), "--yes")).exit_code == 0
    marks = await values(database, "SELECT next_offset FROM intake.recall WHERE (topic, partition) = ('tickets', 3)")
    assert marks == [(50,)]
    assert await values(database, "SELECT number FROM intake.incarnation") == [(3,)]


async def test_keys_never_come_back_to_an_older_state(database: str, patchbay: Command, tmp_path: Path) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    await execute(
        database,
        key_of("after"),
        "UPDATE keys.customer_key SET wrapped = NULL, destroyed_at = now() WHERE customer_id = 'mihai'",
        "UPDATE auth.api_key SET revoked_at = now() WHERE id = 'door'",
        "INSERT INTO auth.api_key (id, name, hash, scopes) VALUES ('new', 'new', '\\x02', '{intake:write}')",
    )
    assert (await patchbay("restore", str(tmp_path / "a.backup"), "--yes")).exit_code == 0
    there = await values(database, "SELECT customer_id, wrapped IS NOT NULL FROM keys.customer_key ORDER BY 1")
    assert there == [("after", True), ("ana", True), ("mihai", False)]
    assert await values(database, "SELECT id, revoked_at IS NULL FROM auth.api_key ORDER BY 1") == [
        ("door", False),
        ("new", True),
    ]


async def test_a_database_that_was_lost_gets_the_keys_of_the_backup_and_a_warning(
    database: str, empty_database: str, patchbay: Command, tmp_path: Path
) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    environment = {"PATCHBAY_DATABASE": empty_database, "PATCHBAY_MASTER_KEY": base64.b64encode(MASTER).decode()}
    done = await asyncio.to_thread(CliRunner().invoke, cli.app, ["restore", str(tmp_path / "a.backup"), "--yes"], env=environment)
    assert (done.exit_code, "revoked since the backup" in done.output) == (0, True), done.output
    assert await values(empty_database, "SELECT id FROM auth.api_key") == [("door",)]
    assert await values(empty_database, "SELECT number FROM routing.incarnation") == [(2,)]


async def test_a_restore_is_refused_while_a_service_is_connected_and_names_it(
    database: str, patchbay: Command, tmp_path: Path
) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    service = await asyncpg.connect(database, server_settings={"application_name": "patchbay-routing"})
    try:
        refused = await patchbay("restore", str(tmp_path / "a.backup"), "--yes")
    finally:
        await service.close(timeout=5)
    assert (refused.exit_code, "routing" in refused.output) == (1, True), refused.output


async def test_a_restore_under_another_master_key_is_refused(database: str, patchbay: Command, tmp_path: Path) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    refused = await patchbay("restore", str(tmp_path / "a.backup"), "--yes", master=secrets.token_bytes(32))
    assert (refused.exit_code, "master key" in refused.output) == (1, True), refused.output


async def test_half_a_file_is_refused_and_nothing_is_changed(database: str, patchbay: Command, tmp_path: Path) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    whole = (tmp_path / "a.backup").read_bytes()
    (tmp_path / "half.backup").write_bytes(whole[: len(whole) * 9 // 10])
    refused = await patchbay("restore", str(tmp_path / "half.backup"), "--yes")
    assert refused.exit_code == 1, refused.output
    assert await values(database, "SELECT number FROM intake.incarnation") == [(1,)]
    assert await values(database, "SELECT count(*) FROM keys.customer_key") == [(2,)]
    assert await values(database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%before%'") == []


async def test_a_backup_is_never_written_over_another(patchbay: Command, tmp_path: Path) -> None:
    (tmp_path / "a.backup").write_text("mine")
    refused = await patchbay("backup", str(tmp_path / "a.backup"))
    assert (refused.exit_code, (tmp_path / "a.backup").read_text()) == (1, "mine"), refused.output


async def test_nobody_is_asked_where_nobody_is(database: str, patchbay: Command, tmp_path: Path) -> None:
    await backed_up(database, patchbay, tmp_path / "a.backup")
    refused = await patchbay("restore", str(tmp_path / "a.backup"))
    assert (refused.exit_code, "--yes" in refused.output) == (2, True), refused.output


def test_every_schema_that_is_backed_up_is_kept_or_read_back_or_told_anew() -> None:
    assert set(setup.SCHEMAS) == {*restoring.KEPT, *READS_BACK, *restoring.TOLD_ANEW}


async def test_a_backup_from_before_the_desk_is_put_back_and_the_desk_begins_at_the_beginning(
    database: str, patchbay: Command, tmp_path: Path
) -> None:
    await execute(database, "DROP SCHEMA desk CASCADE")
    await backed_up(database, patchbay, tmp_path / "a.backup")
    done = await patchbay("restore", str(tmp_path / "a.backup"), "--yes")
    assert done.exit_code == 0, done.output
    for table in ("ticket", "consumer_offset"):
        assert await values(database, f"SELECT count(*) FROM desk.{table}") == [(0,)]
    assert await values(database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%before%'") == []
