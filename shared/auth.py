"""Who calls, and what they may do: API keys of programs, sessions of people.

Keys are `pb_<id>_<secret>`, stored as SHA-256 (the secret has 256 random bits, so no slow hash is needed); sessions are
`ps_<secret>` (shared/sessions.py). Either is sent as a bearer token; a browser sends its session as a cookie, and then says by
`Origin` that the page which changes something is ours.

Scopes: `intake:write`, `intake:identify`, `agent:<id>`, `supervisor`, `ops:read`, `admin`, `partner:<id>`. `admin` may do
everything. `partner` takes away: who has it, or is an agent of a partner, may only what a route opens to partners, and there sees
what is that partner's (docs/decisions/0024-who-comes-in-and-what-a-partner-sees.md).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import audit, db, sessions
from shared.http import Problem
from shared.sessions import Session

PARTNER = "partner:"
SCOPE = re.compile(
    r"intake:write|intake:identify|agent:[A-Za-z0-9._@-]{1,64}|supervisor|ops:read|admin|partner:[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"
)
SCOPES = "intake:write, intake:identify, agent:<id>, supervisor, ops:read, admin or partner:<id>"
KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CACHE_SECONDS = 5.0
CACHE_SIZE = 10_000
# The prefix has a browser take the cookie over TLS only, from this host only: https://datatracker.ietf.org/doc/html/rfc6265
COOKIE, LOOPBACK_COOKIE = "__Host-patchbay", "patchbay"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
KEY = f"""
    SELECT id, scopes, {sessions.PARTNERS.format(scopes="scopes")} FROM auth.api_key WHERE hash = $1 AND revoked_at IS NULL
"""


class WrongScopes(ValueError):
    """Scopes that are none, or that do not go together; says which."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the id of the key, or `person:<login>`; what it may do; whose it is, where it is a partner's."""

    key_id: str
    scopes: frozenset[str]
    partner_id: str | None = None
    session: Session | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller has this scope, or all of them. What is a partner's has none that is over the house."""
        return self.partner_id is None and (scope in self.scopes or "admin" in self.scopes)

    @property
    def agent_id(self) -> str | None:
        """The agent who calls, None for other keys."""
        return next((scope[6:] for scope in sorted(self.scopes) if scope.startswith("agent:")), None)

    def sees(self, partner_id: str | None) -> bool:
        """Whether what belongs to this partner (None: to the house) may be shown: a partner sees only its own."""
        return self.partner_id is None or self.partner_id == partner_id

    @property
    def oversees(self) -> bool:
        """Whether it sees what more agents than one have: a supervisor all of it, a partner's key what `sees` lets it."""
        return self.may("supervisor") or (self.partner_id is not None and self.agent_id is None)

    def enters(self, needs: Collection[str]) -> bool:
        """Whether it has one of these scopes: those of a key, or by their kind `agent` (of the house), `partner agent` and
        `partner` (a partner's key or person who is no agent).
        """
        if self.partner_id is not None:
            return ("partner" if self.agent_id is None else "partner agent") in needs
        return any(self.may(scope) for scope in needs) or ("agent" in needs and self.agent_id is not None)


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
    """Tells callers by their keys and sessions; what was revoked or ended is known for at most `cache_seconds`."""

    engine: AsyncEngine
    cache_seconds: float = CACHE_SECONDS
    _cache: dict[bytes, tuple[float, Caller | None]] = field(default_factory=dict)

    async def caller(self, request: Request) -> Caller:
        """The caller of this request. Raises Problem 401; 403 for a browser that was led here by a foreign page."""
        token = _bearer(request)
        if token is None:
            token = _cookie(request)
            if token is None:
                raise _unauthorised("Send your API key or session as 'Authorization: Bearer …'.")
            check_origin(request)
        digest = hashlib.sha256(token.encode()).digest()
        until, caller = self._cache.get(digest, (0.0, None))
        if until <= time.monotonic():
            caller = await self._look_up(token, digest)
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[digest] = (time.monotonic() + self.cache_seconds, caller)
        if caller is None:
            raise _unauthorised("This key or session is not known, or was ended. Sign in again, or use a key that is good.")
        return caller

    def forget(self, session_id: str) -> None:
        """Know a session no longer here, which was ended here. Other processes forget it within `cache_seconds`."""
        for digest, (_, caller) in list(self._cache.items()):
            if caller is not None and caller.session is not None and caller.session.id == session_id:
                del self._cache[digest]

    async def _look_up(self, token: str, digest: bytes) -> Caller | None:
        async with db.transaction(self.engine) as conn:
            if token.startswith(sessions.PREFIX):
                session = await sessions.use(conn, digest)
                return _of_session(session) if session is not None else None
            rows = await db.fetch(conn, KEY, digest)
        if not rows:
            return None
        [(key_id, scopes, partners)] = rows
        return Caller(key_id, frozenset(scopes), _partner(scopes, partners))


def _of_session(session: Session) -> Caller:
    partner_id = _partner(session.scopes, session.partners)
    return Caller(f"person:{session.login}", frozenset(session.scopes), partner_id, session)


def _partner(scopes: Iterable[str], of_agents: Collection[str]) -> str | None:
    """Whose it is. One partner is all that anything may be of; of two it sees nothing, for no id holds a comma."""
    partners = {*of_agents, *(scope.removeprefix(PARTNER) for scope in scopes if scope.startswith(PARTNER))}
    return ",".join(sorted(partners)) or None


def _bearer(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _cookie(request: Request) -> str | None:
    """The session of a browser. The cookie without the prefix could come from elsewhere, so it counts on this machine only."""
    given = request.cookies.get(COOKIE)
    if given is None and request.url.hostname in LOOPBACK:
        given = request.cookies.get(LOOPBACK_COOKIE)
    return given if given is not None and given.startswith(sessions.PREFIX) else None


def check_origin(request: Request) -> None:
    """Refuse what a page of somebody else has a browser do in the name of whoever is signed in there. Raises Problem 403.

    Browsers say which page it was with all that is no plain reading: https://fetch.spec.whatwg.org/#origin-header
    """
    if request.method in HARMLESS:
        return
    origin = request.headers.get("origin")
    if origin is not None:
        ours = origin.partition("://")[2].lower() == request.headers.get("host", "").lower()
    else:
        ours = request.headers.get("sec-fetch-site") == "same-origin"
    if not ours:
        detail = "A session in a cookie changes things from our own pages only. Send it as 'Authorization: Bearer …'."
        raise Problem(403, "foreign-origin", detail)


def requires(*scopes: str) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller, who must have one of `scopes` (see `Caller.enters`). Nothing: whoever is known."""

    async def dependency(request: Request) -> Caller:
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.caller(request)
        if scopes and not caller.enters(scopes):
            raise Problem(403, "forbidden", f"This needs one of: {', '.join(scopes)}.")
        return caller

    dependency.needs = scopes  # type: ignore[attr-defined]  # a test asks every route for it
    return dependency


async def still_known(request: Request) -> bool:
    """Whether a stream may go on: its key is not revoked, and its session, which lasts on by this, has not ended."""
    try:
        await request.app.state.authenticator.caller(request)
    except Problem:
        return False
    except db.DatabaseAway:
        return True  # nobody can tell; what streams tell comes from the same database
    return True


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unauthorised", detail, headers={"WWW-Authenticate": "Bearer"})


def check_scopes(scopes: Collection[str]) -> None:
    """Refuse scopes that are none, and a partner's together with what is over the house. Raises WrongScopes."""
    wrong = next((scope for scope in scopes if not SCOPE.fullmatch(scope)), None)
    if wrong is not None:
        raise WrongScopes(f"'{wrong}' is no scope: use {SCOPES}")
    partners = [scope for scope in scopes if scope.startswith(PARTNER)]
    besides = [scope for scope in scopes if not scope.startswith((PARTNER, "agent:"))]
    if len(partners) > 1 or (partners and besides):
        raise WrongScopes(f"{partners[0]} goes with one agent:<id> only")


async def create_key(conn: AsyncConnection, key_id: str, name: str, scopes: tuple[str, ...], by: str = "operator") -> str:
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
    await audit.note(conn, "key.made", by, key_id, " ".join(scopes))
    return key


async def revoke_key(conn: AsyncConnection, key_id: str, by: str = "operator") -> bool:
    """Revoke a key. False when there is no such one."""
    result = await conn.execute(
        sa.text("UPDATE auth.api_key SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL"), {"id": key_id}
    )
    if result.rowcount == 1:
        await audit.note(conn, "key.revoked", by, key_id)
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


async def note_agents(conn: AsyncConnection, agents: Collection[tuple[str, str | None, bool]]) -> None:
    """Remember whose agents these are (id, partner, whether active), for whoever comes in as such; the sessions of those who are
    no longer active end.
    """
    rows = sorted(agents, key=lambda agent: agent[0])
    await db.fetch(
        conn,
        "INSERT INTO auth.agent (id, partner_id, active) SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[])"
        " ON CONFLICT (id) DO UPDATE SET partner_id = excluded.partner_id, active = excluded.active",
        [agent_id for agent_id, *_ in rows],
        [partner_id for _, partner_id, _ in rows],
        [active for *_, active in rows],
    )
    for agent_id, _, active in rows:
        if not active:
            await sessions.end_of_agent(conn, agent_id)
