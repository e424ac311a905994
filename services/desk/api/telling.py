"""Rows as people read them: what is sealed is opened, and ids get their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.api.shown import EntryShown, Names, PromiseShown, TicketLine
from services.desk.domain.promises import Promise
from services.desk.domain.timeline import KIND_OF
from services.desk.domain.words import direction_of
from services.desk.opening import Opened, open_fact
from services.desk.store import listing, people
from services.desk.store.listing import Line
from services.desk.store.reading import EntryRow
from shared.events.base import Direction
from shared.events.ticket import TicketOpened, TicketPersonal
from shared.personal import KeyRing


async def tell_lines(conn: AsyncConnection, keys: KeyRing, lines: Sequence[Line]) -> list[TicketLine]:
    """Tickets with their subjects and their customers' names."""
    titles = await listing.titles(conn, [line.ticket_id for line in lines])
    await keys.load(conn, {title.person for title in titles if title.person is not None})
    subjects: dict[str, str] = {}
    names: dict[str, str] = {}
    for title in sorted(titles, key=lambda one: one.type):  # the opening, then what it was renamed to
        content = open_fact(keys, title.type, title.event_id, title.person, title.box).content
        if isinstance(content, TicketPersonal):
            subjects[title.ticket_id] = content.subject or subjects.get(title.ticket_id, "")
            if title.type == TicketOpened.TYPE:
                names[title.ticket_id] = content.customer_name
    return [_line(line, subjects.get(line.ticket_id) or None, names.get(line.ticket_id) or None) for line in lines]


def _line(line: Line, subject: str | None, customer_name: str | None) -> TicketLine:
    told = line._asdict()
    del told["merged_into"]
    return TicketLine(**told, subject=subject, subject_direction=direction_of(subject or ""), customer_name=customer_name)


async def names_of(conn: AsyncConnection, lines: Iterable[Line], *more: tuple[str, str | None]) -> Names:
    """How the queues, teams, agents … of these tickets are called, and `more` (kind, id)."""
    keys = {(kind, identity) for kind, identity in more if identity is not None}
    for line in lines:
        own = (("queue", line.queue_id), ("team", line.team_id), ("agent", line.agent_id), ("partner", line.partner_id))
        keys |= {(kind, identity) for kind, identity in (*own, ("inbox", line.inbox)) if identity is not None}
    return await people.names(conn, [f"{kind}:{identity}" for kind, identity in keys])


async def tell_entries(conn: AsyncConnection, keys: KeyRing, rows: Sequence[EntryRow]) -> list[EntryShown]:
    """Events with what was sealed in them."""
    await keys.load(conn, {row.person for row in rows if row.person is not None})
    return [_entry(row, open_fact(keys, row.type, row.event_id, row.person, row.box)) for row in rows]


def _entry(row: EntryRow, opened: Opened) -> EntryShown:
    data = msgspec.json.decode(row.data)
    personal = msgspec.to_builtins(opened.content) if opened.content is not None else None
    return EntryShown(
        id=row.id,
        ticket_id=row.ticket_id,
        event_id=row.event_id,
        type=row.type,
        kind=KIND_OF[row.type],
        writer=row.writer,
        at=row.at,
        direction=_direction(data, personal),
        data=data,
        personal=personal,
        erased=opened.erased,
        unreadable=opened.unreadable,
    )


def _direction(data: dict[str, object], personal: dict[str, object] | None) -> Direction:
    """As its writer told it, else as its text runs."""
    if data.get("direction") == "rtl":
        return "rtl"
    said = personal or {}
    return direction_of(str(said.get("text") or said.get("subject") or said.get("comment") or ""))


def tell_promise(promise: Promise) -> PromiseShown:
    """A clock as it is shown."""
    return PromiseShown(**msgspec.structs.asdict(promise))
