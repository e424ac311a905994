"""What a set of recordings is, and what became of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
Database = Callable[[], str]
"""The URL of a migrated database, made when a set first asks for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recording: its name, and why its result is not the expected one; `miss` is empty where it is."""

    name: str
    miss: str = ""


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """Recordings in one folder. `run` gets the folder and a database, and yields an outcome for each recording in it.

    `known`: recordings whose miss is understood, with the reason. `note` is said beside the count. `root`: what the folder lies
    in; the fixtures beside the repository, where it is not ours.
    """

    name: str
    folder: str
    run: Callable[[Path, Database], Iterator[Outcome]]
    known: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    root: Path = FIXTURES

    def outcomes(self, database: Database) -> list[Outcome] | None:
        """What became of all; None when the folder is not there."""
        folder = self.root / self.folder
        return list(self.run(folder, database)) if folder.is_dir() else None


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
