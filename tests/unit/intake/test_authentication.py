"""Authentication-Results: read as our servers write them, and believed only where they stand above what others wrote."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.channels import email, mime
from services.intake.channels.authentication import Border, authentication_of
from services.intake.channels.email import DISOWNED, Envelope
from services.intake.channels.provided import Mail, sort
from services.intake.channels.taken_apart import read
from services.intake.domain.authentication import NOT_TOLD, Authentication, covers
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.identity import is_refuted
from services.intake.domain.inboxes import NO_INBOXES, Inbox
from services.intake.domain.tokens import Signer
from tests.counts import examples

OURS = Border.of(["mx.ours.example"])
GMAIL = Border.of(["mx.google.com"])
MICROSOFT = Border.of(["-"], ["*.outlook.com", "*.office365.com"])
SENDER = "ana@customers.example"
IN = "Received: from mail.customers.example (mail.customers.example [192.0.2.1]) by mx.ours.example with ESMTPS id 1; now"
PASSED = "Authentication-Results: mx.ours.example; dmarc=pass (p=reject dis=none) header.from=customers.example"
FAILED = "Authentication-Results: mx.ours.example; dmarc=fail (p=reject dis=none) header.from=customers.example"
THEIRS = "Received: from laptop (unknown [10.0.0.1]) by mail.customers.example with ESMTPSA id 0; before"


def told(*headers: str, border: Border = OURS, sender: str = SENDER) -> Authentication:
    mail = mime.parse("\r\n".join((*headers, f"From: {sender}", "", "hello")).encode())
    return authentication_of(mail, sender, border)


def test_what_our_server_wrote_is_believed_above_and_below_its_own_received() -> None:
    for headers in ((PASSED, IN, THEIRS), (IN, PASSED, THEIRS)):
        found = told(*headers)
        assert (found.by, found.dmarc, found.policy, found.proven) == ("mx.ours.example", "pass", "reject", True)
    relayed = "Received: from mx.ours.example (mx.ours.example [10.0.0.2]) by mx.ours.example with LMTP id 2; later"
    assert told(relayed, IN, PASSED).proven
    assert told("Received: by mx.ours.example (Postfix) id 3; later", IN, PASSED).proven


@pytest.mark.parametrize(
    "headers",
    [
        # Our server took the forged one away, and adds none of its own here.
        (IN, THEIRS),
        # It takes none away: its own stands above, and counts.
        (IN, FAILED, PASSED, THEIRS),
        (FAILED, IN, PASSED),
        (IN, FAILED, THEIRS, PASSED),
        # It adds none: what stands below a Received of others is not ours.
        (IN, THEIRS, PASSED),
        # Who sends writes a Received in our name as well.
        (IN, THEIRS, IN, PASSED),
        (IN, IN, PASSED),
        (IN, "Received: by mx.ours.example id 9; x", PASSED),
        # Nothing of ours stands above at all.
        (THEIRS, PASSED),
        (THEIRS, IN, PASSED),
        ("Received: from x by y.example", PASSED),
        ("Received: nonsense", PASSED),
        ("Received: from mx.ours.example (evil.example [192.0.2.9]) by elsewhere.example id 1; x", PASSED),
        # Who connects is called as we are, or as a word of the header.
        (IN.replace("from mail.customers.example", "from mx.ours.example"), THEIRS, PASSED),
        ("Received: from by (by [192.0.2.1]) by elsewhere.example id 1; x", PASSED),
        # Another name, or one that only looks like ours.
        (IN, PASSED.replace("mx.ours", "mx.theirs"), THEIRS),
        (IN, PASSED.replace("mx.ours.example", "mx.ours.example.evil.example"), THEIRS),
        (IN, PASSED.replace("mx.ours.example", "(mx.ours.example) evil.example"), THEIRS),
        (IN, "X-Authentication-Results: mx.ours.example; dmarc=pass header.from=customers.example", THEIRS),
    ],
)
def test_what_others_write_in_our_name_is_not_believed(headers: tuple[str, ...]) -> None:
    found = told(*headers)
    assert not found.proven
    assert found.dmarc != "pass"


def test_without_a_name_in_the_settings_nobody_is_believed() -> None:
    assert told(PASSED, IN, border=Border.of([])) == NOT_TOLD


def test_gmail_and_microsoft_are_read_as_they_write() -> None:
    gmail = told(
        "Delivered-To: support@ours.example",
        "Received: by 2002:a05:6402:1:b0:1 with SMTP id a1csp1; Mon, 2 Mar 2026 00:00:01 -0800 (PST)",
        "X-Received: by 2002:a17:907:1 with SMTP id b1; Mon, 2 Mar 2026 00:00:01 -0800 (PST)",
        "ARC-Authentication-Results: i=1; mx.google.com; dmarc=pass header.from=customers.example",
        "Received: from mail.customers.example (mail.customers.example. [192.0.2.1])\r\n      by mx.google.com with ESMTPS id c",
        "Authentication-Results: mx.google.com;\r\n       dkim=pass header.i=@customers.example header.s=s1 header.b=AbC/1;\r\n"
        "       spf=softfail (google.com: domain of transitioning x@y) smtp.mailfrom=bounce@elsewhere.example;\r\n"
        "       dmarc=pass (p=QUARANTINE sp=REJECT dis=NONE) header.from=customers.example",
        THEIRS,
        border=GMAIL,
    )
    assert gmail == Authentication("mx.google.com", "fail", "pass", "pass", "quarantine", True)
    microsoft = told(
        "Received: from AM0PR01.eurprd01.prod.outlook.com (2603:10a6::1) by DB9PR01.eurprd01.prod.outlook.com with HTTPS; x",
        "Authentication-Results: spf=fail (sender IP is 192.0.2.1)\r\n smtp.mailfrom=customers.example; dkim=none (message not"
        " signed)\r\n header.d=none;dmarc=fail action=oreject\r\n header.from=customers.example;compauth=fail reason=000",
        "Received: from mail.customers.example (192.0.2.1) by AM5EUR02FT0.mail.protection.outlook.com with Microsoft SMTP; x",
        "Authentication-Results: spf=pass smtp.mailfrom=customers.example; dmarc=pass header.from=customers.example",
        border=MICROSOFT,
    )
    assert microsoft == Authentication("-", "fail", "none", "fail", "reject", False)
    assert microsoft.disowned


@pytest.mark.parametrize(
    ("results", "proven"),
    [
        ("dmarc=pass header.from=customers.example", True),
        ("dmarc=pass header.from=CUSTOMERS.example.", True),
        ("dmarc=pass header.from=other.example", False),
        ("dmarc=pass", False),
        ("spf=pass smtp.mailfrom=bounce@customers.example", True),
        ("spf=pass smtp.mailfrom=customers.example", True),
        ("spf=pass smtp.mailfrom=bounce.customers.example", False),
        ("spf=pass smtp.helo=customers.example", False),
        ("spf=neutral smtp.mailfrom=customers.example", False),
        ("dkim=pass header.d=customers.example", True),
        ("dkim=fail header.d=customers.example; dkim=pass header.d=example", True),
        ("dkim=pass header.d=other.example; dkim=fail header.d=customers.example", False),
        ("dkim=pass header.d=mers.example", False),
        ("dkim=pass header.d=", False),
        ('dkim/1 = pass (good) header.d = "customers.example"', True),
        ("dkim=pass header.d=customers.example; dmarc=fail header.from=customers.example", False),
        ("none", False),
        ("(dkim=pass header.d=customers.example)", False),
        ('x="; dkim=pass header.d=customers.example"', False),
    ],
)
def test_a_sender_is_proven_by_what_passed_for_the_domain_of_the_address(results: str, proven: bool) -> None:
    assert told(f"Authentication-Results: mx.ours.example 1; {results}", IN).proven == proven


@pytest.mark.parametrize(
    ("results", "disowned"),
    [
        ("dmarc=fail (p=reject dis=none)", True),
        ("dmarc=fail (p=QUARANTINE sp=NONE)", True),
        ("dmarc=fail action=quarantine", True),
        ("dmarc=fail policy.published-domain-policy=reject", True),
        ("dmarc=fail (p=none dis=none)", False),
        ("dmarc=fail (sp=reject)", False),
        ("dmarc=none (p=reject)", False),
        ("dmarc=temperror (p=reject)", False),
        ("spf=fail smtp.mailfrom=customers.example (p=reject)", False),
    ],
)
def test_mail_is_disowned_where_its_domain_wants_it_kept_away(results: str, disowned: bool) -> None:
    assert told(f"Authentication-Results: mx.ours.example; {results} header.from=customers.example", IN).disowned == disowned


def test_disowned_mail_is_spam_and_proven_mail_is_not() -> None:
    for header, verdict in ((FAILED, DISOWNED), (PASSED, None)):
        raw = "\r\n".join((header, IN, f"From: {SENDER}", "Subject: x", "", "hello")).encode()
        inbox = Inbox("support", "email", "support@ours.example")
        read = email.parse(raw, Envelope(SENDER, (inbox.address,)), inbox, Signer(b"s" * 32), OURS)
        assert isinstance(read, InboundMessage)
        assert (read.spam, read.authentication.proven) == (verdict, verdict is None)


def test_who_speaks_for_a_domain() -> None:
    assert covers("example.com", "mail.example.com")
    assert not covers("mail.example.com", "example.com")
    assert not covers("", "example.com")
    assert not covers("ample.com", "example.com")


@given(
    st.lists(
        st.tuples(st.sampled_from(["Received", "Authentication-Results", "X"]), st.text('();"\\=.@ abfromby-\t', max_size=60))
    )
)
@settings(max_examples=examples(200), deadline=None)
def test_whatever_stands_in_the_headers_nothing_is_raised_and_nobody_is_believed(headers: list[tuple[str, str]]) -> None:
    assert not told(*(f"{name}: {value}" for name, value in headers)).proven


def test_comments_are_looked_through_once_however_they_nest() -> None:
    for hostile in (
        "(" * 19_000,
        "(" * 9_000 + ")" * 9_000,
        "\\" * 19_000,
        '"' * 19_000,
        ";" * 19_000,
        "a=" * 9_000,
        "(p=" * 6_000,
    ):
        assert told(f"Authentication-Results: mx.ours.example; dmarc=fail {hostile}", IN).policy == "none"


FORM = "application/x-www-form-urlencoded"
TELLERS = Border.of(["sendgrid", "mailgun"])


def mail_by(provider: str, fields: dict[str, str]) -> Authentication:
    """What is believed of a mail that a provider brings."""
    [piece] = read(provider, urlencode({"token": "t", **fields}).encode(), FORM)
    assert isinstance(piece, Mail)
    return authentication_of(mime.parse(piece.raw), SENDER, TELLERS, piece.results)


def by_sendgrid(spf: str = "", dkim: str = "", sender: str = "bounce@customers.example", **more: str) -> Authentication:
    said = {"envelope": json.dumps({"to": ["support@ours.example"], "from": sender}), "headers": f"From: {SENDER}\n", "text": "x"}
    return mail_by("sendgrid", {**said, "SPF": spf, "dkim": dkim, **more})


@pytest.mark.parametrize(
    ("told", "results", "proven", "refuted"),
    [
        (("pass", "none"), ("pass", "none"), True, False),
        (("fail", "{@customers.example : pass}"), ("fail", "pass"), True, False),
        (("fail", "{@elsewhere.example : fail, @customers.example : pass}"), ("fail", "pass"), True, False),
        (("fail", "{@other.example : pass}"), ("fail", "pass"), False, False),
        (("softfail", "none"), ("fail", "none"), False, True),
        (("neutral", "{@customers.example : fail (body has been altered)}"), ("none", "fail"), False, True),
        (("pass", "none", "who@other.example"), ("pass", "none"), False, False),
        (("pass", "none", ""), ("pass", "none"), False, False),
        (("pass", "none", "a@customers.example; dkim=pass header.d=customers.example"), ("pass", "none"), False, False),
        (("pass smtp.mailfrom=customers.example", "none", "x@other.example"), ("pass", "none"), False, False),
        (("", "none"), ("none", "none"), False, False),
    ],
)
def test_what_sendgrid_found_out_is_read(told: tuple[str, ...], results: tuple[str, str], proven: bool, refuted: bool) -> None:
    found = by_sendgrid(*told)
    assert ((found.spf, found.dkim), found.proven, is_refuted(found)) == (results, proven, refuted)
    assert found.by == ("sendgrid" if told[0] else "")


HEADERS = [["X-Mailgun-Dkim-Check-Result", "Pass"], ["X-Mailgun-Spf", "SoftFail"], ["Received", "from a by mxa.mailgun.org"]]
SIGNED_BY = ["Dkim-Signature", "v=1; a=rsa-sha256;\r\n d=Customers.example; s=s1; bh=a;d"]
FORGED = [["X-Mailgun-Spf", "Pass"], ["X-Mailgun-Dkim-Check-Result", "Pass"], SIGNED_BY]


def by_mailgun(headers: list[list[str]], **more: str) -> Authentication:
    said = {"recipient": "support@ours.example", "sender": "b@customers.example", "body-plain": "x", "From": SENDER}
    return mail_by("mailgun", {**said, "from": SENDER, "message-headers": json.dumps(headers), **more})


@pytest.mark.parametrize(
    ("headers", "results", "proven", "refuted"),
    [
        ([*HEADERS, SIGNED_BY], ("fail", "pass"), True, False),
        ([*HEADERS, SIGNED_BY, SIGNED_BY], ("fail", "pass"), True, False),
        ([*HEADERS, SIGNED_BY, ["DKIM-Signature", "v=1; d=evil.example"]], ("fail", "pass"), False, False),
        ([*HEADERS, ["DKIM-Signature", "v=1; d=evil.example; d=customers.example"]], ("fail", "pass"), False, False),
        (HEADERS, ("fail", "pass"), False, False),
        ([["X-Mailgun-Spf", "Pass"], HEADERS[2]], ("pass", "none"), True, False),
        # Below what Mailgun wrote, and where it wrote nothing, whoever sent the mail did.
        ([["X-Mailgun-Spf", "Fail"], HEADERS[2], *FORGED], ("fail", "none"), False, True),
        ([["X-Mailgun-Spf", "Fail"], ["X-Mailgun-Spf", "Pass"], HEADERS[2]], ("fail", "none"), False, True),
        ([HEADERS[2], *FORGED], ("none", "none"), False, False),
        (FORGED, ("none", "none"), False, False),
        ([], ("none", "none"), False, False),
    ],
)
def test_what_mailgun_found_out_is_read_where_it_wrote_it(
    headers: list[list[str]], results: tuple[str, str], proven: bool, refuted: bool
) -> None:
    found = by_mailgun(headers)
    assert ((found.spf, found.dkim), found.proven, is_refuted(found)) == (results, proven, refuted)


def test_what_stands_in_the_mail_is_nobodys_word() -> None:
    inside = "X-Mailgun-Spf: Pass\nSPF: pass\ndkim: {@customers.example : pass}\nAuthentication-Results: NAME; spf=pass\n"
    for provider in ("mailgun", "sendgrid"):
        raw = f"{inside.replace('NAME', provider)}Received: from x by y\nFrom: {SENDER}\n\nhello"
        assert mail_by(provider, {"body-mime" if provider == "mailgun" else "email": raw, "recipient": "a@b.example"}) == NOT_TOLD
    assert by_mailgun([HEADERS[2]], **{"X-Mailgun-Spf": "Pass", "Message-Headers": json.dumps(HEADERS)}) == NOT_TOLD


def test_a_server_of_ours_goes_before_the_provider_and_a_provider_is_asked_only_by_its_name() -> None:
    [piece] = read("sendgrid", urlencode({"email": f"{FAILED}\n{IN}\nFrom: {SENDER}\n\nx", "SPF": "pass"}).encode(), FORM)
    assert isinstance(piece, Mail)
    both = Border.of(["mx.ours.example", "sendgrid"])
    assert authentication_of(mime.parse(piece.raw), SENDER, both, piece.results).by == "mx.ours.example"
    assert both == Border(frozenset({"mx.ours.example"}), frozenset({"mx.ours.example"}), frozenset({"sendgrid"}))
    for border, by in ((both, "sendgrid"), (OURS, ""), (Border.of(["mailgun"]), "")):
        [told] = read("sendgrid", urlencode({"email": f"From: {SENDER}\n\nx", "SPF": "pass"}).encode(), FORM)
        [contact] = sort([told], "sendgrid", NO_INBOXES, Signer(b"s" * 32), border).contacts
        assert isinstance(contact, InboundMessage)
        assert contact.authentication.by == by
