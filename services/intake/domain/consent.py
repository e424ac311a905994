"""Words by which a person says that no more messages shall come to a number, or that they may come again. Pure.

The English words are those that Twilio and the carriers stop by default
(https://www.twilio.com/docs/messaging/guides/advanced-opt-out); who writes one of them is not reached any more, whatever we
think. A word counts only when it is the whole message.
"""

from __future__ import annotations

import unicodedata

_STOP = (
    "stop stopall unsubscribe cancel end quit revoke optout",
    "הסר הסירו הסרה עצור עצרו הפסק הפסיקו",
    "إيقاف أوقف توقف توقفوا إلغاء",
    "oprire opreste opriti dezabonare renunt",
)
_START = ("start unstop yes", "התחל התחילו חידוש", "ابدأ استئناف", "pornire reabonare")


def _folded(text: str) -> str:
    """Without case, marks, hamza on alef and whatever is no letter: how people type a word does not matter."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if letter.isalpha())


STOP_WORDS = frozenset(_folded(word) for words in _STOP for word in words.split())
START_WORDS = frozenset(_folded(word) for words in _START for word in words.split())
LONGEST = 40  # characters; a word with a few signs around it is shorter


def consent_in(text: str, told: str = "") -> bool | None:
    """False: no more messages. True: they may come again. None: it speaks of something else.

    `told` is what the provider made of it (Twilio's `OptOutType`), which is heeded before the text.
    """
    said = {"STOP": False, "START": True, "HELP": None}
    if told.upper() in said:
        return said[told.upper()]
    if len(text) > LONGEST:
        return None
    word = _folded(text)
    return False if word in STOP_WORDS else True if word in START_WORDS else None
