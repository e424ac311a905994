"""Why an offer was made: what a pass saw of the agents, and what it went by. Ids and figures only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.routing.domain.verdicts import Verdict
from shared.events.config import Strategy

NAMED = 10  # of those who fit, and of those who do not
How = Literal["next_in_turn", "last_agent"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent as a pass judged one. Of those who fit: where the strategy and the idle time put them."""

    agent_id: str
    verdict: Verdict
    standing: int | None = None
    idle_since: datetime | None = None


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass saw for tickets of one lane, before it gave anything in it: how many agents came to each verdict, and the first
    of them by name; and the version of all configuration by which it went. Agents who have a verdict of their own for one ticket
    of several count as fitting.
    """

    queue_id: str
    queue_version: int
    step: int
    strategy: Strategy
    channel: str
    language: str | None
    verdicts: dict[Verdict, int]
    candidates: tuple[Candidate, ...]
    config_version: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why this offer: how its agent was found, who had let the ticket go, and what the pass saw, which others may share under the
    same `decision_id`.
    """

    offer_id: str
    decision_id: str
    how: How
    let_go: tuple[str, ...]
    looked: Looked


def named(fitting: Iterable[Candidate], others: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those who are told by name."""
    return (*tuple(fitting)[:NAMED], *tuple(others)[:NAMED])
