"""The figures for people (a table), for programs (JSON), and for the repository (RESULTS.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench import recorded
from bench.figures import Line, Spread

COLUMNS = ("bench", "figure", "unit", "n", "product", "baseline", "ratio", "goal", "verdict")
STYLES = {"met": "green", "missed": "red", "no goal": "dim"}
HOW_TO_READ = (
    "Each figure is the median of n repeats, with the lowest and highest in brackets. Product and baseline run by turns; "
    "the ratio is the median of the ratios of neighbours. `make bench` measures all, `make bench BENCH=intake` one."
)


def rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """The table's cells."""
    return [
        (
            line.bench,
            line.what,
            line.unit,
            str(len(line.product)),
            _shown(Spread.of(line.product)),
            _shown(Spread.of(line.baseline)) if line.baseline else "–",
            _shown(line.ratio) if line.ratio else "–",
            " and ".join(str(goal) for goal in line.goals) or "–",
            line.verdict,
        )
        for line in lines
    ]


def _shown(spread: Spread) -> str:
    if spread.lowest == spread.highest:
        return _number(spread.median)
    return f"{_number(spread.median)} [{_number(spread.lowest)}–{_number(spread.highest)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_table(console: Console, facts: Mapping[str, str], lines: Sequence[Line]) -> None:
    """Machine on top, then the lines."""
    widest = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:>{widest}}  {value}", markup=False, highlight=False)
    table = Table(*COLUMNS[:-1], box=SIMPLE_HEAD)
    table.add_column("verdict", no_wrap=True)
    for cells in rows(lines):
        table.add_row(*(cell.replace("[", "\\[") for cell in cells[:-1]), f"[{STYLES[cells[-1]]}]{cells[-1]}[/]")
    console.print(table)
    for name in dict.fromkeys(f"{line.bench}: baseline is {line.baseline_name}" for line in lines if line.baseline):
        console.print(f"  {name}", markup=False, highlight=False)


def as_json(facts: Mapping[str, str], lines: Sequence[Line], missing: Mapping[str, str]) -> str:
    """All repeats, for comparing runs."""
    return json.dumps(
        {
            "machine": dict(facts),
            "lines": [
                {
                    "bench": line.bench,
                    "what": line.what,
                    "unit": line.unit,
                    "product": list(line.product),
                    "baseline_name": line.baseline_name,
                    "baseline": list(line.baseline),
                    "ratio": line.ratio.median if line.ratio else None,
                    "goals": [str(goal) for goal in line.goals],
                    "verdict": line.verdict,
                }
                for line in lines
            ],
            "not_measured": dict(missing),
        },
        indent=1,
        ensure_ascii=False,
    )


def as_markdown(facts: Mapping[str, str], lines: Sequence[Line], missing: Mapping[str, str]) -> str:
    """The page that is committed."""
    text = ["# Figures", "", HOW_TO_READ, "", "## Machine", ""]
    text += [f"- {name}: {value}" for name, value in facts.items()]
    text += ["", "## Lines", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    text += ["| " + " | ".join(cells) + " |" for cells in rows(lines)]
    names = dict.fromkeys(f"- {line.bench}: {line.baseline_name}" for line in lines if line.baseline)
    text += ["", "Baselines:", "", *names]
    if missing:
        text += ["", "## Not measured", "", *(f"- {name}: {reason}" for name, reason in missing.items())]
    return "\n".join(text) + "\n"


def write(folder: Path, facts: Mapping[str, str], lines: Sequence[Line], missing: Mapping[str, str]) -> None:
    """Write results.json and RESULTS.md, which keeps what it has of the recorded sets."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "RESULTS.md"
    sets = recorded.kept(page.read_text("utf-8")) if page.exists() else ""
    (folder / "results.json").write_text(as_json(facts, lines, missing) + "\n", encoding="utf-8")
    page.write_text(recorded.with_section(as_markdown(facts, lines, missing), sets), encoding="utf-8")
