"""What queueing theory says of a queue: Erlang B, C and A. Pure; times are seconds, shares from 0 to 1.

Erlang C takes everybody to wait for ever, Erlang A takes patience to be exponential. Recursions over the number of agents, as
in Gans, Koole, Mandelbaum, "Telephone Call Centers" (M&SOM 5(2), 2003) and Mandelbaum, Zeltyn, "Service Engineering in Action:
The Palm/Erlang-A Queue" (2007): the forms with factorials overflow from some 170 agents on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, exp, inf, log

STEPS_A_HANDLING = 20  # of integration, in the mean time between two agents who become free
FEWEST_STEPS = 200
MOST_STEPS = 100_000
NEGLIGIBLE = 1e-17
LARGE = 1e250


class Overloaded(ValueError):
    """More work comes than the agents can do: without abandonment the queue grows for ever."""


def erlang_b(load: float, agents: int) -> float:
    """The share of contacts that find all agents busy when none may wait. `load` is in Erlangs."""
    _positive(load=load)
    if agents < 0:
        raise ValueError("agents: not fewer than none")
    inverse = 1.0
    for number in range(1, agents + 1):
        inverse = 1.0 + inverse * number / load
    return 1.0 / inverse


@dataclass(frozen=True)
class ErlangC:
    """M/M/n: contacts wait for ever. Raises ValueError for numbers that mean nothing, Overloaded where no queue is steady."""

    arrivals_per_second: float
    handle_seconds: float
    agents: int

    def __post_init__(self) -> None:
        """Refuse what has no answer."""
        _positive(arrivals_per_second=self.arrivals_per_second, handle_seconds=self.handle_seconds, agents=self.agents)
        if self.load >= self.agents:
            raise Overloaded(f"{self.load:g} Erlangs for {self.agents} agents")

    @property
    def load(self) -> float:
        """The work that comes, in Erlangs: as many agents would never rest."""
        return self.arrivals_per_second * self.handle_seconds

    @property
    def occupancy(self) -> float:
        """The share of their time in which agents are busy."""
        return self.load / self.agents

    @cached_property
    def wait_probability(self) -> float:
        """The share of contacts that wait at all."""
        blocked = erlang_b(self.load, self.agents)
        return blocked / (1.0 - self.occupancy * (1.0 - blocked))

    @property
    def answer_seconds(self) -> float:
        """The mean wait of all contacts (average speed of answer)."""
        return self.wait_probability * self.handle_seconds / (self.agents - self.load)

    def service_level(self, within_seconds: float) -> float:
        """The share of contacts that are answered within so long."""
        waiting = exp(-(self.agents - self.load) * within_seconds / self.handle_seconds)
        return 1.0 - self.wait_probability * waiting


@dataclass(frozen=True)
class ErlangA:
    """M/M/n+M: who waits leaves after an exponential time of patience. Raises ValueError for numbers that mean nothing."""

    arrivals_per_second: float
    handle_seconds: float
    agents: int
    patience_seconds: float

    def __post_init__(self) -> None:
        """Refuse what has no answer."""
        _positive(
            arrivals_per_second=self.arrivals_per_second,
            handle_seconds=self.handle_seconds,
            agents=self.agents,
            patience_seconds=self.patience_seconds,
        )

    @property
    def load(self) -> float:
        """The work that comes, in Erlangs; of it, what is abandoned is never done."""
        return self.arrivals_per_second * self.handle_seconds

    @cached_property
    def wait_probability(self) -> float:
        """The share of contacts that wait at all."""
        blocked = erlang_b(self.load, self.agents)
        below = 1.0 / blocked - 1.0 if blocked else inf
        return 1.0 / (1.0 + below * exp(-self._log_queue))

    @property
    def abandoned(self) -> float:
        """The share of contacts that leave before an agent answers."""
        offered = self.load / self.agents
        of_those_who_wait = 1.0 - (1.0 - exp(-self._log_queue)) / offered
        return max(self.wait_probability * of_those_who_wait, 0.0)

    @property
    def wait_seconds(self) -> float:
        """The mean wait of all contacts, of those who leave as well as of those who are answered."""
        return self.abandoned * self.patience_seconds

    @property
    def occupancy(self) -> float:
        """The share of their time in which agents are busy."""
        return self.load * (1.0 - self.abandoned) / self.agents

    def service_level(self, within_seconds: float) -> float:
        """The share of all contacts that are answered within so long (Simpson's rule over the wait that is offered)."""
        freed = self.agents / self.handle_seconds
        steps = min(max(FEWEST_STEPS, ceil(STEPS_A_HANDLING * freed * within_seconds)), MOST_STEPS)
        steps += steps % 2
        width = within_seconds / steps
        weights = (1 if n in (0, steps) else 4 if n % 2 else 2 for n in range(steps + 1))
        served = sum(weight * self._served_at(n * width) for n, weight in enumerate(weights)) * width / 3
        return 1.0 - self.wait_probability + self.wait_probability * served

    def _served_at(self, wait: float) -> float:
        """The density of being answered after such a wait, of those who wait."""
        freed = self.agents / self.handle_seconds
        come = self.arrivals_per_second * self.patience_seconds * (1.0 - exp(-wait / self.patience_seconds))
        return freed * exp(come - freed * wait - wait / self.patience_seconds - self._log_queue)

    @cached_property
    def _log_queue(self) -> float:
        """How likely it is that all agents are busy, in units of their being busy with nobody waiting; its logarithm."""
        leaves_per_second, freed = 1.0 / self.patience_seconds, self.agents / self.handle_seconds
        total, term, waiting, scale = 1.0, 1.0, 0, 0.0
        while term > NEGLIGIBLE * total:
            waiting += 1
            term *= self.arrivals_per_second / (freed + waiting * leaves_per_second)
            total += term
            if total > LARGE:
                total, term, scale = total / LARGE, term / LARGE, scale + log(LARGE)
        return log(total) + scale


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 < number < inf:
            raise ValueError(f"{name}: greater than 0")
