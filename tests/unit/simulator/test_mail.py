"""Mail as the simulator writes it, read by what reads customers' mail."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer
from simulator.mail import Mail, compose, quoted
from simulator.texts import LANGUAGES, WORDINGS

SIGNER = Signer(b"secret")
INBOX = Inbox(id="support", channel="email", address="support@patchbay.example")


def mail(language: str) -> Mail:
    wording = WORDINGS[language]
    subject, text = (words.format(n=12_345) for words in wording.openings[0])
    name, local = wording.names[0]
    return Mail("<m1@customers.example>", name, f"{local}@customers.example", INBOX.address, subject, text, language, AT)


AT = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize("style", range(4))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_style_of_every_language_is_read_as_it_was_meant(language: str, style: int) -> None:
    sent = mail(language)
    read = email.parse(compose(sent, style), Envelope(sent.sender, (sent.to,)), INBOX, SIGNER)
    assert isinstance(read, InboundMessage)
    assert (read.text, read.subject, read.name) == (sent.text, sent.subject, sent.name)
    assert read.handle is not None
    assert read.handle.value == sent.sender
    assert (read.dedup_key, read.origin, read.confirm) == (sent.message_ref, "human", True)


def test_an_answer_names_what_it_answers_newest_first_and_quotes_it() -> None:
    above = quoted("first\nsecond", "Earlier message:")
    sent = replace(mail("en"), refs=("<a@x.example>", "<b@x.example>"), quoted=above)
    read = email.parse(compose(sent, 0), Envelope(sent.sender, (sent.to,)), INBOX, SIGNER)
    assert isinstance(read, InboundMessage)
    assert read.reply_refs == ("<b@x.example>", "<a@x.example>")
    assert read.quoted.endswith("> first\n> second")
    assert "first" not in read.text


def test_a_mail_is_the_same_bytes_each_time_it_is_composed() -> None:
    for style in range(4):
        assert compose(mail("ar"), style) == compose(mail("ar"), style)
