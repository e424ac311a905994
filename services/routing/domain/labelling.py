"""Topic, product and tags, set by hand on whatever a ticket has of them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from services.routing.domain.commands import Actor, permit
from services.routing.domain.labels import relabelled
from services.routing.domain.work import Turn
from shared.events.ticket import TicketLabelled

MOST_TAGS = 50


class TooManyTags(ValueError):
    """More tags than a ticket holds."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """What is to be otherwise; None, or no tags: as it is. A tag that is added and removed is removed."""

    topic: str | None = None
    product: str | None = None
    add_tags: Collection[str] = ()
    remove_tags: Collection[str] = ()


def label(turn: Turn, actor: Actor, wanted: Labelling) -> None:
    """Set it; nothing where it is so already. Raises CommandRefused, NotYours, TooManyTags."""
    permit(turn, actor, "prioritise")
    before = turn.work.labels
    tags = tuple(tag for tag in dict.fromkeys((*before.tags, *wanted.add_tags)) if tag not in wanted.remove_tags)
    if len(tags) > max(MOST_TAGS, len(before.tags)):
        raise TooManyTags(f"a ticket holds at most {MOST_TAGS} tags")
    fact = TicketLabelled(
        topic=wanted.topic if wanted.topic != before.topic else None,
        product=wanted.product if wanted.product != before.product else None,
        tags=tags if tags != before.tags else None,
        by_agent_id=actor.agent_id,
    )
    if fact != TicketLabelled(by_agent_id=actor.agent_id):
        turn.say(fact)
        turn.set(labels=relabelled(before, fact))
        turn.to_judge = True
