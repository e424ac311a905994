"""People come in from a provider of identities, and from one that misbehaves nobody does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import pytest_asyncio

from services.routing import oidc
from services.routing.oidc import NotIdentified
from services.routing.settings import RoutingSettings
from shared.settings import SettingsError
from tests.services.routing.conftest import House, open_house
from tests.services.routing.oidc_provider import CLIENT, SECRET, Claims, Key, Provider, a_provider
from tests.services.routing.people import browser, person

pytestmark = pytest.mark.timeout(60)
DANA = {"email": "dana@example.com", "email_verified": True}


@cache
def other() -> Key:
    """A key that is not the provider's, or not yet."""
    return Key("k-2")


@dataclass
class Scene:
    """A house that trusts a provider, and the provider."""

    house: House
    provider: Provider

    async def comes_in(self, client: httpx.AsyncClient, to: str = "/console") -> httpx.Response:
        """The whole way: off to the provider, signed in there, and back."""
        off = await client.get("/v1/oidc/start", params={"to": to})
        assert off.status_code == 303, off.text
        return await client.get(self.provider.says_yes(off.headers["location"]))


@pytest.fixture(scope="module")
def key() -> Key:
    return Key("k-1")


@pytest_asyncio.fixture
async def scene(routing_database: str, key: Key) -> AsyncIterator[Scene]:
    async with a_provider(key) as provider, trusting(routing_database, provider) as house:
        provider.person = dict(DANA)
        await person(house, email="dana@example.com", password=None)
        yield Scene(house, provider)
        await house.app.state.room.provider.aclose()


def trusting(url: str, provider: Provider, **more: Any) -> Any:
    return open_house(
        url,
        routing_oidc_issuer=provider.url,
        routing_oidc_client_id=CLIENT,
        routing_oidc_client_secret=SECRET,
        **more,
    )


async def test_who_is_known_by_a_verified_address_comes_in_and_goes_where_they_wanted(scene: Scene) -> None:
    async with browser(scene.house) as client:
        back = await scene.comes_in(client, "/console/c/42")
        assert (back.status_code, back.headers["location"]) == (303, "/console/c/42"), back.text
        me = (await client.get("/v1/me")).json()
        assert (me["login"], me["agent_id"], me["session"]["way"]) == ("dana", "dana", "oidc")
        again = await scene.comes_in(client, "//evil.example")
        assert again.headers["location"] == "/"
    assert scene.provider.asked.count("description") == 1
    assert scene.provider.asked.count("keys") == 1


async def refused(scene: Scene) -> str:
    """Why nobody came in; no session is made."""
    async with browser(scene.house) as client:
        answer = await scene.comes_in(client)
        assert answer.status_code in (401, 403, 503), answer.text
        assert (await client.get("/v1/me")).status_code == 401
    assert await scene.house.rows("SELECT 1 FROM auth.session") == []
    return str(answer.json()["code"])


def with_claims(**claims: object) -> Callable[[Claims], Claims]:
    return lambda said: {name: value for name, value in {**said, **claims}.items() if value is not None}


NOW = int(time.time())
# What is wrong with a token, and why it is refused.
LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "for somebody else": (with_claims(aud="another"), "InvalidAudienceError"),
    "for us and others, asked for by them": (with_claims(aud=[CLIENT, "another"], azp="another"), "azp"),
    "for us and others, asked for by nobody": (with_claims(aud=[CLIENT, "another"]), "azp"),
    "of another issuer": (with_claims(iss="https://evil.example"), "InvalidIssuerError"),
    "over": (with_claims(exp=NOW - 3600), "ExpiredSignatureError"),
    "never over": (with_claims(exp=None), "MissingRequiredClaimError"),
    "from the future": (with_claims(iat=NOW + 3600), "ImmatureSignatureError"),
    "not begun": (with_claims(nbf=NOW + 3600), "ImmatureSignatureError"),
    "with another nonce": (with_claims(nonce="another"), "nonce"),
    "without a nonce": (with_claims(nonce=None), "nonce"),
    "of nobody": (with_claims(sub=None), "MissingRequiredClaimError"),
}


async def why_not(scene: Scene) -> str:
    """Why nobody is identified by what the provider says."""
    known, errand = scene.house.app.state.room.provider, oidc.new_errand("/")
    back = scene.provider.says_yes(await known.send_off("state", errand))
    with pytest.raises(NotIdentified) as refusal:
        await known.identify(parse_qs(urlsplit(back).query)["code"][0], errand)
    return refusal.value.code


async def test_a_token_that_is_not_for_this_sign_in_identifies_nobody(scene: Scene) -> None:
    told = {}
    for lie, (change, _) in LIES.items():
        scene.provider.change = change
        told[lie] = await why_not(scene)
    assert told == {lie: why for lie, (_, why) in LIES.items()}
    assert await refused(scene) == "sign-in-failed"


async def test_for_us_and_others_asked_for_by_us_is_for_us(scene: Scene) -> None:
    scene.provider.change = with_claims(aud=[CLIENT, "another"], azp=CLIENT)
    async with browser(scene.house) as client:
        assert (await scene.comes_in(client)).status_code == 303


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def unsigned(claims: Claims) -> str:
    header = json.dumps({"alg": "none"}).encode()
    return f"{encoded(header)}.{encoded(json.dumps(claims).encode())}."


def forged(key: Key) -> Callable[[Claims], str]:
    """Signed with the public key as if it were a secret of both. By hand: PyJWT does not make such a token."""

    def sign(claims: Claims) -> str:
        header = {"alg": "HS256", "typ": "JWT", "kid": key.id}
        said = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
        return f"{said}.{encoded(hmac.new(key.pem(), said.encode(), hashlib.sha256).digest())}"

    return sign


def by_another(key_id: str) -> Callable[[Claims], str]:
    return lambda claims: jwt.encode(claims, other().private, "RS256", headers={"kid": key_id})


async def test_a_token_that_nobody_signed_lets_nobody_in(scene: Scene) -> None:
    scene.provider.sign = unsigned
    assert await why_not(scene) == "algorithm"
    assert await refused(scene) == "sign-in-failed"


async def test_a_token_whose_secret_is_the_public_key_lets_nobody_in(scene: Scene) -> None:
    scene.provider.sign = forged(scene.provider.key)
    assert await why_not(scene) == "algorithm"
    assert await refused(scene) == "sign-in-failed"


async def test_a_token_that_another_key_signed_lets_nobody_in(scene: Scene) -> None:
    scene.provider.sign = by_another("k-1")
    assert await why_not(scene) == "InvalidSignatureError"
    assert await refused(scene) == "sign-in-failed"


def _said(token: str, _claims: Claims) -> str:
    return token


async def test_what_is_no_token_lets_nobody_in(scene: Scene) -> None:
    told = set()
    for token in ("", "no token", "a.b.c", "é.é.é", "e30.e30.e30"):
        scene.provider.sign = partial(_said, token)
        told.add(await why_not(scene))
    assert told <= {"no_token", "algorithm"}
    assert await refused(scene) == "sign-in-failed"


async def test_for_a_key_that_is_not_known_the_provider_is_asked_once_more(scene: Scene) -> None:
    async with browser(scene.house) as client:
        assert (await scene.comes_in(client)).status_code == 303
        scene.provider.published = [other()]
        scene.provider.sign = by_another("k-2")
        assert (await scene.comes_in(client)).status_code == 303, "the provider changed its keys"
    assert scene.provider.asked.count("keys") == 2
    scene.provider.sign = by_another("k-3")
    await scene.house.rows("DELETE FROM auth.session")
    assert await refused(scene) == "sign-in-failed"
    assert scene.provider.asked.count("keys") == 3, "once, and not again and again"


UNKNOWN: tuple[Claims, ...] = (
    {"email_verified": False},
    {"email_verified": None},
    {"email_verified": "true"},
    {"email": "noa@example.com"},
    {"email": None},
    {"email": ["dana@example.com"]},
)


async def test_who_is_not_known_by_what_the_provider_says_does_not_come_in(scene: Scene) -> None:
    for says in UNKNOWN:
        scene.provider.change = with_claims(**says)
        assert await refused(scene) == "unknown-person", says


async def test_an_address_that_went_to_another_account_there_lets_that_one_not_in(scene: Scene) -> None:
    async with browser(scene.house) as client:
        assert (await scene.comes_in(client)).status_code == 303
    await scene.house.rows("DELETE FROM auth.session")
    scene.provider.person = {**DANA, "sub": "u-2"}
    assert await refused(scene) == "unknown-person"
    audit = await scene.house.rows("SELECT detail FROM auth.audit WHERE what = 'sign_in.failed' AND about = 'dana'")
    assert [row.detail for row in audit] == ["another_subject"]


async def test_who_is_disabled_here_does_not_come_in(scene: Scene) -> None:
    await scene.house.rows("UPDATE auth.person SET disabled = true")
    assert await refused(scene) == "unknown-person"


async def test_who_comes_back_has_to_be_who_was_sent_and_only_once(scene: Scene) -> None:
    async with browser(scene.house) as client, browser(scene.house) as another:
        off = await client.get("/v1/oidc/start")
        back = scene.provider.says_yes(off.headers["location"])
        stolen = await another.get(back)
        assert (stolen.status_code, stolen.json()["code"]) == (400, "not-begun"), "a link of somebody else signs nobody in"
        assert (await client.get("/v1/oidc/callback?code=x&state=wrong")).status_code == 400
        cookie = off.headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=lax" in cookie.lower()
        assert (await client.get(back)).status_code == 303
        client.cookies.set("patchbay-errand", back.partition("&state=")[2], "127.0.0.1", "/v1/oidc")
        again = await client.get(back)
        assert (again.status_code, again.json()["code"]) == (400, "not-begun")


async def test_who_was_sent_off_long_ago_begins_again(scene: Scene) -> None:
    async with browser(scene.house) as client:
        off = await client.get("/v1/oidc/start")
        await scene.house.rows("UPDATE auth.errand SET expires_at = now() - interval '1 s'")
        assert (await client.get(scene.provider.says_yes(off.headers["location"]))).status_code == 400


async def test_who_says_no_there_does_not_come_in(scene: Scene) -> None:
    async with browser(scene.house) as client:
        off = await client.get("/v1/oidc/start")
        back = scene.provider.says_yes(off.headers["location"])
        state = back.partition("state=")[2]
        answer = await client.get(f"/v1/oidc/callback?error=access_denied&state={state}")
        assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-failed")


async def test_a_code_that_was_not_given_for_this_is_refused_by_the_provider(scene: Scene) -> None:
    async with browser(scene.house) as client:
        off = await client.get("/v1/oidc/start")
        back = scene.provider.says_yes(off.headers["location"])
        answer = await client.get(back.replace("code=", "code=x"))
        assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-failed")


WRONG_DESCRIPTIONS: tuple[Claims, ...] = (
    {"issuer": "https://evil.example"},
    {"token_endpoint": None},
    {"jwks_uri": "file:///etc/passwd"},
    {"token_endpoint": "http://example.com/token"},
    {"authorization_endpoint": "javascript:alert(1)"},
)


async def test_a_provider_that_describes_itself_wrongly_is_not_used(scene: Scene) -> None:
    async with browser(scene.house) as client:
        for described in WRONG_DESCRIPTIONS:
            scene.provider.described = described
            answer = await client.get("/v1/oidc/start")
            assert (answer.status_code, answer.json()["code"]) == (503, "provider-away"), described


async def test_a_provider_that_is_away_or_silent_holds_nobody_up_for_long(scene: Scene) -> None:
    settings = scene.house.settings.model_copy(update={"routing_oidc_issuer": "http://127.0.0.1:1"})
    away = oidc.Provider(settings)
    with pytest.raises(oidc.ProviderAway, match="ConnectError"):
        await away.send_off("state", oidc.new_errand("/"))
    await away.aclose()
    scene.provider.silent.clear()
    silent = oidc.Provider(scene.house.settings, answer_seconds=0.2)
    started = time.monotonic()
    with pytest.raises(oidc.ProviderAway, match="Timeout"):
        await silent.send_off("state", oidc.new_errand("/"))
    assert time.monotonic() - started < 5
    await silent.aclose()


async def test_groups_alone_decide_where_they_are_mapped(routing_database: str, key: Key) -> None:
    mapped = {"routing_oidc_groups": "support=agent; leads=supervisor,ops:read", "routing_oidc_match": "sub"}
    async with a_provider(key) as provider, trusting(routing_database, provider, **mapped) as house:
        scene = Scene(house, provider)
        await person(house, "dana", "admin", subject="u-1")
        for groups, scopes in ((["support"], ["agent:dana"]), (["leads", "x"], ["ops:read", "supervisor"])):
            provider.person = {"groups": groups}
            async with browser(house) as client:
                assert (await scene.comes_in(client)).status_code == 303
                assert (await client.get("/v1/me")).json()["scopes"] == scopes
        await house.rows("DELETE FROM auth.session")
        provider.person = {"groups": ["x"]}
        assert await refused(scene) == "no-scopes"
        await house.app.state.room.provider.aclose()


async def test_without_a_provider_there_is_none(house: House) -> None:
    async with browser(house) as client:
        for path in ("start", "callback"):
            answer = await client.get(f"/v1/oidc/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "no-provider")


@pytest.mark.parametrize(
    "settings",
    [
        {"routing_oidc_groups": "support"},
        {"routing_oidc_groups": "support=god"},
        {"routing_oidc_issuer": "https://idp.example"},
        {"routing_oidc_client_secret_file": "/no/such/file"},
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        oidc.Provider(RoutingSettings(**settings))


@pytest.mark.parametrize("issuer", ["http://idp.example", "ftp://idp.example", "idp.example"])
def test_a_provider_is_asked_over_tls(issuer: str) -> None:
    with pytest.raises(ValueError, match="https"):
        RoutingSettings(routing_oidc_issuer=issuer)
