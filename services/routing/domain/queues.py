"""Which queue takes a ticket: the first one, by position, whose condition holds."""

from __future__ import annotations

from collections.abc import Sequence

from services.routing.domain import steps
from services.routing.domain.work import CameAs, Work
from shared.conditions import Fields, WrongCondition, check, matches
from shared.events.config import QueueConfigured

FIELDS = frozenset(
    {
        "channel",
        "inbox",
        "language",
        "priority",
        "vip",
        "plan",
        "customer_tier",
        "topic",
        "product",
        "tags",
        "partner_id",
        "is_follow_up",
        "is_reopened",
    }
)


class WrongQueue(ValueError):
    """A queue that cannot be put in force; `field` says where, e.g. `when.of[1].field`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def fields_of(work: Work, reason: CameAs | None = None) -> Fields:
    """What rules may ask about a ticket; `reason`: why it is queued now."""
    intake, labels, entitled = work.ticket.intake, work.labels, work.entitlement
    return {
        "channel": intake.channel,
        "inbox": intake.inbox,
        "language": intake.language,
        "priority": work.ticket.priority,
        "vip": work.vip,
        "plan": entitled.plan or intake.plan,
        "customer_tier": entitled.tier or labels.customer_tier,
        "topic": labels.topic,
        "product": labels.product,
        "tags": labels.tags,
        "partner_id": labels.partner_id,
        "is_follow_up": labels.follow_up_of is not None,
        "is_reopened": _is_reopened(work, reason),
    }


def choose(queues: Sequence[QueueConfigured], work: Work, reason: CameAs | None = None) -> QueueConfigured | None:
    """The queue for this ticket, None when no rule takes it. `queues` are in order of position. One that rose to a tier comes
    back to it, where a queue there takes it.
    """
    fields = fields_of(work, reason)
    if work.tier > 1:
        up_there = next((queue for queue in queues if queue.tier >= work.tier and matches(queue.when, fields)), None)
        if up_there is not None:
            return up_there
    return next((queue for queue in queues if matches(queue.when, fields)), None)


def elsewhere(queues: Sequence[QueueConfigured], work: Work) -> QueueConfigured | None:
    """The queue to which the rules send a ticket that waits in another. None where it waits rightly, where no queue takes it any
    more, and for one that was sent to where it waits, as long as that queue is there.
    """
    here = last_of(queues, work)
    if work.visit is None or (here is not None and work.sent):
        return None
    queue = choose(queues, work)
    return queue if queue is not None and (here is None or queue.id != here.id) else None


def last_of(queues: Sequence[QueueConfigured], work: Work) -> QueueConfigured | None:
    """The queue in which it waits, or came to its owner from."""
    queue_id = work.visit.queue_id if work.visit is not None else work.ticket.routing.queue_id
    return next((queue for queue in queues if queue.id == queue_id), None)


def came_as(work: Work, queue_id: str, reason: CameAs) -> CameAs:
    """Why a ticket that is queued there is there. What comes back to where somebody or something sent it is there as before; what
    comes back to another queue than that is there by the rules.
    """
    if reason != "returned":
        return reason
    if not work.sent or queue_id == work.ticket.routing.queue_id:
        return work.came_as
    return "reopened" if work.ticket.routing.owned_once else "opened"


def _is_reopened(work: Work, reason: CameAs | None) -> bool:
    """What waits, or comes back as before, is asked as it will be where the rules send it."""
    if work.visit is None and reason != "returned":
        return work.visits > 0
    return came_as(work, "", "returned") != "opened"


def in_order(queues: Sequence[QueueConfigured]) -> tuple[QueueConfigured, ...]:
    """By position; the id decides between two of the same."""
    return tuple(sorted(queues, key=lambda queue: (queue.position, queue.id)))


def check_queue(queue: QueueConfigured) -> None:
    """Refuse a queue that could never work. Raises WrongQueue."""
    try:
        check(queue.when, FIELDS)
    except WrongCondition as wrong:
        raise WrongQueue(wrong.path, wrong.reason) from None
    if not 1 <= queue.offer_timeout_seconds <= 86_400:
        raise WrongQueue("offer_timeout_seconds", "between 1 and 86400")
    for skill, level in queue.required_skills.items():
        if not 1 <= level <= 10:
            raise WrongQueue(f"required_skills.{skill}", "a level is between 1 and 10")
    if not queue.name:
        raise WrongQueue("name", "at least one language")
    fault = steps.fault(queue)
    if fault is not None:
        raise WrongQueue(*fault)
