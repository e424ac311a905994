"""What people say that a ticket is: its subject, priority, topic, product, tags, and the house's own fields. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.routing.domain.commands import Actor, permit, prioritise
from services.routing.domain.labels import relabelled
from services.routing.domain.work import Turn
from shared.events.base import Priority
from shared.events.ticket import TicketLabelled, TicketPersonal, TicketRenamed

MOST_FIELDS = 50
MOST_TAGS = 50


class TooManyFields(ValueError):
    """More fields of one's own than a ticket holds."""


class TooManyTags(ValueError):
    """More tags than a ticket holds."""


class CustomerForgotten(ValueError):
    """The customer was erased: nothing is written of them any more."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be otherwise; None: as it is. Of `fields` None takes one away."""

    subject: str | None = None
    priority: Priority | None = None
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] | None = None
    fields: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labelling:
    """What is to be otherwise on whatever a ticket has; None, or no tags: as it is. What is added and removed is removed."""

    topic: str | None = None
    product: str | None = None
    add_tags: Collection[str] = ()
    remove_tags: Collection[str] = ()


def label(turn: Turn, actor: Actor, wanted: Labelling) -> None:
    """Set it; nothing where it is so already. Raises CommandRefused, NotYours, TooManyTags."""
    before = turn.work.ticket.tags
    tags = tuple(tag for tag in dict.fromkeys((*before, *wanted.add_tags)) if tag not in wanted.remove_tags)
    if len(tags) > max(MOST_TAGS, len(before)):
        raise TooManyTags(f"a ticket holds at most {MOST_TAGS} tags")
    edit(turn, actor, Edit(topic=wanted.topic, product=wanted.product, tags=tags))


def edit(turn: Turn, actor: Actor, wanted: Edit) -> None:
    """Change what is wanted otherwise, and say nothing of what is so already; an owner who did not do it is told. Raises
    CommandRefused, NotYours, TooManyFields, CustomerForgotten.
    """
    permit(turn, actor, "edit")
    if wanted.subject is not None and turn.work.erased:
        raise CustomerForgotten("the customer's data was erased, and the subject with it")
    before = turn.work.ticket.version
    if wanted.priority is not None:
        prioritise(turn, actor, wanted.priority)
    _label(turn, actor, wanted)
    if wanted.subject is not None:
        personal = TicketPersonal(subject=wanted.subject)
        turn.say(TicketRenamed(agent_id=actor.agent_id), person=turn.work.sealed_under, personal=personal)
    owner, version = turn.work.owner, turn.work.ticket.version
    if version != before and owner is not None and owner != actor.agent_id:
        turn.tell(owner, "ticket.edited", by_agent_id=actor.agent_id, version=version)


def _label(turn: Turn, actor: Actor, wanted: Edit) -> None:
    ticket, held = turn.work.ticket, turn.work.ticket.fields
    fields = {name: value or "" for name, value in wanted.fields.items() if (value or "") != held.get(name, "")}
    fact = TicketLabelled(
        topic=wanted.topic if wanted.topic != ticket.topic else None,
        product=wanted.product if wanted.product != ticket.product else None,
        tags=wanted.tags if wanted.tags != ticket.tags else None,
        fields=fields,
        by_agent_id=actor.agent_id,
    )
    if fact == TicketLabelled(by_agent_id=actor.agent_id):
        return
    if sum(bool(value) for value in {**held, **fields}.values()) > MOST_FIELDS:
        raise TooManyFields(f"a ticket holds at most {MOST_FIELDS} fields of one's own")
    turn.say(fact)
    turn.set(labels=relabelled(turn.work.labels, fact))
    turn.to_judge = True
