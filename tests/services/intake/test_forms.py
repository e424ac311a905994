"""Web forms as browsers and servers send them: from which site, with which token or signature, how often."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from standardwebhooks import Webhook

from services.intake.settings import IntakeSettings
from shared.events.message import MessagePersonal, MessageReceived
from tests.services.intake.test_edge import FORM
from tests.services.intake.test_fingerprints import later
from tests.services.intake.world import PUBLIC, World, mail_server, process

SECRET, OLD, OTHER = ("whsec_" + letter * 32 for letter in "abc")
SITE = "https://www.shop.example"
HTML = {"Accept": "text/html"}


@pytest_asyncio.fixture
async def guarded(database: str) -> AsyncIterator[World]:
    """A process with a form of each guard: `contact` is open to one site, `page` wants a token, `shop` a signature."""
    async with process(database, intake_webhook_secrets=f"shop={OLD},{SECRET}", intake_form_per_minute=100) as world:
        await world.inbox("contact", channel="form", address="contact", origins=[SITE], language="he", guard="open")
        await world.inbox("page", channel="form", address="page", guard="token")
        await world.inbox("shop", channel="form", address="shop", guard="signature")
        yield world


def token(world: World, form_id: str = "page", age_seconds: int = 10) -> str:
    return world.signer.form_token(form_id, int(time.time()) - age_seconds, b"12345678")


async def post(world: World, form_id: str, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    return await world.http.post(f"/v1/forms/{form_id}", json={**FORM, **more}, headers=headers)


async def send(
    world: World, body: bytes, webhook_id: str = "msg_1", secret: str = SECRET, age_seconds: int = 0
) -> httpx.Response:
    """As a server does."""
    at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    signature = Webhook(secret).sign(webhook_id, at, body.decode())
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    return await world.http.post("/v1/forms/shop", content=body, headers={"Content-Type": "application/json", **headers})


def body(**more: str) -> bytes:
    return json.dumps({**FORM, **more}).encode()


async def test_a_page_of_an_allowed_site_may_post_and_read_the_answer_and_the_refusal(guarded: World) -> None:
    asked = await guarded.http.options("/v1/forms/contact", headers={"Origin": SITE, "Access-Control-Request-Method": "POST"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, SITE)
    taken, refused = await post(guarded, "contact", {"Origin": SITE}), await post(guarded, "contact", {"Origin": SITE}, email="x")
    assert (taken.status_code, refused.status_code) == (201, 422)
    assert taken.headers["access-control-allow-origin"] == refused.headers["access-control-allow-origin"] == SITE


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{SITE}.evil.example", "http://www.shop.example"])
async def test_a_page_of_another_site_may_neither_ask_nor_post(guarded: World, origin: str) -> None:
    assert (await guarded.http.options("/v1/forms/contact", headers={"Origin": origin})).status_code == 403
    refused = await post(guarded, "contact", {"Origin": origin})
    assert (refused.status_code, refused.json()["code"]) == (403, "origin-not-allowed")
    assert "access-control-allow-origin" not in refused.headers
    assert await guarded.count("message") == 0


async def test_a_form_that_wants_a_token_takes_its_own_after_a_moment_and_before_two_hours(guarded: World) -> None:
    given = (await guarded.http.get("/v1/forms/page/token")).json()["token"]
    wrong = [
        "",
        "x",
        given,
        given[:-1] + ("a" if given[-1] != "a" else "b"),
        token(guarded, "contact"),
        token(guarded, "page", 7201),
    ]
    for one in wrong:
        refused = await post(guarded, "page", token=one)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.token"), one
    assert await guarded.count("message") == 0
    assert (await post(guarded, "page", token=token(guarded))).status_code == 201


async def test_a_new_form_asks_for_a_token_and_one_that_is_there_for_what_it_did(database: str) -> None:
    async with process(database) as world:
        await world.inbox("new", channel="form", address="new")
        refused = await post(world, "new")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.token")
        assert (await post(world, "new", token=token(world, "new"))).status_code == 201
        for guard, status in (("open", 201), ("signature", 401)):
            await world.inbox(guard, channel="form", address=guard, guard=guard)
            await world.inbox_changed(guard, channel="form", address=guard, language="he")
            assert (await post(world, guard, text=f"Hello, {guard}")).status_code == status


async def test_a_token_is_good_for_one_submission(guarded: World) -> None:
    given = token(guarded)
    first, again = await post(guarded, "page", token=given), await post(guarded, "page", token=given)
    other = await post(guarded, "page", token=given, text="something else altogether")
    assert first.json() == again.json()
    assert other.status_code == 422
    gone_back = {**FORM, "token": given, "text": "something else altogether"}
    shown = await guarded.http.post("/v1/forms/page?lang=he", data=gone_back, headers=HTML)
    assert (shown.status_code, "כבר נשלח" in shown.text) == (422, True)
    assert await guarded.count("message") == 1


async def test_a_form_without_a_name_is_the_same_until_ten_minutes_after_it_was_last_sent(database: str) -> None:
    async with process(database) as world:
        first = (await post(world, "contact")).json()
        for _ in range(2):
            await later(world, 9)
            assert (await post(world, "contact")).json() == first
        await later(world, 11)
        assert (await post(world, "contact")).json() != first
        assert await world.count("message") == await world.count("ticket") == await world.count("delivery") == 2
        [customer_id] = {event.data.customer_id for event in await world.events(MessageReceived)}
        await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
        assert await world.count("fingerprint") == await world.count("other_name") == 0


@pytest.mark.parametrize("who", [{}, {"email": "", "phone": "anonymous"}])
async def test_so_it_is_when_it_comes_to_two_processes_in_one_instant(database: str, who: dict[str, str]) -> None:
    async with process(database) as one, process(database) as other:
        answers = await asyncio.gather(*(post((one, other)[n % 2], "contact", None, **who) for n in range(6)))
        assert len({answer.text for answer in answers}) == await one.count("message") == 1


async def test_what_says_something_else_or_has_a_name_is_another_submission(database: str) -> None:
    async with process(database) as world:
        answers = [
            await post(world, "contact"),
            await post(world, "contact", text="Something else"),
            await post(world, "contact", email="eva@customers.example"),
            await post(world, "other"),
            await post(world, "contact", submission_id="a"),
            await post(world, "contact", {"Idempotency-Key": "b"}),
        ]
        assert len({answer.json()["ticket_number"] for answer in answers}) == len(answers)
        assert await world.count("fingerprint") == 4, "those with a name cost no look-up"


async def test_the_form_is_a_page_that_works_without_a_script_in_the_visitors_language(guarded: World) -> None:
    page = await guarded.http.get("/forms/contact", headers={"Accept-Language": "fr, ar;q=0.8, en;q=0.5"})
    assert '<html lang="ar" dir="rtl">' in page.text
    assert "<script" not in page.text
    assert (await guarded.http.get("/forms/contact?lang=ro")).text.startswith('<!DOCTYPE html><html lang="ro" dir="ltr">')
    assert '<html lang="he" dir="rtl">' in (await guarded.http.get("/forms/contact")).text
    assert (await guarded.http.get("/forms/shop")).status_code == 404
    sent = await guarded.http.post("/v1/forms/contact?lang=he", data={**FORM, "token": token(guarded, "contact")}, headers=HTML)
    assert sent.status_code == 303


async def test_the_form_as_a_page_of_our_own_may_always_post_and_sends_on_to_its_status(guarded: World) -> None:
    page = await guarded.http.get("/forms/contact")
    # Of what a page without a referrer posts a browser says `Origin: null` (https://fetch.spec.whatwg.org/#origin-header).
    assert page.headers["referrer-policy"] == "same-origin"
    assert f"form-action 'self' {PUBLIC};" in page.headers["content-security-policy"], "or it is not sent on"
    filled_in = {**FORM, "token": token(guarded, "contact")}
    sent, refused = [
        await guarded.http.post("/v1/forms/contact", data=filled_in, headers={**HTML, "Origin": origin})
        for origin in (PUBLIC, "https://evil.example")
    ]
    assert (sent.status_code, sent.headers["location"].startswith(f"{PUBLIC}/status/")) == (303, True), sent.text
    assert (refused.status_code, "default-src 'none'" in refused.headers["content-security-policy"]) == (403, True)


async def test_forms_that_a_browser_posts_five_times_each_in_any_order_are_there_once(guarded: World) -> None:
    forms = [
        {
            **FORM,
            "text": f"Întrebarea {n}: cât timp este valabilă garanția?",
            "submission_id": f"s-{n}",
            "email": f"dan{n}@customers.example",
        }
        for n in range(5)
    ] * 5
    random.Random(5).shuffle(forms)
    answers = await asyncio.gather(*(guarded.http.post("/v1/forms/contact", data=one, headers=HTML) for one in forms))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 5
    assert await guarded.count("message") == await guarded.count("ticket") == 5


async def test_a_form_in_hebrew_is_confirmed_once_in_hebrew_from_right_to_left(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        form = {**FORM, "subject": "אחריות", "text": "שלום, כמה זמן תקפה האחריות על המוצר שקניתי?"}
        for _ in range(5):
            assert (await world.http.post("/v1/forms/contact", data=form, headers=HTML)).status_code == 303
        await world.execute("UPDATE intake.delivery SET due_at = now()")
        assert [await world.sender.send_due(), await world.sender.send_due()] == [1, 0]
    [sent] = server.mails
    assert server.recipients == [["dan@customers.example"]]
    html = sent.get_body(("html",))
    assert html is not None
    assert re.search(r'<[^>]*\blang="he"[^>]*\bdir="rtl"|<[^>]*\bdir="rtl"[^>]*\blang="he"', html.get_content())
    plain = sent.get_body(("plain",))
    assert plain is not None
    assert re.search("[א-ת]{3}", plain.get_content())


async def test_a_browser_is_told_in_words_what_is_wrong(guarded: World) -> None:
    refused = await guarded.http.post("/v1/forms/contact?lang=he", data={**FORM, "email": "<b>"}, headers=HTML)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert '<html lang="he" dir="rtl">' in refused.text
    assert 'דוא"ל תקינה' in refused.text.replace("&quot;", '"')
    assert "<b>" not in refused.text


async def test_a_visitor_is_told_in_words_that_nothing_can_be_stored_just_now_and_a_page_may_read_it(guarded: World) -> None:
    await guarded.parts.engine.dispose()
    sa.event.listen(guarded.parts.engine.sync_engine, "do_connect", refuse)
    try:
        shown = await guarded.http.post("/v1/forms/contact?lang=he", data=FORM, headers=HTML)
        read = await post(guarded, "contact", {"Origin": SITE})
    finally:
        sa.event.remove(guarded.parts.engine.sync_engine, "do_connect", refuse)
    assert (shown.status_code, '<html lang="he" dir="rtl">' in shown.text, "retry-after" in shown.headers) == (503, True, True)
    assert (read.status_code, read.headers["access-control-allow-origin"]) == (503, SITE)


def refuse(*_: object) -> None:
    raise ConnectionRefusedError


async def test_a_server_signs_what_it_sends_and_may_repeat_it(guarded: World) -> None:
    answers = [await send(guarded, body()) for _ in range(5)]
    answers.append(await send(guarded, body(), secret=OLD))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert await guarded.count("message") == 1
    assert (await send(guarded, body(text="other words"))).status_code == 422
    assert (await send(guarded, body(), webhook_id="msg_2")).status_code == 201
    assert await guarded.count("message") == 2


async def test_what_is_not_signed_by_a_secret_of_the_form_is_refused(guarded: World) -> None:
    good = {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
    answers = [
        await send(guarded, body(), secret=OTHER),
        await send(guarded, body(), age_seconds=400),
        await send(guarded, body(), age_seconds=-400),
        await post(guarded, "shop"),
        await post(guarded, "contact", good),
        *[await post(guarded, "shop", {**good, "webhook-signature": text}) for text in ("", "v1", "v1,a,b", "v1,!", "v2,AAAA")],
        await post(guarded, "shop", {**good, "webhook-timestamp": "nan"}),
    ]
    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert answers[0].json()["code"] == "wrong-signature"
    assert await guarded.count("message") == 0


async def test_one_changed_byte_breaks_the_signature(guarded: World) -> None:
    at = datetime.now(UTC)
    signed = body()
    signature = Webhook(SECRET).sign("m", at, signed.decode())
    headers = {"webhook-id": "m", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    for index in (0, len(signed) // 2, len(signed) - 1):
        changed = signed[:index] + bytes([signed[index] ^ 1]) + signed[index + 1 :]
        assert (await guarded.http.post("/v1/forms/shop", content=changed, headers=headers)).status_code == 401
    latin = await guarded.http.post("/v1/forms/shop", content=b"\xff" + signed, headers=headers)
    assert latin.status_code == 401


async def test_one_person_cannot_flood_a_form_from_many_addresses(database: str) -> None:
    async with process(database, intake_sender_per_minute=2) as world:
        answers = [
            await post(world, "contact", text=f"number {n}", email=mail)
            for n, mail in enumerate(["A@x.example", "a@x.example "] * 2)
        ]
        assert [answer.status_code for answer in answers] == [201, 201, 429, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert (await post(world, "contact", email="b@x.example")).status_code == 201


async def test_one_person_cannot_flood_a_form_by_writing_their_address_or_number_in_many_ways(database: str) -> None:
    addresses = [{"email": f"a+{n}@x.example"} for n in range(3)]
    numbers = [{"email": "", "phone": f"+40 721{' ' * n}234567"} for n in range(3)]
    for written in (addresses, numbers):
        async with process(database, intake_sender_per_minute=2) as world:
            answers = [
                await world.http.post("/v1/forms/contact", json={**FORM, **one, "text": f"number {n}"})
                for n, one in enumerate(written)
            ]
            assert [answer.status_code for answer in answers] == [201, 201, 429]


async def test_one_network_of_ipv6_cannot_flood_a_form_from_its_many_addresses(database: str) -> None:
    async with process(database, intake_form_per_minute=2) as world:
        statuses = [await _from(world, f"2001:db8::{n}", n) for n in range(3)]
        assert statuses == [201, 201, 429]
        assert await _from(world, "2001:db8:0:1::1", 4) == 201


async def _from(world: World, address: str, n: int) -> int:
    """What somebody at this address is answered."""
    app = world.http._transport.app  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url=PUBLIC) as http:
        said = {**FORM, "email": f"{n}@x.example", "text": f"number {n}"}
        return (await http.post("/v1/forms/contact", json=said)).status_code


@pytest.mark.parametrize("name", ["signed:msg_1", "\x00 signed:msg_1"])
async def test_nobody_takes_the_name_of_what_a_server_signs(database: str, name: str) -> None:
    async with process(database, intake_webhook_secrets=f"shop={SECRET}") as world:
        await world.inbox("shop", channel="form", address="shop", guard="open")
        assert (await post(world, "shop", submission_id=name, text="I was here first")).status_code == 201
        keyed = {"Idempotency-Key": "signed:msg_2"}
        assert (await post(world, "shop", keyed, text="And I")).status_code == 201
        for n in (1, 2):
            assert (await send(world, body(text=f"Order {n}"), webhook_id=f"msg_{n}")).status_code == 201
        assert await world.count("message") == 4


async def test_a_key_may_post_so_many_contacts_in_a_minute(database: str) -> None:
    contact = {"channel": "chat", "inbox": "web", "text": "hello"}
    async with process(database, intake_key_per_minute=2) as world:
        key, other = await world.key("intake:write"), await world.key("intake:write")
        sent = [(await world.http.post("/v1/contacts", json=contact, headers=key)).status_code for _ in range(3)]
        assert sent == [201, 201, 429]
        assert (await world.http.post("/v1/contacts", json=contact, headers=other)).status_code == 201


@pytest.mark.parametrize("text", ["shop", "shop=", "shop=whsec_!", "shop=whsec_", "a=whsec_YQ==;=;"])
def test_secrets_that_are_none_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        IntakeSettings.model_validate({"intake_webhook_secrets": text})


class Shown(HTMLParser):
    """A page with a form: the fields as a browser has them filled in, and what is said beside them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.wrong: dict[str, str] = {}
        self.ways: dict[str, str | None] = {}
        self.tags: set[str] = set()
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.add(tag)
        name = told.get("name") or ""
        if tag in ("input", "textarea"):
            self.fields.append((name, told.get("value") or ""))
            self.ways[name] = told.get("dir")
        if told.get("aria-invalid") == "true":
            assert told["aria-describedby"] == f"wrong-{name}"
        self._open = "text" if tag == "textarea" else told.get("id") or ""

    def handle_endtag(self, _tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "text":
            self.fields[-1] = ("text", data.removeprefix("\n"))
        elif self._open.startswith("wrong-"):
            self.wrong[self._open.removeprefix("wrong-")] = data


TYPED = {
    "name": '"><script>alert(1)</script>',
    "email": "ana@",
    "phone": "",
    "subject": "<b>אחריות</b> & 'עוד'",
    "text": '\n\nשלום </textarea><script>\nHello & "all"\n',
    "order_number": '"A-17"<i>',
}


async def shown_again(world: World, typed: dict[str, str], form_id: str = "page", lang: str = "he") -> tuple[int, str, Shown]:
    answer = await world.http.post(f"/v1/forms/{form_id}?lang={lang}", data=typed, headers={**HTML, "Origin": PUBLIC})
    return answer.status_code, answer.text, Shown(answer.text)


async def test_a_form_that_is_refused_is_shown_as_it_was_filled_in_with_the_reason_beside_the_field(guarded: World) -> None:
    given = token(guarded)
    status, text, shown = await shown_again(guarded, {**TYPED, "token": given})
    assert (status, text.count('<html lang="he" dir="rtl">'), "script" in shown.tags, "i" in shown.tags) == (422, 1, False, False)
    assert dict(shown.fields) == {**TYPED, "website": "", "token": given}, "the token was not used up"
    assert shown.wrong == {"email": 'יש לכתוב כתובת דוא"ל תקינה או מספר טלפון, כדי שנוכל להשיב.'}
    assert {name: shown.ways[name] for name in ("name", "email", "phone", "subject", "text")} == {
        "name": "auto",
        "email": "ltr",
        "phone": "ltr",
        "subject": "auto",
        "text": "auto",
    }
    mended = {**dict(shown.fields), "email": "ana@customers.example"}
    sent = await guarded.http.post("/v1/forms/page?lang=he", data=mended, headers={**HTML, "Origin": PUBLIC})
    assert sent.status_code == 303, sent.text
    [received] = await guarded.events(MessageReceived)
    told = await guarded.opened(received, MessagePersonal)
    assert isinstance(told, MessagePersonal)
    assert (told.text.strip(), told.fields) == (TYPED["text"].strip(), {"order_number": TYPED["order_number"]})


async def test_each_language_says_the_reasons_beside_the_fields(guarded: World) -> None:
    reasons = set()
    for lang, way in (("en", "ltr"), ("he", "rtl"), ("ar", "rtl"), ("ro", "ltr")):
        typed = {"name": "n" * 1001, "email": "", "phone": "+" * 61, "subject": "s", "text": "", "token": token(guarded)}
        status, text, shown = await shown_again(guarded, typed, lang=lang)
        assert (status, f'<html lang="{lang}" dir="{way}">' in text) == (422, True)
        assert shown.wrong.keys() == {"name", "phone", "text"}
        assert shown.wrong["name"] == shown.wrong["phone"] != shown.wrong["text"]
        assert text.count(" autofocus") == 1
        reasons |= {*shown.wrong.values()}
    assert len(reasons) == 8


async def test_what_was_typed_is_kept_when_it_comes_too_often_or_twice_or_cannot_be_stored(database: str) -> None:
    async with process(database, intake_form_per_minute=2) as world:
        await world.inbox("page", channel="form", address="page", guard="token")
        old, typed = token(world, age_seconds=9000), {**TYPED, "email": "ana@customers.example", "submission_id": "s-1"}
        status, text, shown = await shown_again(world, {**typed, "token": old}, lang="en")
        fresh = dict(shown.fields)["token"]
        assert (status, dict(shown.fields), shown.wrong) == (422, {**typed, "website": "", "token": fresh}, {})
        assert ("Send it again in a moment" in text, fresh != old) == (True, True)
        assert (await world.http.post("/v1/forms/page", data={**typed, "token": token(world)}, headers=HTML)).status_code == 303
        status, text, shown = await shown_again(world, {**typed, "token": (given := token(world))}, lang="en")
        assert (status, "Try again in a minute" in text, dict(shown.fields)["token"]) == (429, True, given)
        assert dict(shown.fields)["text"] == TYPED["text"]


async def test_a_form_that_was_sent_before_is_shown_with_a_token_of_its_own_for_the_other_words(guarded: World) -> None:
    given = token(guarded)
    assert (await post(guarded, "page", token=given)).status_code == 201
    other = {**FORM, "text": "Something else", "submission_id": "s-1", "token": given}
    status, _, shown = await shown_again(guarded, other)
    fields = dict(shown.fields)
    assert (status, fields["text"], "submission_id" in fields) == (422, "Something else", False)
    assert fields["token"] not in ("", given)


async def test_a_page_that_may_not_post_and_a_form_without_a_page_are_shown_no_form(guarded: World) -> None:
    evil = await guarded.http.post("/v1/forms/contact", data=TYPED, headers={**HTML, "Origin": "https://evil.example"})
    signed_only = await guarded.http.post("/v1/forms/shop", data=TYPED, headers=HTML)
    assert [(answer.status_code, "<form" in answer.text) for answer in (evil, signed_only)] == [(403, False), (401, False)]
    assert "alert(1)" not in evil.text + signed_only.text
