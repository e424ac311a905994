"""What the words of messages say of their tickets: of those that they open, and of those to which they come later. Pure.

A later message raises urgency and never lowers it, tells topic and product where none is told, adds tags; and it says nothing
against what people or rules set. Only what a person wrote, and nobody takes for spam, is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from services.intake.domain.contacts import InboundMessage, Labels
from services.intake.domain.plan import NewMessage, NewTicket, Plan, Relabelled, Step
from services.intake.domain.word_lists import Hit, added
from shared.events.base import Fact
from shared.events.ticket import TicketLabelled, TicketPrioritised
from shared.ticket import Ticket

HitsOf = Callable[[InboundMessage], Sequence[Hit]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The labels of a ticket. `prioritised`, `tagged`: people or rules set its priority, its tags."""

    labels: Labels
    prioritised: bool = False
    tagged: bool = False

    @classmethod
    def of(cls, story: Ticket) -> Standing:
        """As they are by now."""
        labels = Labels(story.priority, story.topic, story.product, story.tags)
        return cls(labels, story.routing.priority is not None, story.routing.tags is not None)

    def after(self, hits: Sequence[Hit]) -> Labels:
        """With what is found in a later message."""
        was, found = self.labels, added(self.labels, hits)
        priority = was.priority if self.prioritised else found.priority
        return Labels(priority, found.topic, found.product, was.tags if self.tagged else found.tags)


def label(plan: Plan, hits_of: HitsOf, stories: Mapping[str, Ticket]) -> Plan:
    """The plan with what the words of its messages say, each before the message: whoever reads that it came knows how urgent it
    is. `hits_of` tells what is found in a message; `stories` are of the tickets that were there before it.
    """
    standing: dict[str, Standing] = {}
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, NewTicket):
            opening = _opening(step, hits_of)
            steps.append(opening)
            standing[step.ticket_id] = Standing(_labels_of(opening))
            continue
        if isinstance(step, NewMessage) and not step.opened and (hits := _hits(step.contact, hits_of)):
            before = standing.get(step.ticket_id) or Standing.of(stories[step.ticket_id])
            after = before.after(hits)
            standing[step.ticket_id] = replace(before, labels=after)
            if facts := _facts(before.labels, after, hits):
                steps.append(Relabelled(step.ticket_id, step.contact, step.cause, facts))
        steps.append(step)
    return Plan(steps, plan.placements)


def _opening(step: NewTicket, hits_of: HitsOf) -> NewTicket:
    """What its connector said stands, and urgency is only ever raised."""
    contact = step.contact
    if not isinstance(contact, InboundMessage) or not (hits := hits_of(contact)):
        return step
    return msgspec.structs.replace(step, contact=msgspec.structs.replace(contact, labels=added(contact.labels, hits)))


def _labels_of(step: NewTicket) -> Labels:
    return step.contact.labels if isinstance(step.contact, InboundMessage) else Labels()


def _hits(contact: InboundMessage, hits_of: HitsOf) -> Sequence[Hit]:
    return hits_of(contact) if contact.origin == "human" and contact.spam is None else ()


def _facts(was: Labels, now: Labels, hits: Sequence[Hit]) -> tuple[Fact, ...]:
    """What is said of the change, each by the first of the lists that brings it."""
    lists, facts = [one for one, _ in hits], list[Fact]()
    if now.priority != was.priority:
        by = next(one.id for one in lists if one.priority == now.priority)
        facts.append(TicketPrioritised(priority=now.priority, previous=was.priority, rule_id=by))
    topic = now.topic if now.topic != was.topic else None
    product = now.product if now.product != was.product else None
    tags = now.tags if now.tags != was.tags else None
    if topic or product or tags:
        brought = {topic, product, *set(now.tags).difference(was.tags)} - {None}
        by = next(one.id for one in lists if not brought.isdisjoint((one.topic, one.product, *one.tags)))
        facts.append(TicketLabelled(topic=topic, product=product, tags=tags, rule_id=by))
    return tuple(facts)
