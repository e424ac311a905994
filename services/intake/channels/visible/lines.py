"""A mail as lines with marks: whose each line is, and what it looks like without its ornaments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """Whose a line is. OWN until somebody says otherwise; BELOW is where a message begins that is quoted without marks."""

    OWN = "own"
    QUOTED = "quoted"
    SIGNED = "signed"
    BELOW = "below"
    FOLDED = "folded"


# Marks of direction and joining, which mail programs strew into lines that have two scripts.
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
ATTRIBUTION_LIMIT = 400  # characters of what may stand above a quotation


@dataclass(frozen=True, slots=True)
class Lines:
    """`bare[n]` is `shown[n]` without unseen characters and outer space; empty where nothing is to be read."""

    shown: list[str]
    bare: list[str]
    marks: list[Mark]

    @classmethod
    def of(cls, text: str) -> Lines:
        """Plain text; what begins with `>` is quoted."""
        shown = text.split("\n")
        bare = [line.strip() for line in (shown if text.isascii() else _UNSEEN.sub("", text).replace("\u00a0", " ").split("\n"))]
        marks = [Mark.QUOTED if line[:1] in (">", "＞") else Mark.OWN for line in bare]
        return cls(shown, bare, marks)

    @classmethod
    def marked(cls, pieces: list[tuple[Mark, str]]) -> Lines:
        """Text whose pieces are known to be somebody's."""
        shown, marks = [], []
        for mark, text in pieces:
            found = text.split("\n")
            shown += found
            marks += [mark] * len(found)
        return cls(shown, [_UNSEEN.sub("", line).replace("\u00a0", " ").strip() for line in shown], marks)

    def __len__(self) -> int:
        return len(self.shown)

    def next_written(self, at: int) -> int:
        """The first line from `at` on that is not blank; the number of lines where there is none."""
        while at < len(self.bare) and not self.bare[at]:
            at += 1
        return at
