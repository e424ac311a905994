"""What a customer wrote, to stand quoted below the answer."""

from __future__ import annotations

from datetime import datetime

from services.intake.channels import written
from services.intake.channels.clean import clean_line, clean_text
from services.intake.channels.language import direction_of, language_of
from services.intake.channels.outgoing_mail import Quote
from services.intake.domain.speech import Speech, time_text

LINES_CAP = 200
LETTERS_CAP = 10_000


def quote(media_type: str, raw: bytes, at: datetime, speech: Speech, zone: str) -> Quote | None:
    """The message as a quotation; None where nothing can be read from it. Never raises."""
    said = written.read(media_type, raw)
    if said is None:
        return None
    lines = clean_text(said.text)[:LETTERS_CAP].strip().split("\n")
    text = "\n".join([*lines[:LINES_CAP], "…"] if len(lines) > LINES_CAP else lines)
    name = clean_line(said.name) or speech.say("you")
    attribution = speech.shortly("On {time}, {name} wrote:", time=time_text(at, zone), name=name)
    return Quote(attribution, text, direction_of(text, language_of(text)))
