"""Up the tiers, by hand or by a rule. A ticket rises only, and a rule raises it once: no rules can send it in circles. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.routing.domain.commands import Actor, let_go, permit
from services.routing.domain.lifecycle import age_of, enter, leave, release
from services.routing.domain.queues import FIELDS, fields_of, last_of
from services.routing.domain.work import Turn, Work
from shared.conditions import Fields, WrongCondition, check, matches
from shared.events.config import QueueConfigured, RuleConfigured
from shared.events.ticket import TicketEscalated

HIGHEST_TIER = 9
RULE_FIELDS = FIELDS | {"tier", "transfers", "repeat_contact", "sla_warned_percent", "sla_breached", "queue", "waits"}


class NoHigherTier(ValueError):
    """No queue further up takes the ticket."""


class Promised(msgspec.Struct, frozen=True, kw_only=True):
    """How the promises that run on a ticket stand: the furthest warning, and whether one is broken."""

    warned_percent: int | None = None
    breached: bool = False


NOTHING_PROMISED = Promised()


def escalate(
    turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], to_tier: int | None = None, reason: str | None = None
) -> None:
    """Whoever holds it sends it up, to the next tier or to this one. Raises what `permit` raises, NoHigherTier."""
    permit(turn, actor, "queue")
    queue = _higher(queues, turn.work, to_tier)
    if queue is None:
        raise NoHigherTier(f"no queue of tier {to_tier} takes it" if to_tier else "no queue of a higher tier takes it")
    _rise(turn, queues, queue, actor=actor, reason=reason)


def by_rule(
    turn: Turn, queues: Sequence[QueueConfigured], rules: Sequence[RuleConfigured], promised: Promised = NOTHING_PROMISED
) -> None:
    """The first rule that holds, can move the ticket and has not moved it yet sends it up. `rules` are in order of position.
    Nothing for a ticket on which nobody has to work.
    """
    found = raises(turn.work, queues, rules, promised)
    if found is not None:
        rule, queue = found
        turn.set(rules=(*turn.work.rules, rule.id))
        _rise(turn, queues, queue, rule_id=rule.id)


def raises(
    work: Work, queues: Sequence[QueueConfigured], rules: Sequence[RuleConfigured], promised: Promised = NOTHING_PROMISED
) -> tuple[RuleConfigured, QueueConfigured] | None:
    """The rule that sends the ticket up, and the queue to which it goes."""
    if not rules or not work.ticket.active or work.ticket.spam or (work.visit is None and work.owner is None):
        return None
    fields = rule_fields(work, queues, promised)
    for rule in rules:
        if rule.kind != "escalate" or rule.id in work.rules or not matches(rule.when, fields):
            continue
        queue = _higher(queues, work, rule.to_tier)
        if queue is not None:
            return rule, queue
    return None


def rule_fields(work: Work, queues: Sequence[QueueConfigured], promised: Promised) -> Fields:
    """What rules may ask about a ticket at work. `repeat_contact`: its customer came back, on this ticket or by a follow-up."""
    fields, queue = fields_of(work), last_of(queues, work)
    return {
        **fields,
        "is_reopened": work.resolved,
        "repeat_contact": work.resolved or work.labels.follow_up_of is not None,
        "tier": tier_of(work, queues),
        "queue": queue.id if queue is not None else None,
        "waits": work.visit is not None,
        "transfers": work.transfers,
        "sla_warned_percent": promised.warned_percent,
        "sla_breached": promised.breached,
    }


def tier_of(work: Work, queues: Sequence[QueueConfigured]) -> int:
    """To which it rose, or that of the queue in which it waits or came to its owner from."""
    queue = last_of(queues, work)
    return max(work.tier, queue.tier if queue is not None else 1)


def check_rule(rule: RuleConfigured) -> None:
    """Refuse a rule that could never be asked. Raises WrongCondition."""
    check(rule.when, RULE_FIELDS)
    if rule.to_tier is not None and not 2 <= rule.to_tier <= HIGHEST_TIER:
        raise WrongCondition("to_tier", f"between 2 and {HIGHEST_TIER}")


def in_order(rules: Sequence[RuleConfigured]) -> tuple[RuleConfigured, ...]:
    """By position; the id decides between two of the same."""
    return tuple(sorted(rules, key=lambda rule: (rule.position, rule.id)))


def _higher(queues: Sequence[QueueConfigured], work: Work, to_tier: int | None) -> QueueConfigured | None:
    """The queue one rises to: of the lowest tier above, or of the one named; there the first whose rule takes the ticket."""
    above, fields = tier_of(work, queues), fields_of(work)
    meant = (queue for queue in queues if queue.tier > above and to_tier in (None, queue.tier) and matches(queue.when, fields))
    return min(meant, key=lambda queue: queue.tier, default=None)


def _rise(
    turn: Turn,
    queues: Sequence[QueueConfigured],
    queue: QueueConfigured,
    *,
    actor: Actor | None = None,
    rule_id: str | None = None,
    reason: str | None = None,
) -> None:
    work = turn.work
    age_from, last = age_of(work, turn.now), last_of(queues, work)
    path = (*(work.path or ((last.id,) if last is not None else ())), queue.id)
    escalated = TicketEscalated(
        from_tier=tier_of(work, queues),
        to_tier=queue.tier,
        by_agent_id=actor.agent_id if actor is not None else None,
        rule_id=rule_id,
        reason=reason,
        queue_id=queue.id,
        path=path,
    )
    turn.say(escalated)
    leave(turn, "transferred")
    if actor is not None:
        let_go(turn, actor, queues, "escalated")
    else:
        release(turn, "escalated")
    turn.set(tier=queue.tier, path=path)
    enter(turn, queue, "escalated", age_from)
