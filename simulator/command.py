"""The command: a run against the Patchbay of this folder, shown while it goes on; it fails unless all is acknowledged."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from client import NoAnswer, ProblemError
from deploy.demo.receivers import Mailbox, mail_server, twilio_api
from deploy.local.errors import LocalError
from shared.db import DatabaseAway
from simulator import display, local
from simulator.arrivals import Lognormal
from simulator.hand import Conduct
from simulator.run import NotAcknowledged, Simulation
from simulator.truth import Truth

QUIET_SECONDS = 1.0  # agents who heard nothing for so long have nothing to do any more
FINISH_SECONDS = 20.0  # how long they may go on after the last contact
INTERRUPTED = 130  # as shells say of a program that ended with Ctrl-C
DAY_HANDLING = Lognormal(0.3)  # seconds: as short as a day that is over in a minute


async def _run(
    seed: int, rate: float, contacts: int, agents: int, truth_file: Path | None, run: str, day_seconds: float | None
) -> int:
    settings, places = local.find()
    await local.check(places)
    places = await local.hire(places, agents)
    truth = Truth()
    if truth_file is not None:
        truth.write(truth_file)
    async with AsyncExitStack() as stack:
        stack.callback(truth.close)
        mailbox = None
        if local.receives_mail():
            mailbox = await stack.enter_async_context(_receivers(settings.demo_mail_port, settings.demo_twilio_port))
        conduct = Conduct(handling=DAY_HANDLING) if day_seconds is not None else Conduct()
        simulation = Simulation(
            places, seed, truth, rate_per_second=rate, run=run, conduct=conduct, mailbox=mailbox, day_seconds=day_seconds
        )
        title = f"Seed {seed}, run {run}: {contacts} contacts, {rate:g} a second, {agents} agents"
        return await _shown(simulation, contacts, display.for_output(simulation, title))


@asynccontextmanager
async def _receivers(mail_port: int, twilio_port: int) -> AsyncIterator[Mailbox]:
    """The customers' mail server and Twilio's REST API, as `make demo` plays them. Raises NotRunning."""
    try:
        async with mail_server(mail_port, keep=False) as mailbox, twilio_api(twilio_port):
            yield mailbox
    except OSError:
        raise local.NotRunning(
            f"Port {mail_port} or {twilio_port}, where customers receive, is taken. End `make demo` or the other simulator."
        ) from None


async def _shown(simulation: Simulation, contacts: int, shown: display.Display) -> int:
    """Run it while it is shown. Returns the exit code."""
    drawing = asyncio.create_task(shown.run())
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with simulation:
            outcome, code = await _until(stopped, simulation, contacts)
    finally:
        drawing.cancel()
        with suppress(asyncio.CancelledError):
            await drawing
    shown.end(outcome, well=code == 0)
    return code


async def _until(stopped: asyncio.Event, simulation: Simulation, contacts: int) -> tuple[str, int]:
    """What became of it, and the exit code."""
    working = asyncio.create_task(_work(simulation, contacts))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        return "Interrupted.", INTERRUPTED
    try:
        working.result()
    except NotAcknowledged as error:
        return f"{error}.", 1
    return "Everything was acknowledged.", 0


async def _work(simulation: Simulation, contacts: int) -> None:
    await simulation.run(contacts)
    await simulation.idle(QUIET_SECONDS, FINISH_SECONDS)


def main(
    seed: Annotated[int, typer.Option(help="What is sent, by whom, in which order and what twice is a function of this.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Contacts a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long contacts are sent.")] = 60.0,
    contacts: Annotated[int | None, typer.Option(min=1, help="How many, instead of for how long.")] = None,
    agents: Annotated[int, typer.Option(min=1, max=500, help="How many agents work; two are there, others are hired.")] = 2,
    truth: Annotated[Path | None, typer.Option(help="Write the ground truth here, as JSON lines.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the run; with that of an earlier one the very same contacts are sent again.")
    ] = None,
    day: Annotated[bool, typer.Option("--day", help="Contacts come as in a working day that lasts so long, not evenly.")] = False,
) -> None:
    """Send seeded traffic to the Patchbay of this folder, with agents at work, until all of it is acknowledged."""
    number = contacts if contacts is not None else max(1, round(rate * seconds))
    name, day_seconds = run or f"{seed}-{int(time.time()):x}", seconds if day else None
    try:
        code = asyncio.run(_run(seed, rate, number, agents, truth, name, day_seconds))
    except (local.NotRunning, LocalError, DatabaseAway, NoAnswer, ProblemError) as error:
        sys.exit(str(error) or type(error).__name__)
    except OSError as error:
        sys.exit(f"{error}. Choose another file for --truth.")
    sys.exit(code)
