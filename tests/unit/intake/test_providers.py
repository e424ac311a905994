"""Forms, and mail put together of them, from the bytes as they came."""

import base64
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels import composed, content, form_data, mime
from services.intake.channels.provided import Mail, ProviderSecrets, Unknown, Unreadable, Word, proof
from services.intake.channels.taken_apart import mail_in, read
from services.intake.settings import IntakeSettings


def form(content: bytes, boundary: bytes = b"b") -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n%s\r\n--%s--\r\n' % (
        boundary,
        content,
        boundary,
    )


@given(st.binary(max_size=200).filter(lambda data: b"\r\n--b" not in data and not data.startswith(b"--b")))
def test_a_file_of_a_form_is_what_was_sent_byte_for_byte(data: bytes) -> None:
    [field] = form_data.fields(form(data), 'multipart/form-data; charset=utf-8; boundary="b"')
    assert (field.content, field.file_name) == (data, "x")


@given(st.binary(max_size=300))
def test_a_file_of_a_mail_put_together_is_what_was_sent_byte_for_byte(data: bytes) -> None:
    for is_base64 in (False, True):
        raw = base64.b64encode(data) if is_base64 else data
        mail = composed.mail(
            [("Subject", "x")], "text", "", [composed.File("ф.bin", "application/x-y", raw, is_base64=is_base64)]
        )
        [file] = content.body(mime.parse(mail)).files
        assert (file.name, file.media_type, file.size_bytes) == ("ф.bin", "application/x-y", len(data))
        assert content.file_content(mail, file.part) == data


@given(st.text("+/Zz1=-\n\u05d0", max_size=12))
def test_a_mail_enclosed_in_base64_that_is_damaged_costs_the_mail_around_it_nothing(content: str) -> None:
    body = {"From": "ana@customers.example", "TextBody": "shalom", "Headers": [{"Name": "Message-ID", "Value": "<1@c>"}]}
    enclosed = {"Name": "a.eml", "ContentType": "message/rfc822", "Content": content}
    [piece] = read("postmark", json.dumps({**body, "Attachments": [enclosed]}).encode(), "application/json")
    assert isinstance(piece, Mail)
    assert base64.b64encode(b"shalom") in piece.raw


@pytest.mark.parametrize("reason", [{"a": 1}, ["HardBounce"], 7, None])
def test_a_reason_of_another_shape_is_no_reason(reason: object) -> None:
    change = {"RecordType": "SubscriptionChange", "MessageID": "m", "SuppressSending": True, "SuppressionReason": reason}
    [piece] = read("postmark", json.dumps(change).encode(), "application/json")
    assert isinstance(piece, Word)
    assert piece.kind is None


def test_no_header_is_smuggled_into_a_mail_put_together() -> None:
    mail = composed.mail([("Subject", "x\r\nBcc: a@b"), ("Evil: a\r\nX", "y"), ("Content-Type", "text/html")], "text", "")
    parsed = mime.parse(mail)
    assert mime.header(parsed, "Bcc") == ""
    assert mime.header(parsed, "Subject") == "x Bcc: a@b"
    assert parsed.get_content_type() == "multipart/mixed"


def test_a_form_that_was_cut_off_is_none() -> None:
    with pytest.raises(ValueError, match="cut off"):
        form_data.fields(form(b"data")[:-6], "multipart/form-data; boundary=b")


def test_a_form_of_too_many_pieces_is_refused_before_they_are_taken_apart() -> None:
    body = b"\r\n--b" * 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too many"):
            form_data.fields(body, "multipart/form-data; boundary=b")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * len(body)


@given(st.sampled_from(["mailgun", "sendgrid", "postmark", "ses"]), st.binary(max_size=100), st.booleans())
def test_whatever_comes_is_read_or_said_to_be_unreadable(provider: str, data: bytes, as_form: bool) -> None:
    body, kind = (form(data), "multipart/form-data; boundary=b") if as_form else (data, "application/json")
    try:
        pieces = read(provider, body, kind)
    except Unreadable:
        return
    assert all(isinstance(piece, Mail | Word | Unknown) for piece in pieces)
    mail_in(kind, body)


@pytest.mark.parametrize(
    "value", ["null", "[]", "[[]]", "{}", '{"event-data": []}', '{"FromFull": 1}', '{"Headers": [1]}', "[1, null]"]
)
def test_json_of_another_shape_breaks_nothing(value: str) -> None:
    for provider in ("mailgun", "sendgrid", "postmark", "ses"):
        try:
            pieces = read(provider, value.encode(), "application/json")
        except Unreadable:
            continue
        assert not any(isinstance(piece, Word) and piece.kind for piece in pieces)


def test_credentials_are_compared_as_they_are_written() -> None:
    known = ("user:pass", "word")
    encoded = "Basic " + base64.b64encode(b"user:pass").decode()
    assert proof(encoded, "", known) == "right"
    assert proof("", "token=word", known) == "right"
    assert proof("", "token=user:pass", known) == "missing", "a password is not for logs of URLs"
    assert proof("Basic ???", "", known) == "wrong"
    assert proof("Bearer x", "a=b", known) == "missing"
    assert proof("Basic " + base64.b64encode(b"word").decode(), "", known) == "right"


def test_a_credential_that_begins_with_a_providers_name_is_its_alone() -> None:
    told = ProviderSecrets(credentials=("a:b", "postmark=c:d=e", "sendgrid=word", "other=f:g", "ses"))
    of_all = ("a:b", "other=f:g", "ses")
    assert (told.credentials_of("mailgun"), told.credentials_of("ses")) == (of_all, ())
    assert told.credentials_of("postmark") == ("a:b", "c:d=e", "other=f:g", "ses")
    assert told.credentials_of("sendgrid") == ("a:b", "word", "other=f:g", "ses")
    assert ProviderSecrets(credentials=("a:b", "ses=c:d")).credentials_of("ses") == ("c:d",)
    with pytest.raises(ValueError, match="no credential"):
        IntakeSettings.model_validate({"intake_provider_credentials": "a:b,postmark="})


def test_a_mail_with_half_a_character_in_its_json_is_read_and_bytes_that_were_no_text_stay() -> None:
    [piece] = read("postmark", rb'{"RawEmail": "Subject: x\n\nshalom \ud800 \udce9"}', "application/json")
    assert isinstance(piece, Mail)
    assert piece.raw == b"Subject: x\n\nshalom ? \xe9"
