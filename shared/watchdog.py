"""Notices a Kafka client that stopped bringing records although there are some. Pure: the time is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

ALL_SECONDS = 60.0
# A client that catches up brings the records of one partition after the other, megabytes of each.
ONE_SECONDS = 600.0


@dataclass(slots=True)
class Watchdog:
    """When each partition last brought records, or had none. Times are seconds of a clock that only goes forward."""

    _moved: dict[TopicPartition, float] = field(default_factory=dict)

    def watch(self, places: Iterable[TopicPartition], now: float) -> None:
        """From now on these, and no others."""
        self._moved = dict.fromkeys(places, now)

    def brought(self, places: Iterable[TopicPartition], now: float) -> None:
        """These brought records."""
        self._moved.update(dict.fromkeys(places, now))

    def late(self, behind: Mapping[TopicPartition, int], now: float) -> str | None:
        """None, or what stands still, given how many records of each partition were not brought yet."""
        for place in self._moved:
            if not behind.get(place):
                self._moved[place] = now
        waiting = {place: n for place, n in behind.items() if n and place in self._moved}
        if not waiting:
            return None
        if now - max(self._moved.values()) > ALL_SECONDS:
            return f"{sum(waiting.values())} records wait and none came for {ALL_SECONDS:.0f} s"
        place = min(waiting, key=lambda place: self._moved[place])
        if now - self._moved[place] > ONE_SECONDS:
            return f"{waiting[place]} records of {place.topic}[{place.partition}] wait and none came for {ONE_SECONDS:.0f} s"
        return None
