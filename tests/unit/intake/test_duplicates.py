"""The same again, by whatever way: rules D1 to D3 of our channel notes as a table."""

import pytest
from msgspec.structs import replace

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.inboxes import Inbox
from services.intake.domain.known import Known
from services.intake.domain.plan import NewMessage
from services.intake.domain.tokens import Signer
from tests.unit.intake.test_decide import chat

SUPPORT, SALES = Inbox("support", "email", "support@firm.example"), Inbox("sales", "email", "sales@firm.example")
HEAD = "From: ana@b.example\nTo: support@firm.example\nSubject: Order\nDate: Thu, 15 Jan 2026 10:00:00 +0200\n"
RELAYED = "Received: from mx by us; Thu, 15 Jan 2026 10:00:07 +0200\n"


def mail(head: str = "", text: str = "Where is it?", inbox: Inbox = SUPPORT, provider: str = "smtp") -> InboundMessage:
    raw = f"{HEAD}{head}\n{text}\n".encode()
    contact = email.parse(raw, Envelope("ana@b.example", (inbox.address,)), inbox, Signer(b"s"))
    assert isinstance(contact, InboundMessage)
    return replace(contact, provider=provider, names=email.PROVIDER)


NAMED = "Message-ID: <1@b.example>\n"


@pytest.mark.parametrize(
    ("case", "contacts", "messages", "repeats", "conflicts"),
    [
        ("a message twice", [chat(), chat()], 1, 1, 0),
        ("another under its name", [chat(), chat(content_hash="else")], 1, 1, 1),
        ("the same name at another provider", [chat(), chat(provider="telegram")], 2, 0, 0),
        ("a mail twice", [mail(NAMED), mail(NAMED)], 1, 1, 0),
        ("a mail by another way", [mail(NAMED), mail(RELAYED + NAMED, provider="mailgun")], 1, 1, 0),
        ("a mail to two of our inboxes", [mail(NAMED), mail(NAMED, inbox=SALES)], 1, 1, 0),
        ("another mail under its Message-ID", [mail(NAMED), mail(NAMED, "Another matter.")], 2, 0, 0),
        ("… and that one twice", [mail(NAMED), mail(NAMED, "Else."), mail(NAMED, "Else.")], 2, 1, 0),
        ("a mail without Message-ID twice", [mail(), mail()], 1, 1, 0),
        ("… by another way", [mail(), mail(RELAYED, provider="postmark")], 1, 1, 0),
        ("… to two of our inboxes", [mail(), mail(RELAYED, inbox=SALES)], 1, 1, 0),
        ("another without Message-ID", [mail(), mail(text="Another matter.")], 2, 0, 0),
    ],
)
def test_the_same_is_kept_once_and_another_is_never_lost(
    case: str, contacts: list[InboundMessage], messages: int, repeats: int, conflicts: int
) -> None:
    for order in (contacts, [*contacts, *contacts]):
        plan = decide(order, Known())
        again = len(order) - len(contacts)
        stored = [step for step in plan.steps if isinstance(step, NewMessage)]
        assert len(stored) == len({step.message_id for step in stored}) == messages, case
        assert sum(placement.repeated for placement in plan.placements) == repeats + again, case
        assert sum(placement.conflict for placement in plan.placements) >= conflicts, case
