"""`python -m bench [NAME…] [--publish]`; without names, those of the variable BENCH, else all."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench import report
from bench.figures import Line
from bench.lines import consumer, intake, mail, offers, personal, pipeline, profile, relay
from bench.machine import facts
from bench.world import SCRATCH, BenchFailed
from deploy.local.errors import LocalError
from shared import telemetry

HERE = Path(__file__).resolve().parent

BENCHES: dict[str, Callable[[], Awaitable[list[Line]]]] = {
    "intake": intake.run,
    "mail": mail.run,
    "consumer": consumer.run,
    "relay": relay.run,
    "personal": personal.run,
    "offers": offers.run,
    "pipeline": pipeline.run,
    "profile": profile.run,
}
BY_NAME_ONLY = frozenset({"profile"})


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"which: {', '.join(BENCHES)}")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="write bench/RESULTS.md and bench/results.json")] = False,
) -> None:
    """Measure, print a table, and write it with all repeats to .patchbay/bench (or, with --publish, into the repository)."""
    console = Console(width=None if os.isatty(1) else 180)
    wanted = (
        names or os.environ.get("BENCH", "").replace(",", " ").split() or [name for name in BENCHES if name not in BY_NAME_ONLY]
    )
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        console.print(f"There is no bench '{unknown[0]}'. There are: {', '.join(BENCHES)}.", style="red")
        raise typer.Exit(2)
    telemetry.set_up("bench", "error", as_json=False)
    machine = facts()
    lines, missing = _measure(console, wanted)
    if lines:
        report.print_table(console, machine, lines)
    folder = HERE if publish else SCRATCH
    report.write(folder, machine, lines, missing)
    console.print(f"Written to {os.path.relpath(folder)}", highlight=False)
    raise typer.Exit(1 if missing else 0)


def _measure(console: Console, wanted: list[str]) -> tuple[list[Line], dict[str, str]]:
    lines: list[Line] = []
    missing: dict[str, str] = {}
    for name in wanted:
        began = time.monotonic()
        try:
            lines += uvloop.run(_one(name))
            console.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim", highlight=False)
        except (BenchFailed, LocalError) as error:
            missing[name] = str(error)
            console.print(f"{name}: not measured: {error}", style="red", markup=False)
    return lines, missing


async def _one(name: str) -> list[Line]:
    return await BENCHES[name]()


if __name__ == "__main__":
    typer.run(main)
