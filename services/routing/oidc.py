"""A provider of identities, as OpenID Connect has it: authorization code with PKCE.

https://openid.net/specs/openid-connect-core-1_0.html (3.1), https://openid.net/specs/openid-connect-discovery-1_0.html (4),
https://datatracker.ietf.org/doc/html/rfc7636 (PKCE). What it says of itself and its keys is kept for an hour; for a key that
is not among them it is asked once more.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import jwt

from services.routing.settings import RoutingSettings
from services.routing.store.signing_in import Errand
from shared.auth import LOOPBACK
from shared.settings import SettingsError

# Signed with a key that only the provider has: neither `none`, nor an HMAC whose key would be what everybody can read.
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
REQUIRED = ("iss", "sub", "aud", "exp", "iat")
LEEWAY_SECONDS = 60
KEEP_SECONDS = 3600.0
ANSWER_SECONDS = 5.0
ANSWER_BYTES = 256 * 1024
Claims = Mapping[str, Any]


class ProviderAway(Exception):
    """The provider did not answer, or with nothing that can be used. Says what of it, never what it answered."""


class NotIdentified(Exception):
    """What came back does not say who somebody is; `code` says why not."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Described:
    """What the provider says of itself."""

    authorize: str
    token: str
    keys: str
    secret_in_body: bool


@dataclass(slots=True)
class Provider:
    """The provider that the settings name, and what is known of it. Making one raises SettingsError for what cannot be used."""

    settings: RoutingSettings
    answer_seconds: float = ANSWER_SECONDS
    groups: Mapping[str, tuple[str, ...]] = field(init=False)
    _secret: str | None = field(init=False)
    _http: httpx.AsyncClient | None = None
    _described: tuple[float, Described] | None = None
    _keys: tuple[float, list[Claims]] | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.groups, self._secret = self.settings.oidc_groups, self.settings.oidc_secret
        if self.is_named and not self.settings.routing_oidc_client_id:
            raise SettingsError("PATCHBAY_ROUTING_OIDC_ISSUER needs PATCHBAY_ROUTING_OIDC_CLIENT_ID beside it.")

    @property
    def is_named(self) -> bool:
        """Whether there is one."""
        return bool(self.settings.routing_oidc_issuer)

    @property
    def redirect_uri(self) -> str:
        """Where it sends people back to."""
        return f"{self.settings.public_url}/v1/oidc/callback"

    async def send_off(self, state: str, errand: Errand) -> str:
        """The URL at which somebody says who they are. Raises ProviderAway."""
        described = await self._description()
        asked = {
            "response_type": "code",
            "client_id": self.settings.routing_oidc_client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.settings.routing_oidc_scope,
            "state": state,
            "nonce": errand.nonce,
            "code_challenge": challenge(errand.verifier),
            "code_challenge_method": "S256",
        }
        return f"{described.authorize}{'&' if urlsplit(described.authorize).query else '?'}{urlencode(asked)}"

    async def identify(self, code: str, errand: Errand) -> Claims:
        """What it says about whoever came back with this code. Raises ProviderAway, NotIdentified."""
        described = await self._description()
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.settings.routing_oidc_client_id,
            "code_verifier": errand.verifier,
        }
        headers = {}
        if self._secret is not None and described.secret_in_body:
            asked["client_secret"] = self._secret
        elif self._secret is not None:
            pair = f"{quote(self.settings.routing_oidc_client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = await self._ask("token", "POST", described.token, asked, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotIdentified("no_token")
        return await self._verified(token, errand.nonce)

    async def aclose(self) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _verified(self, token: str, nonce: str) -> Claims:
        """Core 3.1.3.7. Raises NotIdentified, ProviderAway."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise NotIdentified("no_token") from None
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise NotIdentified("algorithm")
        client = self.settings.routing_oidc_client_id
        try:
            key = jwt.PyJWK(dict(await self._key(header.get("kid"))), algorithm=algorithm)
            claims: Claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=client,
                issuer=self.settings.routing_oidc_issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED)},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise NotIdentified(type(error).__name__) from None
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise NotIdentified("nonce")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != client:
            raise NotIdentified("azp")
        return claims

    async def _key(self, key_id: object) -> Claims:
        """The key with which a token is said to be signed. Raises NotIdentified, ProviderAway."""
        kept, asked_for = await self._public_keys(again=False)
        found = _chosen(kept, key_id)
        if found is None and not asked_for:
            kept, _ = await self._public_keys(again=True)
            found = _chosen(kept, key_id)
        if found is None:
            raise NotIdentified("unknown_key")
        return found

    async def _public_keys(self, *, again: bool) -> tuple[list[Claims], bool]:
        """Its keys, and whether they were asked for just now."""
        async with self._asking:
            if self._keys is not None and not again and time.monotonic() < self._keys[0]:
                return self._keys[1], False
            described = await self._described_now()
            answer = await self._ask("keys", "GET", described.keys)
            keys = answer.get("keys")
            if not isinstance(keys, list):
                raise ProviderAway("keys")
            usable: list[Claims] = [
                key for key in keys if isinstance(key, dict) and key.get("kty") != "oct" and key.get("use") != "enc"
            ]
            self._keys = time.monotonic() + KEEP_SECONDS, usable
            return usable, True

    async def _description(self) -> Described:
        async with self._asking:
            return await self._described_now()

    async def _described_now(self) -> Described:
        if self._described is not None and time.monotonic() < self._described[0]:
            return self._described[1]
        issuer = self.settings.routing_oidc_issuer
        answer = await self._ask("description", "GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
        if answer.get("issuer") != issuer:
            raise ProviderAway("description: it calls itself otherwise than PATCHBAY_ROUTING_OIDC_ISSUER")
        ways = answer.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        described = Described(
            authorize=self._endpoint(answer, "authorization_endpoint"),
            token=self._endpoint(answer, "token_endpoint"),
            keys=self._endpoint(answer, "jwks_uri"),
            secret_in_body=isinstance(ways, list) and "client_secret_basic" not in ways and "client_secret_post" in ways,
        )
        self._described = time.monotonic() + KEEP_SECONDS, described
        return described

    def _endpoint(self, answer: Claims, name: str) -> str:
        """One of its URLs; without TLS on this machine only, and only where the issuer is so too."""
        url = answer.get(name)
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        plain = urlsplit(self.settings.routing_oidc_issuer).scheme == "http" and parts.hostname in LOOPBACK
        if not isinstance(url, str) or not parts.hostname or parts.scheme not in (("https", "http") if plain else ("https",)):
            raise ProviderAway(f"description: {name}")
        return url

    async def _ask(
        self, what: str, method: str, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Claims:
        """A JSON object. Raises ProviderAway, and NotIdentified for a code that it refuses."""
        if self._http is None:
            self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=httpx.Timeout(self.answer_seconds))
        body = bytearray()
        try:
            async with (
                asyncio.timeout(2 * self.answer_seconds),
                self._http.stream(method, url, data=form, headers={"Accept": "application/json", **(headers or {})}) as told,
            ):
                async for piece in told.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        raise ProviderAway(f"{what}: more than {ANSWER_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ProviderAway(f"{what}: {type(error).__name__}") from None
        if form is not None and told.status_code in (400, 401, 403):
            raise NotIdentified("code_refused")
        if told.status_code != httpx.codes.OK:
            raise ProviderAway(f"{what}: status {told.status_code}")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise ProviderAway(f"{what}: no JSON") from None
        if not isinstance(answer, dict):
            raise ProviderAway(f"{what}: no JSON object")
        return answer


def new_errand(way_back: str) -> Errand:
    """What has to come back with somebody who is sent off."""
    return Errand(secrets.token_urlsafe(32), secrets.token_urlsafe(48), way_back)


def challenge(verifier: str) -> str:
    """RFC 7636, 4.2: S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _chosen(keys: list[Claims], key_id: object) -> Claims | None:
    """The key of this id; where a token names none, the only one that there is."""
    if key_id is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.get("kid") == key_id), None)
