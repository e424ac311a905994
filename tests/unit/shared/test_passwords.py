"""Passwords: what is taken, and that who is not known costs as much as who is."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from shared import passwords
from shared.passwords import WeakPassword

GOOD = "correct horse battery"


def test_a_password_fits_what_was_stored_and_no_other_does() -> None:
    stored = passwords.hashed(GOOD)
    assert stored.startswith("$argon2id$")
    assert GOOD not in stored
    assert passwords.fits(stored, GOOD)
    assert not passwords.fits(stored, GOOD + " ")
    assert stored != passwords.hashed(GOOD), "each with a salt of its own"


def test_nobody_has_no_password_and_a_broken_one_fits_none() -> None:
    assert not passwords.fits(None, GOOD)
    assert not passwords.fits("", GOOD)
    assert not passwords.fits("no hash", GOOD)


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    stored = passwords.hashed("sesam öffne dich")
    assert passwords.fits(stored, "sesam öffne dich")
    assert not passwords.fits(stored, "\ud800" * 12), "what is no text at all is a wrong password, and no error"


def test_what_was_stored_at_another_cost_is_told() -> None:
    assert not passwords.is_outdated(passwords.hashed(GOOD))
    assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD))


@pytest.mark.parametrize("password", ["short", "a" * 12, "abababababab", "x" * 257, "dana.levi-12345"])
def test_what_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        passwords.check(password, "dana.levi")


@pytest.mark.parametrize("password", [GOOD, "סיסמה ארוכה מאוד", "كلمة مرور طويلة"])
def test_what_is_long_enough_is_taken(password: str) -> None:
    passwords.check(password, "dana")
