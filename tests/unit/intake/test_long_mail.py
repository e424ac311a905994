"""Whoever sends a mail says what is in it: the time to read it grows with its length, not with the square."""

import time
from collections.abc import Callable

import pytest

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.channels.html_text import html_to_text
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer

INBOX = Inbox("support", "email", "support@patchbay.example")
ENVELOPE = Envelope("dan@customers.example", ("support@patchbay.example",))
SIGNER = Signer(b"secret")
HEAD = b"From: dan@customers.example\nMessage-ID: <1@c>\n"
SIZE = 150_000
# The square would be 16 times as much for four times the length; half of that is left for a busy machine.
MOST = 8.0
ENOUGH = 0.05  # seconds that say nothing about growth
TRIES = 3


def grows_about_with_the_length(work: Callable[[int], object]) -> None:
    """Fails when four times the length takes much more than four times as long, in each of some tries."""
    took: list[tuple[float, float]] = []
    for _ in range(TRIES):
        took.append((_seconds(work, SIZE), _seconds(work, 4 * SIZE)))
        if took[-1][1] <= max(ENOUGH, MOST * took[-1][0]):
            return
    raise AssertionError(f"seconds for {SIZE} and {4 * SIZE} bytes: {took}")


def _seconds(work: Callable[[int], object], size: int) -> float:
    begun = time.process_time()
    work(size)
    return time.process_time() - begun


@pytest.mark.parametrize(
    "pattern",
    ["<a ", "<!--", "<![CDATA[", "&", "<", "</", "<div>", '<a x="', "<a x='\"><a y=\"'>", "<a = ", "&#1", "<td> </td>", "<?",
     "<noscript></head>", "<template><p>", '<img alt="', "<style>", "</style", "<script></style>", "<!-- -", "<p>\n", " \n", " "],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", ">", "-->"])
def test_html_of_one_thing_again_and_again_is_read_in_time(pattern: str, end: str) -> None:
    grows_about_with_the_length(lambda size: html_to_text(pattern * (size // len(pattern)) + end))


def test_a_number_without_end_is_one_character() -> None:
    assert html_to_text(f"a&#{'1' * 100_000};b<img alt='&#{'1' * 5000};'>") == "a\ufffdb\ufffd"


HEADERS: dict[str, bytes] = {
    "encoded words": b"Subject: |=?utf-8?q?a?= |",
    "encoded words of unknown charsets": b"Subject: |=?x?q?=E9=E8=E7?= a |",
    "addresses": b"To: |Ann B <a@b.example>, |",
    "brackets": b"To: |(|",
    "quotes": b'To: |"|',
    "groups": b"To: |a:;|",
    "ats": b"To: |@,|",
    "comments": b"To: |()|",
    "lines of addresses": b"|To: a@b.example\n|",
    "lines of 8-bit": b"|To: \xe9\xe8\xe7\xff\n|",
    "folded lines": b"To: |a\n |",
    "one header": b"X-Long: |a|",
    "references": b"References: |<a@b.example> |",
    "open references": b"References: |<|",
    "continuations": b"Content-Type: text/plain|; name*0=a|",
    "semicolons in quotes": b'Content-Type: text/plain;"|;|',
    "date": b"Date: |(1,|",
    "replies": b"Subject: |re: |",
    "punycode": b"Content-Type: text/plain; charset=punycode\n\na-|b|",
    "idna": b"Content-Type: text/plain; charset=idna\n\n|a.|",
    "escapes": b"Content-Type: text/plain; charset=unicode_escape\n\n|\\x41|",
    "utf-7": b"Content-Type: text/plain; charset=utf-7\n\n|+AGE-|",
    "hz": b"Content-Type: text/plain; charset=hz\n\n|~{|",
    "quoted-printable": b"Content-Transfer-Encoding: quoted-printable\n\n|=\n=4|",
    "base64": b"Content-Transfer-Encoding: base64\n\n|=\n=4|",
    "uuencode": b"Content-Transfer-Encoding: uuencode\n\nbegin 644 a\n|M\n|",
    "8-bit": b"\n|\xe9\xe8\xe7 |",
    "carriage returns": b"\n|\r|",
    "quotation": b"\n|> >\n|",
    "html": b"Content-Type: text/html\n\n|<a |",
    "parts": b"Content-Type: multipart/mixed; boundary=b\n\n|--b\n\nx\n|",
    "parts of 8-bit": b"Content-Type: multipart/mixed; boundary=b\n\n|--b\n\n\xe9\xe8\xe7\xff\xfe\xfd\n|",
    "mails in mails": b"|Content-Type: message/rfc822\n\n|",
    "parts in parts": b"|Content-Type: multipart/mixed; boundary=b\n\n--b\n|",
    "a report": b"Content-Type: message/delivery-status\n\n|a: b\n\n|",
    "recipients in a report": b"Content-Type: message/delivery-status\n\n|Action: failed\n\n|",
    "statuses in a report": b"Content-Type: message/delivery-status\n\nAction: failed\nStatus: |5.1.|",
    "names of mails in a letter": b"X-Failed-Recipients: a@b.example\n\n|Message-ID: <aaa|",
    "spaces in a letter": b"X-Failed-Recipients: a@b.example\n\nMessage-ID:| |",
    "copies in a report": b"Content-Type: multipart/report; boundary=b\n\n|--b\nContent-Type: message/rfc822\n\na: b\n|",
    "headers in a report": b"Content-Type: multipart/report; boundary=b\n\n|--b\nContent-Type: text/rfc822-headers\n\n\xe9\n|",
    "attributions": b"\n|On 5 Jan 2026 at 10:12, A <a@b.example> wrote:\n|",
    "wrapped attributions": b"\n|On 5 Jan 2026 at 10:12, A <\na@b.example>\nwrote:\n|",
    "attributions and quotations": b"\n|On 5 Jan 2026 at 10:12, A wrote:\n> a\n|",
    "nothing but introductions": b"\n|From: a@b.example\nSent: 10:12\nSubject: x\n> a\n\n|",
    "lines with colons": b"\n|wrote:\n|",
    "headers": b"\n|From: a\n|",
    "wrapped headers": b"\n|From: a@b.example;\nb@c.example;\n|",
    "dashes": b"\nHello\n|--\n|",
    "rules": b"\nHello\n|--------\nx\n\n|",
    "a long rule": b"\nHello\n\n|-|",
    "telephones": b"\nHello\n|Sent from my iPhone\n|",
    "farewells": b"\nHello\n|Regards\nAnn\n\nTel. 0721555012\n|",
    "lawyers": b"\nHello\n|\nThis message is confidential, for the recipient; if in error, delete it.\n|",
    "one word of letters": b"\nHello\n\nRegards\n|a.|",
    "answers between the lines": b"\n|> a\nb\n|",
    "a line of verbs": b"\n|wrote |:",
    "ats in a line": b"\n|a@|:",
    "links in a line": b"\nSent from |<http://a|",
    "html quotations": b"Content-Type: text/html\n\n|<blockquote type=cite>|",
    "html quotations apart": b"Content-Type: text/html\n\n|<div class=gmail_quote>a</div>b|",
    "html below": b"Content-Type: text/html\n\n|<div id=appendonsend></div>a|",
    "html attributes": b"Content-Type: text/html\n\n<div |class = |>",
    "html classes": b"Content-Type: text/html\n\n<div class='| a|'>",
    "ids in a report": b"Content-Type: multipart/report\n\n|<aaaaaaaaaaaaaaaaaaaaaaaaaa.|",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_mail_of_one_thing_again_and_again_is_read_in_time(name: str) -> None:
    before, pattern, after = HEADERS[name].split(b"|")

    def read(size: int) -> None:
        raw = HEAD + before + pattern * (size // len(pattern)) + after + b"\n\nHello there\n"
        assert email.parse(raw, ENVELOPE, INBOX, SIGNER) is not None

    grows_about_with_the_length(read)
