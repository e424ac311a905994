"""`patchbay config` against a routing that serves: the file comes out, is looked at, and goes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from deploy import cli
from deploy.local.ports import free_ports
from shared.http import make_server
from tests.services.routing.conftest import House
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)
Command = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture
async def config(house: House) -> AsyncIterator[Command]:
    """`patchbay config …` as an admin; there is a queue, and an agent."""
    await house.queue()
    await house.agent(available=False)
    [port] = free_ports(1)
    server = make_server(house.app, "127.0.0.1", port)
    serving = asyncio.create_task(server.serve())
    await until("serving", lambda: server.started, 10)
    environment = {"COLUMNS": "400", "PATCHBAY_KEY": house.keys["admin"]}

    async def run(command: str, *arguments: str, url: str = f"http://127.0.0.1:{port}", stdin: str = "") -> Result:
        asked = ["config", command, "--url", url, *arguments]
        return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, asked, stdin, env=environment))

    yield run
    server.should_exit = True
    await serving


async def test_the_file_comes_out_is_edited_checked_and_put_in_force(house: House, config: Command, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    assert (await config("export", str(file))).exit_code == 0
    text = file.read_text()
    assert text.startswith("version: 2\nskills: []\n")
    assert "Nothing to change" in (await config("apply", str(file))).output
    ticket_id = await house.open(language="he")
    hebrew = "- {id: hebrew, name: {en: Hebrew}, position: 0, when: {is: test, field: language, op: equals, value: he}}\n"
    file.write_text(text.replace("queues:\n", f"queues:\n{hebrew}"))
    for looked in (await config("check", str(file)), await config("apply", str(file), "--dry-run")):
        assert looked.exit_code == 0, looked.output
        assert "made queue hebrew" in looked.output
        assert f"1 go to another queue {ticket_id} (support → hebrew)" in looked.output
    assert (await house.ask("admin", "GET", "/v1/queues/hebrew")).status_code == 404
    done = await config("apply", str(file))
    assert (done.exit_code, "In force as version 3" in done.output) == (0, True), done.output
    stale = await config("apply", str(file))
    assert (stale.exit_code, "precondition-failed" in stale.output) == (1, True)
    file.write_text(file.read_text().replace("version: 2\n", "").replace("name: {en: Hebrew}", "name: {en: Other}"))
    assert "In force as version 4" in (await config("apply", str(file))).output
    earlier = await config("export", "--version", "2")
    assert earlier.stdout == text.replace("version: 2\n", "")


async def test_what_is_wrong_with_a_file_is_told_with_its_place(config: Command, tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(
        "queues:\n- {id: q, name: {en: Q}, position: 1}\n- {id: r, name: {en: R}, position: 2, steps: [{rings: 2}]}\n"
    )
    for command in ("check", "apply"):
        told = await config(command, str(file))
        assert told.exit_code == 1
        assert f"{file}: queues[1].steps[0].rings: Extra inputs are not permitted" in told.output
        assert f"{file}: queues[1].steps[0].after_seconds: Field required" in told.output
    file.write_text("queues: []\nqueues: []\n")
    assert f"{file}: line 2, column 1: 'queues' is there twice" in (await config("check", str(file))).output
    from_standard_input = await config("check", "-", stdin="teams: [{id: x}]")
    assert "-: teams[0].name: Field required" in from_standard_input.output


async def test_where_nobody_answers_or_no_file_is_it_is_said(config: Command, tmp_path: Path) -> None:
    [port] = free_ports(1)
    nobody = await config("export", url=f"http://127.0.0.1:{port}")
    assert (nobody.exit_code, "Routing does not answer" in nobody.output) == (3, True)
    missing = await config("apply", str(tmp_path / "none.yaml"))
    assert (missing.exit_code, "cannot be read" in missing.output) == (1, True)
    nowhere = await config("export", str(tmp_path / "no" / "folder.yaml"))
    assert (nowhere.exit_code, "cannot be written" in nowhere.output) == (1, True)
