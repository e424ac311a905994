"""The section of RESULTS.md that `make fixtures` writes: how many recordings of other systems come out as expected, by set.

It is kept when the figures of the bench are published anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = "## Recorded sets"
HOW = (
    "What other systems recorded, run through the real code by `make fixtures`, which names each miss. The recordings lie beside "
    "the repository and are no part of it. By the mails of our own the rules were mended since they were first counted: what "
    "unseen mail comes to, only their counts at first sight tell."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A set: how many of all come out as expected, the others by reason, and how many of them nobody has explained.

    `waits_for`: nothing reads the set yet.
    """

    name: str
    expected: int
    all: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    unexplained: int = 0
    note: str = ""
    waits_for: str = ""


def section(rows: Sequence[Row]) -> str:
    """The section."""
    lines = [TITLE, "", HOW, "", "| set | as expected | of | the others |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {'not yet' if row.waits_for else row.expected} | {row.all} | {_others(row)} |" for row in rows]
    run = [row for row in rows if not row.waits_for]
    lines.append(f"| all that are run | {sum(row.expected for row in run)} | {sum(row.all for row in run)} | |")
    return "\n".join(lines) + "\n"


def _others(row: Row) -> str:
    said = [f"{count}: {why}" for why, count in row.reasons.items()]
    said += [f"{row.unexplained} not explained"] if row.unexplained else []
    said += [one for one in (row.note, row.waits_for) if one]
    return "; ".join(said)


def kept(page: str) -> str:
    """The section as it stands on a page; empty when there is none."""
    _, found, rest = page.partition(f"{TITLE}\n")
    return found + rest.partition("\n## ")[0].rstrip("\n") + "\n" if found else ""


def with_section(page: str, text: str) -> str:
    """The page with this section at its end, in place of the one that it may have."""
    old = kept(page)
    rest = page.replace(old, "", 1) if old else page
    return f"{rest.rstrip()}\n\n{text}" if text else page


def renew(rows: Sequence[Row], page: Path = PAGE) -> None:
    """Write the section into the page; what else stands there stays."""
    page.write_text(with_section(page.read_text("utf-8"), section(rows)), "utf-8")
