"""The catalogues in `locales`, read when the process starts: gettext's .po files, without a step that compiles them."""

from __future__ import annotations

from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from services.intake.domain.speech import LANGUAGES, Language, Speech
from shared.events.base import Direction

LOCALES = Path(__file__).parent / "locales"


def read(language: Language) -> Speech:
    """The speech of one catalogue. Raises OSError, PoFileError."""
    compiled = BytesIO()
    with (LOCALES / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language, abort_invalid=True))
    compiled.seek(0)
    direction: Direction = "rtl" if Locale.parse(language).text_direction == "rtl" else "ltr"
    return Speech(language, direction, GNUTranslations(compiled))


SPEECHES: dict[Language, Speech] = {language: read(language) for language in LANGUAGES}
