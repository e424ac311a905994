"""Mail as it really comes, and as we send it."""

import base64
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import parseaddr
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.intake.channels import content, email
from services.intake.channels.clean import clean_line, clean_text
from services.intake.channels.email import Envelope
from services.intake.channels.outgoing_mail import Outgoing, compose
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer
from tests.counts import examples
from tests.recorded.requests import all_recorded

SIGNER = Signer(b"secret")
INBOX = Inbox("support", "email", "support@patchbay.example")
TICKET = "6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10"
ENVELOPE = Envelope("bounce@customers.example", ("support@patchbay.example",))
FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"


def read(raw: bytes | str, envelope: Envelope = ENVELOPE) -> InboundMessage:
    message = email.parse(raw.encode() if isinstance(raw, str) else raw, envelope, INBOX, SIGNER)
    assert isinstance(message, InboundMessage)
    return message


def with_headers(**headers: str) -> InboundMessage:
    lines = {"From": "dan@customers.example", "Message-ID": "<1@c>", "Subject": "Hi", **headers}
    return read("\n".join(f"{name.replace('_', '-')}: {value}" for name, value in lines.items()) + "\n\nHello there\n")


def test_a_plain_mail_is_read_whole() -> None:
    message = read(
        "From: Dan Ionescu <Dan@Customers.example>\nTo: support@patchbay.example\nSubject: My order\nMessage-ID: <1@c>\n"
        "Date: Thu, 15 Jan 2026 10:00:00 +0200\nIn-Reply-To: <0@c>\nReferences: <a@c> <b@c> <0@c>\n\n"
        "Hello, my order has not arrived yet.\n"
    )
    assert message.handle == Handle("email", "dan@customers.example")
    assert (message.name, message.subject, message.text) == ("Dan Ionescu", "My order", "Hello, my order has not arrived yet.")
    assert (message.dedup_key, message.message_ref) == ("<1@c>", "<1@c>")
    assert message.reply_refs == ("<0@c>", "<b@c>", "<a@c>")
    assert message.provider_time == datetime(2026, 1, 15, 8, tzinfo=UTC)
    assert (message.language, message.direction, message.origin, message.confirm) == ("en", "ltr", "human", True)


@pytest.mark.parametrize("header", ["Message-ID", "In-Reply-To", "References"])
def test_a_name_of_a_mail_never_holds_a_control_character(header: str) -> None:
    message = read(f"From: dan@customers.example\nSubject: Hi\n{header}: <1\x00x@c> <2\x1fx@c> <good@c>\n\nHello there\n")
    names = [*message.reply_refs, message.message_ref or "", message.dedup_key]
    assert all(character.isprintable() for name in names for character in name)
    assert "<good@c>" in names


@pytest.mark.parametrize(
    ("header", "charset", "body", "text", "language"),
    [
        ("=?utf-8?b?16nXnNeV150=?=", "utf-8", "החבילה שלי לא הגיעה".encode(), "החבילה שלי לא הגיעה", "he"),
        ("=?windows-1255?Q?=F9=EC=E5=ED?=", "windows-1255", "החבילה שלי".encode("cp1255"), "החבילה שלי", "he"),
        ("=?iso-8859-8-i?Q?=F9=EC=E5=ED?=", "iso-8859-8-i", "החבילה שלי".encode("iso-8859-8"), "החבילה שלי", "he"),
        ("مرحبا", "utf-8", "لم تصل طلبيتي بعد".encode(), "لم تصل طلبيتي بعد", "ar"),
        ("مرحبا", "windows-1256", "لم تصل طلبيتي بعد".encode("cp1256"), "لم تصل طلبيتي بعد", "ar"),
        (
            "Salut",
            "iso-8859-2",
            "Bună ziua, coletul meu nu a ajuns încă".encode("iso-8859-2"),
            "Bună ziua, coletul meu nu a ajuns încă",
            "ro",
        ),
        ("Hi", "no-such-charset", b"plain words of an English mail", "plain words of an English mail", "en"),
        ("Hi", "us-ascii", "naïve café and an English sentence".encode("latin-1"), "naïve café and an English sentence", "en"),
        ("Hi", "iso-gb2312", "你好".encode("gb18030"), "你好", "und"),
    ],
)
def test_charsets_are_read_whatever_they_are_called(header: str, charset: str, body: bytes, text: str, language: str) -> None:
    raw = (
        f"From: a@b.example\nSubject: {header}\nMessage-ID: <1@c>\nContent-Type: text/plain; charset={charset}\n"
        "Content-Transfer-Encoding: 8bit\n\n"
    ).encode() + body
    message = read(raw)
    assert (message.text, message.language) == (text, language)
    assert message.subject in ("שלום", "مرحبا", "Salut", "Hi")
    assert message.direction == ("rtl" if language in ("he", "ar") else "ltr")


def test_a_subject_split_inside_a_character_is_put_together() -> None:
    whole = "שלום".encode()
    halves = [base64.b64encode(part).decode() for part in (whole[:3], whole[3:])]
    message = with_headers(Subject=f"=?utf-8?B?{halves[0]}?=\n =?utf-8?B?{halves[1]}?=")
    assert message.subject == "שלום"


def test_the_text_of_an_html_mail_is_what_a_person_reads() -> None:
    message = read(
        "From: a@b.example\nSubject: x\nMessage-ID: <1@c>\nContent-Type: text/html; charset=utf-8\n\n"
        "<html><head><style>p{color:red}</style><title>no</title></head><body><p>Hello&nbsp;<b>Dana</b>,</p><div>one<br>two</div>"
        "<ul><li>first<li>second</ul><script>alert(1)</script><img alt='[logo]'>"
        "<table><tr><td>a</td><td>b</td></tr></table></body>"
    )
    assert message.text == "Hello Dana,\n\none\ntwo\n\n- first\n- second\n\n[logo]\n\na b"


def test_files_are_known_by_place_kind_size_and_hash_and_can_be_fetched_again() -> None:
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "a@b.example", "<1@c>"
    mail.set_content("see the file")
    mail.add_alternative("<p>see the file</p>", subtype="html")
    mail.add_attachment("תוכן".encode(), maintype="application", subtype="pdf", filename="חשבונית.pdf")
    inner = EmailMessage()
    inner.set_content("inner")
    mail.add_attachment(inner)
    message = read(mail.as_bytes())
    first, second = message.files
    assert (message.text, first.name, first.media_type, first.size_bytes) == ("see the file", "חשבונית.pdf", "application/pdf", 8)
    assert content.file_content(message.raw, first.part) == "תוכן".encode()
    assert second.media_type == "message/rfc822"


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, "human"),
        ({"Auto_Submitted": "no"}, "human"),
        ({"Auto_Submitted": "auto-replied"}, "auto_reply"),
        ({"Auto_Submitted": "auto-generated"}, "auto_reply"),
        ({"X_Auto_Response_Suppress": "DR, OOF, AutoReply"}, "auto_reply"),
        ({"X_Autoreply": "yes"}, "auto_reply"),
        ({"Precedence": "auto_reply"}, "auto_reply"),
        ({"Precedence": "bulk"}, "bulk"),
        ({"List_Unsubscribe": "<mailto:x@y>"}, "bulk"),
        ({"List_Id": "<news.example>"}, "bulk"),
        ({"Subject": "Out of office: back on Monday"}, "out_of_office"),
        ({"Subject": "תשובה אוטומטית: חופשה"}, "auto_reply"),
        ({"Subject": "רד: היעדרות"}, "human"),
        ({"Subject": "خارج المكتب"}, "out_of_office"),
        ({"Subject": "Răspuns automat: concediu"}, "auto_reply"),
        ({"From": "MAILER-DAEMON@mx.example"}, "auto_reply"),
        ({"From": "no-reply@shop.example"}, "auto_reply"),
        ({"X_MS_Exchange_Inbox_Rules_Loop": "a@b"}, "out_of_office"),
    ],
)
def test_a_machine_is_told_from_a_person(headers: dict[str, str], origin: str) -> None:
    message = with_headers(**headers)
    assert (message.origin, message.confirm) == (origin, origin == "human")


def test_the_null_sender_is_a_machine_and_what_came_back_finds_its_ticket() -> None:
    ref = SIGNER.message_ref(TICKET, TICKET, "patchbay.example")
    report = (
        "From: postmaster@mx.example\nMessage-ID: <r@mx>\nContent-Type: multipart/report; boundary=x\n\n--x\n\nfailed\n"
        f"--x\nContent-Type: message/rfc822\n\nMessage-ID: {ref}\n\nhello\n--x--\n"
    )
    message = read(report, Envelope("", ("support@patchbay.example",)))
    assert (message.origin, message.tokens) == ("auto_reply", (TICKET,))
    assert with_headers().origin == "human"


def test_tickets_are_named_by_our_signed_address_first_then_by_our_message_ids() -> None:
    other = "00000000-0000-5000-8000-000000000001"
    address = SIGNER.reply_address(TICKET, INBOX.address)
    message = read(
        f"From: a@b.example\nTo: Us <{address.upper()}>\nMessage-ID: <1@c>\n"
        f"References: {SIGNER.message_ref(other, other, 'h.example')}\n\nx"
    )
    assert message.tokens == (TICKET, other)
    assert read("From: a@b.example\nMessage-ID: <1@c>\n\nx", Envelope("a@b.example", (address,))).tokens == (TICKET,)


def test_our_own_mail_come_back_is_no_contact() -> None:
    assert email.parse(compose(outgoing()), ENVELOPE, INBOX, SIGNER) is None


@pytest.mark.parametrize("mark", [Signer(b"another company").loop_mark(), "1", "", "\u017f", "é"])
def test_a_mail_of_another_companys_patchbay_is_a_contact(mark: str) -> None:
    assert with_headers(X_Patchbay_Loop=mark).text == "Hello there"


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "raw-unicode-escape", "undefined", "rot13", "../x"])
def test_what_is_no_character_set_is_none_in_a_mail_either(charset: str) -> None:
    raw = f"From: a@b.example\nSubject: =?{charset}?Q?a-\\x41?=\nContent-Type: text/plain; charset={charset}\n\na-\\x41 words\n"
    message = read(raw)
    assert (message.subject, message.text.strip()) == ("a-\\x41", "a-\\x41 words")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("To", "(" * 2500),
        ("To", '"' * 2500),
        ("From", "(" * 2500 + " <dan@customers.example>"),
        ("From", '"(' * 2500 + " <dan@customers.example>"),
        ("To", f"<+{'a' * 25}\u017f.{'a' * 13}@x.example>"),
        ("To", f"<+{'a' * 26}.{'a' * 12}\u017f@x.example>"),
        ("References", f"<{'a' * 26}.{'a' * 26}.{'a' * 12}\u017f@x.example>"),
        ("Date", "9" * 10_000),
        ("Content-Type", "text/plain; charset*=a\0b'x'y"),
        ("Content-Type", "multipart/mixed; boundary*=idna'x'y"),
        ("Content-Type", f"text/plain; name*{'9' * 5000}=a"),
        ("Content-Transfer-Encoding", "x-uuencode"),
    ],
)
def test_a_hostile_header_costs_no_mail(header: str, value: str) -> None:
    message = read(f"From: dan@customers.example\nMessage-ID: <1@c>\n{header}: {value}\n\nHello there\n")
    assert message.text == "Hello there"
    if header == "From":
        assert message.handle is None or message.handle.value == "dan@customers.example"


def test_a_report_with_bytes_of_no_charset_finds_its_ticket() -> None:
    ref = SIGNER.message_ref(TICKET, TICKET, "patchbay.example").encode()
    head = b"From: postmaster@mx.example\nMessage-ID: <r@mx>\nContent-Type: multipart/report; boundary=x\n\n--x\n\n"
    message = read(head + ref.replace(b"patchbay", b"\xe9\xff") + b"\n--x--\n", Envelope("", ("support@patchbay.example",)))
    assert message.tokens == (TICKET,)


def test_what_is_nested_deeper_than_people_nest_is_a_file() -> None:
    head = b"From: dan@customers.example\nMessage-ID: <1@c>\n"
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n\nlevel\n--b%d\n" % (n, n, n) for n in range(400))
    message = read(head + levels + b"\nthe end\n")
    assert message.text.startswith("level")
    assert [file.media_type for file in message.files] == ["application/octet-stream"]


def test_of_very_many_references_the_newest_are_taken() -> None:
    message = with_headers(References=" ".join(f"<{n}@c>" for n in range(100_000)))
    assert message.reply_refs[:2] == ("<99999@c>", "<99998@c>")


UNNAMED = "From: a@b.example\nSubject: Alarm\n{more}\nThe door is open.\n"
SENT_AT = "Date: Thu, 15 Jan 2026 10:00:00 +0200\n"
FILE = 'MIME-Version: 1.0\nContent-Type: text/plain; name="a.txt"\nContent-Disposition: attachment\n'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (SENT_AT, SENT_AT, True),
        (SENT_AT, f"Received: from x by y; Thu, 15 Jan 2026 10:00:09 +0200\n{SENT_AT}", True),
        (SENT_AT, SENT_AT.replace(":00:00", ":00:01"), False),
        (SENT_AT, SENT_AT + FILE, False),
        ("", "", True),
        ("", "Received: from x by y; Thu, 15 Jan 2026 10:00:09 +0200\n", False),
    ],
)
def test_a_mail_without_a_message_id_is_named_by_what_it_says_and_when_it_says_it_was_sent(
    one: str, other: str, same: bool
) -> None:
    first, second = read(UNNAMED.format(more=one)), read(UNNAMED.format(more=other))
    assert (first.dedup_key == second.dedup_key) == same
    assert first.dedup_key.startswith("sha256:")
    assert (first.message_ref, first.conflict_key) == (None, None)


def test_a_text_of_a_megabyte_is_cut_at_16_kib_and_says_so() -> None:
    message = read("From: a@b.example\nMessage-ID: <1@c>\n\n" + "ש" * 500_000)
    assert message.text_cut
    assert len(message.text.encode()) <= 16 * 1024


@given(st.binary(max_size=2000))
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_bytes_make_the_parser_fail(raw: bytes) -> None:
    email.parse(raw, ENVELOPE, INBOX, SIGNER)


HEADER_NAMES = st.sampled_from(
    ["From", "To", "Subject", "Date", "Message-ID", "References", "In-Reply-To", "Content-Type", "Content-Transfer-Encoding",
     "Content-Disposition", "Auto-Submitted", "Reply-To", "Delivered-To", "X-Patchbay-Loop"]
)  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"multipart/mixed; boundary=b", b"multipart/report", b"text/html; charset=x", b"base64", b"a <b", b"<",
         b"=?utf-8?B?////?=", b"=?x?Q?=ZZ?=",
         b"(" * 2500, b'"' * 2500, b"<" + b"a" * 26 + b"." + b"a" * 26 + b"." + b"a" * 12 + "\u017f".encode() + b"@x>",
         b"<+" + b"a" * 26 + b"." + b"a" * 12 + "\u017f".encode() + b"@x>", b"text/plain; charset*=a\x00b'x'y",
         b"multipart/mixed; boundary*=idna'x'y", b"text/plain; charset=punycode", b"9" * 5000, b"text/plain; name*" + b"9" * 3900,
         b"multipart/report; boundary=b",
         b"uuencode", b"message/rfc822", b"text/plain; charset*=x'y'%E9", b"attachment; filename*0*=a''%41; filename*1=b",
         b"\xe9\xe8@x.example", b"Thu, 99 Foo 2026 99:99:99 +9999", b"application/octet-stream; name==?utf-8?B?4pyT?="]
    ),
)  # fmt: skip


@given(st.lists(st.tuples(HEADER_NAMES, VALUES), max_size=8), st.binary(max_size=300), st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_no_damaged_mail_makes_the_parser_fail(headers: list[tuple[str, bytes]], body: bytes, parted: bool) -> None:
    head = b"".join(name.encode() + b": " + value.replace(b"\n", b" ") + b"\n" for name, value in headers)
    content = b"--b\n\n" + body + b"\n--b\nContent-Type: text/html\n\n<p" + body + b"\n--b--" if parted else body
    message = email.parse(head + b"\n" + content, ENVELOPE, INBOX, SIGNER)
    if isinstance(message, InboundMessage):
        message.text.encode()
        assert "\x00" not in message.text + message.subject + message.name
        assert "\n" not in message.subject + message.name


def test_recorded_mails_of_other_systems_are_read() -> None:
    recorded = sorted(FIXTURES.glob("mail-parser-reply/**/*.txt"))
    recorded += sorted(FIXTURES.glob("github-email_reply_parser/**/*.txt"))
    if not recorded:
        pytest.skip("needs ../shared/fixtures beside the repository")
    for path in recorded:
        head = b"From: a@b.example\nMessage-ID: <1@c>\nContent-Type: text/plain; charset=utf-8\n\n"
        message = read(head + path.read_bytes())
        assert message.text or not path.read_bytes().strip()


def test_recorded_mime_mails_of_mailgun_and_sendgrid_are_read() -> None:
    recorded = [(one.mime, one.events) for one in all_recorded("*_inbound")]
    whole = [(mime, event["message"]) for mime, events in recorded if mime is not None for event in events]
    if not recorded:
        pytest.skip("needs ../shared/fixtures beside the repository")
    assert len(whole) >= 2
    for mime, expected in whole:
        message = read(mime)
        assert message.handle == Handle("email", parseaddr(expected["from_email"])[1])
        assert message.subject == expected["subject"]
        assert message.text == expected["text"].strip()


def outgoing(**more: object) -> Outgoing:
    values: dict[str, object] = {
        "message_ref": SIGNER.message_ref(TICKET, TICKET, "patchbay.example"),
        "sender": "support@patchbay.example",
        "recipient": "dan@customers.example",
        "reply_to": SIGNER.reply_address(TICKET, "support@patchbay.example"),
        "subject": "Re: שלום",
        "text": "שלום דן,\n\nהחבילה <בדרך>.",
        "language": "he",
        "direction": "rtl",
        "at": datetime(2026, 1, 15, 10, tzinfo=UTC),
        "loop_mark": SIGNER.loop_mark(),
        **more,
    }
    return Outgoing(**values)  # type: ignore[arg-type]


def composed(**more: object) -> EmailMessage:
    mail = BytesParser(policy=default).parsebytes(compose(outgoing(**more)))
    assert isinstance(mail, EmailMessage)
    return mail


def test_a_reply_is_readable_from_right_to_left_and_names_what_it_answers() -> None:
    refs = tuple(SIGNER.message_ref(TICKET, f"00000000-0000-5000-8000-{n:012}", "patchbay.example") for n in range(30))
    raw = compose(outgoing(refs=refs))
    mail = composed(refs=refs)
    assert f"In-Reply-To: {refs[-1]}\r\n".encode() in raw
    assert f"Message-ID: {outgoing().message_ref}\r\n".encode() in raw
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert str(mail["References"]).endswith(refs[-1])
    html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert plain is not None
    assert plain.get_content().splitlines() == ["שלום דן,", "", "החבילה <בדרך>."]
    assert '<html lang="he" dir="rtl">' in html.get_content()
    assert "&lt;בדרך&gt;" in html.get_content()
    assert mail["Auto-Submitted"] is None


def test_nothing_a_person_writes_can_add_a_header() -> None:
    mail = composed(subject="x\r\nBcc: all@customers.example", sender_name="a\nb", recipient="dan@customers.example\r\nBcc: x@y")
    assert mail["Bcc"] is None
    assert mail["Subject"] == "x Bcc: all@customers.example"


@given(st.text(max_size=300), st.text(max_size=500))
@settings(deadline=None)
def test_any_subject_and_text_can_be_sent_and_come_back_the_same(subject: str, text: str) -> None:
    safe = clean_text(text)
    mail = composed(subject=subject, text=safe)
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == safe.rstrip("\n")
    assert " ".join(str(mail["Subject"]).split()) == " ".join(clean_line(subject, 500).split())
