"""All sets, in the order in which they are told. A new one: a file here with its SETS, and a line below."""

from __future__ import annotations

from tests.recorded import replies
from tests.recorded.sets import RecordedSet

SETS: tuple[RecordedSet, ...] = (*replies.SETS,)
