"""A ticket as people find it in lists: the shared fold, and what else is listed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from services.desk.domain.timeline import QUIET, WORDED, Entry, entry_of
from shared import ticket as tickets
from shared.events.base import Direction, Event, Fact
from shared.events.message import MessageDeleted
from shared.events.ticket import (
    TicketAbsorbed,
    TicketCustomerChanged,
    TicketExpelled,
    TicketMergedInto,
    TicketOpened,
    TicketUnmerged,
)
from shared.ticket import Status, Ticket

LIVE: frozenset[Status] = frozenset({"new", "open", "pending", "on_hold"})
# What else changes which words a ticket is found by: whose it is, and with which others it is one.
REJOINED: frozenset[type[Fact]] = frozenset(
    {MessageDeleted, TicketCustomerChanged, TicketMergedInto, TicketAbsorbed, TicketUnmerged, TicketExpelled}
)


class Filed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket as it is listed. `changed_at`: when something last happened to it that people want to know of."""

    id: str
    ticket: Ticket = Ticket()
    direction: Direction = "ltr"
    tier: str | None = None
    changed_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether somebody still has to do with it: neither resolved nor closed."""
        return self.ticket.status in LIVE


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket, and what this batch told of it besides: `reworded`, where other words find it now."""

    filed: Filed
    entries: tuple[Entry, ...] = ()
    reworded: bool = False


def heard(case: Case, event: Event[Fact]) -> Case:
    """The ticket after one more fact. Raises shared.ticket.IllegalFact."""
    fact = event.data
    filed = msgspec.structs.replace(case.filed, ticket=tickets.apply(case.filed.ticket, event), **_besides(fact))
    if type(fact) not in QUIET:
        filed = msgspec.structs.replace(filed, changed_at=max(filed.changed_at or event.time, event.time))
    return replace(
        case,
        filed=filed,
        entries=(*case.entries, entry_of(event)),
        reworded=case.reworded or type(fact) in WORDED or type(fact) in REJOINED,
    )


def _besides(fact: Fact) -> dict[str, object]:
    """What a fact says that the shared fold does not keep."""
    return {"direction": fact.direction, "tier": fact.customer_tier} if isinstance(fact, TicketOpened) else {}
