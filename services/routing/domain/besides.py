"""What goes on with a ticket besides its place in a queue and its owner, and ends by itself when its time comes.

Work after a contact, a hand-over that was offered, an expert who is asked; a customer who is called back instead of waiting; a
rest that has an end.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec


class Holding(NamedTuple):
    """What a ticket takes of an agent, and for what. Consultations are beside all channels."""

    agent_id: str
    units: int
    kind: Literal["offer", "owner", "wrap_up", "hand_over", "consult"]


class WrapUp(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's work after the contact. `units` are 0 while the agent owns the ticket at work: then its owner has them."""

    agent_id: str
    since: datetime
    ends_by: datetime
    units: int = 0


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's offer to hand the ticket over; it holds `units` of the agent who is asked."""

    id: str
    by_agent_id: str
    to_agent_id: str
    expires_at: datetime
    units: int
    reason: str | None = None


class Consult(msgspec.Struct, frozen=True, kw_only=True):
    """A question to an expert, who has `units` of attention to give to it, besides all channels."""

    id: str
    by_agent_id: str
    expert_id: str
    expires_at: datetime
    units: int = 0


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """The customer is called back. `due_at` None: the ticket waits in its queue again, and whoever hangs up abandons nothing."""

    due_at: datetime | None = None


class Besides(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of it, of one ticket. `rests_until`: when it comes back, where it waits for its customer or a third party."""

    wrap_ups: tuple[WrapUp, ...] = ()
    hand_over: HandOver | None = None
    consults: tuple[Consult, ...] = ()
    callback: Callback | None = None
    rests_until: datetime | None = None

    @property
    def agents(self) -> set[str]:
        """Who has something to do with the ticket by it."""
        asked = {self.hand_over.to_agent_id} if self.hand_over is not None else set()
        return asked | {one.agent_id for one in self.wrap_ups} | {one.expert_id for one in self.consults}

    @property
    def ends(self) -> Iterable[datetime]:
        """The instants at which time ends something of it; not that of a callback or a rest."""
        yield from (one.ends_by for one in self.wrap_ups)
        yield from (one.expires_at for one in self.consults)
        if self.hand_over is not None:
            yield self.hand_over.expires_at

    @property
    def holdings(self) -> Iterable[Holding]:
        """What it takes of whom."""
        yield from (Holding(one.agent_id, one.units, "wrap_up") for one in self.wrap_ups)
        yield from (Holding(one.expert_id, one.units, "consult") for one in self.consults)
        if self.hand_over is not None:
            yield Holding(self.hand_over.to_agent_id, self.hand_over.units, "hand_over")


NOTHING = Besides()
