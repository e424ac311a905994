"""What all routes share: the resources, who calls and what they may see, cursors."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.domain.filters import Sight
from services.desk.domain.views import Viewer
from services.desk.settings import DeskSettings
from services.desk.store import people
from shared.auth import Caller, requires
from shared.http import FieldError, Problem
from shared.service import Resources

Shape = TypeVar("Shape")
LARGEST = 2**63 - 1  # of bigint


@dataclass(frozen=True, slots=True)
class Room:
    """What routes work with."""

    parts: Resources
    settings: DeskSettings


@dataclass(frozen=True, slots=True)
class Looking:
    """Somebody who looks, and what they may see."""

    viewer: Viewer
    sight: Sight


def room_of(request: Request) -> Room:
    """The room, as a dependency."""
    room: Room = request.app.state.room
    return room


TheRoom = Annotated[Room, Depends(room_of)]
Staff = Annotated[Caller, Depends(requires("supervisor", "agent", "partner agent", "partner"))]


async def looking(conn: AsyncConnection, caller: Caller) -> Looking:
    """Who calls, and which tickets they may see: of the house all, of a partner the partner's. An agent has to be known here.
    Raises Problem 403.
    """
    sight, outside = Sight(caller.partner_id), caller.partner_id is not None
    if caller.oversees:
        viewer_id = caller.agent_id or f"key:{caller.key_id}"
        return Looking(Viewer(viewer_id, supervisor=not outside, agent_id=caller.agent_id, outside=outside), sight)
    team_ids = await people.teams(conn, caller.agent_id) if caller.agent_id is not None else None
    if team_ids is None or caller.agent_id is None:
        raise Problem(403, "agent-not-enrolled", "This key is of an agent who is not enrolled, or not active. An admin does it.")
    return Looking(Viewer(caller.agent_id, agent_id=caller.agent_id, team_ids=team_ids, outside=outside), sight)


def make_cursor(place: object) -> str:
    """Where a page ended, for the next one to begin there."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def read_cursor(cursor: str | None, shape: type[Shape]) -> Shape | None:
    """Where the page before ended. Raises Problem 422 for what no page gave out."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=shape)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise unreadable() from None


def in_utc(at: datetime) -> datetime:
    """An instant of a cursor. Raises Problem 422 for one that no clock ever showed."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise unreadable() from None


def unreadable() -> Problem:
    """What is said of a cursor that is none of ours, or of another list."""
    errors = [FieldError("query.cursor", "is not one that this list gave out")]
    return Problem(422, "invalid-request", "The cursor cannot be read; begin again without it.", errors)
