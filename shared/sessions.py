"""Sessions of people: `ps_<secret>`, kept as SHA-256 (the secret has 256 random bits), good while they are used and no longer
than their absolute end. One that was ended is gone, and known to other processes for at most `auth.CACHE_SECONDS`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import audit, db

PREFIX = "ps_"
MOST = 20  # of one person: the oldest ends when one more begins
Way = Literal["password", "oidc"]

# Whoever is let in by an agent's scope is a partner's where that agent is, whatever else the scopes say.
PARTNERS = """
    ARRAY(SELECT DISTINCT a.partner_id FROM auth.agent a WHERE a.partner_id IS NOT NULL
        AND a.id IN (SELECT substr(scope, 7) FROM unnest({scopes}) scope WHERE starts_with(scope, 'agent:')))
"""
# A use lets it last on: written when a tenth of the time is over, so that most uses write nothing.
USE = f"""
    WITH found AS (
        SELECT s.id, s.login, p.name, s.scopes, s.way, s.idle_seconds, s.good_until, s.ends_at,
            {PARTNERS.format(scopes="s.scopes")} AS partners
        FROM auth.session s JOIN auth.person p USING (login)
        WHERE s.hash = $1 AND s.good_until > clock_timestamp() AND NOT p.disabled
    ), lasting AS (
        UPDATE auth.session s
        SET good_until = least(s.ends_at, clock_timestamp() + make_interval(secs => s.idle_seconds)) FROM found f
        WHERE s.hash = $1 AND f.good_until < f.ends_at
            AND f.good_until < clock_timestamp() + make_interval(secs => 0.9 * f.idle_seconds)
    )
    SELECT id, login, name, scopes, partners, way, ends_at FROM found
"""
BEGIN = """
    WITH room AS (
        DELETE FROM auth.session WHERE hash IN (
            SELECT hash FROM auth.session WHERE login = $3 ORDER BY begun_at DESC, id OFFSET $8::integer)
    )
    INSERT INTO auth.session (hash, id, login, scopes, way, idle_seconds, good_until, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6::integer, now() + make_interval(secs => least($6::integer, $7::integer)),
        now() + make_interval(secs => $7::integer))
    RETURNING good_until, ends_at
"""
END_OF_AGENT = (
    "DELETE FROM auth.session WHERE login IN (SELECT login FROM auth.person WHERE $1 = ANY(scopes)) OR $1 = ANY(scopes)"
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good: whose, and what it may do. `partners` are those that its agents belong to."""

    id: str
    login: str
    name: str
    scopes: tuple[str, ...]
    partners: tuple[str, ...]
    way: Way
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    """A new session. Its token can never be read again; unused it is good until `good_until`, used until `ends_at`."""

    token: str
    id: str
    good_until: datetime
    ends_at: datetime


async def use(conn: AsyncConnection, digest: bytes) -> Session | None:
    """The session of a token's SHA-256, which lasts on by this; None for one that is unknown, over, or ended."""
    rows = await db.fetch(conn, USE, digest)
    if not rows:
        return None
    [(session_id, login, name, scopes, partners, way, ends_at)] = rows
    return Session(session_id, login, name, tuple(scopes), tuple(partners), way, ends_at)


async def begin(
    conn: AsyncConnection, login: str, scopes: tuple[str, ...], way: Way, idle_seconds: int, longest_seconds: int
) -> Begun:
    """A session of this person, who has shown who they are."""
    token, session_id = PREFIX + secrets.token_urlsafe(32), secrets.token_hex(8)
    digest = hashlib.sha256(token.encode()).digest()
    values = digest, session_id, login, list(scopes), way, idle_seconds, longest_seconds, MOST - 1
    [(good_until, ends_at)] = await db.fetch(conn, BEGIN, *values)
    await audit.note(conn, "sign_in.done", f"person:{login}", login, f"{way} {session_id}")
    return Begun(token, session_id, good_until, ends_at)


async def end(conn: AsyncConnection, session_id: str, by: str) -> None:
    """Sign out. Doing it again changes nothing."""
    for (login,) in await db.fetch(conn, "DELETE FROM auth.session WHERE id = $1 RETURNING login", session_id):
        await audit.note(conn, "session.ended", by, login, session_id)


async def end_all(conn: AsyncConnection, login: str, but: str = "") -> None:
    """End all sessions of a person, except one."""
    await db.fetch(conn, "DELETE FROM auth.session WHERE login = $1 AND id <> $2", login, but)


async def end_of_agent(conn: AsyncConnection, agent_id: str) -> None:
    """End all sessions in which somebody is this agent."""
    await db.fetch(conn, END_OF_AGENT, f"agent:{agent_id}")


async def forget_over(conn: AsyncConnection) -> None:
    """Delete what is over, so many at a time as a transaction can."""
    statement = (
        "DELETE FROM auth.session WHERE hash IN (SELECT hash FROM auth.session WHERE good_until < now()"
        " ORDER BY hash LIMIT 10000 FOR UPDATE SKIP LOCKED)"
    )
    await db.fetch(conn, statement)
