"""What a set of recordings is, and what became of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recording: its name, and why its result is not the expected one; `miss` is empty where it is."""

    name: str
    miss: str = ""


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """Recordings in one folder of the fixtures. `run` gets the folder and yields an outcome for each recording in it.

    `known`: recordings whose miss is understood, with the reason, printed beside it.
    """

    name: str
    folder: str
    run: Callable[[Path], Iterator[Outcome]]
    known: tuple[tuple[str, str], ...] = ()

    def outcomes(self) -> list[Outcome] | None:
        """What became of all; None when the folder is not there."""
        folder = FIXTURES / self.folder
        return list(self.run(folder)) if folder.is_dir() else None
