"""`Idempotency-Key`: the same key and body get the same answer; stored in the command's own transaction.

Draft: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ (a key used again with another body is 422).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Annotated

import sqlalchemy as sa
from fastapi import Header, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.http import FieldError, Problem

KEEP_HOURS = 24
MAX_KEY = 255
LOCK = """
    SELECT pg_advisory_xact_lock(number) FROM (
        SELECT DISTINCT hashtextextended(name, 0) AS number FROM unnest($1::text[]) name ORDER BY number) ordered
"""
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", description="Same key and body: same answer")]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers. `body` must hold no personal data: it is kept for KEEP_HOURS."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """As an HTTP response."""
        return Response(self.body, self.status, self.headers, "application/json")


def request_hash(operation: str, body: bytes) -> bytes:
    """What tells whether two requests are the same."""
    return hashlib.sha256(operation.encode() + b"\n" + body).digest()


def check_key(key: str) -> None:
    """Refuse a key that cannot be stored. Raises Problem 422."""
    if not key or len(key) > MAX_KEY or not key.isprintable():
        reason = f"must be 1 to {MAX_KEY} printable characters"
        raise Problem(
            422, "invalid-request", "The Idempotency-Key is not usable.", [FieldError("header.idempotency-key", reason)]
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that came with a key: who asked, and the digest of what was asked (`request_hash`)."""

    caller: str
    key: str
    digest: bytes


@dataclass(slots=True)
class Memory:
    """What was answered to the keys of one transaction's commands, and what will have been once it is committed."""

    schema: str
    _answered: dict[tuple[str, str], tuple[bytes, Answer]] = field(default_factory=dict)
    _new: list[tuple[Asked, Answer]] = field(default_factory=list)

    @classmethod
    async def of(cls, conn: AsyncConnection, schema: str, asked: Collection[Asked]) -> Memory:
        """Lock the keys until the transaction ends, in one order, and look them up."""
        if not asked:
            return cls(schema)
        await db.fetch(conn, LOCK, [f"{schema}\n{one.caller}\n{one.key}" for one in asked])
        rows = await db.fetch(
            conn,
            "SELECT scope, key, request_hash, status, CAST(headers AS text), body"
            f" FROM {schema}.idempotency_key JOIN unnest($1::text[], $2::text[]) AS asked(scope, key) USING (scope, key)",
            [one.caller for one in asked],
            [one.key for one in asked],
        )
        answered = {
            (scope, key): (digest, Answer(status, body, json.loads(headers)))
            for scope, key, digest, status, headers, body in rows
        }
        return cls(schema, answered)

    def answer(self, asked: Asked | None) -> Answer | None:
        """What was answered before, None for what is new. Raises Problem 422 when something else was asked with the key."""
        found = self._answered.get((asked.caller, asked.key)) if asked is not None else None
        if asked is None or found is None:
            return None
        digest, answer = found
        if digest != asked.digest:
            detail = "This Idempotency-Key was used with another request. Use a new key for a new request."
            raise Problem(422, "idempotency-key-reused", detail)
        return replace(answer, headers={**answer.headers, "Idempotency-Replayed": "true"})

    def note(self, asked: Asked | None, answer: Answer) -> None:
        """This is the answer; from here on to whoever asks with the key."""
        if asked is not None:
            self._answered[asked.caller, asked.key] = (asked.digest, answer)
            self._new.append((asked, answer))

    async def save(self, conn: AsyncConnection) -> None:
        """Write what was noted, one statement."""
        if self._new:
            await db.fetch(
                conn,
                f"INSERT INTO {self.schema}.idempotency_key (scope, key, request_hash, status, headers, body)"
                " SELECT scope, key, hash, status, CAST(headers AS jsonb), body FROM"
                " unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::text[], $6::bytea[])"
                " AS new(scope, key, hash, status, headers, body)",
                [asked.caller for asked, _ in self._new],
                [asked.key for asked, _ in self._new],
                [asked.digest for asked, _ in self._new],
                [answer.status for _, answer in self._new],
                [json.dumps(answer.headers) for _, answer in self._new],
                [answer.body for _, answer in self._new],
            )


async def once(
    engine: AsyncEngine,
    schema: str,
    caller: str,
    key: str | None,
    digest: bytes,
    work: Callable[[AsyncConnection], Awaitable[Answer]],
) -> Answer:
    """Do `work` in a transaction of its own; with a key, do it once and remember the answer. Raises Problem 422 on misuse."""
    asked = Asked(caller, key, digest) if key is not None else None

    async def attempt() -> Answer:
        async with db.transaction(engine) as conn:
            memory = await Memory.of(conn, schema, [asked] if asked is not None else [])
            remembered = memory.answer(asked)
            if remembered is not None:
                return remembered
            answer = await work(conn)
            memory.note(asked, answer)
            await memory.save(conn)
            return answer

    if key is not None:
        check_key(key)
    return await db.retrying(attempt)


async def forget_old(conn: AsyncConnection, schema: str) -> None:
    """Delete answers older than KEEP_HOURS (a tick of the service does this)."""
    await conn.execute(
        sa.text(f"DELETE FROM {schema}.idempotency_key WHERE created_at < now() - make_interval(hours => :hours)"),
        {"hours": KEEP_HOURS},
    )
