"""A score as people type it into a text message: a bare number, in whichever digits, with signs around it. Pure."""

from __future__ import annotations

import unicodedata

LONGEST = 20  # characters; a number with a few signs around it is shorter
# Signs that make something else of a number: -1, 5%, 4/5. A full stop, a bracket, a star say nothing.
_MEANING = frozenset("+-−±%‰٪/\\=<>~$€£₪")
_KEYCAP = frozenset("\ufe0f\u20e3")  # what makes an emoji of a digit


def score_in(text: str) -> int | None:
    """The number that is the whole message, None where it says anything else. Digits of any script count (٤, ۴, ４); spaces and
    signs around them do not.
    """
    if len(text) > LONGEST:
        return None
    digits, ended = "", False
    for letter in text:
        value = unicodedata.decimal(letter, None)
        if value is not None:
            if ended or len(digits) == 2:
                return None
            digits += str(value)
        elif not _is_nothing(letter):
            return None
        else:
            ended = digits != "" and letter not in _KEYCAP
    return int(digits) if digits else None


def _is_nothing(letter: str) -> bool:
    """Whether a sign says nothing: spaces, punctuation, direction marks."""
    kind = unicodedata.category(letter)
    return letter in _KEYCAP or letter in "\n\r\t" or ((kind[0] in "PZ" or kind == "Cf") and letter not in _MEANING)
