"""What lists are asked for: which tickets, in which order, from where on. Pure; `store/listing.py` makes SQL of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.desk.domain.tickets import LIVE
from shared.events.base import Channel
from shared.ticket import Status

Sort = Literal["updated", "opened", "priority", "due"]
Order = Literal["asc", "desc"]
ME, NOBODY = "me", "none"  # owners that are no ids
# How a list runs when nobody says it: what changed or came last, what is most urgent, what is due next.
NATURAL: dict[Sort, Order] = {"updated": "desc", "opened": "desc", "priority": "desc", "due": "asc"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Tickets of which all this is true; of several values of one field any, of `tags` all. `spam` None: with it and without."""

    statuses: tuple[Status, ...] = ()
    queue_ids: tuple[str, ...] = ()
    team_ids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    languages: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    vip: bool | None = None
    plans: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    inboxes: tuple[str, ...] = ()
    customer_ids: tuple[str, ...] = ()
    opened_after: datetime | None = None
    opened_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    due_before: datetime | None = None
    breached: bool | None = None
    spam: bool | None = False

    @property
    def only_live(self) -> bool:
        """Whether nothing can be found among what is resolved or closed."""
        return bool(self.statuses) and LIVE.issuperset(self.statuses)


@dataclass(frozen=True, slots=True)
class Sight:
    """Which tickets a caller may see: those that are this partner's now, or (None) all."""

    partner_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: what it is sorted by, and the ticket's number, which no other has."""

    at: datetime | int
    number: int
