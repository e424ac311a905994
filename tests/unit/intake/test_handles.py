"""Addresses and numbers in their one form."""

import pytest

from services.intake.domain import handles
from services.intake.domain.contacts import Handle
from services.intake.domain.inboxes import Inbox, Inboxes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" Dan@Example.ORG ", "dan@example.org"),
        ("<dan+tag@example.org>", "dan+tag@example.org"),
        ("דנה@example.org", "דנה@example.org"),
        ("dan@münchen.example", "dan@xn--mnchen-3ya.example"),
    ],
)
def test_an_address_is_lower_cased_and_keeps_its_tag(text: str, value: str) -> None:
    assert handles.email(text) == Handle("email", value)


@pytest.mark.parametrize("text", ["", "dan", "@", "a@", "@b", "a b@c", "a@b@c", "a@b,c@d", "x" * 400 + "@y", "a@" + "ü" * 300])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(handles.WrongHandle):
        handles.email(text)


@pytest.mark.parametrize(
    ("text", "region", "handle"),
    [
        ("+40 721 234 567", None, Handle("phone", "+40721234567")),
        ("050-123-4567", "IL", Handle("phone", "+972501234567")),
        ("0721 234 567", "RO", Handle("phone", "+40721234567")),
        ("0721 234 567", None, Handle("provider_id", "0721234567", "phone")),
        ("12345", "RO", Handle("provider_id", "12345", "phone")),
        ("MyBank", None, Handle("provider_id", "mybank", "phone")),
        ("client:dan", None, Handle("provider_id", "client:dan", "phone")),
        ("sip:dan@example.org", None, Handle("provider_id", "sip:dan@example.org", "phone")),
        ("anonymous", None, None),
        ("Restricted", None, None),
        ("+266696687", None, None),
        ("", None, None),
    ],
)
def test_a_number_is_e164_where_it_is_one_and_nothing_where_it_is_withheld(
    text: str, region: str | None, handle: Handle | None
) -> None:
    assert handles.phone(text, region) == handle


def test_an_inbox_is_found_under_any_tag_and_case_and_others_are_refused_once_one_is_set_up() -> None:
    book = Inboxes.of([Inbox("support", "email", "Support@patchbay.example")])
    found = book.at("email", "SUPPORT+abc@Patchbay.example")
    assert found is not None
    assert found.id == "support"
    assert book.at("email", "other@patchbay.example") is None
    assert book.at_or_default("email", "other@patchbay.example").id == "email"
    assert book.named("support", "sms") is None
    default = book.at("sms", "+40")
    assert default is not None
    assert default.id == "sms"
