"""All sets, in the order in which they are told. A new one: a file here with its SETS, and a line below."""

from __future__ import annotations

from pathlib import Path

from tests.recorded import anymail, holdout, replies, twilio
from tests.recorded.sets import RecordedSet, Waiting


def _events(folder: Path) -> int:
    return sum(line.startswith("Event:") for line in (folder / "ami_events.txt").read_text("utf-8").splitlines())


def _lines(folder: Path) -> int:
    return sum(bool(line.strip()) for line in (folder / "queue_log").read_text("utf-8").splitlines())


def _calls(folder: Path) -> int:
    return sum(path.is_dir() for path in folder.iterdir())


SETS: tuple[RecordedSet, ...] = (*anymail.SETS, *twilio.SETS, *replies.SETS, *holdout.SETS)
TELEPHONE = "the telephone by Asterisk, a later channel"
WAITING: tuple[Waiting, ...] = (
    Waiting("Asterisk: manager's events", "asterisk", _events, "events", TELEPHONE),
    Waiting("Asterisk: queue log", "asterisk", _lines, "lines", TELEPHONE),
    Waiting("Asterisk: whole calls", "asterisk_live", _calls, "recordings", TELEPHONE),
)
