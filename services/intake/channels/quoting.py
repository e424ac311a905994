"""What a customer wrote, read again from how it came, to stand quoted below the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from services.intake.channels import content, mime
from services.intake.channels.clean import clean_line, clean_text
from services.intake.channels.html_text import html_to_text
from services.intake.channels.language import direction_of, language_of
from services.intake.channels.outgoing_mail import Quote
from services.intake.domain.confirmation import FSI, PDI, Language

LINES_CAP = 200
LETTERS_CAP = 10_000
ATTRIBUTIONS: dict[Language, str] = {
    "he": f"בתאריך {FSI}{{time}}{PDI} {FSI}{{name}}{PDI} כתב/ה:",
    "ar": f"في {FSI}{{time}}{PDI} كتب {FSI}{{name}}{PDI}:",
    "ro": "Pe {time}, {name} a scris:",
    "en": "On {time}, {name} wrote:",
}
SOMEBODY: dict[Language, str] = {"he": "פנייתך", "ar": "رسالتك", "ro": "dumneavoastră", "en": "you"}


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody wrote, and the name they gave."""

    text: str
    name: str = ""


def quote(media_type: str, raw: bytes, at: datetime, language: Language, zone: str) -> Quote | None:
    """The message as a quotation; None where nothing can be read from it. Never raises."""
    try:
        said = _said(media_type.partition(";")[0], raw)
    except Exception:  # noqa: BLE001 - it was read once; what is wrong with it now must not hold the answer back
        return None
    if said is None or not said.text.strip():
        return None
    lines = clean_text(said.text)[:LETTERS_CAP].strip().split("\n")
    text = "\n".join([*lines[:LINES_CAP], "…"] if len(lines) > LINES_CAP else lines)
    name = clean_line(said.name) or SOMEBODY[language]
    time = f"{at.astimezone(ZoneInfo(zone)):%d.%m.%Y %H:%M}"
    attribution = ATTRIBUTIONS[language].format(time=time, name=name)
    return Quote(attribution, text, direction_of(text, language_of(text)))


def _said(media_type: str, raw: bytes) -> Said | None:
    if media_type == "message/rfc822":
        return _mailed(raw)
    if media_type == "application/json":
        fields = json.loads(raw)
        return Said(str(fields.get("text") or ""), str(fields.get("name") or ""))
    if media_type == "application/x-www-form-urlencoded":
        values = {name: found[0] for name, found in parse_qs(raw.decode("utf-8", "replace")).items()}
        return Said(values.get("text") or values.get("Body", ""), values.get("name") or values.get("ProfileName", ""))
    return None


def _mailed(raw: bytes) -> Said:
    mail = mime.parse(raw)
    body = content.body(mail)
    senders = mime.addresses(mail, "From")
    return Said(body.plain.strip() or html_to_text(body.html), senders[0][0] if senders else "")
