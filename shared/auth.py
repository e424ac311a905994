"""API keys: `pb_<id>_<secret>`, stored as SHA-256 (the secret has 256 random bits, so no slow hash is needed), with scopes.

Scopes: `intake:write`, `intake:identify`, `agent:<id>`, `supervisor`, `ops:read`, `admin`. `admin` may do everything.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.http import Problem

SCOPE = re.compile(r"intake:write|intake:identify|agent:[A-Za-z0-9._-]{1,64}|supervisor|ops:read|admin")
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CACHE_SECONDS = 5.0
CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the id of the key, and what it may do."""

    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope, or all of them."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def agent_id(self) -> str | None:
        """The agent who calls, None for other keys."""
        return next((scope[6:] for scope in sorted(self.scopes) if scope.startswith("agent:")), None)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as it is listed: everything but itself."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(slots=True)
class Authenticator:
    """Tells callers by their keys; a revoked key is known for at most `cache_seconds`."""

    engine: AsyncEngine
    cache_seconds: float = CACHE_SECONDS
    _cache: dict[bytes, tuple[float, Caller | None]] = field(default_factory=dict)

    async def caller(self, request: Request) -> Caller:
        """The caller of this request. Raises Problem 401."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise _unauthorised("Send your API key as 'Authorization: Bearer pb_…'.")
        digest = hashlib.sha256(key.strip().encode()).digest()
        until, caller = self._cache.get(digest, (0.0, None))
        if until <= time.monotonic():
            caller = await self._look_up(digest)
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[digest] = (time.monotonic() + self.cache_seconds, caller)
        if caller is None:
            raise _unauthorised("This API key is not known or was revoked.")
        return caller

    async def _look_up(self, digest: bytes) -> Caller | None:
        async with db.transaction(self.engine) as conn:
            statement = sa.text("SELECT id, scopes FROM auth.api_key WHERE hash = :hash AND revoked_at IS NULL")
            row = (await conn.execute(statement, {"hash": digest})).one_or_none()
        return Caller(row.id, frozenset(row.scopes)) if row else None


def requires(*scopes: str) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller, who must have one of `scopes` (`agent` stands for any agent's key)."""

    async def dependency(request: Request) -> Caller:
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.caller(request)
        if not any(caller.may(scope) for scope in scopes) and not ("agent" in scopes and caller.agent_id):
            raise Problem(403, "forbidden", f"This needs a key with one of: {', '.join(scopes)}.")
        return caller

    return dependency


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unauthorised", detail, headers={"WWW-Authenticate": "Bearer"})


async def create_key(conn: AsyncConnection, key_id: str, name: str, scopes: tuple[str, ...]) -> str:
    """Make (or replace) the key `key_id` and return it; it can never be read again."""
    key = f"pb_{key_id}_{secrets.token_urlsafe(32)}"
    await conn.execute(
        sa.text(
            "INSERT INTO auth.api_key (id, name, hash, scopes) VALUES (:id, :name, :hash, :scopes)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, hash = excluded.hash, scopes = excluded.scopes,"
            " created_at = now(), revoked_at = NULL"
        ),
        {"id": key_id, "name": name, "hash": hashlib.sha256(key.encode()).digest(), "scopes": list(scopes)},
    )
    return key


async def revoke_key(conn: AsyncConnection, key_id: str) -> bool:
    """Revoke a key. False when there is no such one."""
    result = await conn.execute(
        sa.text("UPDATE auth.api_key SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL"), {"id": key_id}
    )
    return result.rowcount == 1


async def list_keys(conn: AsyncConnection) -> list[KeyEntry]:
    """All keys, revoked ones too."""
    rows = await conn.execute(sa.text("SELECT id, name, scopes, created_at, revoked_at FROM auth.api_key ORDER BY id"))
    return [KeyEntry(row.id, row.name, tuple(row.scopes), row.created_at, row.revoked_at) for row in rows]


async def valid_keys(conn: AsyncConnection, keys: list[str]) -> int:
    """How many of these keys are known and not revoked."""
    statement = sa.text("SELECT count(*) FROM auth.api_key WHERE hash = ANY(:hashes) AND revoked_at IS NULL")
    hashes = [hashlib.sha256(key.encode()).digest() for key in keys]
    return (await conn.execute(statement, {"hashes": hashes})).scalar_one()  # type: ignore[no-any-return]
