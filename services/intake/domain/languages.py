"""Which languages can be told from a text, and which are unless a company sets it otherwise; by ISO 639-1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

UNDETERMINED = "und"

Shared = Literal["latin", "cyrillic", "arabic"]
# The languages of a script among which n-grams decide. All of them always, and not only those that are to be told: among
# Romanian and English alone every French mail would be Romanian.
OF_SCRIPT: Mapping[Shared, tuple[str, ...]] = {
    "latin": (
        *("en", "ro", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "sv", "hu"),
        *("ca", "cs", "da", "et", "fi", "hr", "id", "lt", "lv", "no", "sk", "sl", "sq", "vi"),
    ),
    "cyrillic": ("ru", "uk", "bg", "sr", "be", "kk", "ky", "mk", "mn"),
    "arabic": ("ar", "fa", "ur"),
}
# Those that their script alone tells.
HAVE_A_SCRIPT = ("he", "el", "hy", "ka", "th", "ko", "ja", "zh")

TELLABLE = frozenset({*HAVE_A_SCRIPT, *(language for some in OF_SCRIPT.values() for language in some)})
TOLD = (
    *("en", "he", "ar", "ro", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "uk", "tr", "sv"),
    *("fa", "ur", "hu", "el", "bg", "sr", "hy", "ka", "th", "ko", "ja", "zh"),
)


def told(languages: Iterable[str]) -> frozenset[str]:
    """These, as those that are to be told. Raises ValueError for one that cannot be."""
    wanted = frozenset(languages)
    if unknown := sorted(wanted - TELLABLE):
        raise ValueError(f"{', '.join(unknown)} cannot be told; these can: {', '.join(sorted(TELLABLE))}")
    return wanted
