"""The service's only SQL. Never commits.

`schema` is `metrics`, or the schema of a rebuild that goes on beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.metrics.domain.agents import Agent, Named
from services.metrics.domain.cells import NOW_HOUR, Cell, Changes, Dims, Measure, dims_id
from services.metrics.domain.figures import Bounds, Summed
from services.metrics.domain.folding import AnyState, Folded, changes
from services.metrics.domain.promises import Breaches, Clocks, Warnings
from services.metrics.domain.story import Story
from services.metrics.handlers import HANDLERS, Handler
from shared.events.base import Event, Fact
from shared.events.topics import AGENTS, CONFIG, SLA_BREACHES, SLA_CLOCKS, SLA_WARNINGS, TICKETS, Topic
from shared.folding import Loaded

SCHEMA = "metrics"
_DIMENSIONS = ", ".join(Dims._fields)
_encoder = msgspec.json.Encoder()


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
        rows = await conn.execute(
            sa.text(f"SELECT key, state FROM {self.schema}.fold WHERE kind = :kind AND key = ANY(:keys)"),
            {"kind": self.topic.name, "keys": keys},
        )
        known = {row.key: msgspec.json.decode(row.state, type=self.shape) for row in rows}
        empty = self.shape()
        return Loaded({key: Folded(known.get(key, empty), known.get(key, empty)) for key in keys}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Folded[Any]], _now: datetime) -> None:
        """Write the folds that changed, and add to the cells what they changed by."""
        changed = [(key, one.state) for key, one in sorted(states.items()) if one.state is not one.before]
        if changed:
            await conn.execute(
                sa.text(
                    f"INSERT INTO {self.schema}.fold (kind, key, state)"
                    " SELECT :kind, * FROM unnest(CAST(:keys AS text[]), CAST(:states AS bytea[]))"
                    " ON CONFLICT (kind, key) DO UPDATE SET state = excluded.state"
                ),
                {
                    "kind": self.topic.name,
                    "keys": [key for key, _ in changed],
                    "states": [_encoder.encode(state) for _, state in changed],
                },
            )
        await add_to_cells(conn, self.schema, changes(states.values()))


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


async def add_to_cells(conn: AsyncConnection, schema: str, booked: Changes) -> None:
    """Add the changes to the cells, in the order of their keys so that two writers never wait for each other in a circle.
    Rows that come to nothing are deleted: what was taken back leaves no trace.
    """
    if not booked:
        return
    rows = sorted((cell.measure, cell.hour, dims_id(cell.dims), cell.bin, amount) for cell, amount in booked.items())
    await _add_dims(conn, schema, {cell.dims for cell in booked})
    await conn.execute(
        sa.text(
            f"""
            INSERT INTO {schema}.cell AS c (measure, hour, dims, bin, n, total_us)
            SELECT * FROM unnest(CAST(:measures AS text[]), CAST(:hours AS integer[]), CAST(:dims AS uuid[]),
                                 CAST(:bins AS integer[]), CAST(:ns AS bigint[]), CAST(:totals AS bigint[]))
            ON CONFLICT (measure, hour, dims, bin) DO UPDATE
            SET n = c.n + excluded.n, total_us = c.total_us + excluded.total_us
            """
        ),
        {
            "measures": [row[0] for row in rows],
            "hours": [row[1] for row in rows],
            "dims": [row[2] for row in rows],
            "bins": [row[3] for row in rows],
            "ns": [row[4].n for row in rows],
            "totals": [row[4].total_us for row in rows],
        },
    )
    await _sweep(conn, schema, [cell for cell, amount in booked.items() if amount.n < 0 or cell.measure == "backlog"])


async def _add_dims(conn: AsyncConnection, schema: str, dims: set[Dims]) -> None:
    ordered = sorted(dims, key=dims_id)
    columns = ", ".join(f"CAST(:{name} AS text[])" for name in Dims._fields)
    await conn.execute(
        sa.text(
            f"INSERT INTO {schema}.dims (id, {_DIMENSIONS})"
            f" SELECT * FROM unnest(CAST(:ids AS uuid[]), {columns}) ON CONFLICT DO NOTHING"
        ),
        {
            "ids": [dims_id(one) for one in ordered],
            # PostgreSQL's text holds no NUL, and one odd label must not stop the partition.
            **{name: [getattr(one, name).replace("\x00", "\ufffd") for one in ordered] for name in Dims._fields},
        },
    )


async def _sweep(conn: AsyncConnection, schema: str, cells: Sequence[Cell]) -> None:
    if not cells:
        return
    await conn.execute(
        sa.text(
            f"""
            DELETE FROM {schema}.cell c
            USING unnest(CAST(:measures AS text[]), CAST(:hours AS integer[]), CAST(:dims AS uuid[]), CAST(:bins AS integer[]))
                  AS w(measure, hour, dims, bin)
            WHERE (c.measure, c.hour, c.dims, c.bin) = (w.measure, w.hour, w.dims, w.bin) AND c.n = 0 AND c.total_us = 0
            """
        ),
        {
            "measures": [cell.measure for cell in cells],
            "hours": [cell.hour for cell in cells],
            "dims": [dims_id(cell.dims) for cell in cells],
            "bins": [cell.bin for cell in cells],
        },
    )


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
