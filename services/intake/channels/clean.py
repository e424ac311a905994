"""Text from outside made safe to keep: no NUL (PostgreSQL refuses it), no half characters, no lines where there is one."""

from __future__ import annotations

import re

NAME_LIMIT = 200
SUBJECT_LIMIT = 500

_LINE_BREAKS = re.compile(r"[\r\n\t\v\f\u0085\u2028\u2029]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean_text(text: str) -> str:
    """A message's text: controls gone, line ends as `\\n`, lone surrogates replaced."""
    if text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", text)
    return text if _encodes(text) else text.encode("utf-8", "replace").decode()


def clean_line(text: str, limit: int = NAME_LIMIT) -> str:
    """One line: names, subjects, file names. Safe to stand in a header."""
    line = (text if text.isprintable() else clean_text(_LINE_BREAKS.sub(" ", text))).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
