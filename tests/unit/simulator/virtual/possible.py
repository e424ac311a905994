"""What may be done when, and what is said of it: by this a walk by chance does everything, and tells what it left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.routing.domain.work import Work
from shared.events.base import Draft, Fact
from shared.events.config import QueueConfigured
from simulator.virtual.house import House, nowhere
from tests.unit.routing.deeds import DEEDS, OTHERS

WHAT = (*DEEDS, *OTHERS)
KINDS = (
    *(f"ticket.queued {why}" for why in ("opened", "reopened", "transferred", "escalated", "released", "returned")),
    *(f"ticket.left_queue {why}" for why in ("abandoned", "resolved", "transferred", "callback", "partner", "spam")),
    *(f"ticket.assigned {how}" for how in ("accepted", "auto_accepted", "transferred", "taken", "supervisor")),
    *(f"ticket.released {why}" for why in ("transferred", "closed", "resolved", "escalated", "supervisor", "presence_lost")),
    *(f"offer.{end}" for end in ("accepted", "declined", "expired")),
    *(f"offer.rescinded {why}" for why in ("withdrawn", "transferred", "abandoned", "agent_left", "supervisor", "spam")),
    *(f"transfer.ended {end}" for end in ("accepted", "declined", "expired", "withdrawn")),
    *(f"consult.ended {end}" for end in ("answered", "cancelled", "expired", "transferred")),
    *("ticket.offered", "transfer.offered", "consult.requested", "consult.answered", "callback.requested", "ticket.labelled"),
    *("wrap_up.started", "wrap_up.completed", "wrap_up.completed True", "agent.state_changed offer_expired"),
    *("ticket.transferred", "ticket.escalated", "ticket.resolved", "ticket.pended", "ticket.put_on_hold", "ticket.reopened"),
    *("spam.marked", "spam.unmarked", "agent.load_changed"),
)


def _owned(work: Work) -> bool:
    return work.owner is not None and work.units > 0


def _waits(work: Work) -> bool:
    return work.visit is not None and work.offer is None


def _rests(work: Work) -> bool:
    return work.ticket.status in ("pending", "on_hold", "resolved") and not work.ticket.spam


def _in_hand(work: Work) -> bool:
    return work.visit is not None or work.owner is not None


# On which tickets what can be done may be done.
MAY_BE: Mapping[str, Callable[[Work], bool]] = {
    **dict.fromkeys(WHAT, _in_hand),
    **dict.fromkeys(("resolve", "pend", "hold", "give back", "hand over", "offer", "consult"), _owned),
    **dict.fromkeys(("take", "call back", "call back in turn"), _waits),
    "reopen": _rests,
    "not spam": lambda work: work.ticket.spam,
    "end the question": lambda work: bool(work.besides.consults),
    "answer": lambda work: bool(work.besides.consults),
    "accept": lambda work: work.besides.hand_over is not None,
    "decline": lambda work: work.besides.hand_over is not None,
    "wrap up": lambda work: bool(work.besides.wrap_ups),
    "rules": lambda work: work.transfers >= 2 and not work.rules and _in_hand(work),
}


def named(fact: Fact) -> str:
    """What a fact says, as far as its kind goes: `ticket.assigned taken`."""
    words = (getattr(fact, name, None) for name in ("how", "reason", "outcome", "timed_out", "previous"))
    said = [str(word) for word in words if word not in (None, False)]
    return " ".join([fact.TYPE.removesuffix(".v1"), *said[:1]])


class Heard(House):
    """A house that counts what is said in it."""

    def __init__(self, queues: Sequence[QueueConfigured], now: datetime, record: Callable[[bytes], object] = nowhere) -> None:
        super().__init__(queues, now, record)
        self.said = Counter[str]()

    def say(self, drafts: Sequence[Draft[Fact]]) -> None:
        self.said.update(named(draft.data) for draft in drafts)
        super().say(drafts)
