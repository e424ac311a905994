"""What a customer wrote, read again from how it came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qs

from services.intake.channels import content, mime
from services.intake.channels.clean import clean_text
from services.intake.channels.html_text import html_to_text
from services.intake.channels.taken_apart import mail_in
from services.intake.channels.visible import reading

PLAIN = "text/plain"  # what was read back from the log after a restore


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody wrote, and the name they gave. Of a mail `reply` is what its writer added and `around` what stood around it:
    quotations, signatures, footers; of everything else `reply` is the text.
    """

    text: str
    name: str = ""
    reply: str = ""
    around: str = ""


def read(media_type: str, raw: bytes) -> Said | None:
    """The message; None where nothing can be read from it. Never raises."""
    said = whole(media_type, raw)
    return said if said is not None and said.text.strip() else None


def whole(media_type: str, raw: bytes) -> Said | None:
    """The message, also one without a word; None where it cannot be read. Never raises."""
    try:
        return _said(media_type, raw)
    except Exception:  # noqa: BLE001 - it was read once; what is wrong with it now must not hold up who wants to see it
        return None


def _said(media_type: str, raw: bytes) -> Said | None:
    kind = media_type.partition(";")[0].strip().lower()
    if kind == PLAIN:
        return _plain(raw.decode("utf-8", "replace"))
    if kind == "application/json":
        fields = json.loads(raw)
        return _plain(str(fields.get("text") or ""), str(fields.get("name") or ""))
    if kind == "application/x-www-form-urlencoded":
        values = {name: found[0] for name, found in parse_qs(raw.decode("utf-8", "replace")).items()}
        text = values.get("text") or values.get("Body", "")
        if text:
            return _plain(text, values.get("name") or values.get("ProfileName", ""))
    mail = mail_in(media_type, raw)
    return _mailed(mail) if mail is not None else None


def _plain(text: str, name: str = "") -> Said:
    text = clean_text(text)
    return Said(text, name, text)


def _mailed(raw: bytes) -> Said:
    mail = mime.parse(raw)
    body = content.body(mail)
    senders = mime.addresses(mail, "From")
    _, reply = reading.read(body.plain, body.html)
    name = senders[0][0] if senders else ""
    return Said(body.plain.strip() or html_to_text(body.html), name, reply.visible, reply.folded)
