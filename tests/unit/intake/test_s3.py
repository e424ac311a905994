"""Mail that stands in S3: how a request is signed, where buckets are, what a notification says, and what is heard from S3."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels import s3, ses
from services.intake.channels.email import Envelope
from services.intake.channels.provided import StoredMail, Unknown
from services.intake.channels.sigv4 import Keys, signed
from services.intake.domain.delivery import NotNow, Refused
from services.intake.domain.reach import Reach
from services.intake.guarded_http import guarded_client
from services.intake.s3_settings import Bucket, buckets_of, reach_of
from services.intake.settings import IntakeSettings
from tests.services.intake.s3_server import KEYS, S3, s3_server

PUBLISHED = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
WITH_TOKEN = Keys(PUBLISHED.access_key, PUBLISHED.secret_key, "a token")
AT = datetime(2013, 5, 24, tzinfo=UTC)


def test_the_request_that_amazon_published_is_signed_as_amazon_signs_it() -> None:
    """Amazon S3 API Reference, "Examples: Signature Calculations", GET Object."""
    told = signed(PUBLISHED, "us-east-1", "/test.txt", {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}, AT)
    assert told["x-amz-date"] == "20130524T000000Z"
    assert told["x-amz-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert told["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_each_part_of_a_request_and_of_the_keys_changes_the_signature() -> None:
    def proof(keys: Keys = PUBLISHED, region: str = "us-east-1", path: str = "/a", host: str = "b", at: datetime = AT) -> str:
        return signed(keys, region, path, {"host": host}, at)["authorization"].rpartition("=")[2]

    others = [
        proof(Keys(PUBLISHED.access_key, "another")),
        proof(WITH_TOKEN),
        proof(region="eu-west-1"),
        proof(path="/A"),
        proof(host="c"),
        proof(at=AT.replace(second=1)),
    ]
    assert len({proof(), *others}) == 7
    assert signed(WITH_TOKEN, "r", "/", {"host": "b"}, AT)["x-amz-security-token"] == "a token"


def test_keys_are_not_shown() -> None:
    assert PUBLISHED.secret_key not in repr(PUBLISHED)


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "url"),
    [
        ("our-mail", "eu-west-1", "", "https://our-mail.s3.eu-west-1.amazonaws.com/in/a%20b"),
        ("our.mail", "eu-west-1", "", "https://s3.eu-west-1.amazonaws.com/our.mail/in/a%20b"),
        ("OurMail", "us-east-1", "", "https://s3.us-east-1.amazonaws.com/OurMail/in/a%20b"),
        ("our-mail", "cn-north-1", "", "https://our-mail.s3.cn-north-1.amazonaws.com.cn/in/a%20b"),
        ("our-mail", "local", "http://minio:9000", "http://minio:9000/our-mail/in/a%20b"),
    ],
)
def test_a_bucket_stands_in_the_name_of_the_host_or_in_the_path(bucket: str, region: str, endpoint: str, url: str) -> None:
    found = Bucket(bucket, region, endpoint=endpoint)
    assert found.origin + found.path_of("in/a b") == url


def test_where_buckets_are_we_go_and_nowhere_else() -> None:
    inside = [Bucket("minio", "local", endpoint="http://10.0.0.8"), Bucket("six", "x", endpoint="https://[::1]:9")]
    found = reach_of([Bucket("our-mail", "eu-west-1"), *inside])
    assert found == Reach.of(["our-mail.s3.eu-west-1.amazonaws.com"], ["10.0.0.8:80", "::1:9"])
    assert reach_of([]) == Reach.of([])


GOOD = {"bucket": "our-mail", "region": "eu-west-1", "access_key": "AK", "secret_key": "very secret"}


@pytest.mark.parametrize(
    "wrong",
    [
        [{**GOOD, "bucket": "../other"}],
        [{**GOOD, "bucket": "a@evil.example/"}],
        [{**GOOD, "bucket": "our-mail\n"}],
        [{**GOOD, "region": "eu.evil.example"}],
        [{**GOOD, "endpoint": "ftp://minio"}],
        [{**GOOD, "endpoint": "http://user:secret@minio"}],
        [{**GOOD, "endpoint": "http://minio:99999"}],
        [{**GOOD, "endpoint": "http://minio/path"}],
        [{**GOOD, "secret_key": ""}],
        [{**GOOD, "unknown": "1"}],
        [GOOD, GOOD],
        GOOD,
    ],
)
def test_settings_that_name_no_bucket_are_refused_and_their_keys_are_not_told(wrong: object) -> None:
    with pytest.raises(ValueError) as caught:
        IntakeSettings.model_validate({"intake_s3_buckets": json.dumps(wrong)})
    assert "buckets of S3" in str(caught.value)
    assert "very secret" not in str(caught.value)


def test_keys_are_read_from_a_file_that_another_program_keeps_fresh(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    place = {"bucket": "our-mail", "region": "eu-west-1", "credentials_file": str(file)}
    with pytest.raises(ValueError, match="cannot be read"):
        IntakeSettings.model_validate({"intake_s3_buckets": json.dumps([place])})
    file.write_text("AK\nsecret\n")
    [bucket] = buckets_of(json.dumps([place])).values()
    assert bucket.keys() == Keys("AK", "secret")
    file.write_text("AK2\nsecret2\ntoken2\n")
    assert bucket.keys() == Keys("AK2", "secret2", "token2")


def notification(**action: object) -> bytes:
    said = {
        "notificationType": "Received",
        "mail": {"source": "ana@customers.example", "commonHeaders": {"subject": "Private"}},
        "receipt": {"recipients": ["support@patchbay.example"], "action": {"type": "S3", **action}},
    }
    return json.dumps({"Type": "Notification", "Message": json.dumps(said)}).encode()


def test_a_notification_says_where_the_mail_is_and_of_the_mail_no_more_is_kept() -> None:
    [stored] = ses.read(notification(bucketName="our-mail", objectKey="in/1"))
    assert stored == StoredMail("our-mail", "in/1", Envelope("ana@customers.example", ("support@patchbay.example",)))
    assert b"Private" not in ses.pointer(stored)


@pytest.mark.parametrize("key", ["", None, [], "k" * 1025, "\ud800"])
def test_a_notification_that_names_no_object_is_not_understood(key: object) -> None:
    [piece] = ses.read(notification(bucketName="our-mail", objectKey=key))
    assert piece == Unknown("it is a mail without its content")


senders = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100), senders, st.booleans(), st.booleans())
def test_what_is_kept_of_a_notification_says_the_same(key: str, sender: str | None, spam: bool, infected: bool) -> None:
    stored = StoredMail("our-mail", key, Envelope(sender, ("a@b.example", "ț@b.example")), spam, infected)
    assert ses.read(ses.pointer(stored)) == [stored]


async def got(played: S3, key: str, most: int = 1000, keys: Keys = KEYS) -> bytes | Refused | NotNow:
    [bucket] = buckets_of(json.dumps([played.bucket()])).values()
    async with guarded_client(reach_of([bucket])) as client:
        return await s3.fetch(client, bucket, keys, key, most)


@pytest.mark.parametrize("key", ["in/1", "in/a b+c", "ț/å%20", "a=b&c?d#e", "~!*'();:@$,[]", "a//b", "/a", "a/", "\x01\x7f"])
async def test_an_object_is_had_under_whatever_key(key: str) -> None:
    async with s3_server() as played:
        played.objects[key] = b"From: a@b.example\r\n\r\nHello"
        assert await got(played, key) == played.objects[key]
        assert played.asked == [key]


@pytest.mark.parametrize("key", ["../other/1", "a/../../other/1", "./1", "a/.", ".."])
async def test_a_key_that_leads_to_another_object_is_not_asked_for(key: str) -> None:
    async with s3_server() as played:
        assert await got(played, key) == Refused("key-not-usable")
        assert played.asked == []


@pytest.mark.parametrize(
    "keys", [Keys(KEYS.access_key, "wrong", KEYS.session_token), Keys(KEYS.access_key, KEYS.secret_key), Keys("AK", "s")]
)
async def test_nothing_is_had_with_keys_of_somebody_else(keys: Keys) -> None:
    async with s3_server(a=b"x") as played:
        assert await got(played, "a", keys=keys) == Refused("403 SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("fails", "outcome"),
    [
        ("500 InternalError", NotNow("500 InternalError")),
        ("503 SlowDown", NotNow("503 SlowDown")),
        ("502", NotNow("502")),
        ("429", NotNow("429")),
        ("400 RequestTimeout", NotNow("400 RequestTimeout")),
        ("400 ExpiredToken", NotNow("400 ExpiredToken")),
        ("403 RequestTimeTooSkewed", NotNow("403 RequestTimeTooSkewed")),
        ("cut", NotNow("broke-off")),
        ("403 AccessDenied", Refused("403 AccessDenied")),
        ("404 NoSuchBucket", Refused("404 NoSuchBucket")),
        ("400 AuthorizationHeaderMalformed", Refused("400 AuthorizationHeaderMalformed")),
        ("301 PermanentRedirect", Refused("301 PermanentRedirect")),
        ("307 TemporaryRedirect", Refused("307 TemporaryRedirect")),
    ],
)
async def test_what_may_pass_is_tried_again_and_what_will_not_is_over(fails: str, outcome: Refused | NotNow) -> None:
    async with s3_server(a=b"a mail") as played:
        played.fails["a"] = [fails]
        assert await got(played, "a") == outcome
        assert await got(played, "a") == b"a mail"
        assert played.asked == ["a", "a"], "no redirect is followed"


async def test_what_is_too_large_is_not_read_and_what_was_encrypted_before_it_was_stored_is_no_mail() -> None:
    async with s3_server(large=bytes(20_000_000), small=b"x" * 1000) as played:
        assert await got(played, "large") == Refused("too-large")
        assert played.written < 8_000_000, "what the sockets hold, and no more"
        assert await got(played, "small") == b"x" * 1000
        played.also["X-Amz-Meta-X-Amz-Key-V2"] = "AAAA"
        assert await got(played, "small") == Refused("encrypted")


async def test_a_bucket_inside_is_reached_by_its_endpoint_only() -> None:
    async with s3_server(a=b"x") as played:
        [bucket] = buckets_of(json.dumps([played.bucket()])).values()
        for reach in (Reach.of([]), Reach.of(["127.0.0.1"])):
            async with guarded_client(reach) as client:
                assert await s3.fetch(client, bucket, KEYS, "a", 10) == Refused("scheme-not-allowed")
        assert played.asked == []


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Refused("404 NoSuchKey"), "it is not there (404 NoSuchKey)"),
        (Refused("403 AccessDenied"), "S3 does not let us have it (403 AccessDenied)"),
        (Refused("400 InvalidRequest"), "S3 refuses it (400 InvalidRequest)"),
        (Refused("too-large"), "it is larger than PATCHBAY_SMTP_MAX_BYTES (too-large)"),
        (Refused("host-not-allowed"), "it is not asked for (host-not-allowed)"),
        (NotNow("503 SlowDown"), "could not be fetched until now (503 SlowDown)"),
    ],
)
def test_a_reason_is_a_sentence_with_what_was_said(outcome: Refused | NotNow, words: str) -> None:
    assert words in s3.reason(outcome)
