"""The order of work: a ticket's place is the instant from which it counts as waiting, and the earliest is next.

A step of priority and being a VIP are worth seconds of waiting. So a ticket's rank does not change while time passes: whoever
is before another stays there, and the database can keep all that wait in this order. The normal priority is worth nothing,
so that normal tickets of all queues stand by their age, whatever a step is worth in each.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from shared.events.base import Priority
from shared.events.config import QueueConfigured

NORMAL: Priority = 2
# What a step is worth where a queue does not say: more than anybody waits.
STRICT_SECONDS = 100 * 365 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Worth(msgspec.Struct, frozen=True):
    """How many seconds of waiting a step of priority is worth in a queue, and being a VIP."""

    priority_seconds: int = STRICT_SECONDS
    vip_seconds: int = 0


def worth_in(queue: QueueConfigured) -> Worth:
    """As the queue is configured."""
    step = STRICT_SECONDS if queue.ageing_seconds is None else queue.ageing_seconds
    return Worth(priority_seconds=step, vip_seconds=queue.vip_bonus_seconds)


def rank(age_from: datetime, priority: Priority, vip: bool, worth: Worth, due_from: datetime | None = None) -> int:
    """The instant from which the ticket counts as waiting, in microseconds of the epoch. The lowest is next. It is never later
    than `due_from`, from which on its promise is pressing.
    """
    ahead = (priority - NORMAL) * worth.priority_seconds + (worth.vip_seconds if vip else 0)
    place = _instant(age_from) - ahead * 1_000_000
    return place if due_from is None else min(place, _instant(due_from))


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
