"""Promises about the log and those who read it: in order, whole, once, consumed to the end, folded alike by all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from shared.events.base import NOTHING_SEEN, Position
from shared.events.topics import BY_NAME, TICKETS, other_writer
from shared.events.writers import writers_of
from shared.ticket import Ticket
from tests.faults.index import Index
from tests.faults.log import Record
from tests.faults.tables import DECIDING, Standing

FOLLOWED = tuple(topic for topic in BY_NAME.values() if topic.sequenced)


def readable(index: Index) -> Iterator[str]:
    """Every record is an event of the contract, said by a service that may say it, and a key stays on its partition."""
    for bytes_ in index.history.log.unreadable:
        if bytes_.key not in index.history.poisoned:
            yield f"{bytes_.topic}[{bytes_.partition}] at {bytes_.offset}: {bytes_.why}"
    partitions: dict[tuple[str, str], int] = {}
    for record in index.once:
        if record.event.writer not in writers_of(type(record.event.data)):
            yield f"{_place(record)}: {record.event.type} is not for {record.event.writer} to say"
        if partitions.setdefault((record.topic, record.event.key), record.partition) != record.partition:
            yield f"{record.topic} {record.event.key} is on several partitions"


def counted(index: Index) -> Iterator[str]:
    """What a writer says of a key counts 1, 2, 3 …, and again from 1 after a backup came back; only repeats stand between."""
    last: dict[tuple[str, str, str], Position] = {}
    for record in index.once:
        if not BY_NAME[record.topic].sequenced:
            continue
        place, position = (record.topic, record.event.writer, record.event.key), record.event.position
        before = last.get(place, NOTHING_SEEN)
        expected = 1 if position.incarnation > before.incarnation else before.seq + 1
        if position.incarnation < before.incarnation or position.seq != expected:
            yield f"{_place(record)}: {position} of {record.event.writer} after {before}"
        last[place] = max(before, position)


def repeats(index: Index) -> Iterator[str]:
    """A repeat says what was said the first time."""
    for first, again in index.repeats:
        if first.event != again.event:
            yield f"{_place(again)}: {again.event.position} of {again.event.writer} is not what {first.offset} said"


def seen(index: Index) -> Iterator[str]:
    """`seen` goes on, and never ahead of what the other writer had said: it was on the log before."""
    for key, records in index.by_ticket.items():
        said: dict[str, Position] = {}
        told: dict[str, tuple[int, Position]] = {}
        for record in records:
            event = record.event
            other = other_writer(TICKETS, event.writer) or ""
            if event.seen > said.get(other, NOTHING_SEEN):
                yield f"ticket {key}: {event.writer} {event.position} had seen {event.seen}, {other} had not said it"
            incarnation, before = told.get(event.writer, (0, NOTHING_SEEN))
            if incarnation == event.position.incarnation and event.seen < before:
                yield f"ticket {key}: {event.writer} {event.position} had seen {event.seen}, and {before} before that"
            told[event.writer] = (event.position.incarnation, event.seen)
            said[event.writer] = max(said.get(event.writer, NOTHING_SEEN), event.position)


def identities(index: Index) -> Iterator[str]:
    """An event's id is made from its cause: no two facts have the same."""
    for event_id, times in Counter(record.event.id for record in index.once).items():
        if times > 1:
            yield f"event {event_id} stands at {times} positions"


def read_to_the_end(index: Index) -> Iterator[str]:
    """Every service read the log of each topic that it reads to its end, and says so of each key."""
    ends, offsets = index.history.log.ends, index.tables.offsets
    for (service, place), offset in offsets.items():
        if offset != ends.get(place, offset):
            yield f"{service} has read {place.topic}[{place.partition}] to {offset}, it ends at {ends[place]}"
    reads = {(service, place.topic) for service, place in offsets}
    wanted = {(service, TICKETS.name) for service in index.history.ran.union(DECIDING)} - reads if offsets else set()
    for service, topic in sorted(wanted):
        yield f"{service} has read nothing of {topic}"
    yield from _standing(index, reads)


def _standing(index: Index, reads: set[tuple[str, str]]) -> Iterator[str]:
    last: dict[tuple[str, str, str], Position] = {}
    for record in index.once:
        place = (record.topic, record.event.key, record.event.writer)
        last[place] = max(last.get(place, NOTHING_SEEN), record.event.position)
    sequenced = {topic.name for topic in FOLLOWED}
    held = {(row.service, row.topic, row.key, row.writer): row for row in index.tables.positions if row.topic in sequenced}
    services = {service for service, _ in reads}
    for (topic, key, writer), position in last.items():
        if topic not in sequenced:
            continue
        for service in services:
            if writer == service or (service, topic) in reads:
                row = held.pop((service, topic, key, writer), None)
                if row is None or row.position != position:
                    yield f"{service} holds {_held(row)} of {topic} {key} by {writer}, the log {position}"
    for row in held.values():
        yield f"{row.service} holds {row.position} of {row.topic} {row.key} by {row.writer}, the log nothing"


def possible(index: Index) -> Iterator[str]:
    """No fact of a ticket comes that its writer could never say there: a second opening, anything before the opening."""
    for record, why in index.impossible:
        yield f"ticket {record.event.key}: {record.event.position} of {record.event.writer}: {why}"


def folds(index: Index) -> Iterator[str]:
    """Every service tells the ticket as the log does: intake and routing whole, the others what they keep of it."""
    rows = index.tables
    yield from _whole("intake", index, {row.ticket_id: row.story for row in rows.tickets})
    yield from _whole("routing", index, {row.ticket_id: row.ticket for row in rows.works})
    for service, told in rows.told_by.items():
        for key, ticket in told.items():
            log = index.tickets.get(key, Ticket())
            if _outline(ticket) != _outline(log):
                yield f"{service} tells ticket {key} as {_outline(ticket)}, the log as {_outline(log)}"
    if listed := rows.told_by.get("desk"):
        unlisted = sorted(key for key, ticket in index.tickets.items() if ticket.exists and key not in listed)
        yield from (f"desk does not know ticket {key}" for key in unlisted)
    for row in rows.tickets:
        if (row.status, row.closed) != (row.story.status, row.story.intake.closed):
            yield f"intake's row of ticket {row.ticket_id} is {row.status}, its story {row.story.status}"
    for work in rows.works:
        if (work.status, work.agent_id) != (work.ticket.status, work.ticket.routing.agent_id):
            yield f"routing's row of ticket {work.ticket_id} is {work.status}, its state {work.ticket.status}"


def _whole(service: str, index: Index, told: dict[str, Ticket]) -> Iterator[str]:
    for key in told.keys() | index.tickets.keys():
        mine, log = told.get(key), index.tickets.get(key)
        if mine is None and log is not None and not log.exists:
            continue
        if mine is None or log is None:
            yield f"{service} {'does not know' if mine is None else 'alone knows'} ticket {key}"
        elif mine != log:
            yield f"{service} tells ticket {key} otherwise: {'; '.join(_differences(mine, log))}"


def _differences(mine: Ticket, log: Ticket) -> Iterator[str]:
    for part in ("intake", "routing"):
        ours, theirs = getattr(mine, part), getattr(log, part)
        for name in ours.__struct_fields__:
            if getattr(ours, name) != getattr(theirs, name):
                yield f"{part}.{name} {getattr(ours, name)}, the log {getattr(theirs, name)}"


def _outline(ticket: Ticket) -> tuple[str, str | None, int, bool]:
    return ticket.status, ticket.routing.agent_id, ticket.priority, ticket.spam


def _held(row: Standing | None) -> str:
    return "nothing" if row is None else str(row.position)


def _place(record: Record) -> str:
    return f"{record.topic}[{record.partition}] at {record.offset}"
