"""`python -m bench [NAME…] [--publish]`; without names, those of the variable BENCH, else all that are in the whole run."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench import report
from bench.figures import Line
from bench.lines.consumer import run as consumer
from bench.lines.decisions import run as decisions
from bench.lines.desk import run as desk
from bench.lines.fresh import run as fresh
from bench.lines.intake import run as intake
from bench.lines.life import run as life
from bench.lines.mail import run as mail
from bench.lines.offers import run as offers
from bench.lines.overload import run as overload
from bench.lines.overload import run_short as overload_short
from bench.lines.personal import run as personal
from bench.lines.pipeline import run as pipeline
from bench.lines.profile import run as profile
from bench.lines.relay import run as relay
from bench.lines.replay import run as replay
from bench.lines.stopping import run as stopping
from bench.lines.timers import run as timers
from bench.lines.waits import run as waits
from bench.machine import busy_now, facts, others
from bench.progress import heard
from bench.world import SCRATCH, BenchFailed
from deploy.local.errors import LocalError
from shared import telemetry

HERE = Path(__file__).resolve().parent

BENCHES: dict[str, Callable[[], Awaitable[list[Line]]]] = {
    "intake": intake,
    "mail": mail,
    "consumer": consumer,
    "replay": replay,
    "relay": relay,
    "personal": personal,
    "timers": timers,
    "decisions": decisions,
    "desk": desk,
    "waits": waits,
    "offers": offers,
    "fresh": fresh,
    "pipeline": pipeline,
    "life": life,
    "overload": overload_short,
    "stopping": stopping,
    "profile": profile,
}
ONLY_BY_NAME = frozenset({"profile", "desk", "waits"})
WHEN_NAMED = {"overload": overload}  # what takes longer when it was asked for by name


@dataclass(slots=True)
class Run:
    """The benches that were asked for, and what came of those that ran."""

    console: Console
    names: list[str]
    named: bool
    began: float = field(default_factory=time.monotonic)
    lines: list[Line] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)

    def go(self) -> None:
        """Run one after the other; one that cannot be carried out does not end the others."""
        with self.console.status("") as status:
            for place, name in enumerate(self.names, 1):
                head = f"[{place}/{len(self.names)}] {name}"

                def show(what: str, head: str = head) -> None:
                    status.update(f"{self._clock()}  {head}  {what}")

                with heard(show):
                    self._one(name)

    def _one(self, name: str) -> None:
        self.busy[name] = busy_now()
        began = time.monotonic()
        bench = WHEN_NAMED.get(name, BENCHES[name]) if self.named else BENCHES[name]
        try:
            self.lines += uvloop.run(_coroutine(bench))
            self.console.print(f"{self._clock()}  {name}: {time.monotonic() - began:.0f} s", style="dim", highlight=False)
        except (BenchFailed, LocalError) as error:
            self.missing[name] = str(error)
            self.console.print(f"{self._clock()}  {name}: not measured: {error}", style="red", markup=False)

    def _clock(self) -> str:
        seconds = round(time.monotonic() - self.began)
        return f"{seconds // 60}:{seconds % 60:02}"


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"which: {', '.join(BENCHES)}")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="write bench/RESULTS.md and bench/results.json")] = False,
) -> None:
    """Measure, print a table, and write it with all repeats to .patchbay/bench (or, with --publish, into the repository)."""
    console = Console(width=None if os.isatty(1) else 180)
    named = names or os.environ.get("BENCH", "").replace(",", " ").split()
    unknown = [name for name in named if name not in BENCHES]
    if unknown:
        console.print(f"There is no bench '{unknown[0]}'. There are: {', '.join(BENCHES)}.", style="red")
        raise typer.Exit(2)
    telemetry.set_up("bench", "error", as_json=False)
    machine = facts()
    run = Run(console, named or [name for name in BENCHES if name not in ONLY_BY_NAME], bool(named))
    run.go()
    machine |= others(run.busy)
    if run.lines:
        report.print_table(console, machine, run.lines)
    folder = HERE if publish else SCRATCH
    report.write(folder, machine, run.lines, run.missing)
    console.print(f"Written to {os.path.relpath(folder)}", highlight=False)
    raise typer.Exit(1 if run.missing else 0)


async def _coroutine(bench: Callable[[], Awaitable[list[Line]]]) -> list[Line]:
    return await bench()


if __name__ == "__main__":
    typer.run(main)
