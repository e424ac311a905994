"""Customers' records, merges and orders, written back from intake's own facts on the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import identity
from services.intake.domain.records import Written
from services.intake.store import copies, customers, merges, orders, reachable, tickets
from shared.events.base import Event, Fact
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.people import (
    CustomerHandleRemoved,
    CustomerMergedInto,
    CustomerPersonal,
    CustomerProfileChanged,
    CustomerReachabilityChanged,
    CustomerUnmerged,
    MergeSuggested,
    OrderRecorded,
)

OfCustomer = MessageReceived | ReplyRequested
Known = TypeVar("Known", MessageReceived, ReplyRequested)


async def write_back(conn: AsyncConnection, events: Sequence[Event[Fact]], sealed: Mapping[str, msgspec.Struct]) -> None:
    """What these facts say, in the order in which they were decided: a merge is said on two keys.

    What a record came to by a merge is taken for its own from then on: an unmerge after a restore leaves the filled blanks.
    """
    for event in sorted(events, key=lambda one: (one.time, one.position.seq)):
        fact = event.data
        match fact:
            case CustomerProfileChanged():
                personal = sealed.get(event.id)
                if isinstance(personal, CustomerPersonal) and not personal.handles:
                    await _profile(conn, event.key, fact, personal)
                elif isinstance(personal, CustomerPersonal) and fact.language is not None:  # by what they wrote
                    await copies.speak(conn, {event.key: fact.language})
            case CustomerMergedInto():
                # That one may have been merged onward since, and this be read before or after.
                holder = await customers.onward(conn, fact.into_customer_id)
                await merges.merge(conn, event.key, fact.into_customer_id, event.time, holder)
                await merges.settle(conn, [event.key], fact.into_customer_id, "accepted")
            case CustomerUnmerged():
                await _unmerge(conn, event.key, fact.customer_id)
            case CustomerHandleRemoved():
                await tickets.leave_conversations(conn, await customers.forget_handle(conn, fact.handle_id))
            case CustomerReachabilityChanged():
                await reachable.write_back(conn, event.key, fact)
            case MergeSuggested() if not await _erased(conn, event.key, fact.customer_id):
                await merges.suggest(conn, [(event.key, fact.customer_id, fact.evidence)], event.time)
            case OrderRecorded() if not await _erased(conn, event.key):
                before = await orders.one(conn, [event.key], fact.order_id)
                if before is None or before.order != fact:
                    await orders.put(conn, event.key, before.version + 1 if before is not None else 1, fact)
            case _:
                pass


async def _profile(conn: AsyncConnection, customer_id: str, fact: CustomerProfileChanged, personal: CustomerPersonal) -> None:
    row = (await customers.locked(conn, [customer_id])).get(customer_id)
    if row is not None:
        profile = identity.told(row.profile, fact, personal.name, personal.fields)
        await customers.write(conn, [Written(customer_id, row.version + 1, profile, profile)])


async def _unmerge(conn: AsyncConnection, one_id: str, from_id: str) -> None:
    """It is said on both: the one that had been merged is undone."""
    row = await customers.one(conn, one_id)
    if row is not None and row.merged_into == from_id:
        await merges.unmerge(conn, one_id, await customers.onward(conn, from_id))


async def _erased(conn: AsyncConnection, *customer_ids: str) -> bool:
    """Whether one of them was erased: that may be read before what was said of them."""
    rows = [await customers.one(conn, one) for one in customer_ids]
    return any(row is not None and row.erased for row in rows)


async def since_parted(conn: AsyncConnection, facts: Sequence[OfCustomer]) -> Mapping[tuple[str, str], str]:
    """Whose what is that was said of one customer and sealed under another, while they were taken for one: of the other, if they
    are two again.
    """
    pairs = {(fact.customer_id, fact.personal.customer_id) for fact in facts if fact.personal is not None}
    crossed = {pair for pair in pairs if pair[0] != pair[1]}
    onward = await customers.onward_all(conn, {one for pair in crossed for one in pair})
    return {(said, sealed): onward[sealed] for said, sealed in crossed if onward[sealed] != onward[said]}


def theirs(fact: Known, parted: Mapping[tuple[str, str], str]) -> Known:
    """The fact as said of whose it is."""
    sealed = fact.personal.customer_id if fact.personal is not None else fact.customer_id
    owner = parted.get((fact.customer_id, sealed))
    return fact if owner is None else msgspec.structs.replace(fact, customer_id=owner)
