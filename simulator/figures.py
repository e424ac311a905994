"""What a run shows while it goes on: counts by channel and agent, and how long answers took."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from simulator.errands import CHANNELS, Channel

KEPT_TIMES = 5_000  # the newest ones; percentiles are of them


@dataclass(slots=True)
class ChannelFigures:
    """One channel. `repeats` were planned, `retries` became necessary; `unanswered` attempts brought no answer."""

    begun: int = 0
    acknowledged: int = 0
    refused: int = 0
    attempts: int = 0
    repeats: int = 0
    retries: int = 0
    unanswered: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TIMES))

    @property
    def outstanding(self) -> int:
        """Begun and not acknowledged yet."""
        return self.begun - self.acknowledged


@dataclass(slots=True)
class AgentFigures:
    """One agent. `gone` are offers that could not be accepted any more; `failed` acts that nobody answered in time."""

    state: str = "offline"
    in_hand: int = 0
    offers: int = 0
    accepted: int = 0
    declined: int = 0
    missed: int = 0
    gone: int = 0
    replies: int = 0
    resolved: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, str | int]:
        """For JSON."""
        return asdict(self)


@dataclass(slots=True)
class Figures:
    """A run in numbers. `statuses` counts the answers to all attempts of senders; `given_up` errands that ended early."""

    channels: dict[Channel, ChannelFigures] = field(default_factory=lambda: {name: ChannelFigures() for name in CHANNELS})
    agents: dict[str, AgentFigures] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    planned: int = 0
    given_up: int = 0

    @property
    def begun(self) -> int:
        """Contacts that were sent at least once."""
        return sum(one.begun for one in self.channels.values())

    @property
    def acknowledged(self) -> int:
        """Contacts whose sender knows that they were taken."""
        return sum(one.acknowledged for one in self.channels.values())

    @property
    def seconds(self) -> list[float]:
        """How long the newest successful answers took, of all channels."""
        return [second for one in self.channels.values() for second in one.seconds]

    def agents_total(self, name: str) -> int:
        """One count, over all agents."""
        return sum(int(getattr(agent, name)) for agent in self.agents.values())


def percentile_ms(seconds: Sequence[float], share: float) -> float | None:
    """The time below which `share` of these lie, in milliseconds (nearest rank); None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)
