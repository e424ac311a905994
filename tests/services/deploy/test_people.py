"""People by the operator's commands, those of the demonstration, and what a restore makes of them, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from deploy import cli, setup
from shared import db, passwords
from shared.settings import Settings
from tests.services.deploy.test_backup import execute, values

pytestmark = pytest.mark.timeout(60)
Command = Callable[..., Awaitable[Result]]
GOOD = "correct horse battery"


@pytest.fixture
def patchbay(database: str) -> Command:
    """Runs a command against the test's database."""
    environment = {"PATCHBAY_DATABASE": database, "PATCHBAY_MASTER_KEY": base64.b64encode(bytes(32)).decode(), "COLUMNS": "400"}

    async def run(*arguments: str, stdin: str = "") -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, list(arguments), stdin, env=environment))

    return run


async def password_of(database: str, login: str = "dana") -> str:
    [(stored,)] = await values(database, f"SELECT password FROM auth.person WHERE login = '{login}'")
    return str(stored)


async def begin_session(database: str, login: str = "dana") -> None:
    digest = secrets.token_hex(32)
    await execute(
        database,
        "INSERT INTO auth.session (hash, id, login, scopes, way, idle_seconds, good_until, ends_at)"
        f" VALUES ('\\x{digest}', '{digest[:8]}', '{login}', '{{agent:dana}}', 'password', 60, now() + interval '1 h',"
        " now() + interval '1 h')",
    )


async def test_people_are_added_listed_and_let_in_no_more(database: str, patchbay: Command) -> None:
    added = await patchbay("people", "add", "dana", "--scope", "agent:dana", "--name", "Dana", stdin=f"{GOOD}\n")
    assert (added.exit_code, GOOD in added.output) == (0, False), added.output
    assert passwords.fits(await password_of(database), GOOD)
    again = await patchbay("people", "add", "dana", "--scope", "admin", stdin=f"{GOOD}\n")
    assert (again.exit_code, "people password dana" in again.output) == (1, True)
    await begin_session(database)
    assert (await patchbay("people", "password", "dana", stdin="another long one\n")).exit_code == 0
    assert passwords.fits(await password_of(database), "another long one")
    assert await values(database, "SELECT 1 FROM auth.session") == []
    await begin_session(database)
    assert (await patchbay("people", "disable", "dana")).exit_code == 0
    assert await values(database, "SELECT 1 FROM auth.session") == []
    listed = (await patchbay("people", "list")).output
    assert "agent:dana" in listed
    assert "argon2" not in listed
    assert (await patchbay("people", "disable", "dana", "--undo")).exit_code == 0
    assert await values(database, "SELECT disabled FROM auth.person") == [(False,)]
    shown = (await patchbay("audit", "dana")).output
    assert shown.count("person.put") == 3
    assert shown.count("password.set") == 2
    assert "operator" in shown


async def test_who_signs_in_at_a_provider_needs_no_password(database: str, patchbay: Command) -> None:
    added = await patchbay("people", "add", "noa", "--scope", "supervisor", "--email", "Noa@Example.com", "--no-password")
    assert added.exit_code == 0, added.output
    assert await values(database, "SELECT email, password FROM auth.person") == [("noa@example.com", None)]
    taken = await patchbay("people", "add", "ana", "--scope", "supervisor", "--email", "noa@example.com", "--no-password")
    assert (taken.exit_code, "email" in taken.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("add", "Dana Levi", "--scope", "admin"), GOOD, 2),
        (("add", "dana", "--scope", "god"), GOOD, 2),
        (("add", "dana", "--scope", "partner:north", "--scope", "admin"), GOOD, 2),
        (("add", "dana", "--scope", "admin"), "short", 2),
        (("add", "dana", "--scope", "admin"), "", 2),
        (("password", "nobody"), GOOD, 1),
        (("disable", "nobody"), "", 1),
    ],
)
async def test_what_cannot_be_done_is_said(
    database: str, patchbay: Command, arguments: tuple[str, ...], stdin: str, code: int
) -> None:
    done = await patchbay("people", *arguments, stdin=f"{stdin}\n")
    assert done.exit_code == code, done.output
    assert await values(database, "SELECT 1 FROM auth.person") == []


async def test_a_restore_lets_nobody_in_who_was_shut_out_since_and_ends_all_sessions(
    database: str, patchbay: Command, tmp_path: Path
) -> None:
    for login in ("dana", "noa"):
        assert (await patchbay("people", "add", login, "--scope", "admin", stdin=f"{GOOD}\n")).exit_code == 0
    await execute(database, "INSERT INTO auth.agent VALUES ('ned', NULL, true)")
    await begin_session(database)
    assert (await patchbay("backup", str(tmp_path / "a.backup"))).exit_code == 0
    assert (await patchbay("people", "disable", "dana")).exit_code == 0
    assert (await patchbay("people", "add", "new", "--scope", "admin", stdin=f"{GOOD}\n")).exit_code == 0
    await execute(database, "UPDATE auth.agent SET partner_id = 'north'")
    restored = await patchbay("restore", str(tmp_path / "a.backup"), "--yes")
    assert restored.exit_code == 0, restored.output
    there = await values(database, "SELECT login, disabled FROM auth.person ORDER BY 1")
    assert there == [("dana", True), ("new", False), ("noa", False)]
    assert await values(database, "SELECT partner_id FROM auth.agent") == [("north",)]
    assert await values(database, "SELECT 1 FROM auth.session") == []


async def test_a_backup_from_before_there_were_people_is_put_back(database: str, patchbay: Command, tmp_path: Path) -> None:
    await asyncio.to_thread(db.migrate, database, "auth", "auth_0001", down=True)
    assert (await patchbay("backup", str(tmp_path / "a.backup"))).exit_code == 0
    await asyncio.to_thread(db.migrate, database, "auth")
    restored = await patchbay("restore", str(tmp_path / "a.backup"), "--yes")
    assert restored.exit_code == 0, restored.output
    assert await values(database, "SELECT count(*) FROM auth.person") == [(0,)]


def row_of(agent_id: str, profile: str) -> str:
    return f"('{agent_id}', '{profile}', 'offline', now(), now(), 0)"


async def test_an_update_learns_whose_the_agents_are_that_were_configured_before(database: str) -> None:
    await asyncio.to_thread(db.migrate, database, "auth", "auth_0001", down=True)
    agent = "INSERT INTO routing.agent (agent_id, profile, state, state_since, idle_since, ceiling_units) VALUES {}"
    await execute(
        database,
        agent.format(row_of("ned", '{"display_name": "Ned", "partner_id": "north"}')),
        agent.format(row_of("old", '{"display_name": "Old", "active": false}')),
    )
    await asyncio.to_thread(db.migrate, database, "auth")
    assert await values(database, "SELECT id, partner_id, active FROM auth.agent ORDER BY id") == [
        ("ned", "north", True),
        ("old", None, False),
    ]


async def test_the_demonstration_s_people_have_random_passwords_in_a_file_of_the_owner_s(database: str, tmp_path: Path) -> None:
    settings = Settings(database=SecretStr(database))
    file = await setup.demo_people(settings, tmp_path)
    known = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert known.keys() == setup.DEMO_PEOPLE.keys()
    assert len(set(known.values())) == len(known)
    for login, password in known.items():
        assert passwords.fits(await password_of(database, login), password)
    await execute(database, "UPDATE auth.person SET name = 'Somebody else' WHERE login = 'dana'")
    await setup.demo_people(settings, tmp_path)
    assert json.loads(file.read_text()) == known, "who is there stays as they are"
    assert await values(database, "SELECT name FROM auth.person WHERE login = 'dana'") == [("Somebody else",)]
