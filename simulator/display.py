"""What a run looks like while it goes on: a table that lives, or a JSON line a second where nobody watches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulator.errands import CHANNELS, Channel
from simulator.figures import percentile_ms
from simulator.run import Simulation

REFRESH_SECONDS = 0.5
LINE_SECONDS = 1.0
AGENTS_SHOWN = 12


class Display(Protocol):
    """Shows a simulation until cancelled, and its end."""

    async def run(self) -> None:
        """Until cancelled."""

    def end(self, outcome: str, *, well: bool) -> None:
        """The summary."""


def for_output(simulation: Simulation, title: str) -> Display:
    """The live table on a terminal, JSON lines elsewhere."""
    return Screen(simulation, title) if sys.stdout.isatty() else Lines(simulation)


def snapshot(simulation: Simulation) -> dict[str, object]:
    """The figures as they are now. Milliseconds are of the newest successful answers."""
    figures, seconds = simulation.figures, simulation.figures.seconds
    return {
        "seconds": round(simulation.clock(), 3),
        "planned": figures.planned,
        "begun": figures.begun,
        "acknowledged": figures.acknowledged,
        "outstanding": figures.begun - figures.acknowledged,
        "given_up": figures.given_up,
        "answer_ms": _percentiles(seconds),
        "statuses": dict(figures.statuses),
        "channels": {
            name: {
                "begun": one.begun,
                "acknowledged": one.acknowledged,
                "attempts": one.attempts,
                "repeats": one.repeats,
                "retries": one.retries,
                "unanswered": one.unanswered,
                "refused": one.refused,
            }
            for name, one in figures.channels.items()
        },
        "agents": {name: agent.as_dict() for name, agent in figures.agents.items()},
        "mail_to_customers": {"confirmations": simulation.post.confirmations, "replies": simulation.post.replies},
    }


def _percentiles(seconds: list[float]) -> Mapping[str, float | None]:
    return {"p50": percentile_ms(seconds, 0.5), "p95": percentile_ms(seconds, 0.95), "p99": percentile_ms(seconds, 0.99)}


class Lines:
    """One JSON object a line."""

    def __init__(self, simulation: Simulation) -> None:
        """Nothing is written yet."""
        self._simulation = simulation

    async def run(self) -> None:
        """A line a second, until cancelled."""
        while True:
            await asyncio.sleep(LINE_SECONDS)
            print(json.dumps(snapshot(self._simulation)), flush=True)

    def end(self, outcome: str, *, well: bool) -> None:
        """The last line, with the outcome."""
        print(json.dumps({**snapshot(self._simulation), "outcome": outcome, "all_acknowledged": well}), flush=True)


class Screen:
    """A table on the terminal that is drawn again and again in its place."""

    def __init__(self, simulation: Simulation, title: str) -> None:
        """Nothing is drawn yet."""
        self._simulation = simulation
        self._title = title
        self._console = Console(highlight=False)
        self._before: tuple[float, Mapping[Channel, int]] = (0.0, {})
        self._rates: dict[Channel, float] = {}

    async def run(self) -> None:
        """Draw, until cancelled."""
        with Live(self._picture(), console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(REFRESH_SECONDS)
                self._measure()
                live.update(self._picture(), refresh=True)

    def end(self, outcome: str, *, well: bool) -> None:
        """The last picture, and how it ended."""
        self._rates = {}
        self._console.print(self._picture())
        self._console.print(Text(outcome, style="bold green" if well else "bold red"))

    def _measure(self) -> None:
        """Acknowledged contacts a second since the last two seconds or so."""
        now, (then, before) = self._simulation.clock(), self._before
        if now - then < 4 * REFRESH_SECONDS:
            return
        counts = {name: one.acknowledged for name, one in self._simulation.figures.channels.items()}
        self._rates = {name: (count - before.get(name, 0)) / (now - then) for name, count in counts.items()}
        self._before = now, counts

    def _picture(self) -> RenderableType:
        return Group(Text(self._title, style="bold"), self._channels(), Text(), self._agents(), self._foot())

    def _channels(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("channel", min_width=8)
        for name in ("per s", "acknowledged", "outstanding", "repeats", "retries", "no answer", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right")
        figures = self._simulation.figures
        for name in CHANNELS:
            one = figures.channels[name]
            times = list(one.seconds)
            table.add_row(
                name,
                f"{self._rates[name]:.1f}" if name in self._rates else "",
                str(one.acknowledged),
                Text(str(one.outstanding), style="yellow" if one.outstanding else ""),
                str(one.repeats),
                str(one.retries),
                str(one.unanswered),
                _shown(percentile_ms(times, 0.5)),
                _shown(percentile_ms(times, 0.99)),
            )
        return table

    def _agents(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("agent", min_width=8)
        table.add_column("state", min_width=9)
        names = ("in_hand", "offers", "accepted", "declined", "missed", "gone", "replies", "resolved")
        for name in names:
            table.add_column(name.replace("_", " "), justify="right")
        agents = self._simulation.figures.agents
        for name, agent in list(agents.items())[:AGENTS_SHOWN]:
            table.add_row(name, agent.state, *(str(getattr(agent, count)) for count in names))
        if len(agents) > AGENTS_SHOWN:
            totals = (str(self._simulation.figures.agents_total(count)) for count in names)
            table.add_row(f"all {len(agents)}", "", *totals)
        return table

    def _foot(self) -> Text:
        figures, post = self._simulation.figures, self._simulation.post
        statuses = "  ".join(f"{status}: {number}" for status, number in sorted(figures.statuses.items()))
        return Text(
            f"\n{figures.acknowledged} of {figures.begun} sent are acknowledged"
            f" · {post.confirmations} confirmations and {post.replies} replies arrived by mail"
            f" · {self._simulation.clock():.0f} s\nanswers  {statuses}",
            style="dim",
        )


def _shown(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.0f}"
