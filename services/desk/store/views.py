"""Saved views. They are on no topic: nothing else depends on them."""

from __future__ import annotations

import json

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.views import View, Viewer
from shared import db

COLUMNS = "view_id, version, kind, owner, team_id, name, asked, sort, sort_order, columns, changed_at"
INSERT = f"""
    INSERT INTO desk.view ({COLUMNS})
    VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9::text[], clock_timestamp()) RETURNING {COLUMNS}
"""
UPDATE = f"""
    UPDATE desk.view SET version = version + 1, kind = $2, team_id = $3, name = $4, asked = $5, sort = $6, sort_order = $7,
        columns = $8::text[], changed_at = clock_timestamp()
    WHERE view_id = $1 RETURNING {COLUMNS}
"""
DELETE = "DELETE FROM desk.view WHERE view_id = $1"
FIND = f"SELECT {COLUMNS} FROM desk.view WHERE view_id = $1"
LOCK = FIND + " FOR UPDATE"
PAGE = f"""
    SELECT {COLUMNS} FROM desk.view
    WHERE (kind = 'shared' AND NOT $4::boolean OR kind = 'personal' AND owner = $1
            OR kind = 'team' AND ($2::boolean OR team_id = ANY($3::text[])))
        AND (name, view_id) > ($5, $6) ORDER BY name, view_id LIMIT $7::integer
"""
OWNED = "SELECT count(*) FROM (SELECT FROM desk.view WHERE owner = $1 LIMIT $2::integer) owned"


async def add(conn: AsyncConnection, view: View) -> View:
    """A new view, of version 1."""
    [row] = await db.fetch(conn, INSERT, view.id, view.kind, view.owner, view.team_id, *_content(view))
    return _view(row)


async def change(conn: AsyncConnection, view: View) -> View:
    """The next version; whose it is stays."""
    [row] = await db.fetch(conn, UPDATE, view.id, view.kind, view.team_id, *_content(view))
    return _view(row)


async def remove(conn: AsyncConnection, view_id: str) -> None:
    """It is there no more."""
    await db.fetch(conn, DELETE, view_id)


async def one(conn: AsyncConnection, view_id: str, *, lock: bool = False) -> View | None:
    """The view, None where there is none."""
    rows = await db.fetch(conn, LOCK if lock else FIND, view_id)
    return _view(rows[0]) if rows else None


async def page(conn: AsyncConnection, viewer: Viewer, place: tuple[str, str], limit: int) -> list[View]:
    """What the viewer may see (`domain/views.py`), by name, behind the place."""
    rows = await db.fetch(conn, PAGE, viewer.id, viewer.supervisor, list(viewer.team_ids), viewer.outside, *place, limit)
    return [_view(row) for row in rows]


async def owned(conn: AsyncConnection, owner: str, at_most: int) -> int:
    """How many somebody has made; no more than `at_most` are counted."""
    [(found,)] = await db.fetch(conn, OWNED, owner, at_most)
    return int(found)


def _content(view: View) -> tuple[object, ...]:
    return view.name, json.dumps(view.asked), view.sort, view.order, list(view.columns)


def _view(row: asyncpg.Record) -> View:
    view_id, version, kind, owner, team_id, name, asked, sort, order, columns, changed_at = row
    return View(
        id=view_id,
        version=version,
        kind=kind,
        owner=owner,
        team_id=team_id,
        name=name,
        asked=json.loads(asked),
        sort=sort,
        order=order,
        columns=tuple(columns),
        changed_at=changed_at,
    )
