"""Keeping processes alive: when a dead one is started again."""

from dataclasses import dataclass

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0


def delay_after(failures: int) -> float:
    """Seconds to wait before the next start after so many failures in a row (1, 2, …): doubled each time, bounded."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 10))


@dataclass(frozen=True)
class Health:
    """What is known of one process. `started` and `due` are seconds of a monotonic clock."""

    started: float
    failures: int = 0
    due: float | None = None
    """When it is to be started again; None while it runs."""

    def died(self, now: float) -> "Health":
        """It ended: count it, forgetting older failures when it had run steadily, and set the time of its next start."""
        failures = 1 if now - self.started >= STEADY_SECONDS else self.failures + 1
        return Health(self.started, failures, now + delay_after(failures))

    def restarted(self, now: float) -> "Health":
        """It was started again."""
        return Health(now, self.failures, None)

    def is_due(self, now: float) -> bool:
        """Whether it is to be started again now."""
        return self.due is not None and now >= self.due
