"""Customers and how they can be reached, written back from the log. Set-based, and harmless when it is done twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import name_hash
from services.intake.recalled_ticket import Written
from services.intake.store import customers
from shared.db import execute_many
from shared.events.base import derived_id

CUSTOMERS = sa.text(
    """
    INSERT INTO intake.customer (id, language, created_at)
    SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:languages AS text[]), CAST(:times AS timestamptz[])) ON CONFLICT DO NOTHING
    RETURNING id
    """
)
HANDLES = sa.text(
    """
    INSERT INTO intake.handle (kind, scope, value, id, customer_id, name_hash, verified_by)
    SELECT DISTINCT ON (kind, scope, value) kind, scope, value, id, owner, called, verified_by
    FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]), CAST(:values AS text[]), CAST(:handle_ids AS text[]),
                CAST(:owners AS text[]), CAST(:names AS bigint[]), CAST(:verified AS text[]))
        WITH ORDINALITY AS w(kind, scope, value, id, owner, called, verified_by, n)
    ORDER BY kind, scope, value, (called IS NULL), n DESC
    ON CONFLICT (kind, scope, value) DO UPDATE SET name_hash = excluded.name_hash WHERE excluded.name_hash IS NOT NULL
    RETURNING id
    """
)
CALLED = sa.text(
    """
    UPDATE intake.handle h SET name_hash = w.called
    FROM (SELECT DISTINCT ON (kind, scope, value) * FROM unnest(CAST(:kinds AS text[]), CAST(:scopes AS text[]),
              CAST(:values AS text[]), CAST(:owners AS text[]), CAST(:names AS bigint[]))
              WITH ORDINALITY AS w(kind, scope, value, owner, called, n)
          ORDER BY kind, scope, value, n DESC) w
    WHERE (h.kind, h.scope, h.value, h.customer_id) = (w.kind, w.scope, w.value, w.owner)
    """
)
REFUSES = sa.text(
    """
    UPDATE intake.handle h
    SET refuses = array_remove(h.refuses, CAST(:channel AS text))
        || CASE WHEN :given THEN '{}' ELSE ARRAY[CAST(:channel AS text)] END
    WHERE h.customer_id = :customer_id AND h.scope = :scope AND h.value = ANY(:forms)
    """
)


class Consent(NamedTuple):
    """Whether messages may come to an address or number of a customer on a channel."""

    customer_id: str
    scope: str
    value: str
    channel: str
    given: bool


class Person(NamedTuple):
    """A customer to write, where there is none of this id."""

    customer_id: str
    language: str
    at: datetime


class Reached(NamedTuple):
    """A way to reach a customer. `called`: who wrote from it last, as `identity.name_hash` has it. `verified_by`: where that
    is said of the handle by itself.
    """

    kind: str
    scope: str
    value: str
    handle_id: str
    customer_id: str
    called: int | None = None
    verified_by: str | None = None


async def insert(conn: AsyncConnection, persons: Sequence[Person]) -> set[str]:
    """Customers, where they are not there. Returns the ids of those."""
    if not persons:
        return set()
    made = await execute_many(
        conn,
        CUSTOMERS,
        ids=[person.customer_id for person in persons],
        languages=[person.language for person in persons],
        times=[person.at for person in persons],
    )
    return {str(row[0]) for row in made}


async def called(conn: AsyncConnection, handles: Sequence[Reached]) -> None:
    """By what names people wrote from handles that they still have, the last one last."""
    named = [handle for handle in handles if handle.called is not None]
    if named:
        await execute_many(
            conn,
            CALLED,
            kinds=[handle.kind for handle in named],
            scopes=[handle.scope for handle in named],
            values=[handle.value for handle in named],
            owners=[handle.customer_id for handle in named],
            names=[handle.called for handle in named],
        )


async def reach(conn: AsyncConnection, handles: Sequence[Reached]) -> list[Reached]:
    """Customers' handles, where they are not there. Returns those that were, under whatever id."""
    if not handles:
        return []
    columns = zip(*handles, strict=True)
    names = ("kinds", "scopes", "values", "handle_ids", "owners", "names", "verified")
    made = {str(row[0]) for row in await execute_many(conn, HANDLES, **dict(zip(names, columns, strict=True)))}
    return [handle for handle in handles if handle.handle_id not in made]


async def reach_again(conn: AsyncConnection, handles: Sequence[Reached]) -> None:
    """Handles that were somebody else's when they were read, and are nobody's now; of whoever their customer goes on as."""
    onward = await customers.onward_all(conn, {handle.customer_id for handle in handles})
    await reach(conn, [handle._replace(customer_id=onward[handle.customer_id]) for handle in handles])


async def consents(conn: AsyncConnection, told: Sequence[Consent]) -> None:
    """Which handles of a person refuse messages, in the order in which it was said."""
    for one in told:
        forms = [form.value for form in numbers.forms(Handle("phone", one.value, one.scope))]
        await conn.execute(REFUSES, {**one._asdict(), "forms": forms})


def handle_of(told: Written) -> Reached | None:
    """How the writer of a message can be reached; None when it is not known any more."""
    sealed = told.told
    if not sealed.handle_kind:
        return None
    handle_id = derived_id("handle", told.fact.message_id)
    called = name_hash(sealed.name) if sealed.handle_kind == "phone" else None
    return Reached(sealed.handle_kind, sealed.handle_scope, sealed.handle, handle_id, told.fact.customer_id, called)
