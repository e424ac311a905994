"""`Idempotency-Key`: the same key and body get the same answer; stored in the command's own transaction.

Draft: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ (a key used again with another body is 422).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Header, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.http import FieldError, Problem

KEEP_HOURS = 24
MAX_KEY = 255
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


async def once(
    engine: AsyncEngine,
    schema: str,
    caller: str,
    key: str | None,
    digest: bytes,
    work: Callable[[AsyncConnection], Awaitable[Answer]],
) -> Answer:
    """Do `work` in a transaction of its own; with a key, do it once and remember the answer. Raises Problem 422 on misuse."""

    async def attempt() -> Answer:
        async with db.transaction(engine) as conn:
            if key is None:
                return await work(conn)
            remembered = await _remembered(conn, schema, caller, key, digest)
            if remembered is not None:
                return remembered
            answer = await work(conn)
            await _remember(conn, schema, caller, key, digest, answer)
            return answer

    if key is not None:
        check_key(key)
    return await db.retrying(attempt)


async def _remembered(conn: AsyncConnection, schema: str, caller: str, key: str, digest: bytes) -> Answer | None:
    lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    await conn.execute(lock, {"name": f"{schema}\n{caller}\n{key}"})
    statement = sa.text(
        f"SELECT request_hash, status, headers, body FROM {schema}.idempotency_key WHERE scope = :caller AND key = :key"
    )
    row = (await conn.execute(statement, {"caller": caller, "key": key})).one_or_none()
    if row is None:
        return None
    if row.request_hash != digest:
        detail = "This Idempotency-Key was used with another request. Use a new key for a new request."
        raise Problem(422, "idempotency-key-reused", detail)
    return Answer(row.status, row.body, {**row.headers, "Idempotency-Replayed": "true"})


async def _remember(conn: AsyncConnection, schema: str, caller: str, key: str, digest: bytes, answer: Answer) -> None:
    await conn.execute(
        sa.text(
            f"INSERT INTO {schema}.idempotency_key (scope, key, request_hash, status, headers, body)"
            " VALUES (:caller, :key, :hash, :status, CAST(:headers AS jsonb), :body)"
        ),
        {
            "caller": caller,
            "key": key,
            "hash": digest,
            "status": answer.status,
            "headers": json.dumps(answer.headers),
            "body": answer.body,
        },
    )


async def forget_old(conn: AsyncConnection, schema: str) -> None:
    """Delete answers older than KEEP_HOURS (a tick of the service does this)."""
    await conn.execute(
        sa.text(f"DELETE FROM {schema}.idempotency_key WHERE created_at < now() - make_interval(hours => :hours)"),
        {"hours": KEEP_HOURS},
    )
