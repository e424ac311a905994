"""Sealing, as far as it needs no database."""

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.events.base import Sealed
from shared.events.message import MessagePersonal
from shared.personal import NONCE_BYTES, KeyRing, NotLoaded, Seals

CIPHER = AESGCM(b"k" * 32)
TAG_BYTES = 16


def test_what_is_sealed_shows_nothing_of_it_and_never_looks_the_same_twice() -> None:
    seals = Seals({"c": CIPHER})
    boxes = {seals.seal("c", MessagePersonal(text="Rivka"), "event").box for _ in range(50)}
    assert len(boxes) == 50
    assert not any(b"Rivka" in base64.b64decode(box) for box in boxes)


@given(st.text())
def test_a_box_is_nonce_ciphertext_and_tag_of_the_content(text: str) -> None:
    sealed = Seals({"c": CIPHER}).seal("c", MessagePersonal(text=text), "event")
    box = base64.b64decode(sealed.box)
    plain = CIPHER.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], b"event")
    assert len(box) == NONCE_BYTES + len(plain) + TAG_BYTES


def test_for_an_erased_person_the_box_is_empty() -> None:
    assert Seals({"c": None}).seal("c", MessagePersonal(text="Rivka"), "event") == Sealed(customer_id="c", box="")


def test_a_key_that_was_not_loaded_is_a_defect_and_not_an_erased_person() -> None:
    with pytest.raises(NotLoaded):
        Seals({}).seal("c", MessagePersonal(), "event")
    with pytest.raises(NotLoaded):
        KeyRing(b"m" * 32).open(Sealed(customer_id="c", box=""), MessagePersonal, "event")
