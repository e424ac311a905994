"""Holds back records that nobody waits for, to be applied with the next that somebody does wait for. Pure: the time is given.

A transaction costs the same for one record as for fifty, and half of what a service reads it said itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord, TopicPartition

HOLD_SECONDS = 0.2
Batch = dict[TopicPartition, list[ConsumerRecord]]


@dataclass(slots=True)
class Holding:
    """What was read and not applied yet, at most `most` records (and one poll's). Times are seconds of a clock that only goes
    forward.
    """

    can_wait: Callable[[ConsumerRecord], bool]
    most: int
    seconds: float = HOLD_SECONDS
    _held: Batch = field(default_factory=dict)
    _since: float = 0.0

    def take(self, came: Mapping[TopicPartition, list[ConsumerRecord]], now: float) -> Batch:
        """What is to be applied now, in each partition's order: everything, or nothing yet."""
        if not self._held:
            self._since = now
        for place, records in came.items():
            self._held.setdefault(place, []).extend(records)
        waited_for = any(not self.can_wait(record) for records in came.values() for record in records)
        if not waited_for and now < self._since + self.seconds and sum(map(len, self._held.values())) < self.most:
            return {}
        taken, self._held = self._held, {}
        return taken

    def next_offset(self, place: TopicPartition) -> int | None:
        """Behind the last record held of this partition, None where none is."""
        return self._held[place][-1].offset + 1 if place in self._held else None

    def seconds_left(self, now: float) -> float | None:
        """How long what is held may still wait, None while nothing is."""
        return max(0.0, self._since + self.seconds - now) if self._held else None

    def drop(self) -> None:
        """Hold nothing: it is read again."""
        self._held = {}
