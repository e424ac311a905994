"""The files of a mail: in parts, in the text, in a winmail.dat; which of them do more than show themselves; HTML made safe."""

import binascii
import io
import struct
import zipfile
from email.message import EmailMessage

import pytest

from services.intake.channels import content, email
from services.intake.channels.dangerous import is_dangerous
from services.intake.channels.email import Envelope
from services.intake.channels.mime import PARTS_CAP
from services.intake.channels.safe_html import safe_html
from services.intake.channels.tnef import FILES_CAP
from services.intake.domain.contacts import InboundMessage
from tests.unit.intake.test_reports import INBOX, SIGNER

PDF = b"%PDF-1.7 a small file\n" * 9


def read(raw: bytes) -> InboundMessage:
    message = email.parse(raw, Envelope("dan@customers.example", (INBOX.address,)), INBOX, SIGNER)
    assert isinstance(message, InboundMessage)
    return message


def zipped(name: str, flags: int = 0) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        archive.writestr(name, b"x")
    made = bytearray(box.getvalue())
    made[6] |= flags
    return bytes(made)


@pytest.mark.parametrize(
    ("name", "media_type", "data", "dangerous"),
    [
        ("invoice.pdf", "application/pdf", PDF, False),
        ("photo.JPG", "image/jpeg", b"\xff\xd8\xff\xe0", False),
        ("letter.docx", "application/octet-stream", zipped("word/document.xml"), False),
        ("חשבונית.pdf", "application/pdf", PDF, False),
        ("v1.2.final.txt", "text/plain", b"hello", False),
        ("", "application/pdf", PDF, False),
        ("invoice.pdf.exe", "application/pdf", PDF, True),
        ("invoice.exe. ", "application/pdf", PDF, True),
        ("invoice.pdf                                        .exe", "application/pdf", PDF, True),
        ("cod\u202efdp.exe", "application/pdf", PDF, True),
        ("exe\u202efdp", "application/pdf", PDF, True),
        ("x.js", "text/plain", b"", True),
        ("report.xlsm", "application/octet-stream", b"", True),
        ("harmless", "application/x-msdownload", b"", True),
        ("picture.svg", "image/svg+xml", b"<svg/>", True),
        ("picture.png", "image/png", b"MZ\x90\x00", True),
        ("picture.png", "image/png", b"\x7fELF\x02", True),
        ("notes.txt", "text/plain", b"#!/bin/sh\n", True),
        ("letter.docx", "application/octet-stream", zipped("word/vbaProject.bin"), True),
        ("letter.doc", "application/msword", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "_VBA_PROJECT".encode("utf-16-le"), True),
        ("letter.doc", "application/msword", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, False),
        ("secret.zip", "application/zip", zipped("a.txt", 1), True),
        ("open.zip", "application/zip", zipped("a.txt"), False),
    ],
)
def test_files_that_do_more_than_show_themselves_are_marked(name: str, media_type: str, data: bytes, dangerous: bool) -> None:
    assert is_dangerous(name, media_type, data) is dangerous


def uuencoded(data: bytes, name: str) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 " + name.encode() + b"\n" + b"".join(lines) + b"`\nend\n"


def test_files_in_the_text_are_taken_out_of_it_and_can_be_fetched() -> None:
    raw = b"From: dan@customers.example\nMessage-ID: <1@c>\n\nHere it is:\n\n" + uuencoded(PDF, "bill.pdf")
    message = read(raw + b"\nAnd:\n" + uuencoded(b"MZ", "run.exe") + b"\nbegin 644 the day\nwith joy\nend\n")
    assert message.text == "Here it is:\n\nAnd:\n\nbegin 644 the day\nwith joy\nend"
    assert [(f.name, f.media_type, f.size_bytes, f.dangerous) for f in message.files] == [
        ("bill.pdf", "application/pdf", len(PDF), False),
        ("run.exe", message.files[1].media_type, 2, True),
    ]
    assert [content.file_content(raw, message.files[0].part)] == [PDF]


def tnef(*attributes: tuple[int, bytes]) -> bytes:
    made = struct.pack("<IH", 0x223E9F78, 1)
    for name, value in attributes:
        made += struct.pack("<BII", 1, name, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)
    return made


def properties(*values: tuple[int, int, bytes]) -> bytes:
    made = struct.pack("<I", len(values))
    for kind, name, value in values:
        made += struct.pack("<HH", kind, name)
        made += (
            struct.pack("<II", 1, len(value)) + value + b"\0" * (-len(value) % 4) if kind in (0x001E, 0x001F, 0x0102) else value
        )
    return made


WINMAIL = tnef(
    (0x00069007, struct.pack("<Q", 1255)),
    (0x00069003, properties((0x0003, 0x0017, b"\1\0\0\0"), (0x001F, 0x1000, "שלום, הקובץ מצורף".encode("utf-16-le") + b"\0\0"))),
    (0x00069002, b"\0" * 14),
    (0x00018010, b"BILL~1.PDF\0"),
    (0x0006800F, PDF),
    (0x00069005, properties((0x000B, 0x7FFE, b"\0\0\0\0"), (0x001F, 0x3707, "חשבון.pdf".encode("utf-16-le") + b"\0\0"))),
)


def with_winmail(data: bytes) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "dan@customers.example", "<1@c>"
    mail.add_attachment(data, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    return mail.as_bytes()


def test_a_winmail_is_opened_text_and_files() -> None:
    raw = with_winmail(WINMAIL)
    message = read(raw)
    [file] = message.files
    assert message.text == "שלום, הקובץ מצורף"
    assert (file.name, file.media_type, file.size_bytes) == ("חשבון.pdf", "application/pdf", len(PDF))
    assert content.file_content(raw, file.part) == PDF


@pytest.mark.parametrize("cut", range(0, len(WINMAIL), 7))
def test_a_winmail_cut_off_anywhere_costs_no_mail(cut: int) -> None:
    read(with_winmail(WINMAIL[:cut]))
    read(with_winmail(WINMAIL[:cut] + b"\xff" * 40))


def test_a_winmail_of_more_files_than_are_read_is_to_be_had_whole() -> None:
    one = ((0x00069002, b"\0" * 14), (0x00018010, b"a.pdf\0"), (0x0006800F, PDF))
    winmail = tnef(*one * (FILES_CAP + 1))
    raw = with_winmail(winmail)
    files = read(raw).files
    assert [file.name for file in files] == ["winmail.dat", *["a.pdf"] * FILES_CAP]
    assert (content.file_content(raw, files[0].part), content.file_content(raw, files[-1].part)) == (winmail, PDF)
    assert [file.name for file in read(with_winmail(tnef(*one * FILES_CAP))).files] == ["a.pdf"] * FILES_CAP


PARTS = b"From: dan@customers.example\nMessage-ID: <1@c>\nContent-Type: multipart/mixed; boundary=b\n\n"


def test_of_a_mail_of_very_many_parts_the_first_are_read_and_the_rest_is_to_be_had_with_the_whole() -> None:
    raw = PARTS + b"".join(b"--b\n\npart %d\n" % n for n in range(5000))
    message = read(raw)
    assert message.text.startswith("part 0\n")
    assert "part 198" in message.text
    assert "part 201" not in message.text
    [whole] = message.files
    assert message.parts_left_out
    assert (whole.name, whole.media_type, whole.size_bytes, whole.dangerous) == ("mail.eml", "message/rfc822", len(raw), True)
    assert content.file_content(raw, whole.part) == raw


@pytest.mark.parametrize(("parts", "cut"), [(PARTS_CAP, False), (PARTS_CAP + 1, True)])
def test_that_parts_were_left_out_is_said_of_no_mail_that_was_read_whole(parts: int, cut: bool) -> None:
    file = b"--b\nContent-Type: text/csv; name=a.csv\n\n%d\n"
    raw = PARTS + b"".join(file % n for n in range(parts)) + b"--b--\n"
    message = read(raw)
    assert (message.parts_left_out, len(message.files)) == (cut, PARTS_CAP + cut)
    assert content.file_content(raw, message.files[PARTS_CAP - 1].part) == b"%d" % (PARTS_CAP - 1)


def test_pictures_in_the_text_are_told_from_files_and_a_mail_in_a_mail_is_called_as_its_subject() -> None:
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "dan@customers.example", "<1@c>"
    mail.set_content("see")
    mail.add_alternative('<p>see <img src="cid:logo@c"></p>', subtype="html")
    mail.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo@c>", filename="logo.png")  # type: ignore[union-attr,index]
    mail.add_attachment(b"\x89PNG", "image", "png", filename="photo.png")
    inner = EmailMessage()
    inner["Subject"] = "The bill"
    inner.set_content("inner")
    mail.add_attachment(inner)
    files = read(mail.as_bytes()).files
    assert [(f.name, f.inline) for f in files] == [("logo.png", True), ("photo.png", False), ("The bill.eml", False)]
    assert content.shown(mail.as_bytes()).files == {"logo@c": files[0].part}


def test_a_mail_of_25_mb_with_100_files_is_read_whole() -> None:
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "dan@customers.example", "<1@c>"
    mail.set_content("a hundred files")
    for n in range(100):
        mail.add_attachment(bytes([n]) * 180_000, "application", "octet-stream", filename=f"{n}.bin")
    files = read(mail.as_bytes()).files
    assert [(f.name, f.size_bytes) for f in files] == [(f"{n}.bin", 180_000) for n in range(100)]


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ('<p dir="rtl" onclick="x()">שלום</p>', '<p dir="rtl">שלום</p>'),
        ("<script>alert(1)</script><style>p{}</style>a", "a"),
        ('<img src="https://spy.example/p.gif" alt="x">', '<img alt="x">'),
        ('<img src="cid:logo@c">', '<img src="https://us.example/files/1">'),
        ('<img src="cid:unknown">', "<img>"),
        ('<a href="javascript:x()">a</a>', '<a target="_blank" rel="noopener noreferrer">a</a>'),
        ('<a href="cid:logo@c">a</a>', '<a target="_blank" rel="noopener noreferrer">a</a>'),
        (
            '<a href="https://x.example/?a=1">a</a>',
            '<a href="https://x.example/?a=1" target="_blank" rel="noopener noreferrer">a</a>',
        ),
        ('<div style="color:red;position:fixed;background:url(https://x)">a</div>', "<div>a</div>"),
        ('<div style="color:red;position:fixed">a</div>', '<div style="color:red">a</div>'),
        ('<form action="https://x"><input name="p">a</form><iframe src="https://x">b</iframe>', "a"),
        ('<svg><a xlink:href="javascript:x()">a</a></svg><base href="https://x"><meta http-equiv="refresh">b', "b"),
        (
            '<table background="https://x"><tbody><tr><td>a</td></tr></tbody></table>',
            "<table><tbody><tr><td>a</td></tr></tbody></table>",
        ),
    ],
)
def test_the_html_of_a_mail_is_shown_without_anything_that_runs_or_is_loaded(html: str, safe: str) -> None:
    made = safe_html(html, lambda content_id: "https://us.example/files/1" if content_id == "logo@c" else None)
    assert ('target="_blank"' in made) is ("<a " in safe)
    assert made.replace(' target="_blank"', "") == safe.replace(' target="_blank"', "")
