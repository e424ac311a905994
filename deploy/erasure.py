"""Whether a person who was erased is really gone: looks into every column of every schema that can hold words or bytes."""

from __future__ import annotations

import base64
import json
import quopri
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import db
from shared.words import words_of

SCAN_SECONDS = 600
SHORTEST = 3
SHORTEST_IN_BASE64 = 6  # characters of it: fewer stand in it by chance


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows of one column in which one of the strings stands; `needle` counts from 1, so that nothing repeats the string."""

    column: str
    needle: int
    rows: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can hold words: of text, JSON, an array, an address, or bytes; or of folded words that texts are found by."""

    schema: str
    table: str
    name: str
    is_bytes: bool
    is_index: bool = False

    @property
    def label(self) -> str:
        """As an operator names it."""
        return f"{self.schema}.{self.table}.{self.name}"


async def find_traces(engine: AsyncEngine, needles: Sequence[str]) -> list[Trace]:
    """Where the strings stand, whatever the case of their letters. Reads every table once; SCAN_SECONDS at most for each.

    In bytes they are found as mails and forms write them, too: in base64, quoted-printable, percent-encoded, over the ends of
    lines. Not found is what was stored compressed or encrypted, and in base64 a string so short that it stands there by chance.
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
            SELECT n.nspname, c.relname, a.attname, t.typname = 'bytea' AS is_bytes, t.typname = 'tsvector' AS is_index
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            JOIN pg_type t ON t.oid = a.atttypid
            WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND t.typcategory NOT IN ('B', 'D', 'E', 'N', 'T')
              AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
            ORDER BY 1, 2, a.attnum
            """
        )
    )
    return [Column(row.nspname, row.relname, row.attname, row.is_bytes, row.is_index) for row in rows]


async def _search(conn: AsyncConnection, columns: Sequence[Column], needles: Sequence[str]) -> list[Trace]:
    """One pass over one table."""
    forms = [(f"c{n}_{form}", sql) for n, column in enumerate(columns) for form, sql in _forms(column).items()]
    cells = ", ".join(f"{sql} AS {name}" for name, sql in forms)
    asked = [(n, column, number) for n, column in enumerate(columns) for number in range(len(needles))]
    counts = ", ".join(f"count(*) FILTER (WHERE {_holds(f'c{n}', column, number)})" for n, column, number in asked)
    table = f"{_quoted(columns[0].schema)}.{_quoted(columns[0].table)}"
    values: dict[str, list[str]] = {}
    for number, needle in enumerate(needles):
        values |= {f"n{number}": spellings(needle), f"e{number}": encoded(needle), f"b{number}": in_base64(needle)}
        values |= {f"w{number}": _folded(needle)}
    # OFFSET 0: each cell is turned into text once, however many strings are looked for.
    statement = sa.text(f"SELECT {counts} FROM (SELECT {cells} FROM {table} OFFSET 0) cells")
    used = "n" + "eb" * any(column.is_bytes for column in columns) + "w" * any(column.is_index for column in columns)
    values = {name: value for name, value in values.items() if name.startswith(tuple(used))}
    row = (await conn.execute(statement, values)).one()
    return [Trace(column.label, number + 1, rows) for (_, column, number), rows in zip(asked, row, strict=True) if rows]


def _forms(column: Column) -> dict[str, str]:
    """What is searched of a cell, by name: the escape format of bytes keeps ASCII letters as they are, so that their case can be
    ignored; base64 and quoted-printable go on over the ends of lines.
    """
    if column.is_index:
        return {"words": f"tsvector_to_array({_quoted(column.name)})"}
    if not column.is_bytes:
        return {"text": f"lower({_quoted(column.name)}::text)"}
    text = f"encode({_quoted(column.name)}, 'escape')"
    joined = f"regexp_replace({text}, E'=?\\r?\\n', '', 'g')"
    return {"text": f"lower({text})", "joined": joined, "low": f"lower({joined})"}


def _holds(cell: str, column: Column, number: int) -> str:
    if column.is_index:
        words = f"CAST(:w{number} AS text[])"
        return f"cardinality({words}) > 0 AND {words} <@ {cell}_words"
    plain = f"CAST(:n{number} AS text[])) w WHERE"
    if not column.is_bytes:
        return f"EXISTS (SELECT FROM unnest({plain} position(lower(w) IN {cell}_text) > 0)"
    ways = (
        f"{plain} position(lower(encode(convert_to(w, 'UTF8'), 'escape')) IN {cell}_text) > 0",
        f"CAST(:e{number} AS text[])) w WHERE position(lower(w) IN {cell}_low) > 0",
        f"CAST(:b{number} AS text[])) w WHERE position(w IN {cell}_joined) > 0",
    )
    return " OR ".join(f"EXISTS (SELECT FROM unnest({way})" for way in ways)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""').replace(":", "\\:")
    return f'"{escaped}"'


def spellings(needle: str) -> list[str]:
    """As it is, in small and capital letters (a database may know only those of ASCII), and as JSON that is all ASCII has it."""
    plain = {needle, needle.lower(), needle.upper()}
    return sorted(plain | {json.dumps(word)[1:-1] for word in plain})


def _folded(needle: str) -> list[str]:
    """Its words as an index has them: apart, and in the form in which they are compared."""
    return [word.rstrip("*") for word in words_of(needle)]


def encoded(needle: str) -> list[str]:
    """Quoted-printable and percent-encoded, as mails and forms have it."""
    printable = quopri.encodestring(needle.encode()).decode().replace("=\n", "")
    return sorted({printable, printable.replace(" ", "_"), quote(needle, safe=""), quote_plus(needle)})


def in_base64(needle: str) -> list[str]:
    """The characters that the string alone decides, for each of the three places at which it may begin."""
    found = set()
    for word in {needle, needle.lower(), needle.upper()}:
        raw = word.encode()
        for before in range(3):
            whole = base64.b64encode(bytes(before) + raw).decode()
            found.add(whole[(0, 2, 3)[before] : (before + len(raw)) * 8 // 6])
    return sorted(word for word in found if len(word) >= SHORTEST_IN_BASE64)
