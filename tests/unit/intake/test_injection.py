"""What customers write stands in headers of ours only as what it is: no line of it becomes a header, no header a second one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.api.files import download
from services.intake.channels.clean import clean_line
from services.intake.channels.outgoing_mail import MailFile, Outgoing, Quote, compose
from services.intake.channels.outgoing_webhook import signed
from services.intake.domain import handles
from tests.counts import examples

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PLAIN = Outgoing(
    message_ref="<m@ours.example>",
    sender="support@ours.example",
    recipient="ana@customers.example",
    reply_to="support+t@ours.example",
    subject="Re: parcel",
    text="Hello",
    language="en",
    direction="ltr",
    at=NOW,
    loop_mark="mark",
)
ENCODED = ("=?utf-8?q?=0A?=", "=?utf-8?q?=0D=0A?=", "=?utf-8?b?DQo=?=", "=?iso-8859-1?Q?=0D=0A=0D=0A?=")
BREAKS = (*ENCODED, "\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\r\n\r\n", "\n ")
SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="


def sent(mail: Outgoing) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(compose(mail))
    assert isinstance(message, EmailMessage)
    return message


def names(mail: Outgoing) -> list[str]:
    return [name.lower() for part in sent(mail).walk() for name in part]


@pytest.mark.parametrize("lines", BREAKS)
@pytest.mark.parametrize("field", ["subject", "recipient", "sender_name", "cc", "name", "signature", "attribution", "text"])
def test_a_line_break_makes_no_header(field: str, lines: str) -> None:
    hostile = f"x{lines}Bcc: all@customers.example{lines}Content-Type: text/html{lines}{lines}<script>"
    file = MailFile(hostile if field == "name" else "a.txt", "text/plain", b"x")
    quote = Quote(hostile if field == "attribution" else "Ana wrote:", "before", "ltr")
    given = {field: (hostile,) if field == "cc" else hostile} if field not in ("name", "attribution") else {}
    usual = replace(PLAIN, files=(MailFile("a.txt", "text/plain", b"x"),), quote=Quote("Ana wrote:", "before", "ltr"))
    usual = replace(usual, cc=("b@customers.example",)) if field == "cc" else usual
    assert names(replace(PLAIN, files=(file,), quote=quote, **given)) == names(usual)  # type: ignore[arg-type]


@pytest.mark.parametrize("lines", ENCODED)
def test_a_message_id_of_theirs_makes_no_header(lines: str) -> None:
    """It is answered without anybody looking at it."""
    hostile = f"<x{lines}Bcc:_all@customers.example>", f"<{lines.replace('?=', 'Bcc:_b@c.example?=')}@h.example>"
    assert names(replace(PLAIN, refs=hostile)) == names(PLAIN)
    message = sent(replace(PLAIN, refs=("<good@c.example>", *hostile)))
    assert message["In-Reply-To"] == message["References"] == "<good@c.example>"


@pytest.mark.parametrize("subject", ["=?utf-8?q?x=0ABcc:_a@b.example=0A?= y", "=?utf-8?q?x=0D=0A=0D=0Ahello?=", "Re: a=?b"])
def test_a_subject_that_is_encoded_twice_stays_what_was_read(subject: str) -> None:
    mail = replace(PLAIN, subject=subject)
    assert names(mail) == names(PLAIN)
    assert sent(mail)["Subject"] == subject.replace("=?", "= ?")


@pytest.mark.parametrize("name", ["Popescu, Ștefan", "; é", "a; é", "é (x", 'é "x', "é <a@b.example> x", "é: x;", "\u05d0, b"])
def test_a_name_that_is_not_ascii_makes_no_other_address_of_its_punctuation(name: str) -> None:
    [address] = sent(replace(PLAIN, sender_name=name))["From"].addresses
    assert address.addr_spec == "support@ours.example"
    letters = [letter for letter in name if letter.isalpha() and ord(letter) > 127]
    assert set(letters) <= set(address.display_name)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
@settings(max_examples=examples(200), deadline=None)
def test_whatever_is_written_the_headers_are_the_same_ones(subject: str, name: str, file: str) -> None:
    mail = replace(PLAIN, subject=subject, sender_name=name, files=(MailFile(file, "image/png", b"x"),))
    usual = replace(PLAIN, files=(MailFile("a.png", "image/png", b"x"),))
    assert names(mail) == names(usual)
    assert [address.addr_spec for address in sent(mail)["From"].addresses] == ["support@ours.example"]


@pytest.mark.parametrize(
    "name", ["Ana <all@customers.example>", 'Ana" <b@c.example>, "x', "a@b.example", "Ana, b@c.example", "=?utf-8?q?=0A?="]
)
def test_a_name_is_no_second_address(name: str) -> None:
    message = sent(replace(PLAIN, sender_name=name))
    assert [address.addr_spec for address in message["From"].addresses] == ["support@ours.example"]


@pytest.mark.parametrize(
    "kind", ["text/html\r\nX: y", "multipart/mixed", "message/rfc822", "text", "", "/", "a/b/c", "text/plain; x=y"]
)
def test_a_type_of_a_file_makes_no_header_and_no_mail_within_the_mail(kind: str) -> None:
    try:
        message = sent(replace(PLAIN, files=(MailFile("a", kind, b"X: y\r\n\r\nz"),)))
    except ValueError:
        return  # refused before anything is sent
    assert "X" not in [name for part in message.walk() for name in part]
    assert sum(part.get_content_maintype() in ("multipart", "message") for part in message.walk()) == 2


@given(st.text(max_size=60))
@settings(max_examples=examples(200), deadline=None)
def test_a_line_is_one_line_and_can_be_stored(text: str) -> None:
    line = clean_line(text)
    assert len(line.splitlines()) <= 1
    assert "\0" not in line
    line.encode()


@pytest.mark.parametrize("lines", BREAKS)
def test_an_address_or_a_number_has_no_second_line(lines: str) -> None:
    for text in (f"ana@customers.example{lines}Bcc: b@c.example", f"ana{lines}@customers.example"):
        with pytest.raises(handles.WrongHandle):
            handles.email(text)
    with suppress(handles.WrongHandle):
        phone = handles.phone(f"+40721234567{lines}x")
        assert phone is None or len(phone.value.splitlines()) == 1


@pytest.mark.parametrize(
    "name", [f"a{lines}Set-Cookie: x=1{lines}.pdf" for lines in BREAKS] + ['a"; filename="b.exe', "\ud800.pdf"]
)
def test_the_name_of_a_file_makes_no_header_of_a_download(name: str) -> None:
    response = download(b"x", "text/html\r\nX: y", name)
    raw = dict(response.raw_headers)
    assert raw[b"content-type"] == b"application/octet-stream"
    disposition = raw[b"content-disposition"].decode("latin-1")
    assert len(disposition.splitlines()) == 1
    assert disposition.count('"') == 2


def test_the_headers_of_a_webhook_are_ours_alone() -> None:
    headers = signed((SECRET,), "m1", b'{"text": "x\\r\\nX: y", "name": "=1+1"}', NOW)
    assert set(headers) == {"content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature"}
    assert all(len(value.splitlines()) == 1 for value in headers.values())
