"""What stands in a winmail.dat, as other mail has it: its text, and its files; a message among them is a mail."""

from __future__ import annotations

import mimetypes
from email.utils import format_datetime

from services.intake.channels import composed, compressed_rtf, rtf, tnef
from services.intake.channels.charsets import Spent, text_from
from services.intake.channels.clean import NAME_LIMIT, clean_line
from services.intake.channels.composed import File
from services.intake.channels.compressed_rtf import RAW_CAP

NESTED_CAP = 3  # messages within each other; what is nested deeper stays as it is
UNKNOWN = "application/octet-stream"


def texts(message: tnef.Tnef, spent: Spent, most_rtf_bytes: int = RAW_CAP) -> tuple[str, str]:
    """Its plain text and its HTML, either may be empty. Outlook often gives them as RTF only: that is read where they are not."""
    plain, html = message.text, text_from(message.html, "", spent)
    if plain.strip() or html.strip() or not message.rtf:
        return plain, html
    unpacked = compressed_rtf.unpacked(message.rtf, most_rtf_bytes)
    spent.rtf_bytes += len(unpacked)
    found = rtf.read(unpacked)
    return found.text, found.html


def files(message: tnef.Tnef, spent: Spent) -> list[File]:
    """Its files, in their order."""
    return [_file(file, spent, 0) for file in message.files]


def kind_of(name: str) -> str:
    """The type of a file that says none."""
    return mimetypes.guess_type(name, strict=True)[0] or UNKNOWN


def _file(file: tnef.TnefFile, spent: Spent, depth: int) -> File:
    inner = tnef.read(file.content) if depth < NESTED_CAP else None
    if inner is not None:
        name = clean_line(inner.subject or file.name, NAME_LIMIT - 4).replace("/", "_")
        return File(f"{name}.eml" if name else "", "message/rfc822", _mail(inner, spent, depth + 1))
    known = file.media_type if "/" in file.media_type and file.media_type.isascii() else UNKNOWN
    media_type = kind_of(file.name) if known == UNKNOWN else clean_line(known, 100)
    return File(clean_line(file.name, NAME_LIMIT), media_type, file.content, file.content_id)


def _mail(message: tnef.Tnef, spent: Spent, depth: int) -> bytes:
    sender = composed.address(message.sender_name, message.sender_address) if message.sender_address else message.sender_name
    date = format_datetime(message.sent_at) if message.sent_at is not None else ""
    told = [("From", sender), ("Date", date), ("Subject", message.subject)]
    headers = [(name, value) for name, value in told if value]
    told_in = texts(message, spent, max(0, RAW_CAP - spent.rtf_bytes))  # all of them together get as much as the message itself
    return composed.mail(headers, *told_in, (_file(file, spent, depth) for file in message.files))
