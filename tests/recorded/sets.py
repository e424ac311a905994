"""What a set of recordings is, and what became of each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
Database = Callable[[], str]
"""The URL of a migrated database, made when a set first asks for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recording: its name, and why its result is not the expected one; `miss` is empty where it is. `came`: all of the
    result, where that says it shortly.
    """

    name: str
    miss: str = ""
    came: str = ""

    @property
    def mark(self) -> str:
        """What tells this miss from every other: short, and nothing of the recording is in it."""
        return hashlib.sha256(f"{self.miss}\n{self.came}".encode()).hexdigest()[:7]


@dataclass(frozen=True, slots=True)
class Known:
    """A miss that is understood: why, and the mark of exactly what comes out, which `make fixtures` prints."""

    why: str
    mark: str


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """Recordings in one folder. `run` gets the folder and a database, and yields an outcome for each recording in it.

    `known`: recordings whose miss is understood; another miss of the same recording is not. `note` is said beside the count.
    `root`: what the folder lies in; the fixtures beside the repository, where it is not ours.
    """

    name: str
    folder: str
    run: Callable[[Path, Database], Iterator[Outcome]]
    known: Mapping[str, Known] = field(default_factory=dict)
    note: str = ""
    root: Path = FIXTURES

    def outcomes(self, database: Database) -> list[Outcome] | None:
        """What became of all; None when the folder is not there."""
        folder = self.root / self.folder
        return list(self.run(folder, database)) if folder.is_dir() else None

    def why(self, outcome: Outcome) -> str:
        """The reason of a miss that is known to be just so; empty of any other."""
        known = self.known.get(outcome.name)
        return known.why if known is not None and known.mark == outcome.mark else ""

    def surprises(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Misses that are not known to be just so, and recordings that are known to miss and do so no more, or are not there."""
        there = {one.name for one in outcomes}
        gone = [Outcome(name, "it is not there") for name in self.known if name not in there]
        return gone + [one for one in outcomes if (one.miss or one.name in self.known) and not self.why(one)]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Recordings that nothing here reads yet: of what, how many (None when they are not there), and what they wait for."""

    name: str
    folder: str
    count: Callable[[Path], int]
    what: str
    until: str

    def number(self) -> int | None:
        """How many there are."""
        folder = FIXTURES / self.folder
        return self.count(folder) if folder.is_dir() else None
