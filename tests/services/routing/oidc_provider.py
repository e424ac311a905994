"""A provider of identities as tests play it: real HTTP, real keys; it misbehaves as it is told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from deploy.local.ports import free_ports, is_free
from shared.http import make_server
from tests.waiting import until

CLIENT, SECRET = "patchbay", "the client's secret/with: signs"
Claims = dict[str, Any]


@dataclass
class Key:
    """A key of the provider's."""

    id: str
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def public(self) -> dict[str, Any]:
        """As its JWKS has it."""
        told: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**told, "kid": self.id, "use": "sig", "alg": "RS256"}

    def pem(self) -> bytes:
        """The public key as everybody can read it."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Provider:
    """`person` is who signs in there; `change` alters the claims, `sign` makes the token, `described` what it says of itself."""

    url: str
    key: Key
    person: Claims = field(default_factory=dict)
    change: Callable[[Claims], Claims] = lambda claims: claims
    sign: Callable[[Claims], str] | None = None
    described: Claims = field(default_factory=dict)
    published: list[Key] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.published = [self.key]
        self.silent.set()

    def says_yes(self, url: str) -> str:
        """The person signs in at this URL: where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def description(self) -> Claims:
        """Of itself."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            **self.described,
        }

    def token(self, asked: dict[str, str]) -> str:
        """The ID token for whoever signed in."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "u-1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
        }
        changed = self.change(claims)
        if self.sign is not None:
            return self.sign(changed)
        return jwt.encode(changed, self.key.private, "RS256", headers={"kid": self.key.id})

    def redeem(self, form: dict[str, str], authorization: str) -> Response:
        """A code for a token: once, by who was given it, and who proves to have asked for it."""
        asked = self._codes.pop(form["code"], None)
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if pair != "patchbay:the%20client%27s%20secret%2Fwith%3A%20signs":
            return JSONResponse({"error": "invalid_client"}, 401)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": self.token(asked)})

    def app(self) -> FastAPI:
        """Its endpoints."""
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        async def description() -> Claims:
            self.asked.append("description")
            await self.silent.wait()
            return self.description()

        @app.get("/keys")
        async def keys() -> Claims:
            self.asked.append("keys")
            return {"keys": [key.public() for key in self.published]}

        @app.post("/token")
        async def token(request: Request) -> Response:
            self.asked.append("token")
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            return self.redeem(form, request.headers.get("authorization", ""))

        return app


@asynccontextmanager
async def a_provider(key: Key) -> AsyncIterator[Provider]:
    """One on a free port of this machine."""
    [port] = free_ports(1)
    provider = Provider(f"http://127.0.0.1:{port}", key)
    server = make_server(provider.app(), "127.0.0.1", port)
    serving = asyncio.create_task(server.serve())
    await until("the provider listens", lambda: not is_free(port))
    try:
        yield provider
    finally:
        provider.silent.set()
        server.should_exit = True
        await serving
