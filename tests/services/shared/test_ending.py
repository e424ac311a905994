"""How a service's process ends, whatever libraries left running in it."""

import asyncio
import os
import sys

from tests.system import ROOT

SERVICE = """
import threading
from shared.service import main
from shared.settings import Settings

async def run():
    threading.Thread(target=threading.Event().wait).start()
    {then}

main("sla", Settings, run)
"""


async def ended(then: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE.format(then=then),
        cwd=ROOT, env={**os.environ, "PATCHBAY_DATABASE": "postgresql://nobody@127.0.0.1:1/none"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, output.decode()


async def test_a_process_that_failed_ends_though_a_thread_was_left_behind_and_says_why() -> None:
    code, said = await ended("raise RuntimeError('no words of this')")
    assert code == 1
    assert "ended by an error" in said
    assert "no words of this" not in said


async def test_a_process_that_was_done_ends_though_a_thread_was_left_behind() -> None:
    code, said = await ended("return")
    assert (code, "stopped" in said) == (0, True)
