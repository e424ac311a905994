"""Numbers that refuse messages, where not their owner said so to us; a line in all forms of its number."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import numbers
from services.intake.domain.contacts import Handle
from shared import db
from shared.events.base import Channel

WITHDRAW = """
    UPDATE intake.handle SET refuses = array_append(refuses, $2::text)
    WHERE kind = 'phone' AND scope = '' AND value = ANY($1::text[]) AND NOT $2::text = ANY(refuses)
    RETURNING customer_id, coalesce(origin, customer_id)
    """
# A form of a number that is new to us refuses what the other form refuses.
REFUSE_ALIKE = """
    UPDATE intake.handle h SET refuses = o.refuses
    FROM unnest($1::text[], $2::text[]) AS w(value, other)
    JOIN intake.handle o ON o.kind = 'phone' AND o.scope = '' AND o.value = w.other AND o.refuses <> '{}'
    WHERE h.kind = 'phone' AND h.scope = '' AND h.value = w.value AND h.customer_id = o.customer_id
    """


async def withdraw(conn: AsyncConnection, number: str, channel: Channel) -> tuple[str, str] | None:
    """Nothing may go to this number on this channel any more. Returns whose it is, and whose it was before they were merged; None
    where it was known, or nobody is.
    """
    forms = [form.value for form in numbers.forms(Handle("phone", number))]
    rows = await db.fetch(conn, WITHDRAW, forms, channel)
    return (rows[0][0], rows[0][1]) if rows else None


async def refuse_alike(conn: AsyncConnection, handles: Iterable[Handle]) -> None:
    """These handles were just made: of another form of a known number nothing may go to one where nothing may go to the other."""
    both = [(handle.value, form.value) for handle in handles for form in numbers.forms(handle)[1:]]
    if both:
        await db.fetch(conn, REFUSE_ALIKE, *zip(*both, strict=True))
