"""People who sign in: a login, what they may do, and by what they show who they are (schema `auth`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import audit, db, sessions

LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
COLUMNS = "login, version, name, email, subject, scopes, disabled, password IS NOT NULL"
# Who is an agent comes in as long as the agent is active; what routing has not heard of is no hindrance.
FIND = f"""
    SELECT {COLUMNS}, password, EXISTS (
        SELECT FROM auth.agent a WHERE NOT a.active
            AND a.id IN (SELECT substr(scope, 7) FROM unnest(p.scopes) scope WHERE starts_with(scope, 'agent:')))
    FROM auth.person p WHERE
"""
PUT = """
    INSERT INTO auth.person (login, version, name, email, subject, scopes, disabled) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (login) DO UPDATE SET version = excluded.version, name = excluded.name, email = excluded.email,
        subject = excluded.subject, scopes = excluded.scopes, disabled = excluded.disabled
"""

BIND = """
    UPDATE auth.person SET subject = $2 WHERE login = $1 AND (subject = $2 OR subject IS NULL AND NOT EXISTS (
        SELECT FROM auth.person WHERE subject = $2)) RETURNING 1
"""


class Taken(ValueError):
    """An address or subject that another person has; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"another person has this {field}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Person:
    """A person as listed: everything but the password."""

    login: str
    version: int
    name: str
    email: str | None
    subject: str | None
    scopes: tuple[str, ...]
    disabled: bool
    has_password: bool


@dataclass(frozen=True, slots=True)
class Known(Person):
    """A person who wants to come in. `shut_out`: disabled, or an agent who is no longer active."""

    password: str | None
    shut_out: bool


async def find(conn: AsyncConnection, login: str) -> Known | None:
    """The person of a login."""
    return await _find(conn, "login = $1", login)


async def with_email(conn: AsyncConnection, email: str) -> Known | None:
    """The person with this address, in whichever case it is written."""
    return await _find(conn, "email = $1", email.casefold())


async def with_subject(conn: AsyncConnection, subject: str) -> Known | None:
    """The person whom the provider of identities calls so."""
    return await _find(conn, "subject = $1", subject)


async def page(conn: AsyncConnection, after: str, at_most: int) -> list[Person]:
    """People with a login after the one given, in order of login."""
    statement = f"SELECT {COLUMNS} FROM auth.person WHERE login > $1 ORDER BY login LIMIT $2"
    return [_person(row) for row in await db.fetch(conn, statement, after, at_most)]


async def held(conn: AsyncConnection, login: str) -> Person | None:
    """The person as they are until the transaction ends, also when there is none yet."""
    await db.fetch(conn, "SELECT pg_advisory_xact_lock(hashtextextended('person ' || $1, 0))", login)
    rows = await db.fetch(conn, f"SELECT {COLUMNS} FROM auth.person WHERE login = $1 FOR UPDATE", login)
    return _person(rows[0]) if rows else None


async def put(conn: AsyncConnection, person: Person, before: Person | None, by: str) -> None:
    """Write a person over what is held. What they may do from now on holds at once: their sessions end. Raises Taken."""
    email = person.email.casefold() if person.email else None
    values = person.login, person.version, person.name, email, person.subject, list(person.scopes), person.disabled
    try:
        async with db.savepoint(conn):
            await db.fetch(conn, PUT, *values)
    except asyncpg.UniqueViolationError as error:
        raise Taken("subject" if "subject" in (error.constraint_name or "") else "email") from None
    if before is not None and (person.disabled or set(person.scopes) != set(before.scopes)):
        await sessions.end_all(conn, person.login)
    await audit.note(conn, "person.put", by, person.login, " ".join(("disabled",) * person.disabled + person.scopes))


async def bind(conn: AsyncConnection, login: str, subject: str) -> bool:
    """Remember whom the provider of identities means by this subject. False when it means another one by it, or by the other."""
    return bool(await db.fetch(conn, BIND, login, subject))


async def set_password(conn: AsyncConnection, login: str, hashed: str, by: str, but: str = "") -> bool:
    """Give them this password (as `passwords.hashed` made it) and end their sessions, except one. False: no such person."""
    rows = await db.fetch(conn, "UPDATE auth.person SET password = $2 WHERE login = $1 RETURNING 1", login, hashed)
    if rows:
        await sessions.end_all(conn, login, but)
        await audit.note(conn, "password.set", by, login)
    return bool(rows)


async def store_again(conn: AsyncConnection, login: str, before: str, hashed: str) -> None:
    """The same password at today's cost, unless it was changed meanwhile."""
    await db.fetch(conn, "UPDATE auth.person SET password = $3 WHERE login = $1 AND password = $2", login, before, hashed)


async def _find(conn: AsyncConnection, where: str, value: str) -> Known | None:
    rows = await db.fetch(conn, FIND + where, value)
    if not rows:
        return None
    *of_person, password, inactive = rows[0]
    login, version, name, email, subject, scopes, disabled, has_password = of_person
    return Known(
        login, version, name, email, subject, tuple(scopes), disabled, has_password, password, shut_out=disabled or inactive
    )


def _person(row: asyncpg.Record) -> Person:
    login, version, name, email, subject, scopes, disabled, has_password = row
    return Person(login, version, name, email, subject, tuple(scopes), disabled, has_password)
