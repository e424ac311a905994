"""What a ticket is called, and its customer: sealed in the log, opened for who may read it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.work import Opening, Work
from services.routing.store import reading
from shared.events.ticket import TicketPersonal
from shared.personal import Erased, KeyRing
from shared.telemetry import log


async def titles(conn: AsyncConnection, keys: KeyRing, works: Sequence[Work]) -> dict[str, TicketPersonal]:
    """Subject and customer's name of each ticket; empty where there is none, or the customer was erased."""
    renamed = await reading.renamed(conn, [work.id for work in works if work.ticket.routing.renamed])
    boxes = [*(work.opening for work in works if work.opening is not None), *renamed.values()]
    await keys.load(conn, {box.sealed.customer_id for box in boxes})
    return {work.id: _title(keys, work, renamed.get(work.id)) for work in works}


def _title(keys: KeyRing, work: Work, renamed: Opening | None) -> TicketPersonal:
    opened, edited = _opened(keys, work.opening), _opened(keys, renamed)
    return TicketPersonal(subject=edited.subject or opened.subject, customer_name=opened.customer_name)


def _opened(keys: KeyRing, box: Opening | None) -> TicketPersonal:
    if box is None:
        return TicketPersonal()
    try:
        content = keys.open(box.sealed, TicketPersonal, box.event_id)
    except ValueError:
        log().error("sealed data cannot be opened", event_id=box.event_id)
        return TicketPersonal()
    return TicketPersonal() if isinstance(content, Erased) else content
