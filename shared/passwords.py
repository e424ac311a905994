"""Passwords of people: kept as Argon2id (RFC 9106), and looked at for as long whether somebody is known or not.

Cost as OWASP's password storage cheat sheet has it (19 MiB, two passes): some 30 ms of one core. Blocking; call it in a thread.
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class WeakPassword(ValueError):
    """A password that cannot be taken; says what it lacks."""


def check(password: str, login: str) -> None:
    """Refuse what is too easily guessed. Raises WeakPassword."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"must have {SHORTEST} to {LONGEST} characters")
    if len(set(password)) < 5:
        raise WeakPassword("must have at least five different characters")
    if login.casefold() in password.casefold() and len(login) >= SHORTEST // 2:
        raise WeakPassword("must not hold the login")


def hashed(password: str) -> str:
    """As it is stored."""
    return _hasher.hash(_plain(password))


def fits(stored: str | None, password: str) -> bool:
    """Whether it is the password that was stored. Where none was, the same is computed, and it never is."""
    try:
        _hasher.verify(stored or _nobodys(), _plain(password))
    except (VerificationError, InvalidHashError):
        return False
    return bool(stored)


def is_outdated(stored: str) -> bool:
    """Whether it was stored at another cost than is asked for now."""
    return _hasher.check_needs_rehash(stored)


def _plain(password: str) -> bytes:
    """The same bytes however a keyboard composed the characters."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_bytes(32))
