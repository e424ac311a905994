"""One telephone line, written in two ways: forms that a country's numbering plan had before and after a change. Pure.

WhatsApp names some of its users by the form before the change, SMS and calls come with the one after it:

- Brazil: mobile numbers got a ninth digit, 9, before the others (Anatel, resolution 553/2010): +55 11 8765-4321 is
  +55 11 98765-4321. Lines that begin with 2 to 5 are fixed ones and have none.
- Argentina: mobile numbers have a 9 behind the country's code when called from abroad: +54 9 11 1234-5678 and
  +54 11 1234-5678 are one line.
- Mexico: mobile numbers had a 1 there, until August 2019. No network needs it any more: it is taken out when a number is read.
"""

from __future__ import annotations

import re

from services.intake.domain.contacts import Handle

_BRAZIL = re.compile(r"\+55([1-9][1-9])(9?)([6-9]\d{7})", re.ASCII)
_MEXICO = re.compile(r"\+521([2-9]\d{9})", re.ASCII)
_ARGENTINA = re.compile(r"\+54(9?)([1-9]\d{9})", re.ASCII)


def as_written_today(number: str) -> str:
    """The number (E.164) without what its country's plan has given up."""
    found = _MEXICO.fullmatch(number) if number.startswith("+521") else None
    return f"+52{found[1]}" if found is not None else number


def other_form(number: str) -> str | None:
    """The other way to write this line (E.164); None where there is one way only."""
    if number.startswith("+55") and (found := _BRAZIL.fullmatch(number)):
        area, ninth, rest = found.groups()
        return f"+55{area}{rest}" if ninth else f"+55{area}9{rest}"
    if number.startswith("+54") and (found := _ARGENTINA.fullmatch(number)):
        return f"+54{found[2]}" if found[1] else f"+549{found[2]}"
    return None


def forms(handle: Handle) -> tuple[Handle, ...]:
    """All handles under which the owner of this one may be known, itself first."""
    other = other_form(handle.value) if handle.kind == "phone" else None
    return (handle, Handle(handle.kind, other, handle.scope)) if other is not None else (handle,)


def line(handle: Handle) -> Handle:
    """The same for all forms of one line: what is locked when somebody writes from any of them."""
    return min(forms(handle), key=lambda one: one.value)
