"""The service's only SQL. Never commits.

`schema` is `metrics`, or the schema of a rebuild that goes on beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.metrics.domain.agents import Agent, Named
from services.metrics.domain.cells import NOW_HOUR, Changes, Dims, Measure, dims_id
from services.metrics.domain.figures import Bounds, Summed
from services.metrics.domain.folding import AnyState, Folded, changes
from services.metrics.domain.promises import Breaches, Clocks, Warnings
from services.metrics.domain.story import Story
from services.metrics.handlers import HANDLERS, Handler
from shared import db
from shared.events.base import Event, Fact
from shared.events.topics import AGENTS, CONFIG, SLA_BREACHES, SLA_CLOCKS, SLA_WARNINGS, TICKETS, Topic
from shared.folding import Loaded

SCHEMA = "metrics"
_DIMENSIONS = ", ".join(Dims._fields)
_encode = msgspec.json.Encoder().encode

LOAD = "SELECT key, state FROM {schema}.fold WHERE kind = $1 AND key = ANY($2::text[])"
# Answers with the cells that came to nothing, and with dimensions (no measure) that are not known yet.
BOOK = """
    WITH folded AS (
        INSERT INTO {schema}.fold (kind, key, state) SELECT $1, * FROM unnest($2::text[], $3::bytea[])
        ON CONFLICT (kind, key) DO UPDATE SET state = excluded.state
    ), added AS (
        INSERT INTO {schema}.cell AS c (measure, hour, dims, bin, n, total_us)
        SELECT * FROM unnest($4::text[], $5::integer[], $6::uuid[], $7::integer[], $8::bigint[], $9::bigint[])
        ON CONFLICT (measure, hour, dims, bin) DO UPDATE SET n = c.n + excluded.n, total_us = c.total_us + excluded.total_us
        RETURNING measure, hour, dims, bin, n, total_us
    )
    SELECT measure, hour, dims, bin FROM added WHERE n = 0 AND total_us = 0
    UNION ALL
    SELECT NULL, NULL, w.id, NULL FROM unnest($10::uuid[]) AS w(id)
    WHERE NOT EXISTS (SELECT FROM {schema}.dims d WHERE d.id = w.id)
"""
ADD_DIMS = (
    f"INSERT INTO {{schema}}.dims (id, {_DIMENSIONS}) SELECT * FROM unnest($1::uuid[], "
    + ", ".join(f"${number}::text[]" for number in range(2, 2 + len(Dims._fields)))
    + ") ON CONFLICT DO NOTHING"
)
SWEEP = """
    DELETE FROM {schema}.cell c
    USING unnest($1::text[], $2::integer[], $3::uuid[], $4::integer[]) AS w(measure, hour, dims, bin)
    WHERE (c.measure, c.hour, c.dims, c.bin) = (w.measure, w.hour, w.dims, w.bin) AND c.n = 0 AND c.total_us = 0
"""


@dataclass(slots=True)
class FoldProjection:
    """The folds of one topic. A partition has one reader at a time, so the rows need no lock of their own."""

    topic: Topic
    shape: type[AnyState]
    schema: str = SCHEMA
    handlers: Mapping[type[Fact], Handler] = field(default_factory=lambda: HANDLERS)

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Folded[Any]]:
        """The fold of every key among the events; an empty one where nothing was told yet."""
        keys = sorted({event.key for event in events})
        empty: Any = self.shape()
        decode = _decoder(self.shape).decode
        states = dict.fromkeys(keys, Folded(empty, empty))
        for key, raw in await db.fetch(conn, _said(LOAD, self.schema), self.topic.name, keys):
            state: Any = decode(raw)
            states[key] = Folded(state, state)
        return Loaded(states, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Folded[Any]], _now: datetime) -> None:
        """Write the folds that changed, and add to the cells what they changed by."""
        changed = [(key, _encode(one.state)) for key, one in sorted(states.items()) if one.state is not one.before]
        await book(conn, self.schema, self.topic.name, changed, changes(states.values()))


@cache
def _said(statement: str, schema: str) -> str:
    """The statement for one schema: the same object each time, so that it is prepared once."""
    return statement.format(schema=schema)


@cache
def _decoder(shape: type[AnyState]) -> msgspec.json.Decoder[AnyState]:
    return msgspec.json.Decoder(shape)


def projections(schema: str = SCHEMA) -> tuple[FoldProjection, ...]:
    """The topics that are folded. Their order within a batch does not matter for the figures."""
    return (
        FoldProjection(CONFIG, Named, schema),
        FoldProjection(AGENTS, Agent, schema),
        FoldProjection(TICKETS, Story, schema),
        FoldProjection(SLA_CLOCKS, Clocks, schema),
        FoldProjection(SLA_WARNINGS, Warnings, schema),
        FoldProjection(SLA_BREACHES, Breaches, schema),
    )


async def book(conn: AsyncConnection, schema: str, kind: str, folds: Sequence[tuple[str, bytes]], booked: Changes) -> None:
    """Write the folds, and add the changes to the cells, in the order of their keys so that two writers never wait for each
    other in a circle. Rows that come to nothing are deleted: what was taken back leaves no trace.
    """
    if not booked and not folds:
        return
    named = {cell.dims: dims_id(cell.dims) for cell in booked}
    rows = sorted((measure, hour, named[dims], number, n, us) for (measure, hour, dims, number), (n, us) in booked.items())
    answers = await db.fetch(
        conn,
        _said(BOOK, schema),
        kind,
        *_columns(2, folds),
        *_columns(6, rows),
        list(named.values()),
    )
    if answers:
        unknown = {row[2] for row in answers if row[0] is None}
        await _add_dims(conn, schema, {one: identity for one, identity in named.items() if identity in unknown})
        await _sweep(conn, schema, [tuple(row) for row in answers if row[0] is not None])


async def _add_dims(conn: AsyncConnection, schema: str, named: Mapping[Dims, UUID]) -> None:
    if not named:
        return
    # PostgreSQL's text holds no NUL, and one odd label must not stop the partition.
    rows = sorted((identity, *(value.replace("\x00", "\ufffd") for value in one)) for one, identity in named.items())
    await db.fetch(conn, _said(ADD_DIMS, schema), *_columns(1 + len(Dims._fields), rows))


async def _sweep(conn: AsyncConnection, schema: str, empty: Sequence[tuple[object, ...]]) -> None:
    if empty:
        await db.fetch(conn, _said(SWEEP, schema), *_columns(4, empty))


def _columns(width: int, rows: Sequence[tuple[object, ...]]) -> list[Sequence[object]]:
    """Rows as the arrays that a statement unnests."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


async def sums(
    conn: AsyncConnection,
    measures: Sequence[Measure],
    bounds: Bounds,
    group_by: Sequence[str],
    filters: Mapping[str, Sequence[str]],
    *,
    with_bins: bool,
) -> list[Summed]:
    """The sums of the measures per period, group and (if asked) bin. What is before the first period has period -1."""
    grouped = "".join(f", d.{name}" for name in group_by)
    conditions = "".join(f" AND d.{name} = ANY(:filter_{name})" for name in filters)
    number = "c.bin" if with_bins else "0"
    rows = await conn.execute(
        sa.text(
            f"""
            SELECT c.measure, width_bucket(c.hour, CAST(:starts AS integer[])) - 1 AS period, {number} AS bin,
                   sum(c.n)::bigint AS n, sum(c.total_us)::bigint AS total_us{grouped}
            FROM {SCHEMA}.cell c JOIN {SCHEMA}.dims d ON d.id = c.dims
            WHERE c.measure = ANY(:measures) AND c.hour >= :first AND c.hour < :end{conditions}
            GROUP BY 1, 2, 3{grouped}
            """
        ),
        {
            "measures": list(measures),
            "starts": list(bounds.starts),
            "first": bounds.first,
            "end": bounds.end,
            **{f"filter_{name}": list(values) for name, values in filters.items()},
        },
    )
    return [Summed(row[0], row[1], row[2], row[3], row[4], tuple(row[5:])) for row in rows]


async def standing_now(conn: AsyncConnection, measures: Sequence[Measure]) -> list[tuple[Measure, Dims, int]]:
    """What stands at this moment, by measure and dimensions."""
    rows = await conn.execute(
        sa.text(
            f"SELECT c.measure, c.n, {_DIMENSIONS} FROM {SCHEMA}.cell c JOIN {SCHEMA}.dims d ON d.id = c.dims"
            " WHERE c.measure = ANY(:measures) AND c.hour = :now"
        ),
        {"measures": list(measures), "now": NOW_HOUR},
    )
    return [(row[0], Dims(*row[2:]), row[1]) for row in rows]


async def as_of(conn: AsyncConnection) -> datetime | None:
    """The time of the newest record that the figures contain; None while there is none."""
    return (await conn.execute(sa.text(f"SELECT max(record_time) FROM {SCHEMA}.consumer_offset"))).scalar_one()  # type: ignore[no-any-return]


async def names(conn: AsyncConnection) -> dict[str, dict[str, str]]:
    """The names of queues, teams, agents …, by `kind:id` and language."""
    rows = await conn.execute(sa.text(f"SELECT key, state FROM {SCHEMA}.fold WHERE kind = :kind"), {"kind": CONFIG.name})
    return {row.key: msgspec.json.decode(row.state, type=Named).names for row in rows}
