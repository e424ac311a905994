"""Names that we give out and recognise again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.tokens import OwnMessage, Signer

SIGNER = Signer(b"secret")
ids = st.uuids().map(str)


@given(ids, ids)
def test_what_we_gave_out_is_recognised_however_its_letters_were_changed(ticket_id: str, message_id: str) -> None:
    address = SIGNER.reply_address(ticket_id, "support@patchbay.example")
    ref = SIGNER.message_ref(message_id, ticket_id, "patchbay.example")
    for change in (str, str.upper, str.title):
        assert SIGNER.ticket_of_address(change(address)) == ticket_id
        assert SIGNER.own_message(change(ref)) == OwnMessage(message_id, ticket_id)
    assert SIGNER.ticket_of_status(SIGNER.status_token(ticket_id)) == ticket_id
    assert len(address.partition("@")[0]) <= 64  # RFC 5321, 4.5.3.1.1


@given(ids)
def test_what_another_secret_signed_is_not_ours(ticket_id: str) -> None:
    other = Signer(b"other")
    assert SIGNER.ticket_of_address(other.reply_address(ticket_id, "a@b.c")) is None
    assert SIGNER.own_message(other.message_ref(ticket_id, ticket_id, "b.c")) is None
    assert SIGNER.ticket_of_status(other.status_token(ticket_id)) is None


@given(ids)
def test_a_name_of_one_kind_is_none_of_another(ticket_id: str) -> None:
    name, signature = SIGNER.reply_address(ticket_id, "s@h").removeprefix("s+").removesuffix("@h").split(".")
    assert SIGNER.ticket_of_status(name + signature) is None


@pytest.mark.parametrize("text", ["", "+@", "support@x.example", "a+b.c@x", "<@>", "\u00df" * 39, "a" * 10_000])
def test_anything_else_is_nothing(text: str) -> None:
    assert SIGNER.ticket_of_address(text) is None
    assert SIGNER.own_message(text) is None
    assert SIGNER.ticket_of_status(text) is None


@given(ids)
def test_a_link_is_good_for_one_purpose_and_with_no_letter_more(ticket_id: str) -> None:
    made = (SIGNER.status_token(ticket_id), SIGNER.history_token(ticket_id), SIGNER.survey_token(ticket_id))
    read = (SIGNER.ticket_of_status, SIGNER.ticket_of_history, SIGNER.survey_of)
    for place, token in enumerate(made):
        assert [one(token) for one in read] == [ticket_id if n == place else None for n in range(len(read))]
        assert [read[place](token + more) for more in ("\n", "a", " ")] == [None, None, None]
    assert SIGNER.read_file_token(SIGNER.file_token(ticket_id, 7) + "\n") is None
    assert SIGNER.read_form_token("f", SIGNER.form_token("f", 7, b"12345678") + "\n") is None
