"""Whether a person who was erased is really gone: looks into every column of every schema that can hold words or bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db

SCAN_SECONDS = 600
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows of one column in which one of the strings stands; `needle` counts from 1, so that nothing repeats the string."""

    column: str
    needle: int
    rows: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can hold words: of text, JSON, an array, an address, or bytes."""

    schema: str
    table: str
    name: str
    is_bytes: bool

    @property
    def label(self) -> str:
        """As an operator names it."""
        return f"{self.schema}.{self.table}.{self.name}"


async def find_traces(engine: AsyncEngine, needles: Sequence[str]) -> list[Trace]:
    """Where the strings stand, whatever the case of their letters. Reads every table once; SCAN_SECONDS at most for each.

    Not found is what was stored compressed or encrypted, or written in another way than the string.
    """
    async with db.transaction(engine) as conn:
        await conn.execute(sa.text(f"SET LOCAL statement_timeout = '{SCAN_SECONDS}s'"))
        tables: dict[tuple[str, str], list[Column]] = {}
        for column in await _columns(conn):
            tables.setdefault((column.schema, column.table), []).append(column)
        found = []
        for columns in tables.values():
            found += await _search(conn, columns, needles)
        return found


async def live_keys(engine: AsyncEngine, customer_ids: Sequence[str]) -> list[str]:
    """Which of these customers have a key that was not destroyed."""
    statement = sa.text(
        "SELECT customer_id FROM keys.customer_key WHERE customer_id = ANY(:ids) AND wrapped IS NOT NULL ORDER BY 1"
    )
    async with db.transaction(engine) as conn:
        return list((await conn.execute(statement, {"ids": list(customer_ids)})).scalars())


async def _columns(conn: AsyncConnection) -> list[Column]:
    rows = await conn.execute(
        sa.text(
            """
            SELECT n.nspname, c.relname, a.attname, t.typname = 'bytea' AS is_bytes
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            JOIN pg_type t ON t.oid = a.atttypid
            WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND t.typcategory NOT IN ('B', 'D', 'E', 'N', 'T')
              AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
            ORDER BY 1, 2, a.attnum
            """
        )
    )
    return [Column(row.nspname, row.relname, row.attname, row.is_bytes) for row in rows]


async def _search(conn: AsyncConnection, columns: Sequence[Column], needles: Sequence[str]) -> list[Trace]:
    """One pass over one table."""
    cells = [(column, number) for column in columns for number in range(len(needles))]
    counts = ", ".join(f"count(*) FILTER (WHERE {_holds(column, number)})" for column, number in cells)
    first = columns[0]
    values = {f"n{number}": _spellings(needle) for number, needle in enumerate(needles)}
    row = (await conn.execute(sa.text(f"SELECT {counts} FROM {_quoted(first.schema)}.{_quoted(first.table)}"), values)).one()
    return [Trace(column.label, number + 1, rows) for (column, number), rows in zip(cells, row, strict=True) if rows]


def _holds(column: Column, number: int) -> str:
    cell = f"lower({_quoted(column.name)}::text)"
    word = "lower(w)"
    if column.is_bytes:  # escape format keeps ASCII letters as they are, so that their case can be ignored
        cell = f"lower(encode({_quoted(column.name)}, 'escape'))"
        word = "lower(encode(convert_to(w, 'UTF8'), 'escape'))"
    return f"EXISTS (SELECT FROM unnest(CAST(:n{number} AS text[])) w WHERE position({word} IN {cell}) > 0)"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""').replace(":", "\\:")
    return f'"{escaped}"'


def _spellings(needle: str) -> list[str]:
    """As it is, in small and capital letters (a database may know only those of ASCII), and as JSON that is all ASCII has it."""
    plain = {needle, needle.lower(), needle.upper()}
    return sorted(plain | {json.dumps(word)[1:-1] for word in plain})
