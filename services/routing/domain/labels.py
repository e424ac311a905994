"""What else rules may ask about a ticket than what its fold holds."""

from __future__ import annotations

import msgspec

from shared.events.ticket import TicketLabelled, TicketOpened


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Topic, product, tags, and what the ticket was opened with."""

    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] = ()
    customer_tier: str | None = None
    partner_id: str | None = None
    follow_up_of: str | None = None


def labels_of(fact: TicketOpened) -> Labels:
    """The labels with which a ticket begins."""
    return Labels(
        topic=fact.topic,
        product=fact.product,
        tags=fact.tags,
        customer_tier=fact.customer_tier,
        partner_id=fact.partner_id,
        follow_up_of=fact.follow_up_of,
    )


def relabelled(labels: Labels, fact: TicketLabelled) -> Labels:
    """The labels afterwards: what the fact leaves out stays."""
    return msgspec.structs.replace(
        labels,
        topic=fact.topic or labels.topic,
        product=fact.product or labels.product,
        tags=labels.tags if fact.tags is None else fact.tags,
    )
