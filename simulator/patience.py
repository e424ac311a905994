"""How long whoever sends something waits, and when they try again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. An attempt is given `answer_seconds` (Twilio's 15); between attempts the waits double from the first to the
    longest, with jitter, or are what `Retry-After` says, never more than the longest. Real providers wait minutes to hours:
    these are short so that a run sees how its faults end.
    """

    answer_seconds: float = 15.0
    first_wait_seconds: float = 0.2
    longest_wait_seconds: float = 5.0
    give_up_seconds: float = 120.0

    def wait(self, failures: int, asked_seconds: float | None, random: Random) -> float:
        """How long to wait after so many failed attempts (1 for the first)."""
        if asked_seconds is not None:
            return min(asked_seconds, self.longest_wait_seconds)
        doubled = self.first_wait_seconds * 2 ** min(failures - 1, 16)
        return float(min(doubled, self.longest_wait_seconds) * random.uniform(0.5, 1.0))
