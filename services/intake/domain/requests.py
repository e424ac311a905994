"""What agents ask intake for: to close, merge, unmerge, split, link and open tickets; and what crossed a merge. Pure.

A request is judged by the tickets as intake has them under lock, and answered with a fact or with `request.refused`. What
concerns two tickets is said on both, with all that a reader of one of them needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.intake.domain import closing
from services.intake.domain.known import REDIRECTS_CAP, KnownCustomer
from services.intake.domain.readdressing import absorbed, readdressed
from shared.events.base import Direction, Draft, Event, Fact, derived_id
from shared.events.message import ReplyRequested
from shared.events.ticket import (
    RequestRefused,
    TicketAbsorbed,
    TicketCloseRequested,
    TicketExpelled,
    TicketLinked,
    TicketLinkRequested,
    TicketMergedInto,
    TicketMergeRequested,
    TicketOpened,
    TicketOpenRequested,
    TicketPersonal,
    TicketResolved,
    TicketSplit,
    TicketSplitRequested,
    TicketUnlinked,
    TicketUnmerged,
    TicketUnmergeRequested,
)
from shared.ticket import CommandRefused, Ticket, check

BY_HAND = "by_hand"  # the inbox of tickets that no contact opened


class Refusal(Exception):
    """What was asked for cannot be done."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of a ticket as far as a split wants to know."""

    message_id: str
    customer_id: str
    human: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what is known of what it names besides tickets: messages to be moved, how many there are on the ticket, its
    subject; the customer for whom a ticket is opened, under the id that goes on, and what was sealed in the request.
    """

    event: Event[Fact]
    messages: tuple[Stored, ...] = ()
    message_count: int = 0
    subject: str = ""
    customer: KnownCustomer | None = None
    language: str = "und"
    personal: TicketPersonal = field(default_factory=TicketPersonal)
    number: int = 0


@dataclass(frozen=True, slots=True)
class NewRow:
    """A ticket that a request opens. `moved`: the messages that come to it from `split_from`."""

    ticket_id: str
    subject: str
    moved: tuple[str, ...] = ()
    split_from: str | None = None
    conversation: str | None = None  # of one by hand


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, and the row that comes to be."""

    drafts: list[Draft[Fact]] = field(default_factory=list)
    opened: NewRow | None = None


def by_hand(customer_id: str, ticket_id: str) -> str:
    """The conversation of a ticket that was opened by hand: nothing joins it, and it says for whom the ticket was opened."""
    return f"{BY_HAND}\x1f{customer_id}\x1f{ticket_id}"


def named(event: Event[Fact]) -> tuple[str, ...]:
    """The tickets that a request concerns."""
    match event.data:
        case TicketMergeRequested(into_ticket_id=other) | TicketLinkRequested(ticket_id=other):
            return event.key, other
        case _:
            return (event.key,)


def wants_number(event: Event[Fact]) -> bool:
    """Whether a ticket is opened when the request is granted."""
    return isinstance(event.data, TicketSplitRequested | TicketOpenRequested)


def answer(asked: Asked, stories: Mapping[str, Ticket]) -> Answer:
    """What follows from a request. `stories` holds the tickets it concerns and those into which they were merged."""
    event = asked.event
    try:
        match event.data:
            case TicketCloseRequested() as wish:
                return Answer([closing.on_request(stories[event.key], event, wish)])
            case TicketMergeRequested(into_ticket_id=into, agent_id=agent_id):
                return Answer(_merge(event, into, agent_id, stories))
            case TicketUnmergeRequested(agent_id=agent_id):
                return Answer(_unmerge(event, agent_id, stories))
            case TicketLinkRequested():
                return Answer(_link(event, event.data, stories))
            case TicketSplitRequested():
                return _split(asked, event.data, stories[event.key])
            case TicketOpenRequested():
                return _open(asked, event.data, stories)
            case ReplyRequested() | TicketResolved() | TicketAbsorbed():
                return Answer(_readdressed(event, stories))
            case _:
                raise Refusal("not-offered", f"{event.type} is not offered by this version of intake")
    except Refusal as refusal:
        refused = RequestRefused(
            request_event_id=event.id,
            code=refusal.code,
            detail=refusal.detail,
            requested_by=getattr(event.data, "agent_id", None),
        )
        return Answer([_said(event, refused)])


def _merge(event: Event[Fact], into: str, agent_id: str, stories: Mapping[str, Ticket]) -> list[Draft[Fact]]:
    story = stories[event.key]
    if story.intake.merged_into is not None:
        raise Refusal("merged-already", "The ticket was merged already. Undo that first.")
    _open_for(story, "merge")
    survivor_id = _survivor(into, stories)
    if survivor_id == event.key:
        raise Refusal("same-ticket", "A ticket cannot be merged into itself, nor into one that was merged into it.")
    survivor = stories[survivor_id]
    if survivor.intake.closed:
        raise Refusal("target-closed", f"Ticket #{survivor.intake.number} is closed and takes nothing in. Link the two instead.")
    if survivor.intake.customer_id != story.intake.customer_id:
        detail = "The tickets are of two customers. If they are one person, merge the customers first; else link the tickets."
        raise Refusal("different-customers", detail)
    if survivor.spam != story.spam:
        raise Refusal("spam", "One of the tickets is spam. Mark or unmark it first.")
    merged = TicketMergedInto(into_ticket_id=survivor_id, requested_by=agent_id)
    return [_said(event, merged), _said(event, absorbed(event.key, story, agent_id), survivor_id)]


def _readdressed(event: Event[Fact], stories: Mapping[str, Ticket]) -> list[Draft[Fact]]:
    """An agent answered on a ticket that had been merged already: what of it still waits is said anew where it goes on."""
    into = stories[event.key].intake.merged_into
    said = readdressed(event, stories[event.key], stories[into]) if into is not None and into in stories else None
    return [_said(event, said, into)] if said is not None else []


def _unmerge(event: Event[Fact], agent_id: str, stories: Mapping[str, Ticket]) -> list[Draft[Fact]]:
    survivor_id = stories[event.key].intake.merged_into
    if survivor_id is None:
        raise Refusal("not-merged", "The ticket was not merged.")
    survivor = stories[survivor_id]
    if survivor.intake.merged_into is not None:
        number = survivor.intake.number
        raise Refusal("merged-onward", f"The ticket it was merged into, #{number}, was merged itself since. Undo that first.")
    unmerged = TicketUnmerged(from_ticket_id=survivor_id, requested_by=agent_id)
    return [_said(event, unmerged), _said(event, TicketExpelled(ticket_id=event.key, requested_by=agent_id), survivor_id)]


def _link(event: Event[Fact], asked: TicketLinkRequested, stories: Mapping[str, Ticket]) -> list[Draft[Fact]]:
    if asked.ticket_id == event.key:
        raise Refusal("same-ticket", "A ticket cannot be linked to itself.")
    if asked.ticket_id not in stories:
        raise Refusal("unknown-ticket", "There is no such ticket to link to.")
    if asked.undo:
        return [
            _said(event, TicketUnlinked(ticket_id=asked.ticket_id, requested_by=asked.agent_id)),
            _said(event, TicketUnlinked(ticket_id=event.key), asked.ticket_id),
        ]
    return [
        _said(event, TicketLinked(ticket_id=asked.ticket_id, relation="related", requested_by=asked.agent_id)),
        _said(event, TicketLinked(ticket_id=event.key, relation="related"), asked.ticket_id),
    ]


def _split(asked: Asked, wish: TicketSplitRequested, story: Ticket) -> Answer:
    """The new ticket is of who wrote the first of its messages, and the partner's whose the ticket is. What of them nothing has
    answered waits there, since it came.
    """
    event, said = asked.event, story.intake
    if said.closed or said.merged_into is not None:
        raise Refusal("not-allowed-now", "Nothing can be split off a ticket that is closed or merged.")
    if story.spam:  # a new ticket would be out of quarantine
        raise Refusal("spam", "The ticket is spam. If it is none, unmark it first.")
    ids = {message.message_id for message in asked.messages}
    if not ids or ids != set(wish.message_ids):
        raise Refusal("unknown-message", "Not all of these are messages of the customer on this ticket.")
    if len(ids) == asked.message_count and said.messages == sum(message.human for message in asked.messages):
        raise Refusal("whole-ticket", "Nothing would be left on the ticket.")
    ticket_id = derived_id("ticket", event.id)
    writer = asked.customer or KnownCustomer(asked.messages[0].customer_id)  # of who was erased no more is known
    subject = asked.subject if writer.customer_id == said.customer_id else ""
    opened = TicketOpened(
        number=asked.number,
        customer_id=writer.customer_id,
        channel=said.channel,
        inbox=said.inbox,
        language=said.language,
        direction=_direction(said.language),
        priority=said.opening_priority,
        vip=writer.vip,
        plan=writer.plan,
        customer_tier=writer.tier,
        partner_id=story.partner_id,
        opened_by=wish.agent_id,
        split_from=event.key,
        unanswered_since=_since(story, ids),
    )
    moved = tuple(message.message_id for message in asked.messages)
    drafts = [
        _said(event, TicketSplit(into_ticket_id=ticket_id, message_ids=moved, requested_by=wish.agent_id)),
        _opening(event, ticket_id, opened, TicketPersonal(subject=subject)),
        _said(event, TicketLinked(ticket_id=event.key, relation="split_from"), ticket_id),
        _said(event, TicketLinked(ticket_id=ticket_id, relation="related"), event.key),
    ]
    return Answer(drafts, NewRow(ticket_id, subject, moved, event.key))


def _since(story: Ticket, message_ids: set[str]) -> datetime | None:
    return min((waiting.at for waiting in story.intake.waiting if waiting.of in message_ids), default=None)


def _open(asked: Asked, wish: TicketOpenRequested, stories: Mapping[str, Ticket]) -> Answer:
    event, customer = asked.event, asked.customer
    if customer is None:
        raise Refusal("unknown-customer", "There is no such customer.")
    if event.key in stories:
        raise Refusal("opened-already", "The ticket is there already.")
    opened = TicketOpened(
        number=asked.number,
        customer_id=customer.customer_id,
        channel=wish.channel,
        inbox=BY_HAND,
        language=asked.language,
        direction=_direction(asked.language),
        priority=wish.priority,
        vip=customer.vip,
        plan=customer.plan,
        customer_tier=customer.tier,
        opened_by=wish.agent_id,
        partner_id=wish.partner_id,
    )
    row = NewRow(event.key, asked.personal.subject, conversation=by_hand(customer.customer_id, event.key))
    return Answer([_opening(event, event.key, opened, asked.personal)], row)


def _direction(language: str) -> Direction:
    return "rtl" if language in ("he", "ar", "fa", "ur", "yi") else "ltr"


def _survivor(ticket_id: str, stories: Mapping[str, Ticket]) -> str:
    """Where a ticket goes on, merges followed."""
    for _ in range(REDIRECTS_CAP):
        story = stories.get(ticket_id)
        if story is None:
            raise Refusal("unknown-ticket", "There is no such ticket to merge into.")
        if story.intake.merged_into is None:
            return ticket_id
        ticket_id = story.intake.merged_into
    raise Refusal("merged-too-often", "The ticket was merged onward too many times.")


def _open_for(story: Ticket, command: Literal["merge"]) -> None:
    try:
        check(story, command)
    except CommandRefused as refused:
        raise Refusal("not-allowed-now", str(refused)) from None


def _said(event: Event[Fact], fact: Fact, key: str | None = None) -> Draft[Fact]:
    return Draft(key=key or event.key, data=fact, cause=event.id, traceparent=event.traceparent)


def _opening(event: Event[Fact], ticket_id: str, fact: TicketOpened, personal: TicketPersonal) -> Draft[Fact]:
    return Draft(
        key=ticket_id,
        data=fact,
        cause=event.id,
        person=fact.customer_id,
        personal=personal,
        traceparent=event.traceparent,
    )
