"""How much a process holds at a time of all the large things that come in: mails, and requests that are as large."""

from __future__ import annotations

from dataclasses import dataclass

AT_ONCE = 4  # of the largest: two are being read, two come in
SMALL_BYTES = 2**20  # up to here nothing is counted: ordinary mail is taken whatever large ones are on their way


@dataclass(slots=True)
class Room:
    """For so many bytes of what is large, which is what has more than `small_bytes`; one alone always fits."""

    most_bytes: int
    held: int = 0
    small_bytes: int = SMALL_BYTES

    def has(self, size: int, held: int = 0) -> bool:
        """Whether something that has come to this size fits, `held` of which is counted already."""
        others = self.held - held
        return size <= self.small_bytes or not others or others + size <= self.most_bytes


@dataclass(slots=True)
class Share:
    """How much of what is held is one thing's."""

    room: Room
    held: int = 0

    def grow(self, size: int) -> bool:
        """Count what has come to this size, or is going to. False, and nothing counted, where it does not fit."""
        if not self.room.has(size, self.held):
            return False
        if size > max(self.room.small_bytes, self.held):
            self.room.held += size - self.held
            self.held = size
        return True

    def give_back(self) -> None:
        """It was dealt with."""
        self.room.held -= self.held
        self.held = 0
