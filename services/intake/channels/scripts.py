"""Of which scripts the letters of a text are (blocks of Unicode, as Blocks.txt names them)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

Script = Literal["latin", "greek", "cyrillic", "armenian", "hebrew", "arabic", "thai", "georgian", "hangul", "kana", "han"]

# First and last of each run of letters whose script says something about a language, in their order.
_RUNS: tuple[tuple[int, int, Script], ...] = (
    (0x41, 0x5A, "latin"),
    (0x61, 0x7A, "latin"),
    (0xC0, 0x24F, "latin"),
    (0x370, 0x3FF, "greek"),
    (0x400, 0x52F, "cyrillic"),
    (0x531, 0x58F, "armenian"),
    (0x590, 0x5FF, "hebrew"),
    (0x600, 0x6FF, "arabic"),
    (0x750, 0x77F, "arabic"),
    (0x8A0, 0x8FF, "arabic"),
    (0xE01, 0xE5B, "thai"),
    (0x10A0, 0x10FF, "georgian"),
    (0x1100, 0x11FF, "hangul"),
    (0x1C90, 0x1CBF, "georgian"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x3041, 0x30FF, "kana"),
    (0x3131, 0x318E, "hangul"),
    (0x31F0, 0x31FF, "kana"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xAC00, 0xD7A3, "hangul"),
    (0xF900, 0xFAFF, "han"),
    (0xFB1D, 0xFB4F, "hebrew"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFC, "arabic"),
    (0xFF66, 0xFF9F, "kana"),
    (0x20000, 0x323AF, "han"),
)
_BEGINNINGS = [first for first, _, _ in _RUNS]
_NOT_LETTERS = re.compile(r"[^A-Za-z]+")


def letters(text: str) -> Mapping[Script, int]:
    """How many letters there are of each script; those of other scripts are not counted."""
    if text.isascii():
        return {"latin": len(_NOT_LETTERS.sub("", text))}
    counted: dict[Script, int] = {}
    for character, times in Counter(text).items():
        script = script_of(character)
        if script is not None:
            counted[script] = counted.get(script, 0) + times
    return counted


@lru_cache(maxsize=4096)
def script_of(character: str) -> Script | None:
    """The script of a letter; None for what is no letter of those above."""
    code = ord(character)
    at = bisect_right(_BEGINNINGS, code) - 1
    if at < 0:
        return None
    _, last, script = _RUNS[at]
    return script if code <= last else None
