"""Who wrote a mail that came through a list, or from an address of ours; and what servers say about such mail."""

import pytest

from services.intake.channels import email
from services.intake.channels.authentication import NO_BORDER, Border
from services.intake.channels.email import Envelope
from services.intake.channels.outgoing_mail import Outgoing, compose
from services.intake.domain import identity
from services.intake.domain.authentication import NOT_TOLD, Authentication, of_another
from services.intake.domain.contacts import DeliveryWord, Handle, InboundMessage
from services.intake.domain.identity import CLAIMED
from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.domain.spam import is_authenticated
from services.intake.domain.tokens import Signer
from tests.unit.intake.test_email import outgoing

SIGNER = Signer(b"secret")
SUPPORT, SALES = Inbox("support", "email", "support@firm.example"), Inbox("sales", "email", "Sales@Firm.example")
OURS = Inboxes.of([SUPPORT, SALES])
TICKET = "6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10"
REF = SIGNER.message_ref(TICKET, TICKET, "firm.example")
ANA, VIA = "ana@customers.example", "'Ana Pop' via Support <support@firm.example>"
GROUP = "List-Id: <support.firm.example>"
MAILMAN = "Ana via Users <users@lists.example>"
VERSION = "X-Mailman-Version: 2.1.39"
FORM = ("From: Our shop <support@firm.example>", f"Reply-To: Ana Pop <{ANA}>")


def taken(
    *headers: str, border: Border = NO_BORDER, envelope: str | None = "bounce@relay.example", inboxes: Inboxes = OURS
) -> InboundMessage | DeliveryWord | None:
    named = "" if any(header.lower().startswith("message-id:") for header in headers) else "Message-ID: <1@c>\n"
    subject = "" if any(header.startswith("Subject:") for header in headers) else "Subject: Hi\n"
    raw = "\n".join(headers) + f"\n{named}{subject}\nHello there\n"
    return email.parse(raw.encode(), Envelope(envelope, (SUPPORT.address,)), SUPPORT, SIGNER, border, inboxes)


def who(*headers: str) -> tuple[str, str]:
    found = taken(*headers)
    assert isinstance(found, InboundMessage)
    assert found.handle is not None
    return found.name, found.handle.value


@pytest.mark.parametrize(
    ("case", "headers", "name", "address"),
    [
        ("the person in X-Original-From", (VIA, GROUP, f"X-Original-From: Ana <{ANA}>"), "Ana", ANA),
        ("no name beside it", (VIA, GROUP, f"X-Original-From: {ANA}"), "Ana Pop", ANA),
        ("Google's X-Original-Sender", (VIA, GROUP, f"X-Original-Sender: {ANA}", "Reply-To: b@c.example"), "Ana Pop", ANA),
        ("Mailman's X-MailFrom", (VIA, GROUP, f"X-MailFrom: {ANA}", "X-Original-Sender: b@c.example"), "Ana Pop", ANA),
        ("first X-Original-From", (VIA, GROUP, f"X-MailFrom: b@c.example\nX-Original-From: {ANA}"), "Ana Pop", ANA),
        ("else Reply-To", (VIA, GROUP, f"Reply-To: Ana P <{ANA}>"), "Ana P", ANA),
        ("of several the first that is a person", (VIA, GROUP, f"Reply-To: support@firm.example, {ANA}"), "Ana Pop", ANA),
        ("none of ours, plus or case", (VIA, GROUP, f"X-Original-From: SALES+x@firm.example\nReply-To: {ANA}"), "Ana Pop", ANA),
        ("no address at all", (VIA, GROUP, f"X-Original-From: =?utf-8?q?x?=@y\nReply-To: {ANA}"), "Ana Pop", ANA),
        ("ours, known by List-Post", (VIA, "List-Post: <mailto:other@x.example>", f"Reply-To: {ANA}"), "Ana Pop", ANA),
        ("ours, known by X-BeenThere", (VIA, "X-BeenThere: other@x.example", f"Reply-To: {ANA}"), "Ana Pop", ANA),
        ("ours, known by Mailman", (VIA, VERSION, f"Reply-To: {ANA}"), "Ana Pop", ANA),
        ("another inbox of ours", ("Ana via Sales <sales@firm.example>", VERSION, f"Reply-To: {ANA}"), "Ana", ANA),
        ("theirs by List-Post", (MAILMAN, "List-Post: <mailto:Users@lists.example>", f"Reply-To: {ANA}"), "Ana", ANA),
        ("theirs by List-Id", (MAILMAN, "List-Id: Users <users.lists.example>", f"Reply-To: {ANA}"), "Ana", ANA),
        ("theirs by X-BeenThere", (MAILMAN, "X-BeenThere: users@lists.example", f"Reply-To: {ANA}"), "Ana", ANA),
        (
            "not back to the list",
            (MAILMAN, "X-BeenThere: users@lists.example", f"Reply-To: users@lists.example, {ANA}"),
            "Ana",
            ANA,
        ),
        ("who writes to a list by their own name", (f"Ana <{ANA}>", GROUP, "Reply-To: eve@evil.example"), "Ana", ANA),
        (
            "a list that is another",
            (f"Ana <{ANA}>", "List-Post: <mailto:ana@lists.example>", "Reply-To: e@e.example"),
            "Ana",
            ANA,
        ),
        ("no list", (f"Ana <{ANA}>", "Reply-To: eve@evil.example", "X-Original-From: eve@evil.example"), "Ana", ANA),
        ("no list, as from one", (MAILMAN, f"X-Original-From: {ANA}"), "Ana via Users", "users@lists.example"),
        (
            "a list that names nobody",
            (MAILMAN, VERSION, "X-BeenThere: users@lists.example"),
            "Ana via Users",
            "users@lists.example",
        ),
        ("nobody in From", ("", "Reply-To: Ana <ana@customers.example>"), "Ana", ANA),
    ],
)
def test_behind_a_list_is_whom_it_names_and_else_who_is_in_from(
    case: str, headers: tuple[str, ...], name: str, address: str
) -> None:
    assert who(f"From: {headers[0]}", *headers[1:]) == (name, address), case


@pytest.mark.parametrize(
    ("case", "headers"),
    [
        ("the inbox itself", ("From: support@firm.example",)),
        ("with a plus, and by a name", ("From: Us <Support+x@Firm.example>",)),
        ("a signed address", (f"From: {SIGNER.reply_address(TICKET, SUPPORT.address)}",)),
        ("another of ours", ("From: sales@firm.example",)),
        ("and who is to be answered is another of ours", ("From: sales@firm.example", "Reply-To: Support+x@firm.example")),
        ("and who is to be answered is nobody", ("From: sales@firm.example", "Reply-To: undisclosed", f"X-Original-From: {ANA}")),
        ("answered by a machine", (*FORM, "Auto-Submitted: auto-replied")),
        ("an absence note", (*FORM, "Auto-Submitted: Auto-Replied; vacation")),
        ("an absence note by its subject", (*FORM, "Subject: Out of office")),
        ("gone round through us", (*FORM, "X-Loop: support@firm.example")),
        ("a form's with a Message-ID of ours", (*FORM, f"Message-ID: {REF}")),
        ("a form's with a mark of ours", (*FORM, f"X-Patchbay-Loop: {SIGNER.loop_mark()}")),
        ("a machine", ("From: sales@firm.example", "Auto-Submitted: auto-replied")),
        ("through a list that names nobody", ("From: sales@firm.example", GROUP)),
        ("through a list that names us", ("From: sales@firm.example", GROUP, "X-Original-From: support@firm.example")),
        ("a Message-ID of ours", (f"From: {ANA}", f"Message-ID: {REF}")),
        ("a Message-ID of ours through a list", (f"From: {VIA}", GROUP, f"X-Original-From: {ANA}", f"Message-ID: {REF}")),
        ("a mark of ours", (f"From: {ANA}", f"X-Patchbay-Loop: {SIGNER.loop_mark()}")),
    ],
)
def test_mail_from_ourselves_is_no_contact(case: str, headers: tuple[str, ...]) -> None:
    assert taken(*headers) is None, case


def test_our_own_mail_is_known_also_when_a_server_took_its_mark_off() -> None:
    mail = Outgoing(**{**{name: getattr(outgoing(), name) for name in Outgoing.__slots__}, "sender": ANA, "message_ref": REF})
    raw = b"\n".join(line for line in compose(mail).splitlines() if not line.startswith(b"X-Patchbay-Loop"))
    assert email.parse(raw, Envelope(ANA, (SUPPORT.address,)), SUPPORT, SIGNER, NO_BORDER, OURS) is None


def test_where_no_inbox_is_configured_the_address_that_was_written_to_is_ours() -> None:
    assert taken("From: support@firm.example", inboxes=Inboxes()) is None
    assert taken("From: sales@firm.example", inboxes=Inboxes()) is not None
    assert taken("From: nobody", envelope=None) is not None


def test_a_message_id_that_another_signed_is_not_ours() -> None:
    assert taken(f"From: {ANA}", f"Message-ID: {Signer(b'other').message_ref(TICKET, TICKET, 'firm.example')}") is not None


def test_a_report_is_told_whoever_it_comes_from() -> None:
    returned = ("Content-Type: text/plain", "X-Failed-Recipients: ana@customers.example")
    assert isinstance(taken("From: support@firm.example", *returned), DeliveryWord)
    odd = taken("From: mailer-daemon@mx.example", f"Message-ID: {REF}", "Content-Type: multipart/report; boundary=x")
    assert isinstance(odd, InboundMessage)
    assert odd.origin == "auto_reply"


# --- what servers found out ------------------------------------------------------------------------------------------------

MX = Border.of(["mx.firm.example"])


def shown(results: str, *headers: str, border: Border = MX) -> InboundMessage:
    found = taken(f"Authentication-Results: mx.firm.example; {results}", *headers, border=border)
    assert isinstance(found, InboundMessage)
    as_shown = identity.as_shown(found)
    assert isinstance(as_shown, InboundMessage)
    return as_shown


@pytest.mark.parametrize(
    ("case", "results", "sender", "scope"),
    [
        ("our own list, proven", "dmarc=pass header.from=firm.example", VIA, ""),
        ("as from our own list", "dmarc=fail (p=reject) header.from=firm.example", VIA, CLAIMED),
        ("as from our own list, and nobody could tell", "dmarc=none header.from=firm.example", VIA, CLAIMED),
        ("proven, for another domain", "dmarc=pass header.from=evil.example", VIA, CLAIMED),
        ("another's list, of good name", "dmarc=pass header.from=lists.example", MAILMAN, CLAIMED),
        ("another's list", "dmarc=none", MAILMAN, CLAIMED),
    ],
)
def test_whom_a_list_names_is_never_proven_and_believed_only_of_our_own(case: str, results: str, sender: str, scope: str) -> None:
    headers = (f"From: {sender}", "X-BeenThere: users@lists.example", f"X-Original-From: {ANA}")
    read = shown(results, *headers)
    assert (read.handle, read.authentication.proven) == (Handle("email", ANA, scope), False), case
    assert shown(results, *headers, border=NO_BORDER).handle == Handle("email", ANA)


def test_what_the_lists_domain_disowns_is_quarantined() -> None:
    headers = (f"From: {VIA}", GROUP, f"X-Original-From: {ANA}")
    assert shown("dmarc=fail (p=reject) header.from=firm.example", *headers).spam == email.DISOWNED
    assert shown("dmarc=pass header.from=firm.example", *headers).spam is None


def test_a_verdict_about_from_is_the_writers_where_no_list_took_their_place() -> None:
    headers = (f"From: {ANA}", GROUP, "X-Original-From: eve@evil.example")
    assert shown("dmarc=pass header.from=customers.example", *headers).authentication.proven


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_lists_good_name_counts_only_where_the_list_is_ours(proven: bool, is_ours: bool) -> None:
    told = of_another(Authentication("mx", dmarc="pass" if proven else "none", proven=proven), is_ours=is_ours)
    assert not told.proven
    assert identity.is_refuted(told) == (not (proven and is_ours))
    assert not identity.is_refuted(of_another(NOT_TOLD, is_ours=is_ours))


# --- forms of our own site that write as from us -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "headers"),
    [
        ("as from the inbox itself", FORM),
        ("as from another inbox of ours", ("From: Sales@firm.example", FORM[1])),
        ("with a plus", ("From: support+site@firm.example", FORM[1])),
        ("as WordPress writes", ("From: WordPress <wordpress@firm.example>", FORM[1])),
        ("as from nobody at our host", ("From: no-reply@firm.example", FORM[1])),
        ("the first of several that is not ours", (FORM[0], f"Reply-To: sales@firm.example, Ana Pop <{ANA}>")),
        ("a program that says it is one", (*FORM, "Auto-Submitted: auto-generated")),
        ("and wants no answers of machines", (*FORM, "X-Auto-Response-Suppress: All", "Precedence: bulk")),
    ],
)
def test_what_a_form_of_our_site_mails_is_its_visitors_who_only_typed_the_address_in(case: str, headers: tuple[str, ...]) -> None:
    for border in (NO_BORDER, MX):
        results = ("Authentication-Results: mx.firm.example; dmarc=pass header.from=firm.example",)
        found = taken(*results, *headers, border=border)
        assert isinstance(found, InboundMessage), case
        assert (found.handle, found.name, found.origin, found.confirm) == (
            Handle("email", ANA, CLAIMED),
            "Ana Pop",
            "human",
            True,
        )
        assert identity.as_shown(found) == found, case
        assert not is_authenticated(found), case


@pytest.mark.parametrize(
    ("case", "sender", "address", "scope"),
    [
        ("a colleague who is answered elsewhere", "bob@firm.example", "bob@firm.example", ""),
        ("nobody at another's host", "no-reply@shop.example", "no-reply@shop.example", ""),
        ("a site at another's host", "wordpress@site.example", "wordpress@site.example", ""),
        ("a person", "eve@other.example", "eve@other.example", ""),
    ],
)
def test_whoever_is_not_ourselves_is_who_from_names(case: str, sender: str, address: str, scope: str) -> None:
    found = taken(f"From: {sender}", FORM[1])
    assert isinstance(found, InboundMessage)
    assert found.handle == Handle("email", address, scope), case


def test_a_form_without_an_envelope_sender_is_a_machines() -> None:
    assert taken(*FORM, envelope="") is None
