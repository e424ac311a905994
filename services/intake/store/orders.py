"""What customers ordered, as other systems tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import db
from shared.events.people import OrderRecorded

_orders = msgspec.json.Decoder(OrderRecorded)

PUT_ORDER = """
    INSERT INTO intake.customer_order (customer_id, order_id, version, said) VALUES ($1, $2, $3::integer, $4::text::jsonb)
    ON CONFLICT (customer_id, order_id) DO UPDATE SET version = excluded.version, said = excluded.said
    """
ORDER = """
    SELECT customer_id, version, said::text AS said FROM intake.customer_order
    WHERE customer_id = ANY($1::text[]) AND order_id = $2 ORDER BY array_position($1::text[], customer_id) LIMIT 1
    """
ORDERS = """
    SELECT version, said::text AS said FROM intake.customer_order WHERE customer_id = ANY($1::text[]) AND order_id > $2
    ORDER BY order_id LIMIT $3::integer
    """


class Stored(NamedTuple):
    """An order, and under which id it was said."""

    customer_id: str
    version: int
    order: OrderRecorded


async def put(conn: AsyncConnection, customer_id: str, version: int, order: OrderRecorded) -> None:
    """An order as it stands now."""
    await db.fetch(conn, PUT_ORDER, customer_id, order.order_id, version, msgspec.json.encode(order).decode())


async def one(conn: AsyncConnection, customer_ids: Sequence[str], order_id: str) -> Stored | None:
    """An order, of the first of these ids that has one of this id."""
    rows = await db.fetch(conn, ORDER, list(customer_ids), order_id)
    return Stored(rows[0]["customer_id"], rows[0]["version"], _orders.decode(rows[0]["said"])) if rows else None


async def page(conn: AsyncConnection, customer_ids: Sequence[str], after: str, limit: int) -> list[tuple[int, OrderRecorded]]:
    """Orders of these, by their ids."""
    return [(version, _orders.decode(said)) for version, said in await db.fetch(conn, ORDERS, list(customer_ids), after, limit)]
