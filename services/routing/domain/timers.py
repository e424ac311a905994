"""What is due on a ticket by the time: what goes on besides its place and owner ends by itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.routing.domain import calling_back, consulting, handing, resting, wrapping
from services.routing.domain.work import Turn
from shared.events.config import QueueConfigured


def fire(turn: Turn, queues: Sequence[QueueConfigured]) -> None:
    """End what is over by now, and bring back what is due."""
    wrapping.expire(turn)
    handing.expire(turn)
    consulting.expire(turn)
    calling_back.come_back(turn, queues)
    resting.come_back(turn, queues)
