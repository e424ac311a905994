"""Answers that would fail for certain are refused at once; what routing cannot know goes on to intake."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from services.routing.domain.sendable import NO_SENDERS, TEXT_MESSAGE_LIMIT, CannotGoOut, Senders
from shared.events.base import Channel
from shared.events.config import InboxConfigured
from shared.events.people import Unreachable
from tests.unit.routing.story import START, at, opened

HOOK = "https://connector.example/in"
NOWHERE: Mapping[str, Unreachable] = {}


def an_inbox(inbox_id: str, channel: Channel, partner_id: str | None = None, webhook: str | None = None) -> InboxConfigured:
    return InboxConfigured(
        id=inbox_id,
        version=1,
        effective_from=START,
        channel=channel,
        address=inbox_id,
        partner_id=partner_id,
        webhook=webhook,
    )


def refusal(
    senders: Senders,
    channel: Channel,
    text: str = "Hello",
    *,
    has_files: bool = False,
    erased: bool = False,
    unreachable: Mapping[str, Unreachable] = NOWHERE,
) -> str | None:
    """The code, None where the answer is let go."""
    work = msgspec.structs.replace(opened(channel=channel), erased=erased, unreachable=unreachable)
    try:
        senders.check(work, channel, text, at(5), has_files=has_files)
    except CannotGoOut as refused:
        return refused.code
    return None


def known(*inboxes: InboxConfigured) -> Senders:
    return Senders({one.id: one for one in inboxes})


LONG = "x" * (TEXT_MESSAGE_LIMIT + 1)
TEXTS, LETTERS = an_inbox("help", "sms"), an_inbox("help", "email")
CHATS, CARRIED = an_inbox("help", "chat"), an_inbox("help", "chat", webhook=HOOK)
OF_PARTNER = an_inbox("help", "email", partner_id="p-1")


@pytest.mark.parametrize(
    ("senders", "channel", "text", "has_files", "code"),
    [
        (known(LETTERS), "email", LONG, True, None),
        (known(LETTERS), "form", LONG, True, None),
        (known(TEXTS), "sms", LONG[1:], False, None),
        (known(TEXTS), "sms", LONG, False, "text-too-long"),
        (known(TEXTS), "sms", "Hello", True, "attachments-not-possible"),
        (NO_SENDERS, "whatsapp", LONG, False, "text-too-long"),
        (NO_SENDERS, "whatsapp", "Hello", True, "attachments-not-possible"),
        (known(an_inbox("help", "sms", webhook=HOOK)), "sms", LONG, True, None),
        (known(an_inbox("help", "email", webhook=HOOK), an_inbox("s", "sms")), "sms", "Hello", True, "attachments-not-possible"),
        (known(LETTERS), "sms", "Hello", False, "no-number"),
        (known(LETTERS, an_inbox("s", "sms")), "sms", "Hello", False, None),
        (known(LETTERS, an_inbox("s", "sms", partner_id="p-1")), "sms", "Hello", False, "no-number"),
        (known(OF_PARTNER, an_inbox("s", "sms", partner_id="p-1")), "sms", "Hello", False, None),
        (known(CHATS), "chat", "Hello", False, "channel-cannot-send"),
        (known(CHATS), "phone", "Hello", False, "channel-cannot-send"),
        (known(CARRIED), "chat", LONG, True, None),
        (known(CARRIED), "telegram", "Hello", False, "channel-cannot-send"),
        (NO_SENDERS, "chat", "Hello", True, None),
    ],
)
def test_an_answer_is_refused_where_its_channel_cannot_carry_it(
    senders: Senders, channel: Channel, text: str, has_files: bool, code: str | None
) -> None:
    assert refusal(senders, channel, text, has_files=has_files) == code


@pytest.mark.parametrize("channel", ["email", "sms", "chat"])
def test_nothing_goes_to_somebody_who_was_erased(channel: Channel) -> None:
    assert refusal(known(CARRIED), channel, erased=True) == "erased"


def test_by_a_change_that_is_still_to_come_nothing_is_judged() -> None:
    later = msgspec.structs.replace(CHATS, effective_from=at(6))
    assert refusal(known(later), "chat") is None
    assert refusal(known(msgspec.structs.replace(later, effective_from=at(5))), "chat") == "channel-cannot-send"


MAIL_COMES_BACK: Mapping[str, Unreachable] = {"email": "address-returned"}
STOPPED: Mapping[str, Unreachable] = {"sms": "opted-out"}


@pytest.mark.parametrize(
    ("senders", "channel", "unreachable", "code"),
    [
        (known(LETTERS), "email", MAIL_COMES_BACK, "address-returned"),
        (known(LETTERS), "form", MAIL_COMES_BACK, "address-returned"),
        (NO_SENDERS, "email", MAIL_COMES_BACK, "address-returned"),
        (known(LETTERS, an_inbox("s", "sms")), "sms", MAIL_COMES_BACK, None),
        (known(LETTERS), "email", STOPPED, None),
        (known(TEXTS), "sms", STOPPED, "opted-out"),
        (known(TEXTS, an_inbox("w", "whatsapp")), "whatsapp", STOPPED, None),
        (known(an_inbox("help", "sms", webhook=HOOK)), "sms", STOPPED, "opted-out"),
        (known(an_inbox("help", "email", webhook=HOOK)), "email", MAIL_COMES_BACK, None),
        (known(an_inbox("help", "email", webhook=HOOK)), "form", MAIL_COMES_BACK, "address-returned"),
    ],
)
def test_an_answer_is_refused_on_the_channel_on_which_its_customer_cannot_be_written_to(
    senders: Senders, channel: Channel, unreachable: Mapping[str, Unreachable], code: str | None
) -> None:
    assert refusal(senders, channel, unreachable=unreachable) == code
