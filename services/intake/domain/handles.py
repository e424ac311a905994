"""Addresses and numbers in their one form, so that a person is found again."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle

_ADDRESS = re.compile(r"^[^\s@<>\",;:\x00-\x1f]+@[^\s@<>\",;:\x00-\x1f]+$")
_SPACE = re.compile(r"\s+")

# What providers put in place of a withheld number (channels.md 1.1: +266696687 spells ANONYMOUS, +7378742833 RESTRICTED).
WITHHELD = frozenset(
    {"", "anonymous", "restricted", "unavailable", "unknown", "private", "+266696687", "+7378742833", "+86282452253"}
)
HANDLE_LIMIT = 320  # longest e-mail address of RFC 5321: 64 + @ + 255


class WrongHandle(ValueError):
    """A text that cannot be an address or a number of the kind; the message says why, without repeating it."""


def email(text: str) -> Handle:
    """An e-mail address, lower-cased, its host in IDNA. Dots and +tags stay: they may be other people. Raises WrongHandle."""
    address = text.strip().strip("<>").lower()
    if len(address) > HANDLE_LIMIT or not _ADDRESS.match(address) or "=?" in address:  # an encoded word, which hides another
        raise WrongHandle("is not an e-mail address")
    local, _, host = address.rpartition("@")
    try:
        return Handle("email", f"{local}@{host if host.isascii() else host.encode('idna').decode('ascii')}")
    except UnicodeError:
        raise WrongHandle("has a host name that cannot exist") from None


@lru_cache(maxsize=4096)
def phone(text: str, region: str | None = None) -> Handle | None:
    """A telephone number as E.164; None when it is withheld. Numbers without `+` are read as of `region`.

    Short codes, client names and SIP addresses stay as they are, under kind `provider_id`. Raises WrongHandle.
    """
    plain = _SPACE.sub("", text)
    if plain.lower() in WITHHELD:
        return None
    if len(plain) > HANDLE_LIMIT or any(ord(c) < 32 for c in plain):
        raise WrongHandle("is not a telephone number")
    try:
        number = phonenumbers.parse(numbers.as_written_today(plain), region)
    except phonenumbers.NumberParseException:
        return Handle("provider_id", plain.lower(), "phone")
    if not phonenumbers.is_possible_number(number):
        return Handle("provider_id", plain.lower(), "phone")
    return Handle("phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def plus_stripped(address: str) -> str:
    """`support+anything@host` as `support@host`, lower-cased: for finding our own inboxes only."""
    local, at, host = address.strip().strip("<>").lower().rpartition("@")
    return f"{local.partition('+')[0]}{at}{host}"
