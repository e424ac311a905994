"""Somebody's address goes out of what others wrote however it is encoded, as `verify-erased` looks, and nothing else does."""

from __future__ import annotations

import base64
import json
import re
import time
from email import message_from_bytes
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from quopri import encodestring
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.erasure import encoded, in_base64, spellings
from services.intake.channels import content, form_data, mime
from services.intake.domain.redacting import ERASED, MAIL, names, without

ANN = "ann.popescu@x.example"
CALLED = f"Ann Popescu <{ANN}>"
FORM, PARTS = "application/x-www-form-urlencoded", 'multipart/form-data; boundary="xYzZY"'


def seen(body: bytes, needle: str = ANN) -> bool:
    """Whether the verifying command sees it (`deploy/erasure.py`, `_holds`)."""
    joined = re.sub(rb"=?\r?\n", b"", body)
    return (
        any(one.lower().encode() in body.lower() for one in spellings(needle))
        or any(one.lower().encode() in joined.lower() for one in encoded(needle))
        or any(one.encode() in joined for one in in_base64(needle))
    )


def b64(text: str, charset: str = "utf-8") -> str:
    return base64.encodebytes(text.encode(charset)).decode()


def part(text: str, encoding: str = "", media_type: str = "text/plain") -> str:
    head = f"Content-Type: {media_type}\n" + (f"Content-Transfer-Encoding: {encoding}\n" if encoding else "")
    return f"{head}\n{text}"


def a_mail(*parts: str, more: str = "") -> str:
    """A mail of several parts, the last of which is a file that names nobody."""
    told = "".join(f"--b1\n{one}\n" for one in (*parts, part(b64("nobody, " * 30), "base64", "text/csv")))
    head = f'From: dan@x.example\nSubject: Hello\n{more}MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary="b1"\n'
    return f"{head}\n{told}--b1--\n"


LETTER = f"Please tell {CALLED}, and eve@x.example too; thank you very much for all that you did for us.\n" * 2
WRAPPED = f"Please tell {'very ' * 7}well {CALLED}.\n"
PRINTABLE = encodestring(WRAPPED.replace("well", "wéll").encode()).decode()
assert ANN not in PRINTABLE

CASES = {
    "base64": a_mail(part(b64(LETTER), "base64")),
    "base64 in one line": a_mail(part(b64(LETTER).replace("\n", ""), "BASE64")),
    "base64 with something beneath": a_mail(part(b64(f"{CALLED}..") + f"\n-- \nlist of {ANN}\n", "base64")),
    "quoted-printable over a line's end": a_mail(part(PRINTABLE, "quoted-printable", 'text/plain; charset="utf-8"')),
    "quoted-printable, all of it": a_mail(part("".join(f"={ord(one):02X}" for one in ANN), "Quoted-Printable")),
    "html in base64": a_mail(part(b64(f"<p>{CALLED.replace('<', '&lt;').replace('>', '&gt;')}</p>"), "base64", "text/html")),
    "html with an entity": a_mail(part(f"<p>{ANN.replace('@', '&#64;')} {ANN}</p>", "", "text/html")),
    "another character set": a_mail(part(b64(LETTER, "utf-16"), "base64", "text/plain; charset=utf-16")),
    "a western one": a_mail(part(b64(f"Grüße an {CALLED}", "latin-1"), "base64", "text/plain; charset=iso-8859-1")),
    "a file": a_mail(part(b64(f"\0\x01\xff {ANN}\0"), "base64", "application/octet-stream")),
    "a file with wide letters": a_mail(part(base64.encodebytes(b"\0\xff" + ANN.encode("utf-16-le")).decode(), "base64", "a/b")),
    "a mail within": a_mail(part(a_mail(part(b64(LETTER), "base64")).replace("b1", "b2"), "", "message/rfc822")),
    "a mail within, in base64": a_mail(part(b64(a_mail(part(b64(LETTER), "base64"))), "base64", "message/rfc822")),
    "a mail shown as text": a_mail(part(a_mail(part(b64(LETTER), "base64")).replace("b1", "b2"))),
    "base64 in a text": a_mail(part(f"see https://x.example/?u={base64.b64encode(ANN.encode()).decode()} and more")),
    "an encoded word": a_mail(part("Hi"), more=f"Cc: =?utf-8?b?{base64.b64encode(CALLED.encode()).decode()}?=, eve@x.example\n"),
    "two encoded words": a_mail(part("Hi"), more="Cc: =?utf-8?q?Ann_=3Cann=2Epopes?=\n =?utf-8?q?cu=40x=2Eexample=3E?=\n"),
    "partly an encoded word": a_mail(part("Hi"), more="Cc: =?utf-8?q?ann=2Epopescu?=@x.example\n"),
    "an encoded name": a_mail(part("Hi"), more=f"Cc: {Header('Ann Popescu, Ionescu și fiii', 'utf-8').encode()}\n <{ANN}>\n"),
    "a folded header": a_mail(part("Hi"), more="Cc: eve@x.example,\n Ann\n Popescu <ann.popescu@x.exam\n ple>\n"),
    "a file's name": a_mail(part("Hi", "", f"text/plain; name=\"for {ANN} only.txt\"")),
    "a file's name in pieces": a_mail(part("Hi", "", "text/plain; name*0*=utf-8''ann.popescu%40;\n name*1=x.example; x=y")),
    "wrapped by hand": a_mail(part("my friend ann.pope\nscu@x.example said")),
    "cut off": a_mail(part(b64(LETTER), "base64")).partition("--b1\nContent-Type: text/csv")[0],
    "no line between": "From: dan@x.example\nCc: " + CALLED,
    "a line before": "\n\n" + a_mail(part(b64(LETTER), "base64")),
    "encoded wrongly": a_mail(part(b64(LETTER)[:-6] + "!?\n=", "base64")),
}  # fmt: skip


@pytest.mark.parametrize("line", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("case", CASES)
def test_in_a_mail_it_is_found_and_nothing_else_changes(case: str, line: str) -> None:
    body = CASES[case].replace("\n", line).encode()
    left = without(body, MAIL, (ANN,))
    assert not seen(left)
    assert left != body
    assert without(left, MAIL, (ANN,)) is left
    assert names(body, MAIL, (ANN,))
    assert not names(left, MAIL, (ANN,))
    if case != "cut off" and "csv" in CASES[case]:
        files = [one.content for one in files_of(left) if one.media_type == "text/csv"]
        assert files[-1:] == [b"nobody, " * 30]
    before, after = message_from_bytes(body), message_from_bytes(left)
    assert [one.get_content_type() for one in before.walk()] == [one.get_content_type() for one in after.walk()]


def files_of(body: bytes) -> list[form_data.Field]:
    """The leaves of a mail, as intake reads them."""
    return [form_data.Field("", mime.content_of(one), None, one.get_content_type()) for one in mime.leaves(mime.parse(body))]


@pytest.mark.parametrize(
    ("case", "left"),
    [
        ("base64", LETTER.replace(CALLED, ERASED)),
        ("quoted-printable over a line's end", WRAPPED.replace("well", "wéll").replace(CALLED, ERASED)),
        ("a western one", f"Grüße an {ERASED}"),
        ("another character set", LETTER.replace(CALLED, ERASED)),
    ],
)
def test_a_text_says_what_it_said_and_the_name_is_gone(case: str, left: str) -> None:
    mail = mime.parse(without(CASES[case].encode(), MAIL, (ANN,)))
    assert mime.text_of(next(iter(mime.leaves(mail)))) == left


def test_a_file_keeps_its_length_and_the_numbers_of_files_stay() -> None:
    body = CASES["a file"].encode()
    left = without(body, MAIL, (ANN,))
    [was, _], [now, _] = files_of(body), files_of(left)
    assert len(was.content) == len(now.content)
    assert content.file_content(left, 1) == content.file_content(body, 1)


NAMED = 'Content-Disposition: form-data; name="email"'
STORY = json.dumps({"said": CALLED, "eve": "eve@x.example"})
ESCAPED = "".join(f"\\u{ord(one):04x}" for one in ANN)
REQUESTS = {
    "escapes in JSON": ("application/json", f'{{"Email": "{ESCAPED}", "Name": "Ann P", "eve": "Eve \\u003ceve@x.example>"}}'),
    "JSON in JSON": ("application/json", json.dumps({"Message": STORY.replace("@", "\\u0040"), "n": [1, 2.50, None]})),
    "a mail in JSON": ("application/vnd.postmark+json", json.dumps({"RawEmail": CASES["base64"], "To": "eve@x.example"})),
    "a mail in base64 in JSON in JSON": (
        "application/json",
        json.dumps({"Message": json.dumps({"content": base64.b64encode(CASES["base64"].encode()).decode()}), "eve": 1}),
    ),
    "a file in JSON": (
        "application/json",
        json.dumps({"attachments": [{"content": base64.b64encode(b"\0\xff" * 30 + ANN.encode()).decode()}], "eve": "é"}),
    ),
    "a form": (FORM, urlencode({"from": CALLED, "text": "said by eve@x.example", "empty": ""})),
    "a mail in a form": (FORM, urlencode({"body-mime": CASES["base64"], "recipient": "eve@x.example"})),
    "escapes in JSON in a form": (FORM, urlencode({"headers": STORY.replace("ann", "\\u0061nn"), "eve": "eve@x.example"})),
    "a mail in a form of parts": (
        PARTS,
        "\r\n".join(("--xYzZY", NAMED, "", CASES["base64"], "--xYzZY", NAMED, "", "for eve", "--xYzZY--")),
    ),
    "what is no JSON after all": ("application/json", f'{{"Email": "{ESCAPED}", "Name": "Ann P", "eve@x.example": '),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_in_a_request_it_is_found_and_nothing_else_changes(case: str) -> None:
    media_type, body = REQUESTS[case]
    left = without(body.encode(), media_type, (ANN,))
    assert not seen(left)
    assert b"opescu" not in left
    assert ANN not in json.dumps(_read(left, media_type))
    assert b"eve" in left
    assert names(body.encode(), media_type, (ANN,))
    assert without(left, media_type, (ANN,)) is left


def _read(body: bytes, media_type: str) -> object:
    if media_type == FORM:
        return dict(parse_qsl(body.decode(), strict_parsing=True, keep_blank_values=True))
    if media_type == PARTS:
        return {one.name: one.text() for one in form_data.fields(body, media_type)}
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def test_the_name_beside_an_address_that_json_escapes_goes() -> None:
    left = json.loads(without(REQUESTS["escapes in JSON"][1].encode(), "application/json", (ANN,)))
    assert left == {"Email": ERASED, "Name": "", "eve": "Eve <eve@x.example>"}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-www-form-urlencoded", "From=%2B40721234567&Surprise=1"),
        ("application/json", '{"from": "\\u002b4072123\\u0034567"}'),
        (MAIL, a_mail(part(b64("Call +40721234567."), "base64"))),
    ],
)
def test_a_number_names_its_owner_too(media_type: str, body: str) -> None:
    assert names(body.encode(), media_type, ("+40721234567",))
    assert not names(body.encode(), media_type, ("+40721234568",))


words = st.text(st.sampled_from("abcd efgh\nאבגד éț.,;<>\"'=&%?\\ "), max_size=60)
called = st.sampled_from([CALLED, ANN, ANN.upper()])
texts = st.builds(lambda before, said, after: f"{before} {said} {after}\n", words, called, words)
ENCODINGS = ("base64", "quoted-printable", "8bit")


@st.composite
def mails(draw: st.DrawFn, text: st.SearchStrategy[str]) -> EmailMessage:
    """A mail as programs make them, with the text somewhere in it."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "dan@x.example", "Eve <eve@x.example>"
    mail["Subject"] = draw(words).replace("\n", " ")
    mail.set_content(draw(text), cte=draw(st.sampled_from(ENCODINGS)))
    if draw(st.booleans()):
        mail.add_alternative(f"<p>{draw(text)}</p>", subtype="html", cte=draw(st.sampled_from(ENCODINGS)))
    for _ in range(draw(st.integers(0, 2))):
        file = draw(text).encode("utf-16-le" if draw(st.booleans()) else "utf-8")
        mail.add_attachment(file, maintype="a", subtype="b", filename="f")
    if draw(st.booleans()):
        within = EmailMessage()
        within.set_content(draw(text), cte=draw(st.sampled_from(ENCODINGS)))
        mail.add_attachment(within)
    mail.add_attachment(b"\0nobody" * 20, maintype="image", subtype="png", filename="nobody.png")
    return mail


@settings(max_examples=60, deadline=None)
@given(mails(texts), st.booleans())
def test_whatever_the_encoding_of_a_mail_that_names_them_nothing_is_seen_afterwards(mail: EmailMessage, folded: bool) -> None:
    body = mail.as_bytes(policy=SMTP) if folded else bytes(mail)
    left = without(body, MAIL, (ANN,))
    assert not seen(left)
    assert without(left, MAIL, (ANN,)) is left
    before, after = files_of(body), files_of(left)
    assert [one.media_type for one in before] == [one.media_type for one in after]
    assert after[-1].content == b"\0nobody" * 20
    told = {"RawEmail": body.decode("utf-8", "replace"), "n": 1}
    for media_type, request in (
        ("application/json", json.dumps(told)),
        ("application/json", json.dumps({"Message": json.dumps(told)})),
        (FORM, urlencode(told)),
    ):
        assert not seen(without(request.encode(), media_type, (ANN,)))


@settings(max_examples=60, deadline=None)
@given(mails(words), st.booleans())
def test_a_mail_that_does_not_name_them_is_the_same_bytes(mail: EmailMessage, folded: bool) -> None:
    body = mail.as_bytes(policy=SMTP) if folded else bytes(mail)
    assert without(body, MAIL, (ANN,)) is body


SHARDS = [b"--b", b"\r\n", b"\n", b"--", b"=?u?q?a?=", b":", b'"', b"\\", b"{", b"=", b"YWFh", b"\xff", b"a"]
SHARDS += [b"Content-Type: multipart/mixed; boundary=b", b"Content-Transfer-Encoding: base64"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SHARDS)))
def test_damage_is_kept_as_it_is(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    types = MAIL, "application/json", FORM, "multipart/form-data; boundary=b", "text/plain; charset=utf-16", "a/b", ""
    for media_type in types:
        assert without(body, media_type, (ANN,)) is body


HOSTILE = {
    "strings that do not end": ("application/json", '{"' + '\\"' * 400_000),
    "empty strings": ("application/json", "{" + '""' * 400_000),
    "lines of a boundary": (MAIL, "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n" * 200_000),
    "words": (MAIL, "Subject: " + "=?utf-8?q?a?= " * 60_000 + "\n\n"),
    "words that do not end": (MAIL, "Subject: " + "=?a?b?" * 100_000 + "\n\n"),
    "nesting": (MAIL, "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5_000))),
    "base64": (MAIL, "Content-Transfer-Encoding: base64\n\n" + "QUFB" * 400_000),
    "pieces of parameters": (MAIL, "Content-Type: a/b" + "; n*0*=x" * 60_000 + "\n\n"),
    "spaces": (MAIL, "Subject: a" + " " * 1_000_000 + "=?\n\n" + "a\n" * 200_000),
    "fields": (FORM, "a=%20&" * 200_000),
    "strings with something in them": ("application/json", '["' + '","'.join(["abcdefghijklmnopqrst\\nuv"] * 60_000) + '"]'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_takes_no_longer_than_another(case: str) -> None:
    media_type, body = HOSTILE[case]
    begun = time.process_time()
    assert b"popescu" not in without(f"{body} {ANN}".encode(), media_type, (ANN,)).lower()
    assert time.process_time() - begun < 5
