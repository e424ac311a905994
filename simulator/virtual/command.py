"""The command: a working day in virtual time, and its figures. It needs nothing that runs."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from services.routing.domain.scores import Score
from shared.events.config import EstimatorName
from simulator.arrivals import DAY_SECONDS
from simulator.virtual.day import Day
from simulator.virtual.forecast import Forecast
from simulator.virtual.results import Figures, figures
from simulator.virtual.worlds import a_day

SLICES = 48


def main(
    agents: Annotated[int, typer.Option(min=20, max=20_000, help="How many are employed; contacts come in proportion.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same decisions, to the byte.")] = 1,
    within: Annotated[float, typer.Option(min=0, help="Seconds of the service level.")] = 20.0,
) -> None:
    """Play a working day against the routing engine itself, in virtual time, and show what came of it."""
    said, forecast, began = hashlib.blake2b(digest_size=16), Forecast(), time.monotonic()
    day = Day(a_day(agents, seed), seed, record=said.update, forecast=forecast)
    terminal = sys.stdout.isatty()
    with Progress(
        TextColumn("{task.completed:>4.1f} h"), BarColumn(), TextColumn("{task.fields[contacts]} contacts"), disable=not terminal
    ) as progress:
        task = progress.add_task("day", total=24.0, contacts=0)
        for part in range(1, SLICES + 1):
            day.until(part * DAY_SECONDS / SLICES)
            progress.update(task, completed=part * 24.0 / SLICES, contacts=len(day.results.contacts))
    took, results = time.monotonic() - began, day.results
    streams = {stream.name: figures(results.of(stream.name), within) for stream in day.world.streams}
    run = {
        "agents": agents,
        "seed": seed,
        "contacts": len(results.contacts),
        "offers": results.decisions,
        "took_seconds": round(took, 1),
        "decisions": said.hexdigest(),
    }
    total = figures(results.contacts, within)
    (_draw if terminal else _lines)(run, {**streams, "all": total}, forecast.scores())


def _lines(run: Mapping[str, object], streams: Mapping[str, Figures], scores: Mapping[EstimatorName, Score]) -> None:
    """JSON, an object a line."""
    print(json.dumps(run))
    for name, one in streams.items():
        print(json.dumps({"stream": name, **asdict(one)}))
    for estimator, score in scores.items():
        judged = {
            "mean_absolute_error_seconds": score.mean_absolute_error_seconds,
            "bias_seconds": score.bias_seconds,
            "coverage": score.coverage,
        }
        print(json.dumps({"estimator": estimator, **judged, **msgspec.structs.asdict(score)}))


def _draw(run: Mapping[str, object], streams: Mapping[str, Figures], scores: Mapping[EstimatorName, Score]) -> None:
    """Tables."""
    console = Console(highlight=False)
    columns = ("offered", "answered", "left", "again", "waiting", "mean", "p95", "in time")
    table = _table("contacts", columns)
    for name, one in streams.items():
        counts = (one.offered, one.answered, one.abandoned, one.came_again, one.waiting)
        times = (_seconds(one.answer_seconds), _seconds(one.slowest_seconds))
        table.add_row(name, *map(str, counts), *times, _percent(one.service_level))
    judged = _table("estimated wait", ("said", "silent", "unknown", "wrong by", "bias", "80 % held"))
    for estimator, score in scores.items():
        told = map(str, (score.scored, score.silent, score.unknown))
        wrong = (_seconds(score.mean_absolute_error_seconds), _seconds(score.bias_seconds), _percent(score.coverage))
        judged.add_row(estimator, *told, *wrong)
    console.print(table)
    console.print(judged)
    console.print(
        f"{run['agents']} agents, {run['contacts']} contacts, {run['offers']} offers in {run['took_seconds']} s;"
        f" seed {run['seed']}, decisions {run['decisions']}",
        style="dim",
    )


def _table(first: str, others: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(first, min_width=17)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"
