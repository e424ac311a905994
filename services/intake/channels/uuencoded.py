"""Files that stand as uuencoded lines inside the text of a mail, as old programs send them (POSIX, uuencode)."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from services.intake.channels.clean import NAME_LIMIT, clean_line
from services.intake.channels.mime import UU_LINE

FILES_CAP = 20
LINES_FREE = 50  # a file of so few lines may have short ones
# Each line begins with its length, of which all but the last have 45 bytes: text between two such lines is no file.
_FILE = re.compile(
    rb"^begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n"
    rb"((?:M[\x20-\x60]{0,64}\r?\n)*+(?:[\x20-\x60]{1,64}\r?\n)?(?:[` ]\r?\n)?)end[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE,
)


class UuFile(NamedTuple):
    """A file."""

    name: str
    content: bytes


def taken_out(text: bytes) -> tuple[bytes, list[UuFile]]:
    """The text without its files, and them."""
    if b"begin " not in text:
        return text, []
    files: list[UuFile] = []
    rest, at = [], 0
    for found in _FILE.finditer(text):
        content = _decoded(found[2])
        if content is None or len(files) >= FILES_CAP:
            continue
        files.append(UuFile(clean_line(found[1].decode("utf-8", "replace"), NAME_LIMIT), content))
        rest.append(text[at : found.start()])
        at = found.end()
    return b"".join((*rest, text[at:])), files


def _decoded(lines: bytes) -> bytes | None:
    """The content; None of what is no file: a line says how much it means, so many short ones would make it far longer."""
    if (count := lines.count(b"\n")) > LINES_FREE and count * UU_LINE > len(lines):
        return None
    try:
        return b"".join(_line(line) for line in lines.splitlines()) or None
    except binascii.Error:
        return None


def _line(line: bytes) -> bytes:
    """Programs cut blanks at the end of a line, or leave some there: its first character says how long it is."""
    length = (line[0] - 32) & 63
    wanted = 1 + (length + 2) // 3 * 4
    return binascii.a2b_uu(line[:wanted].ljust(wanted))
