"""How much may come under one name (a sender, a key, an address) in a minute, and how the minute is given away. Pure.

Processes take what they need out of one minute, a part of it at a time. A minute begins when the first of it is taken. Whoever
needs more at once than is left gets it, because a list of contacts is taken whole; then the minute lasts so much longer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

MINUTE = timedelta(minutes=1)
PARTS = 20


class Minute(NamedTuple):
    """So much was given away under a name since its minute began."""

    ends_at: datetime
    given: int


class Given(NamedTuple):
    """What somebody gets who asks: `amount`; nothing where nothing is left before the minute ends."""

    minute: Minute
    amount: int


def free_of(per_minute: int) -> int:
    """How many a process lets in by itself before it asks, so that asking is for the few who send much."""
    return per_minute // PARTS


def give(minute: Minute, needed: int, per_minute: int, now: datetime) -> Given:
    """Give away what is needed, and as much of a part as is left beyond that: the next will be asked for soon."""
    if minute.ends_at <= now:
        minute = Minute(now + MINUTE, 0)
    left = per_minute - minute.given
    if left <= 0:
        return Given(minute, 0)
    count = max(needed, min(per_minute // PARTS, left))
    too_many = max(0, count - left)
    return Given(Minute(minute.ends_at + MINUTE * too_many / per_minute, minute.given + count), count)
