"""People sign in with a password, on a real PostgreSQL: how sessions end, limits that lock nobody out, cookies, foreign pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import structlog

from client import ProblemError, Routing, every, session_of
from shared import auth, db, passwords, sessions, telemetry
from tests.services.routing.conftest import House, open_house
from tests.services.routing.people import OURS, PASSWORD, browser, person, sign_in, token_of
from tests.services.routing.test_stream import eventually, listening, serving

pytestmark = pytest.mark.timeout(60)
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.9"


async def entries(house: House, about: str) -> list[tuple[str, str, str]]:
    rows = await house.rows("SELECT what, by, detail FROM auth.audit WHERE about = :about ORDER BY id", about=about)
    return [tuple(row) for row in rows]


async def test_who_knows_the_password_gets_a_session_with_which_every_route_of_the_scope_is_open(house: House) -> None:
    await house.agent(available=False)
    await person(house)
    answer = await sign_in(house, " Dana ")
    session = answer.json()
    assert (answer.status_code, answer.headers["cache-control"], session["token"][:3]) == (201, "no-store", "ps_")
    house.keys["dana"] = session["token"]
    me = await house.done("dana", "GET", "/v1/me")
    assert (me["id"], me["login"], me["agent_id"], me["session"]["id"]) == ("person:dana", "dana", "dana", session["session_id"])
    assert (await house.done("dana", "POST", "/v1/agents/dana/state", {"state": "available"}))["state"] == "available"
    assert (await house.ask("dana", "GET", "/v1/agents/noa/offers")).status_code == 403
    assert (await house.ask("dana", "GET", "/v1/people")).status_code == 403
    assert [what for what, _, _ in await entries(house, "dana")] == ["key.made", "person.put", "password.set", "sign_in.done"]


async def test_what_failed_is_kept_of_whoever_is_known(house: House) -> None:
    await person(house)
    assert (await sign_in(house, password="a wrong guess")).status_code == 401
    assert (await sign_in(house, "nobody")).status_code == 401
    kept = "SELECT about, detail FROM auth.audit WHERE what = 'sign_in.failed'"
    await eventually(lambda: house.rows(kept))
    assert [tuple(row) for row in await house.rows(kept)] == [("dana", "password")]


async def test_neither_token_nor_password_is_stored(house: House) -> None:
    await person(house)
    token = await token_of(house)
    stored = str(await house.rows("SELECT * FROM auth.person")) + str(await house.rows("SELECT * FROM auth.session"))
    assert token[3:] not in stored
    assert PASSWORD not in stored
    assert len(token) >= 46, "256 random bits"


async def test_an_unknown_login_a_wrong_password_and_who_is_shut_out_are_told_the_same(house: House) -> None:
    await house.agent(available=False)
    for login in ("dana", "gone"):
        await person(house, login)
    await person(house, "left", "agent:dana")
    version = (await house.ask("admin", "GET", "/v1/people/gone")).headers["etag"]
    disabled = {"name": "Gone", "scopes": ["agent:gone"], "disabled": True}
    assert (await house.ask("admin", "PUT", "/v1/people/gone", disabled, {"If-Match": version})).status_code == 200
    inactive = {"display_name": "Dana", "active": False}
    assert (await house.ask("admin", "PUT", "/v1/agents/dana", inactive, {"If-Match": '"1"'})).status_code == 200
    tries = [("dana", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("left", PASSWORD), ("dana", "ü wrong")]
    told = {(answer.status_code, answer.text) for answer in [await sign_in(house, *one) for one in tries]}
    assert len(told) == 1
    assert next(iter(told))[0] == 401


async def test_a_password_of_nobody_is_computed_too() -> None:
    """What an unknown login costs is the same hash at the same cost."""
    before = passwords._hasher
    assert passwords._nobodys().split("$")[:4] == before.hash("any").split("$")[:4]


async def test_who_guesses_is_held_up_and_nobody_else_is(house: House) -> None:
    await person(house)
    assert (await sign_in(house, address=HERE)).status_code == 201
    guesses = [await sign_in(house, password=f"guess {n}", address=ELSEWHERE) for n in range(7)]
    assert [answer.status_code for answer in guesses] == [401] * 5 + [429] * 2
    assert 1 <= int(guesses[-1].headers["retry-after"]) <= 60
    assert (await sign_in(house, address=ELSEWHERE)).status_code == 429, "the right password is not looked at either"
    assert (await sign_in(house, address=HERE)).status_code == 201


async def test_many_guesses_at_once_are_no_way_round_the_limit(house: House) -> None:
    await person(house)
    answers = await asyncio.gather(*(sign_in(house, password=f"guess {n}", address=ELSEWHERE) for n in range(30)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 25


async def test_who_guesses_from_many_addresses_locks_nobody_out_of_where_they_came_in_before(house: House) -> None:
    await person(house)
    assert (await sign_in(house, address=HERE)).status_code == 201
    statuses = [(await sign_in(house, password="a guess", address=f"203.0.113.{n}")).status_code for n in range(21)]
    assert statuses == [401] * 20 + [429]
    assert (await sign_in(house, address=ELSEWHERE)).status_code == 429, "from where nobody came in before"
    assert (await sign_in(house, address=HERE)).status_code == 201


async def test_one_address_that_guesses_the_passwords_of_many_is_held_up(house: House) -> None:
    guesses = [sign_in(house, f"nobody{n}", address=ELSEWHERE) for n in range(40)]
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert 30 <= statuses.count(401) < 40


async def test_who_comes_in_counts_nowhere(house: House) -> None:
    await person(house)
    assert [(await sign_in(house)).status_code for _ in range(7)] == [201] * 7
    counted = "SELECT count(*) FROM auth.attempt WHERE free_at > now() AND free_at < now() + interval '1 day'"
    assert (await house.rows(counted))[0][0] == 0


async def test_of_one_person_only_so_many_sessions_are_good(house: House) -> None:
    await person(house)
    good = []
    begun = []
    for _ in range(22):
        async with db.transaction(house.parts.engine) as conn:
            begun.append(await sessions.begin(conn, "dana", ("agent:dana",), "password", 600, 3600))
    for one in begun:
        house.keys["dana"] = one.token
        good.append((await house.ask("dana", "GET", "/v1/me")).status_code == 200)
    assert good == [False] * 2 + [True] * 20


async def test_a_session_ends_when_nobody_uses_it_and_lasts_on_when_somebody_does(house: House) -> None:
    await person(house)
    await token_of(house)
    house.parts.authenticator.cache_seconds = 0
    short = "good_until = now() + interval '{}', idle_seconds = 600, ends_at = now() + interval '1 hour'"
    left = "SELECT extract(epoch FROM good_until - now()) FROM auth.session"
    await house.rows(f"UPDATE auth.session SET {short.format('100 s')}")
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    assert float((await house.rows(left))[0][0]) > 590
    await house.rows("UPDATE auth.session SET good_until = now() + interval '595 s'")
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    assert float((await house.rows(left))[0][0]) <= 595, "most uses write nothing"
    await house.rows("UPDATE auth.session SET good_until = now() - interval '1 s'")
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 401
    await house.ticker.once()
    assert await house.rows("SELECT 1 FROM auth.session") == []


async def test_no_session_lasts_longer_than_its_end_however_it_is_used(house: House) -> None:
    await person(house)
    await token_of(house)
    house.parts.authenticator.cache_seconds = 0
    await house.rows("UPDATE auth.session SET good_until = now() + interval '1 s', ends_at = now() + interval '2 s'")
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    assert (await house.rows("SELECT good_until = ends_at FROM auth.session"))[0][0]
    await house.rows("UPDATE auth.session SET good_until = now() - interval '1 s', ends_at = now() - interval '1 s'")
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 401


async def test_who_signs_out_is_out_at_once(house: House) -> None:
    await person(house)
    await token_of(house)
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    assert (await house.ask("dana", "DELETE", "/v1/sessions/current")).status_code == 204
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 401
    assert (await house.ask("rina", "DELETE", "/v1/sessions/current")).json()["code"] == "no-session", "a key has none"


@pytest.mark.parametrize("change", ["password", "scopes", "disabled", "agent"])
async def test_a_session_ends_when_the_person_may_no_longer_come_in_so(house: House, change: str) -> None:
    await house.agent(available=False)
    await person(house)
    await token_of(house)
    house.parts.authenticator.cache_seconds = 0
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    if change == "agent":
        body: dict[str, object] = {"display_name": "Dana", "active": False}
        answer = await house.ask("admin", "PUT", "/v1/agents/dana", body, {"If-Match": '"1"'})
    else:
        changes = {"password": "another long one", "scopes": ["supervisor"], "disabled": True}
        body = {"name": "Dana", "scopes": ["agent:dana"], change: changes[change]}
        answer = await house.ask("admin", "PUT", "/v1/people/dana", body, {"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 401


async def test_another_name_ends_no_session(house: House) -> None:
    await person(house)
    await token_of(house)
    house.parts.authenticator.cache_seconds = 0
    body = {"name": "Dana Levi", "scopes": ["agent:dana"]}
    assert (await house.ask("admin", "PUT", "/v1/people/dana", body, {"If-Match": '"1"'})).json()["has_password"]
    assert (await house.done("dana", "GET", "/v1/me"))["name"] == "Dana Levi"


async def test_a_person_changes_the_password_and_is_signed_out_everywhere_else(house: House) -> None:
    await person(house)
    house.parts.authenticator.cache_seconds = 0
    house.keys["elsewhere"] = await token_of(house)
    await token_of(house)
    wrong = await house.ask("dana", "PUT", "/v1/me/password", {"old": "not this one", "new": "a new long one"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "sign-in-failed")
    weak = await house.ask("dana", "PUT", "/v1/me/password", {"old": PASSWORD, "new": "short"})
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "body.new")
    assert (await house.ask("dana", "PUT", "/v1/me/password", {"old": PASSWORD, "new": "a new long one"})).status_code == 204
    assert (await house.ask("dana", "GET", "/v1/me")).status_code == 200
    assert (await house.ask("elsewhere", "GET", "/v1/me")).status_code == 401
    assert (await sign_in(house)).status_code == 401
    assert (await sign_in(house, password="a new long one")).status_code == 201


async def test_people_are_edited_by_version_and_known_by_one_address(house: House) -> None:
    made = await person(house, email="Dana@Example.com")
    assert (made["version"], made["has_password"], "password" in made) == (1, True, False)
    again = {"name": "Dana", "scopes": ["supervisor"]}
    assert (await house.ask("admin", "PUT", "/v1/people/dana", again)).status_code == 428
    taken = await house.ask("admin", "PUT", "/v1/people/noa", {**again, "email": "dana@example.com"})
    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "body.email")
    wrong = await house.ask("admin", "PUT", "/v1/people/noa", {**again, "scopes": ["partner:north", "supervisor"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "body.scopes")
    assert [one["login"] for one in (await house.done("admin", "GET", "/v1/people"))["items"]] == ["dana"]
    assert (await house.ask("admin", "GET", "/v1/people/noa")).status_code == 404


@pytest.mark.parametrize("scopes", [("partner:north", "admin"), ("partner:north", "partner:south"), ("partner:",), ("god",)])
def test_a_partner_s_scope_goes_with_nothing_that_is_over_the_house(scopes: tuple[str, ...]) -> None:
    with pytest.raises(auth.WrongScopes):
        auth.check_scopes(scopes)


async def in_browser(client: httpx.AsyncClient, origin: str | None = OURS) -> httpx.Response:
    headers = {"Origin": origin} if origin else {}
    return await client.post("/v1/sessions", json={"login": "dana", "password": PASSWORD, "cookie": True}, headers=headers)


async def test_a_browser_keeps_the_session_where_no_script_reads_it(house: House) -> None:
    await house.agent(available=False)
    await person(house)
    async with browser(house) as client:
        answer = await in_browser(client)
        assert (answer.status_code, answer.json()["token"]) == (201, None)
        assert answer.headers["set-cookie"].partition("=")[0] == "patchbay"
        parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert parts == {"httponly", "path=/", "samesite=lax"}
        assert (await client.get("/v1/me")).json()["login"] == "dana"
        signed_out = await client.delete("/v1/sessions/current", headers={"Origin": OURS})
        assert signed_out.status_code == 204
        assert (await client.get("/v1/me")).status_code == 401


PAGES: list[tuple[dict[str, str], int]] = [
    ({"Origin": OURS}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({}, 403),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Origin": f"{OURS}/"}, 403),
    ({"Origin": "http://127.0.0.1:9999"}, 403),
    ({"Origin": "http://127.0.0.1:8102.evil.example"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "none"}, 403),
    ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
]


async def test_what_a_browser_changes_has_to_come_from_a_page_of_ours(house: House) -> None:
    await house.agent(available=False)
    await person(house)
    async with browser(house) as client:
        assert (await in_browser(client)).status_code == 201
        for headers, status in PAGES:
            answer = await client.post("/v1/agents/dana/state", json={"state": "available"}, headers=headers)
            assert answer.status_code == status, headers
            assert status == 200 or answer.json()["code"] == "foreign-origin"
            assert (await client.get("/v1/me", headers=headers)).status_code == 200, "reading changes nothing"


async def test_a_foreign_page_signs_nobody_in(house: House) -> None:
    await person(house)
    async with browser(house) as client:
        answer = await in_browser(client, "https://evil.example")
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_beyond_this_machine_a_cookie_goes_over_tls_only_and_from_this_host_only(routing_database: str) -> None:
    async with (
        open_house(routing_database, routing_public_url="https://d.example") as house,
        browser(house, url="https://d.example") as client,
    ):
        await person(house)
        answer = await in_browser(client, "https://d.example")
        name, _, rest = answer.headers["set-cookie"].partition("=")
        assert name == "__Host-patchbay"
        parts = {part.strip().lower() for part in rest.split(";")[1:]}
        assert parts == {"httponly", "path=/", "samesite=lax", "secure"}
        assert (await client.get("/v1/me")).json()["login"] == "dana"
        token = client.cookies["__Host-patchbay"]
        client.cookies.clear()
        plain = await client.get("/v1/me", headers={"Cookie": f"patchbay={token}"})
        assert plain.status_code == 401, "a cookie without the prefix may have been put there from elsewhere"


async def test_a_key_goes_in_no_cookie_and_a_header_goes_before_one(house: House) -> None:
    await person(house)
    async with browser(house) as client:
        assert (await client.get("/v1/me", headers={"Cookie": f"patchbay={house.keys['rina']}"})).status_code == 401
        assert (await in_browser(client)).status_code == 201
        both = await client.get("/v1/me", headers={"Authorization": f"Bearer {house.keys['rina']}"})
        assert both.json()["id"] == "rina"


async def test_a_stream_ends_when_its_session_does(house: House) -> None:
    await house.queue()
    await house.agent()
    await person(house)
    await token_of(house)
    house.parts.authenticator.cache_seconds = 0
    async with serving(house) as url, listening(house, url) as heard:
        assert (await anext(heard)).kind == "ready"
        assert (await house.ask("dana", "DELETE", "/v1/sessions/current")).status_code == 204
        await house.open()
        assert [event.kind async for event in heard] == [], "nothing is told to who is out"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    telemetry.set_up("routing", "debug")
    yield capsys
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


async def test_logs_tell_who_came_in_and_who_did_not_but_neither_secrets_nor_what_was_mistyped(
    printed: pytest.CaptureFixture[str], house: House
) -> None:
    await person(house)
    token = await token_of(house)
    await sign_in(house, password="a-wrong-guess-1")
    await sign_in(house, "password-typed-as-login", "x")
    out = printed.readouterr().out
    assert '"signed in"' in out
    assert '"login": "dana", "reason": "password"' in out
    for secret in (token, PASSWORD, "a-wrong-guess-1", "password-typed-as-login", "192.0.2.1"):
        assert secret not in out


async def test_attempts_that_count_no_longer_are_forgotten(house: House) -> None:
    await person(house)
    await sign_in(house, password="a wrong guess")
    assert await house.rows("SELECT 1 FROM auth.attempt")
    async with db.transaction(house.parts.engine) as conn:
        await db.fetch(conn, "UPDATE auth.attempt SET free_at = now() - interval '1 s'")
    await house.ticker.once()
    await eventually(lambda: _none(house))


async def _none(house: House) -> bool:
    return await house.rows("SELECT 1 FROM auth.attempt") == []


async def test_the_client_signs_in_and_is_whoever_that_is(house: House) -> None:
    await person(house)
    async with serving(house) as url:
        with pytest.raises(ProblemError) as refused:
            await session_of(url, "dana", "a wrong guess")
        assert refused.value.code == "sign-in-failed"
        async with Routing(url, await session_of(url, "dana", PASSWORD)) as routing:
            me = await routing.who_am_i()
            assert (me["login"], me["scopes"], me["session"] is not None) == ("dana", ["agent:dana"], True)
            await routing.change_password({"old": PASSWORD, "new": "a new long one"})
            await routing.sign_out()
            with pytest.raises(ProblemError) as out:
                await routing.who_am_i()
            assert out.value.status == 401
        async with Routing(url, house.keys["admin"]) as admin:
            [dana] = [one async for one in every(admin.list_people)]
            changed = await admin.put_person("dana", {"name": "Dana Levi", "scopes": ["supervisor"]}, dana["version"])
            assert (changed["name"], (await admin.get_person("dana"))["version"]) == ("Dana Levi", 2)
