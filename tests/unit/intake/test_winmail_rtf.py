"""RTF in a winmail.dat: unpacked, its text or the HTML inside it read; messages and empty files in it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.channels import content, rtf
from services.intake.channels.compressed_rtf import PREFIX, unpacked
from tests.counts import examples
from tests.unit.intake.test_files_of_mail import PDF, properties, read, tnef, with_winmail

# The examples of the specification, MS-OXRTFCP 4.1 and 4.2.
HELLO = bytes.fromhex("2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232" + "0af32068656c090020627705b06c647d0a800fa0")
OVERLAPPING = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")


def header(body: bytes, raw_size: int, kind: bytes = b"LZFu") -> bytes:
    checksum = zlib.crc32(body, 0xFFFFFFFF) ^ 0xFFFFFFFF if kind == b"LZFu" else 0
    return struct.pack("<II4sI", len(body) + 12, raw_size, kind, checksum)


def packed(raw: bytes) -> bytes:
    """Packed as the specification says (2.2.2), each time with the longest reference there is."""
    whole, at, tokens = PREFIX + raw, len(PREFIX), list[tuple[bool, bytes]]()
    while at < len(whole):
        start, length = longest(whole, at)
        if length:
            tokens.append((True, (start % 4096 << 4 | length - 2).to_bytes(2, "big")))
        else:
            tokens.append((False, whole[at : at + 1]))
        at += length or 1
    tokens.append((True, (at % 4096 << 4).to_bytes(2, "big")))
    body = b""
    for first in range(0, len(tokens), 8):
        run = tokens[first : first + 8]
        body += bytes([sum(refers << bit for bit, (refers, _) in enumerate(run))]) + b"".join(token for _, token in run)
    return header(body, len(raw)) + body


def longest(whole: bytes, at: int) -> tuple[int, int]:
    for length in range(min(17, len(whole) - at), 1, -1):
        start = whole.rfind(whole[at : at + length], max(0, at - 4095), at + length - 1)
        if start >= 0:
            return start, length
    return 0, 0


def test_the_examples_of_the_specification_are_unpacked() -> None:
    assert unpacked(HELLO) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert unpacked(OVERLAPPING) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert packed(unpacked(OVERLAPPING)) == OVERLAPPING, "our own packer is that of the specification, checksum included"
    assert len(PREFIX) == 207


@given(st.binary(max_size=300) | st.text(alphabet="ab\\par {}", max_size=600).map(str.encode))
@settings(max_examples=examples(100), deadline=None)
def test_what_was_packed_is_unpacked(raw: bytes) -> None:
    assert unpacked(packed(raw)) == raw


def test_references_go_round_the_window_of_4096_bytes() -> None:
    raw = b"".join(hashlib.sha256(bytes([n % 100])).digest() for n in range(400))
    made = packed(raw)
    assert len(raw) > 3 * 4096
    assert len(made) < len(raw) + len(raw) // 8 + 40
    assert unpacked(made) == raw


def test_what_is_not_packed_is_taken_as_it_is_and_what_is_packed_in_another_way_is_left() -> None:
    assert unpacked(header(b"{\\rtf1 a}", 9, b"MELA") + b"{\\rtf1 a}more") == b"{\\rtf1 a}"
    assert unpacked(header(b"{\\rtf1 a}", 9, b"LZXX") + b"{\\rtf1 a}") == b""


def test_a_wrong_checksum_costs_nothing_and_damage_what_comes_after_it() -> None:
    raw = b"{\\rtf1 " + b"some words, and some words again, " * 20 + b"}"
    made = packed(raw)
    assert unpacked(made[:12] + b"\0\0\0\0" + made[16:]) == raw
    for cut in range(len(made)):
        found = unpacked(made[:cut])
        assert raw.startswith(found)
    assert len(unpacked(made[:-20])) > len(PREFIX)
    never_written = header(b"\x01\xff\xf0", 100) + b"\x01\xff\xf0"
    assert unpacked(never_written) == b""


def test_a_little_that_means_very_much_is_unpacked_to_a_limit() -> None:
    body = b"\xfe{" + b"\x0c\xff" * 7 + (b"\xff" + b"\x0c\xff" * 8) * 200
    made = header(body, 2**31) + body
    assert len(unpacked(made, 1_000)) == 1_000
    assert len(unpacked(header(body, 10) + body)) == 10


FONTS = rb"{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fnil\fcharset177 David;}}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb"{\rtf1\ansi\ansicpg1252\pard Gr\'fc\'df\par zwei\line drei\tab vier}", "Grüß\nzwei\ndrei\tvier"),
        (rb"{\rtf1\ansi\ansicpg1252" + FONTS + rb"\f1\'f9\'ec\'e5\'ed\f0  ol\'e9 {\f1 \'f9}\'e9}", "שלום olé שé"),
        (rb"{\rtf1\uc1 \u1513?\u1500?\u8364 \'80x}", "של€x"),
        (rb"{\rtf1\uc0\u1513\u1500 x{\uc2\u1513??y}}", "שלxשy"),
        (rb"{\rtf1\u-10179?\u-8704? \u-10179?.}", "😀 \ufffd."),
        (rb"{\rtf1\ansi\ansicpg932\'82\'b1\'82\'f1}", "こん"),
        (b"{\\rtf1\\ansi\\ansicpg1255 \xf9\xec}", "של"),
        (b"\r\n {\\rtf1 one\r\ntwo\\par\r\nthree\\\nfour}", "onetwo\nthree\nfour"),
        (rb"{\rtf1 \{a\}\\ b\~c\_d\lquote e\rquote }", "{a}\\ b\u00a0c\u2011d‘e’"),
        (rb"{\rtf1" + FONTS + rb"{\colortbl;\red0;}{\*\generator Riched20;}{\info{\title x}}text{\*\unknown x{y}}}", "text"),
        (rb"{\rtf1 a{\pict\wmetafile8 0102ff}{\pict\bin5 }}{{}}b}", "ab"),
        (rb'{\rtf1 {\field{\*\fldinst{HYPERLINK "https://x.example"}}{\fldrslt here}}}', "here"),
        (rb"{\rtf1 a\cell b\cell\row c}d", "a\tb\t\nc"),
        (rb"{\rtf1\ansi\ansicpg99999 caf\'e9", "café"),
        (rb"{\rtf1 not \'zz ended \ ", "not zz ended"),
        (b"hello", ""),
        (b"", ""),
    ],
)
def test_the_text_of_rtf_is_read(data: bytes, text: str) -> None:
    assert rtf.read(data) == rtf.Found(text=text)


OUTLOOKS = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0" + FONTS + rb"{\*\htmltag19 <html>}{\*\htmltag64 <p title=\'fc>}\htmlrtf \pard"
    rb"\plain\f1 \htmlrtf0 {\f0 Gr\'fc\'dfe }{\*\htmltag84 &amp;}\htmlrtf &\htmlrtf0  more: 1 < 2\htmlrtf\par\htmlrtf0 "
    rb"{\*\htmltag72 </p>}\par{\*\htmltag84 <br>}\f1\'f9\'ec\f0{\*\mhtmltag84 <x>}\htmlrtf {\b \htmlrtf0 bold\htmlrtf }\htmlrtf0"
    rb"{\*\htmltag27 </html>}}"
)
HTML = "<html><p title=ü>Grüße &amp; more: 1 &lt; 2</p>\n<br>שלbold</html>"


def test_the_html_from_which_rtf_was_made_is_taken_out_of_it() -> None:
    assert rtf.read(OUTLOOKS) == rtf.Found(html=HTML)


def test_a_mail_whose_text_is_packed_rtf_only_has_it_and_its_html_is_shown() -> None:
    raw = with_winmail(tnef((0x00069003, properties((0x0102, 0x1009, packed(OUTLOOKS))))))
    assert read(raw).text.split() == ["Grüße", "&", "more:", "1", "<", "2", "שלbold"]
    assert content.shown(raw).html == HTML


def test_rtf_is_the_text_where_the_mail_has_a_blank_one_and_not_where_it_has_words() -> None:
    told = properties((0x0102, 0x1009, packed(rb"{\rtf1 The words of the letter\par Second line}")))
    texts = []
    for written in ("\n \n", "Words of its own"):
        mail = EmailMessage()
        mail["From"], mail["Message-ID"] = "dan@customers.example", "<1@c>"
        mail.set_content(written)
        mail.add_attachment(tnef((0x00069003, told)), "application", "ms-tnef", filename="winmail.dat")
        texts.append(read(mail.as_bytes()).text)
    assert texts == ["The words of the letter\nSecond line", "Words of its own"]


def unicode(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def an_object(value: bytes) -> bytes:
    """PR_ATTACH_DATA_OBJ: the id of an interface, and what it is."""
    whole = b"\0" * 16 + value
    return struct.pack("<IHHII", 1, 0x000D, 0x3701, 1, len(whole)) + whole + b"\0" * (-len(whole) % 4)


def enclosing(inner: bytes) -> bytes:
    return tnef((0x00069002, b"\0" * 14), (0x00018010, b"Untitled\0"), (0x00069005, an_object(inner)))


INNER = tnef(
    (
        0x00069003,
        properties(
            (0x001F, 0x0037, unicode("חשבון/March")),
            (0x001F, 0x0C1A, unicode('Dana "D" Cohen')),
            (0x001F, 0x0C1F, unicode("/O=HOUSE/CN=DANA")),
            (0x001F, 0x5D01, unicode("dana@house.example")),
            (0x0040, 0x0039, struct.pack("<Q", 134169138000000000)),
            (0x0102, 0x1009, packed(rb"{\rtf1 The inner letter}")),
        ),
    ),
    (0x00069002, b"\0" * 14),
    (0x00018010, b"bill.pdf\0"),
    (0x0006800F, PDF),
)


def test_a_message_in_a_winmail_is_a_mail_with_its_own_text_and_files() -> None:
    raw = with_winmail(enclosing(INNER))
    [file] = read(raw).files
    inner = content.file_content(raw, file.part)
    assert (file.name, file.media_type) == ("חשבון_March.eml", "message/rfc822")
    assert hashlib.sha256(inner).hexdigest() == file.sha256, "the same each time"
    message = read(inner)
    assert (message.text, message.subject, message.name) == ("The inner letter", "חשבון/March", "Dana 'D' Cohen")
    assert message.handle is not None
    assert message.handle.value == "dana@house.example"
    assert message.provider_time is not None
    assert message.provider_time.isoformat() == "2026-03-02T08:30:00+00:00"
    assert [(one.name, one.size_bytes) for one in message.files] == [("bill.pdf", len(PDF))]


def test_messages_in_messages_are_opened_to_a_depth() -> None:
    made = INNER
    for _ in range(5):
        made = enclosing(made)
    raw, depth = with_winmail(made), 0
    while (files := read(raw).files) and files[0].media_type == "message/rfc822":
        raw, depth = content.file_content(raw, files[0].part), depth + 1
    assert depth == 3
    assert files[0].media_type == "application/octet-stream"


def test_a_file_without_content_is_there_after_those_that_have_some() -> None:
    begins = (0x00069002, b"\0" * 14)
    made = tnef(begins, (0x00018010, b"empty.txt\0"), begins, (0x00018010, b"full.txt\0"), (0x0006800F, b"x"), begins)
    assert [(file.name, file.size_bytes) for file in read(with_winmail(made)).files] == [("full.txt", 1), ("empty.txt", 0)]


@pytest.mark.parametrize("cut", range(0, len(INNER), 23))
def test_a_winmail_with_rtf_and_a_message_cut_off_anywhere_costs_no_mail(cut: int) -> None:
    read(with_winmail(INNER[:cut]))
    read(with_winmail(enclosing(INNER[:cut]) + b"\xff" * 40))
