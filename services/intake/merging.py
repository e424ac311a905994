"""Two customers become one, or two again: rows, facts on both and on their tickets, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import reaching
from services.intake.domain import identity
from services.intake.domain.identity import MergeRefused, Person, Profile
from services.intake.domain.records import OwnedHandle, Written, profile_draft, together
from services.intake.store import customers, merges, tickets
from shared.clock import clock
from shared.events.base import Draft, Fact
from shared.events.people import (
    CustomerAbsorbed,
    CustomerHandleAdded,
    CustomerHandleRemoved,
    CustomerMergedInto,
    CustomerPersonal,
    CustomerUnmerged,
)
from shared.events.ticket import TicketCustomerChanged
from shared.outbox import Outbox
from shared.ticket import Ticket, apply


async def merge(
    conn: AsyncConnection, outbox: Outbox, one_id: str, into_id: str, evidence: str, agent_id: str | None = None
) -> int:
    """Let one customer go on as another; the id stays as a tombstone. Returns how many tickets moved. Raises MergeRefused."""
    people = await hold(conn, [one_id, into_id])
    one, into = _both(people, one_id, into_id)
    identity.check_merge(one, into)
    now = await clock(conn)
    stories = await merges.merge(conn, one_id, into_id, now)
    await merges.settle(conn, [one_id], into_id, "accepted")
    cause = f"merge:{one_id}:{into_id}:{now.isoformat()}"
    said: list[Draft[Fact]] = [
        Draft(
            key=one_id, data=CustomerMergedInto(into_customer_id=into_id, evidence=evidence, by_agent_id=agent_id), cause=cause
        ),
        Draft(key=into_id, data=CustomerAbsorbed(customer_id=one_id, evidence=evidence, by_agent_id=agent_id), cause=cause),
    ]
    said += await _end_claims(conn, into_id, cause)
    said += await retold(conn, [into_id], cause)
    moved = TicketCustomerChanged(customer_id=into_id, previous=one_id, reason="merged")
    await _tell(conn, outbox, stories, said, moved, cause, now)
    await reaching.look_at(conn, outbox, [one_id, into_id], now)
    return len(stories)


async def unmerge(conn: AsyncConnection, outbox: Outbox, one_id: str, agent_id: str | None = None) -> str:
    """Let a merged customer be one of its own again. Returns the id it was merged into. Raises MergeRefused."""
    stored = await customers.one(conn, one_id)
    from_id = stored.merged_into if stored is not None else None
    ids = [one_id] if from_id is None else [one_id, from_id, await customers.onward(conn, from_id)]
    people = await hold(conn, ids)
    if one_id not in people:
        raise MergeRefused("unknown-customer", "There is no such customer.")
    one = people[one_id]
    identity.check_unmerge(one, people.get(from_id) if from_id is not None else None)
    if from_id is None or one.merged_into != from_id:
        raise MergeRefused("not-merged", "This customer's merge was changed just now. Look again.")
    now = await clock(conn)
    # What goes on further up holds the handles and tickets; each step down returns what is theirs.
    holder = await customers.onward(conn, from_id)
    stories = await merges.unmerge(conn, one_id, holder)
    await _check_tickets(conn, [one_id, holder])
    cause = f"unmerge:{one_id}:{from_id}:{now.isoformat()}"
    said: list[Draft[Fact]] = [
        Draft(key=one_id, data=CustomerUnmerged(customer_id=from_id, by_agent_id=agent_id), cause=cause),
        Draft(key=from_id, data=CustomerUnmerged(customer_id=one_id, by_agent_id=agent_id), cause=cause),
    ]
    said += [_claimed_again(owned, cause) for owned in await merges.reclaim(conn, [one_id, holder])]
    said += await retold(conn, [one_id, holder], cause)
    moved = TicketCustomerChanged(customer_id=one_id, previous=holder, reason="unmerged")
    await _tell(conn, outbox, stories, said, moved, cause, now)
    await reaching.look_at(conn, outbox, [one_id, holder], now)
    return from_id


async def _check_tickets(conn: AsyncConnection, customer_ids: list[str]) -> None:
    """A ticket that goes on as another person's would bring the one's words to the other."""
    entangled = await merges.entangled(conn, customer_ids)
    if entangled is not None:
        number, other = entangled
        why = f"Ticket #{number} would be of one of them and goes on as #{other}, which is the other's. Undo that merge first."
        raise MergeRefused("tickets-merged", why)


async def hold(conn: AsyncConnection, customer_ids: list[str]) -> dict[str, Person]:
    """Let no contact of these people be placed until the transaction ends. Returns them."""
    await customers.hold_handles(conn, customer_ids)
    people = await merges.people(conn, customer_ids)
    await customers.hold_handles(conn, customer_ids)  # and by nothing that a record gave them just before
    return people


async def _end_claims(conn: AsyncConnection, customer_id: str, cause: str) -> list[Draft[Fact]]:
    """Whoever types in next what was claimed is somebody else, and does not go on with what was written under the claim."""
    ended = await merges.drop_claims(conn, customer_id)
    await tickets.leave_conversations(conn, [(customer_id, one.handle) for one in ended])
    facts = [CustomerHandleRemoved(handle_id=one.handle_id, reason="proven" if one.proven else "unproven") for one in ended]
    return [Draft(key=customer_id, data=fact, cause=f"{cause}:{fact.handle_id}") for fact in facts]


def _claimed_again(owned: OwnedHandle, cause: str) -> Draft[Fact]:
    handle = owned.handle
    return Draft(
        key=owned.customer_id,
        data=CustomerHandleAdded(handle_id=owned.handle_id, kind=handle.kind, verified_by="not"),
        cause=f"{cause}:{owned.handle_id}",
        person=owned.customer_id,
        personal=CustomerPersonal(handles=(handle.value,), handle_scope=handle.scope),
    )


async def retold(conn: AsyncConnection, customer_ids: list[str], cause: str) -> list[Draft[Fact]]:
    """Write what these customers' records come to with all that was merged into them, and say it: what was told before may
    be of a person who came or went.
    """
    rows = await customers.locked(conn, customer_ids)
    families = await customers.family(conn, customer_ids)
    records, drafts = [], list[Draft[Fact]]()
    for customer_id in customer_ids:
        row, family = rows[customer_id], families[customer_id]
        if all(profile == Profile() for profile in family.values()) and row.version == 0:
            continue
        whole = together(customer_id, family)
        records.append(Written(customer_id, row.version + 1, row.profile, whole))
        before = Profile(vip=True, plan="", tier="", zone="", language="")
        drafts.append(profile_draft(customer_id, before, whole, row.profile, cause))
    await customers.write(conn, records)
    return drafts


def _both(people: Mapping[str, Person], one_id: str, into_id: str) -> tuple[Person, Person]:
    if one_id not in people or into_id not in people:
        raise MergeRefused("unknown-customer", "There is no such customer.")
    return people[one_id], people[into_id]


async def _tell(
    conn: AsyncConnection,
    outbox: Outbox,
    stories: Mapping[str, Ticket],
    said: list[Draft[Fact]],
    fact: TicketCustomerChanged,
    cause: str,
    now: datetime,
) -> None:
    drafts = said + [Draft(key=ticket_id, data=fact, cause=cause) for ticket_id in sorted(stories)]
    after = dict(stories)
    for event in await outbox.publish(conn, drafts, now):
        if isinstance(event.data, TicketCustomerChanged):
            after[event.key] = apply(after[event.key], event)
    await tickets.update(conn, after, now)
