"""Mail by Mailgun, SendGrid, Postmark and Amazon SES on the real edge, and what they tell about mail that went out.

Each row of docs/providers.md: taken, refused when a byte changes, harmless when repeated and shuffled, kept when not understood,
asked for again when the database is away.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from functools import cache

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.intake.channels.sns import Sns
from services.intake.replaying import Replayer
from services.intake.store import parked
from shared import db
from shared.events.message import (
    MessageBounced,
    MessageComplained,
    MessageDelivered,
    MessageFailed,
    MessagePersonal,
    MessageRead,
    MessageReceived,
)
from tests.services.intake import provider_requests as ask
from tests.services.intake.provider_requests import FILE, Posted
from tests.services.intake.test_mail import deliver
from tests.services.intake.world import World, mail_port, mail_server, process

SUPPORT = "support@patchbay.example"
TEXT = "Unde este coletul meu? Așteptăm de o săptămână."
HEADERS = [
    ["From", "Ana Pop <ana@customers.example>"],
    ["To", f"Support <{SUPPORT}>"],
    ["Subject", "Coletul meu"],
    ["Date", "Sun, 01 Mar 2026 10:00:00 +0200"],
    ["Message-Id", "<first@customers.example>"],
]


@cache
def whole() -> bytes:
    """The mail, not taken apart."""
    mail = EmailMessage()
    for name, value in HEADERS:
        mail[name] = value
    mail.set_content(TEXT)
    mail.add_alternative(f"<p>{TEXT}</p>", subtype="html")
    mail.add_attachment(FILE, maintype="application", subtype="pdf", filename="factură.pdf")
    return mail.as_bytes()


def from_mailgun() -> Posted:
    fields: list[tuple[str, bytes | tuple[str, str, bytes]]] = [
        ("recipient", SUPPORT.encode()),
        ("sender", b"ana@customers.example"),
        ("subject", b"an earlier one, which does not count"),
        ("body-plain", TEXT.encode()),
        ("body-html", f"<p>{TEXT}</p>".encode()),
        ("message-headers", json.dumps(HEADERS).encode()),
        ("attachment-1", ("factură.pdf", "application/pdf", FILE)),
    ]
    return ask.mailgun(fields)


def from_mailgun_whole() -> Posted:
    return ask.mailgun([("recipient", SUPPORT.encode()), ("sender", b"ana@customers.example"), ("body-mime", whole())])


def from_sendgrid(charset: str = "iso-8859-2") -> Posted:
    """Taken apart, its text in this charset; ISO 8859-2 has no comma below, so the provider writes other letters."""
    text = TEXT if charset == "utf-8" else TEXT.replace("ș", "ş")
    headers = "\n".join(f"{name}: {value}" for name, value in HEADERS)
    fields: list[tuple[str, bytes | tuple[str, str, bytes]]] = [
        ("headers", headers.encode()),
        ("envelope", json.dumps({"to": [SUPPORT], "from": "ana@customers.example"}).encode()),
        ("charsets", json.dumps({"text": charset, "html": "UTF-8"}).encode()),
        ("text", text.encode(charset)),
        ("html", f"<p>{TEXT}</p>".encode()),
        ("attachment-info", json.dumps({"attachment1": {"filename": "factură.pdf", "type": "application/pdf"}}).encode()),
        ("attachment1", ("x.pdf", "application/pdf", FILE)),
    ]
    return ask.sendgrid(ask.multipart(fields), ask.FORM)


def from_sendgrid_whole() -> Posted:
    envelope = json.dumps({"to": [SUPPORT], "from": "ana@customers.example"}).encode()
    return ask.sendgrid(ask.multipart([("email", whole()), ("envelope", envelope)]), ask.FORM)


def _postmark(**more: object) -> Posted:
    body: dict[str, object] = {
        "FromFull": {"Email": "ana@customers.example", "Name": "Ana Pop"},
        "ToFull": [{"Email": SUPPORT, "Name": "Support"}],
        "OriginalRecipient": SUPPORT,
        "Subject": "Coletul meu",
        "Date": "Sun, 01 Mar 2026 10:00:00 +0200",
        "MessageID": "22c74902-a0c1-4511-804f-2341342852c9",
        "TextBody": TEXT,
        "HtmlBody": f"<p>{TEXT}</p>",
        "Headers": [{"Name": "Message-ID", "Value": "<first@customers.example>"}],
        "Attachments": [
            {"Name": "factură.pdf", "ContentType": "application/pdf", "Content": base64.b64encode(FILE).decode()},
        ],
        **more,
    }
    return ask.postmark(body)


def from_postmark() -> Posted:
    return _postmark()


def from_postmark_whole() -> Posted:
    return _postmark(RawEmail=whole().decode())


def _ses(content: str, encoding: str) -> Posted:
    receipt = {"recipients": [SUPPORT], "action": {"type": "SNS", "encoding": encoding}, "spamVerdict": {"status": "PASS"}}
    said = {"notificationType": "Received", "mail": {"source": "ana@customers.example"}, "receipt": receipt, "content": content}
    return ask.ses(json.dumps(said))


def from_ses() -> Posted:
    return _ses(whole().decode(), "UTF-8")


def from_ses_base64() -> Posted:
    return _ses(base64.b64encode(whole()).decode(), "BASE64")


WAYS: list[Callable[[], Posted]] = [
    from_mailgun,
    from_mailgun_whole,
    from_sendgrid,
    from_sendgrid_whole,
    from_postmark,
    from_postmark_whole,
    from_ses,
    from_ses_base64,
]
by_every_provider = pytest.mark.parametrize(
    "way", [from_mailgun, from_sendgrid, from_postmark, from_ses], ids=lambda way: way.__name__
)
by_every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@pytest_asyncio.fixture
async def house(database: str) -> AsyncIterator[World]:
    """A process that knows the providers."""
    async with process(database, **ask.settings()) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        yield world


def replayer(world: World) -> Replayer:
    return Replayer(world.intake.acceptor, world.intake.inboxes, world.signer)


async def waiting(world: World) -> list[parked.ParkedContact]:
    """What is parked."""
    async with db.transaction(world.parts.engine) as conn:
        return await parked.listed(conn, 100)


async def replay(world: World) -> None:
    """Somebody asks for all that is parked, and the process does it."""
    for contact in await waiting(world):
        async with db.transaction(world.parts.engine) as conn:
            assert await parked.ask(conn, contact.id)
    await replayer(world).once()


async def file_of(world: World) -> tuple[bytes, str]:
    """The content and the type of the only file."""
    async with db.transaction(world.parts.engine) as conn:
        [attachment] = (await conn.execute(sa.text("SELECT id FROM intake.attachment"))).scalars()
    answer = await world.http.get(f"/v1/attachments/{attachment}", headers=await world.key("supervisor"))
    assert answer.status_code == 200, answer.text
    return answer.content, answer.headers["content-type"]


@by_every_way
async def test_a_mail_is_a_message_with_its_file_whichever_way_it_came(house: World, way: Callable[[], Posted]) -> None:
    answer = await way().to(house.http)
    assert answer.status_code == 200, answer.text
    [received] = await house.events(MessageReceived)
    assert received.data.provider == way().path.split("/")[3]
    assert (received.data.inbox, received.data.language, received.data.origin) == ("support", "ro", "human")
    told = await house.opened(received, MessagePersonal)
    assert isinstance(told, MessagePersonal)
    assert told.text.replace("ş", "ș") == TEXT
    assert (told.handle, told.name, told.subject) == ("ana@customers.example", "Ana Pop", "Coletul meu")
    assert told.attachment_names == ("factură.pdf",)
    assert await file_of(house) == (FILE, "application/pdf")
    html = await house.http.get(f"/v1/messages/{received.data.message_id}/html", headers=await house.key("supervisor"))
    assert "<p>Unde este" in html.text


@by_every_way
async def test_what_is_repeated_five_times_at_once_is_one_message(house: World, way: Callable[[], Posted]) -> None:
    statuses = [answer.status_code for answer in await asyncio.gather(*(way().to(house.http) for _ in range(5)))]
    assert statuses == [200] * 5
    assert await house.count("message") == await house.count("ticket") == 1
    assert await waiting(house) == []


SHAPES: list[object] = [None, 1, "x", [], {}]
UNSIGNED: list[object] = [
    *SHAPES,
    *({"signature": {"timestamp": one, "token": one, "signature": one}} for one in SHAPES),
    *(
        {"TopicArn": ask.TOPIC, name: one}
        for name in ("TopicArn", "Type", "SignatureVersion", "Signature", "SigningCertURL", "signature")
        for one in SHAPES
    ),
]


@pytest.mark.parametrize("provider", ["mailgun", "sendgrid", "postmark", "ses"])
async def test_json_of_any_shape_that_nobody_signed_is_refused_and_where_nobody_signs_it_is_kept(
    house: World, provider: str
) -> None:
    posted = [Posted(f"/v1/providers/{provider}/inbound", json.dumps(one).encode(), ask.JSON) for one in UNSIGNED]
    statuses = {(await one.to(house.http)).status_code for one in posted}
    assert statuses == {{"mailgun": 406, "postmark": 200}.get(provider, 403)}
    assert await house.count("message") == 0


async def test_one_mail_by_all_ways_and_by_smtp_is_one_message(house: World) -> None:
    plain = EmailMessage()
    for name, value in HEADERS:
        plain[name] = value
    plain.set_content(TEXT)
    ways = [way() for way in WAYS if way is not from_sendgrid] + [from_sendgrid("utf-8")]
    random.Random(1).shuffle(ways)
    async with mail_port(house) as port:
        await asyncio.gather(*(posted.to(house.http) for posted in ways), deliver(port, plain, SUPPORT))
    assert await house.count("message") == 1
    assert await house.count("ticket") == 1


async def test_a_mail_whose_words_its_provider_converted_is_another_message_and_is_not_lost(house: World) -> None:
    for posted in (from_sendgrid("utf-8"), from_sendgrid(), from_sendgrid()):
        assert (await posted.to(house.http)).status_code == 200
    assert await house.count("message") == 2


ALTERED = [
    (from_mailgun, b"1771000000", b"1771000001", 406),
    (from_mailgun, b"tttt", b"ttts", 406),
    (from_mailgun_whole, b"1771000000", b"1771000001", 406),
    (from_mailgun_whole, b"tttt", b"ttts", 406),
    (from_sendgrid, b"customers", b"customerz", 403),
    (from_sendgrid_whole, b"Coletul", b"coletul", 403),
    (from_ses, b"Coletul", b"coletul", 403),
    (from_ses_base64, b"BASE64", b"BASE65", 403),
    (from_ses_base64, base64.b64encode(whole())[200:240], base64.b64encode(whole())[200:239] + b"_", 403),
    (from_ses, b"2026-03-01T10", b"2026-03-01T11", 403),
]


async def test_a_byte_that_changes_is_refused_with_the_code_that_the_provider_heeds(house: World) -> None:
    for way, old, new, status in ALTERED:
        assert (await way().altered(old, new).to(house.http)).status_code == status
    assert await house.count("message") == 0
    assert await waiting(house) == []


# Of each provider: what is answered to a wrong credential, and where none comes. Nothing else proves Postmark; SNS is asked,
# because it brings a password only then.
WRONG_OR_MISSING = {"mailgun": (503, 503), "sendgrid": (503, 503), "postmark": (403, 401), "ses": (503, 401)}


async def statuses(world: World, posted: Posted) -> tuple[int, int]:
    """What it is answered with a wrong credential, and without one."""
    wrong = Posted(posted.path, posted.body, {**posted.headers, "Authorization": ask.basic("provider:Secret")})
    missing = await world.http.post(posted.path, content=posted.body, headers=dict(posted.headers))
    assert (missing.status_code == 401) == (missing.headers.get("www-authenticate") == 'Basic realm="patchbay"')
    return (await wrong.to(world.http)).status_code, missing.status_code


@by_every_provider
async def test_a_wrong_or_missing_password_in_the_url_loses_no_mail_of_who_signs_and_is_refused_to_all_others(
    house: World, way: Callable[[], Posted]
) -> None:
    posted = way()
    assert await statuses(house, posted) == WRONG_OR_MISSING[posted.path.split("/")[3]]
    assert await house.count("message") == 0
    before = Posted(posted.path, posted.body, {**posted.headers, "Authorization": ask.basic("before:it")})
    assert (await before.to(house.http)).status_code == 200, "two passwords are good while one is changed for the other"


async def test_a_credential_that_is_set_for_one_provider_is_asked_of_no_other(database: str) -> None:
    credentials = {"intake_provider_credentials": "postmark=provider:other,postmark=a-word"}
    async with process(database, **{**ask.settings(), **credentials}) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        for way in (from_mailgun, from_sendgrid, from_ses):
            posted = way()
            answer = await world.http.post(posted.path, content=posted.body, headers=dict(posted.headers))
            assert answer.status_code == 200, answer.text
        posted = from_postmark()
        assert await statuses(world, posted) == (403, 401)
        assert (await world.http.post(posted.path + "?token=a-word", content=posted.body)).status_code == 200
        right = Posted(posted.path, posted.body, {**posted.headers, "Authorization": ask.basic("provider:other")})
        assert (await right.to(world.http)).status_code == 200


async def test_each_provider_takes_its_own_credential_and_those_of_all(database: str) -> None:
    credentials = {"intake_provider_credentials": f"{ask.CREDENTIAL},ses=a-word"}
    async with process(database, **{**ask.settings(), **credentials}) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        for way in (from_mailgun, from_sendgrid, from_postmark, from_ses):
            posted = way()
            by_all = (await posted.to(world.http)).status_code
            word = await world.http.post(f"{posted.path}?token=a-word", content=posted.body, headers=dict(posted.headers))
            assert ([by_all, word.status_code].index(200), by_all != word.status_code) == ("/ses/" in posted.path, True)


async def test_one_of_all_is_not_asked_of_sns_to_which_a_refusal_is_final(database: str) -> None:
    async with process(database, **{**ask.settings(), "intake_provider_credentials": ask.CREDENTIAL}) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        assert await statuses(world, from_ses()) == (200, 200)
        assert await statuses(world, from_sendgrid()) == (503, 503)
        assert await world.count("message") == 1


async def test_sendgrid_without_keys_is_set_up_by_a_credential_of_its_own_only_and_drops_nothing_for_want_of_one(
    database: str,
) -> None:
    without = {"intake_sendgrid_inbound_keys": "", "intake_sendgrid_event_keys": ""}
    for credentials, answers in (("postmark=a:b", (503, 503)), ("sendgrid=a:b", (403, 503)), ("ses=a-word,a:b", (403, 503))):
        told = {**ask.settings(), **without, "intake_provider_credentials": credentials}
        async with process(database, **told) as world:
            assert await statuses(world, from_sendgrid()) == answers, credentials
            assert await world.count("message") == 0


async def test_sns_is_asked_for_no_word_that_only_a_url_can_bring(database: str) -> None:
    async with process(database, **{**ask.settings(), "intake_provider_credentials": "ses=a-word"}) as world:
        assert await statuses(world, from_ses()) == (503, 503)


async def test_a_word_in_the_url_is_as_good_as_a_password(database: str) -> None:
    async with process(database, intake_provider_credentials="a-long-word") as world:
        posted = from_postmark()
        for query, status in (("?token=a-long-word", 200), ("?token=a-long-wort", 403), ("", 401)):
            answer = await world.http.post(posted.path + query, content=posted.body, headers=dict(posted.headers))
            assert answer.status_code == status


@by_every_provider
async def test_a_provider_that_is_not_set_up_is_told_to_come_again(world: World, way: Callable[[], Posted]) -> None:
    answer = await way().to(world.http)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider-not-configured")


@by_every_provider
async def test_while_the_database_is_away_each_is_told_to_come_again(house: World, way: Callable[[], Posted]) -> None:
    await house.parts.engine.dispose()
    sa.event.listen(house.parts.engine.sync_engine, "do_connect", _refuse)
    try:
        answer = await way().to(house.http)
    finally:
        sa.event.remove(house.parts.engine.sync_engine, "do_connect", _refuse)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
    assert (await way().to(house.http)).status_code == 200
    assert await house.count("message") == 1


def _refuse(*_: object) -> None:
    raise ConnectionRefusedError


STRANGE: list[Posted] = [
    ask.mailgun([("recipient", SUPPORT.encode()), ("body-plain", b"x"), ("attachments", b"[{}]")]),
    ask.mailgun([("surprise", b"1")]),
    ask.mailgun_event({"event": "teleported"}, "u" * 50),
    ask.sendgrid(b'[{}, {"event": "teleported"}]', ask.JSON, "events"),
    ask.sendgrid(b"no JSON", ask.JSON, "events"),
    ask.sendgrid(ask.multipart([("surprise", b"1")]), ask.FORM),
    ask.postmark({"RecordType": "Teleported"}, "events"),
    ask.postmark({"Surprise": 1}),
    ask.ses("{}"),
    ask.ses("no JSON"),
    ask.ses(json.dumps({"notificationType": "Received", "receipt": {"action": {"type": "S3", "objectKey": "k"}}})),
]


async def test_what_is_authentic_and_not_understood_is_kept_once(house: World) -> None:
    for posted in STRANGE:
        before = len(await waiting(house))
        for _ in range(5):
            assert (await posted.to(house.http)).status_code == 200, posted
        assert len(await waiting(house)) - before == (2 if b"}, {" in posted.body else 1), posted
    kept = await waiting(house)
    await replay(house)
    assert [(one.attempts, one.reason) for one in await waiting(house)] == [(2, one.reason) for one in kept]


@by_every_way
async def test_a_mail_that_could_not_be_stored_is_taken_when_the_cause_is_mended(house: World, way: Callable[[], Posted]) -> None:
    await house.execute("ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (content_hash = '') NOT VALID")
    assert (await way().to(house.http)).status_code == 200
    assert len(await waiting(house)) == 1
    await house.execute("ALTER TABLE intake.message DROP CONSTRAINT poison")
    await replay(house)
    assert await waiting(house) == []
    assert (await way().to(house.http)).status_code == 200
    assert await house.count("message") == 1
    assert (await file_of(house))[0] == FILE


async def test_a_token_of_mailgun_is_good_for_one_mail_only(house: World) -> None:
    assert (await from_mailgun().to(house.http)).status_code == 200
    assert (await from_mailgun().altered(b"Coletul meu", b"Banii mei").to(house.http)).status_code == 406
    other_boundary = from_mailgun()
    again = Posted(
        other_boundary.path,
        other_boundary.body.replace(ask.BOUNDARY.encode(), b"another"),
        {"Content-Type": "multipart/form-data; boundary=another"},
    )
    assert (await again.to(house.http)).status_code == 200, "the same mail, sent again"
    assert await house.count("message") == 1


async def sent(world: World) -> tuple[str, str]:
    """The id and the Message-ID of an answer that went out."""
    await from_sendgrid().to(world.http)
    [received] = await world.events(MessageReceived)
    message_id = await world.reply(received.key, received.data.customer_id, "Mâine.", "email")
    assert await world.sender.send_due() == 1
    return message_id, world.signer.message_ref(message_id, received.key, "patchbay.example")


def events_about(ref: str) -> dict[str, list[Posted]]:
    """What each provider says of one mail: a machine opened it, it was delivered, came back, was complained about."""
    metadata = {"Metadata": {"patchbay": ref.strip("<>").partition("@")[0] + "@"}, "MessageID": "883953f4"}
    headers = {"message": {"headers": {"message-id": ref.strip("<>")}}}
    mail = {"messageId": "0000", "headers": [{"name": "Message-ID", "value": ref}]}
    sendgrid = [
        {"event": kind, "smtp-id": ref, "sg_event_id": kind, "timestamp": 1771000000, "status": "5.1.1"}
        for kind in ("processed", "open", "delivered", "bounce", "spamreport")
    ]
    return {
        "mailgun": [
            ask.mailgun_event({"event": "accepted", **headers}, "a" * 50),
            ask.mailgun_event({"event": "opened", **headers}, "b" * 50),
            ask.mailgun_event({"event": "delivered", **headers}, "c" * 50),
            ask.mailgun_event(
                {"event": "failed", "severity": "permanent", "delivery-status": {"code": 550}, **headers}, "d" * 50
            ),
            ask.mailgun_event({"event": "complained", **headers}, "e" * 50),
        ],
        "sendgrid": [ask.sendgrid(json.dumps(sendgrid).encode(), ask.JSON, "events")],
        "postmark": [
            ask.postmark({"RecordType": "Open", "ReceivedAt": "2026-03-01T10:00:00Z", **metadata}, "events"),
            ask.postmark({"RecordType": "Delivery", "DeliveredAt": "2026-03-01T09:00:00.1234567Z", **metadata}, "events"),
            ask.postmark({"RecordType": "Bounce", "Type": "HardBounce", "ID": 1, **metadata}, "events"),
            ask.postmark({"RecordType": "SpamComplaint", "Type": "SpamComplaint", "ID": 2, **metadata}, "events"),
        ],
        "ses": [
            ask.ses(json.dumps({"eventType": kind, kind.lower(): {}, "mail": mail}), "events", MessageId=kind)
            for kind in ("Send", "Open", "Delivery", "Bounce", "Complaint")
        ],
    }


@pytest.mark.parametrize("provider", ["mailgun", "sendgrid", "postmark", "ses"])
async def test_what_became_of_a_mail_is_told_once_in_any_order(database: str, provider: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port, **ask.settings()) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        message_id, ref = await sent(world)
        posted = events_about(ref)[provider] * 5
        random.Random(provider).shuffle(posted)
        for one in posted:
            assert (await one.to(world.http)).status_code == 200
        for kind in (MessageRead, MessageBounced, MessageComplained):
            assert len(await world.events(kind)) == 1, kind
        assert (await world.events(MessageRead))[0].data.message_id == message_id
        assert len([event for event in await world.events(MessageDelivered) if event.data.final]) <= 1
        assert await world.events(MessageFailed) == []
        assert await waiting(world) == []


# Of each provider an event with something changed, and the code that it understands; Postmark signs nothing.
ALTERED_EVENTS = {
    "mailgun": [(b"1771000000", b"1771000001", 406), (b"aaaa", b"aaab", 406)],
    "sendgrid": [(b"delivered", b"delivereD", 403), (b"1771000000", b"1771000001", 403)],
    "postmark": [],
    "ses": [(b"0000", b"0001", 403), (b"2026-03-01T10", b"2026-03-01T11", 403)],
}


@pytest.mark.parametrize("provider", list(ALTERED_EVENTS))
async def test_an_event_that_was_changed_or_forged_is_refused_with_the_code_that_the_provider_heeds(
    house: World, provider: str
) -> None:
    posted = events_about("<somebody@newsletters.example>")[provider][0]
    for old, new, status in ALTERED_EVENTS[provider]:
        assert (await posted.altered(old, new).to(house.http)).status_code == status
    assert await statuses(house, posted) == WRONG_OR_MISSING[provider]
    assert await waiting(house) == []
    assert (await posted.to(house.http)).status_code == 200


async def test_while_a_key_or_a_topic_is_changed_for_another_both_are_good(database: str) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    raw = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    both = f"{base64.b64encode(raw).decode()},{ask.sendgrid_public()}"
    keys = {"intake_sendgrid_inbound_keys": both, "intake_sendgrid_event_keys": both}
    topics = {"intake_ses_topics": f"{ask.TOPIC}-before,{ask.TOPIC}"}
    async with process(database, **{**ask.settings(), **keys, **topics}) as world:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        for where in ("inbound", "events"):
            statuses = [
                (await ask.sendgrid(b"[]", ask.JSON, where, key).to(world.http)).status_code
                for key in (ask.sendgrid_key(), other, ec.generate_private_key(ec.SECP256R1()))
            ]
            assert statuses == [200, 200, 403]
            topics_tried = (ask.TOPIC, f"{ask.TOPIC}-before", f"{ask.TOPIC}-after")
            said = [(await ask.ses("{}", where, TopicArn=topic).to(world.http)).status_code for topic in topics_tried]
            assert said == [200, 200, 403]


async def test_events_about_mail_of_others_leave_nothing(house: World) -> None:
    for posted in [one for batch in events_about("<somebody@newsletters.example>").values() for one in batch]:
        assert (await posted.to(house.http)).status_code == 200
    assert await house.log() == [event for event in await house.log() if event.type == "inbox.configured.v1"]
    assert await waiting(house) == []


async def test_of_a_batch_what_is_understood_is_told_and_only_the_rest_is_kept(database: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port, **ask.settings()) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        _, ref = await sent(world)
        batch = [{"event": "delivered", "smtp-id": ref, "sg_event_id": "1"}, {"event": "teleported", "smtp-id": ref}]
        assert (await ask.sendgrid(json.dumps(batch).encode(), ask.JSON, "events").to(world.http)).status_code == 200
        assert [event.data.final for event in await world.events(MessageDelivered)] == [False, True]
        [kept] = await waiting(world)
        assert (kept.reason, kept.media_type) == ("its event is not known", "application/json")
        await world.execute(
            "UPDATE intake.parked_contact SET body ="
            " convert_to(replace(convert_from(body, 'UTF8'), 'teleported', 'open'), 'UTF8')"
        )
        await replay(world)
        assert len(await world.events(MessageRead)) == 1
        assert await waiting(world) == []


async def test_a_subscription_is_confirmed_for_a_topic_of_ours_only(house: World) -> None:
    host = ask.SnsHost()
    house.intake.sns = Sns(httpx.AsyncClient(transport=host))
    link = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=x"
    question = {"Type": "SubscriptionConfirmation", "Token": "x", "SubscribeURL": link}
    assert (await ask.ses("You have chosen …", **question).to(house.http)).status_code == 200
    assert host.asked == [ask.CERTIFICATE_URL, link]
    assert (await ask.ses("…", **question, TopicArn=ask.TOPIC + "x").to(house.http)).status_code == 403
    elsewhere = {**question, "SubscribeURL": "https://sns.eu-west-1.amazonaws.com.evil.example/?x"}
    assert (await ask.ses("…", **elsewhere).to(house.http)).status_code == 403
    assert host.asked == [ask.CERTIFICATE_URL, link], "the certificate is kept, and nothing else is asked for"


ELSEWHERE = [
    "http://sns.eu-west-1.amazonaws.com/x.pem",
    "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
    "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
    "https://user@sns.eu-west-1.amazonaws.com/x.pem",
    "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
    "https://169.254.169.254/x.pem",
    "https://sns.eu-west-1.amazonaws.com/x.pem?y",
    "https://sns.s3.amazonaws.com/x.pem",  # the bucket that is called sns
    "https://sns.s3-eu-west-1.amazonaws.com/x.pem",
]


async def test_a_certificate_is_fetched_from_sns_only(house: World) -> None:
    host = ask.SnsHost()
    house.intake.sns = Sns(httpx.AsyncClient(transport=host))
    for url in ELSEWHERE:
        assert (await ask.ses("{}", SigningCertURL=url).to(house.http)).status_code == 403
    assert host.asked == []


@pytest.mark.parametrize("topic", [[], {}, 7, None])
async def test_a_topic_that_is_no_text_is_none_of_ours(house: World, topic: object) -> None:
    body = json.dumps({"Type": "Notification", "TopicArn": topic}).encode()
    answer = await ask.Posted("/v1/providers/ses/inbound", body, ask.JSON).to(house.http)
    assert (answer.status_code, answer.json()["code"]) == (403, "unknown-topic")


async def test_sns_is_told_to_come_again_when_its_certificate_cannot_be_fetched_and_both_versions_verify(house: World) -> None:
    host = ask.SnsHost()
    host.away = True
    house.intake.sns = Sns(httpx.AsyncClient(transport=host))
    assert (await from_ses().to(house.http)).status_code == 503
    host.away = False
    assert (await ask.ses("{}", version="1").to(house.http)).status_code == 200
    assert (await ask.ses("{}", version="2").to(house.http)).status_code == 200
    assert (await ask.ses("{}", version="1", SignatureVersion="3").to(house.http)).status_code == 403


@pytest.mark.parametrize(("asked", "customers"), [("", [0, 0, 0]), ("sendgrid", [0, 1, 0])])
async def test_whose_a_mail_is_follows_from_what_its_provider_found_out_where_that_is_asked(
    database: str, asked: str, customers: list[int]
) -> None:
    async with process(database, intake_authserv_ids=asked, **ask.settings()) as world:
        for number, spf in enumerate(("pass", "fail", "pass")):
            named = [*HEADERS[:3], ["Message-Id", f"<{number}@customers.example>"]]
            said = {
                "headers": "\n".join(f"{name}: {value}" for name, value in named).encode(),
                "envelope": json.dumps({"to": [SUPPORT], "from": "ana@customers.example"}).encode(),
                "text": f"mail {number}".encode(),
                "SPF": spf.encode(),
            }
            answer = await ask.sendgrid(ask.multipart(list(said.items())), ask.FORM).to(world.http)
            assert answer.status_code == 200, answer.text
        found = [event.data.customer_id for event in await world.events(MessageReceived)]
        assert [list(dict.fromkeys(found)).index(one) for one in found] == customers
