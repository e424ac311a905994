"""Mail that comes back: the reports of mail servers in the shapes in which they are really sent."""

import pytest

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.domain.contacts import DeliveryWord, InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer

SIGNER = Signer(b"secret")
INBOX = Inbox("support", "email", "support@patchbay.example")
TICKET = "6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10"
MESSAGE = "00000000-0000-5000-8000-000000000002"
EARLIER = "00000000-0000-5000-8000-000000000001"
OURS = SIGNER.message_ref(MESSAGE, TICKET, "patchbay.example")
BEFORE = SIGNER.message_ref(EARLIER, TICKET, "patchbay.example")
NULL = Envelope("", ("support@patchbay.example",))
SENT = f"From: support@patchbay.example\nReferences: {BEFORE}\nMessage-ID: {OURS}\nSubject: Re: My parcel\n"


def read(raw: str, envelope: Envelope = NULL) -> InboundMessage | DeliveryWord:
    found = email.parse(raw.encode(), envelope, INBOX, SIGNER)
    assert found is not None
    return found


def notification(
    action: str = "failed", status: str = "5.1.1", diagnostic: str = "", sent: str = SENT, kind: str = "message/rfc822"
) -> str:
    said = f"Diagnostic-Code: {diagnostic}\n" if diagnostic else ""
    return (
        "From: MAILER-DAEMON@mx.customers.example (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\n"
        "Message-ID: <20260115.report@mx.customers.example>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="B/mx"\n\nIn parts.\n\n'
        "--B/mx\nContent-Description: Notification\nContent-Type: text/plain; charset=us-ascii\n\n"
        "This is the mail system at host mx.customers.example.\n\n"
        "--B/mx\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.customers.example\n"
        "Arrival-Date: Thu, 15 Jan 2026 10:00:00 +0200 (EET)\n\nFinal-Recipient: rfc822; dan@customers.example\n"
        f"Action: {action}\nStatus: {status}\n{said}\n"
        f"--B/mx\nContent-Type: {kind}\n\n{sent}\nYour parcel is on its way.\n--B/mx--\n"
    )


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "hard", "code"),
    [
        ("failed", "5.1.1", "smtp; 550 5.1.1 <dan@customers.example>: Recipient address rejected", True, "5.1.1"),
        ("failed", "5.4.4", "", True, "5.4.4"),
        ("failed", "5.2.2", "smtp; 552 5.2.2 mailbox full", False, "5.2.2"),
        ("failed", "5.7.1", "", False, "5.7.1"),
        ("failed", "5.7.26", "", False, "5.7.26"),
        ("failed", "4.4.7", "", False, "4.4.7"),
        ("delayed", "4.4.1", "", False, "4.4.1"),
        ("Failed (permanently)", "5.0.0", "smtp; 550 No such user here", True, "550"),
        ("failed", "5.0.0", "x-unix; unknown", True, "5.0.0"),
        ("failed", "5.0.0 (permanent failure)", "smtp; 552 quota exceeded", False, "552"),
        ("failed", "", "", True, "failed"),
    ],
)
def test_a_delivery_status_notification_says_of_which_mail_of_ours_and_whether_for_good(
    action: str, status: str, diagnostic: str, hard: bool, code: str
) -> None:
    word = read(notification(action, status, diagnostic))
    assert isinstance(word, DeliveryWord)
    assert (word.kind, word.message_id, word.hard, word.code) == ("bounced", MESSAGE, hard, code)


def test_of_several_recipients_the_worst_is_told() -> None:
    raw = notification("delayed", "4.4.1").replace(
        "Status: 4.4.1\n", "Status: 4.4.1\n\nFinal-Recipient: rfc822; eva@customers.example\nAction: failed\nStatus: 5.1.10\n"
    )
    word = read(raw)
    assert isinstance(word, DeliveryWord)
    assert (word.hard, word.code) == (True, "5.1.10")


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "text/rfc822-headers; charset=us-ascii"])
def test_the_mail_is_known_by_its_copy_or_by_its_headers_and_not_by_what_it_answered(kind: str) -> None:
    word = read(notification(kind=kind))
    assert isinstance(word, DeliveryWord)
    assert word.message_id == MESSAGE


def test_a_report_whose_copy_was_left_out_is_known_by_what_it_answers() -> None:
    raw = notification(sent="").replace("MIME-Version", f"In-Reply-To: {OURS}\nMIME-Version")
    word = read(raw)
    assert isinstance(word, DeliveryWord)
    assert word.message_id == MESSAGE


def test_a_report_on_mail_that_is_not_ours_names_no_message_and_is_no_contact() -> None:
    forged = SENT.replace(OURS, "<forged@patchbay.example>").replace(BEFORE, "<x@y>")
    word = read(notification(sent=forged))
    assert isinstance(word, DeliveryWord)
    assert (word.message_id, word.provider_ref) == (None, None)


def test_a_delivery_that_is_told_is_no_bounce() -> None:
    word = read(notification("delivered", "2.0.0"))
    assert isinstance(word, DeliveryWord)
    assert word.kind == "delivered"


QMAIL = f"""From: MAILER-DAEMON@qmail.example
Subject: failure notice
Message-ID: <q@qmail.example>

Hi. This is the qmail-send program at qmail.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<dan@customers.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <support@patchbay.example>
{SENT}
Your parcel is on its way.
"""
EXIM = f"""From: Mail Delivery System <Mailer-Daemon@exim.example>
X-Failed-Recipients: dan@customers.example
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender
Message-ID: <E1@exim.example>

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  dan@customers.example
    host mx.customers.example [192.0.2.25]
    SMTP error from remote mail server after RCPT TO:<dan@customers.example>:
    550 unknown user

------ This is a copy of the message, including all the headers. ------

{SENT}
Your parcel is on its way.
"""
EXIM_WAITS = EXIM.replace("X-Failed-Recipients: dan@customers.example\n", "").replace(
    EXIM[EXIM.index("A message that you sent") : EXIM.index("------ This")],
    "A message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours. It will be "
    "retried.\n\n  dan@customers.example\n    Delay reason: connection timed out\n\n",
)
EXCHANGE = f"""From: postmaster@exchange.example
Subject: Undeliverable: Re: My parcel
Message-ID: <x@exchange.example>
In-Reply-To: {OURS}
References: {BEFORE} {OURS}

Delivery has failed to these recipients or groups:

dan@customers.example
The email address you entered couldn't be found.

Diagnostic information for administrators:
Remote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'
"""
GERMAN = f"""From: postmaster@exchange.example
Subject: Unzustellbar: Re: My parcel
In-Reply-To: {OURS}

Ihre Nachricht hat einige oder alle Empfänger nicht erreicht.
"""


@pytest.mark.parametrize(
    ("raw", "hard", "code"),
    [
        (QMAIL, True, "5.1.1"),
        (EXIM, True, "550"),
        (EXIM_WAITS, False, "unknown"),
        (EXCHANGE, True, "5.1.10"),
        (GERMAN, False, "unknown"),
    ],
    ids=["qmail", "exim", "exim waits", "exchange", "german"],
)
def test_the_letters_of_servers_that_write_no_report_are_understood(raw: str, hard: bool, code: str) -> None:
    word = read(raw)
    assert isinstance(word, DeliveryWord)
    assert (word.kind, word.message_id, word.hard, word.code) == ("bounced", MESSAGE, hard, code)


def test_an_absence_from_the_null_sender_and_a_person_who_writes_of_a_bounce_are_messages() -> None:
    absence = read(f"From: dan@customers.example\nSubject: Out of office\nIn-Reply-To: {OURS}\n\nI am back on Monday.\n")
    assert isinstance(absence, InboundMessage)
    assert (absence.origin, absence.tokens) == ("out_of_office", (TICKET,))
    person = Envelope("dan@customers.example", NULL.recipients)
    asked = read("From: dan@customers.example\nSubject: Returned mail\n\nMy mail could not be delivered: 550 5.1.1. ", person)
    assert isinstance(asked, InboundMessage)
    assert asked.origin == "human"


def other_report(kind: str, part: str, fields: str) -> str:
    return (
        f"From: someone@customers.example\nSubject: Report\nMessage-ID: <o@c>\n"
        f"Content-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n\nA report.\n"
        f"--b\nContent-Type: {part}\n\n{fields}\n--b\nContent-Type: message/rfc822\n\n{SENT}\nx\n--b--\n"
    )


def test_that_it_was_read_and_that_it_was_called_spam_are_told_of_the_mail() -> None:
    shown = f"Original-Message-ID: {OURS}\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    read_it = read(other_report("disposition-notification", "message/disposition-notification", shown))
    called = read(other_report("feedback-report", "message/feedback-report", "Feedback-Type: abuse\nUser-Agent: x/1\n"))
    assert isinstance(read_it, DeliveryWord)
    assert isinstance(called, DeliveryWord)
    assert (read_it.kind, read_it.message_id) == ("read", MESSAGE)
    assert (called.kind, called.message_id, called.code) == ("complained", MESSAGE, "abuse")


def test_the_same_report_twice_is_the_same_word() -> None:
    first, second = read(notification()), read(notification())
    assert isinstance(first, DeliveryWord)
    assert isinstance(second, DeliveryWord)
    assert first.cause == second.cause
