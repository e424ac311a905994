"""A ticket that waits for its customer or a third party only until a time: then it comes back to work by itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.routing.domain.lifecycle import go_on
from services.routing.domain.work import Turn
from shared.events.config import QueueConfigured
from shared.events.ticket import TicketReopened

FURTHEST = timedelta(days=366)
DUE = "due"  # why it was reopened


class WrongTime(ValueError):
    """A time that is over, or too far ahead."""


def check(turn: Turn, until: datetime | None) -> None:
    """Refuse a time at which nothing can come back. Raises WrongTime."""
    if until is not None and not turn.now < until <= turn.now + FURTHEST:
        raise WrongTime(f"it lies between now and {FURTHEST.days} days ahead")


def come_back(turn: Turn, queues: Sequence[QueueConfigured]) -> None:
    """It is looked at again when its time is there: by its owner where there is room, else it waits, as new as that."""
    until = turn.work.besides.rests_until
    if until is None or until > turn.now or not turn.work.rests:
        return
    turn.beside(rests_until=None)
    turn.say(TicketReopened(reason=DUE))
    go_on(turn, queues, turn.now, "ticket.due")
