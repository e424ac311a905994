"""How a ticket stands with its promises: what its customer asked, what was answered, whose it is, its clocks. Pure.

Status comes from `shared.ticket`, so that a decision which had not seen the customer's last message stops no clock.
"""

from __future__ import annotations

import msgspec

from services.sla.domain.clocks import Clock, Dimensions
from shared.events.base import Event, Fact, Position
from shared.events.call import CallAnswered
from shared.events.config import TargetKind
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    TicketAbsorbed,
    TicketAssigned,
    TicketExpelled,
    TicketOpened,
    TicketQueued,
    TicketReleased,
    TicketResolved,
    TicketSplit,
)
from shared.ticket import Ticket, Waiting, awaits_answer


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ticket and its clocks. `asked` is the first question, `responded` whether an agent answered it since.

    `unanswered` are the customer's messages that neither an agent's reply nor talk nor a resolution covers.
    """

    ticket: Ticket = Ticket()
    whose: Dimensions = Dimensions()
    asked: Waiting | None = None
    responded: bool = False
    unanswered: tuple[Waiting, ...] = ()
    clocks: tuple[Clock, ...] = ()

    def last(self, kind: TargetKind) -> Clock | None:
        """The latest clock of a kind."""
        for clock in reversed(self.clocks):
            if clock.target == kind:
                return clock
        return None


def heard(standing: Standing, ticket: Ticket, elapsed: tuple[Clock, ...], event: Event[Fact]) -> Standing:
    """The standing after a fact: what was asked and answered, and whose ticket it is. `elapsed` are its clocks by then."""
    fact, asked, unanswered = event.data, standing.asked, standing.unanswered
    responded = standing.responded
    if awaits_answer(fact):
        waiting = Waiting(event.position, event.time, fact.message_id if isinstance(fact, MessageReceived) else "")
        asked, unanswered = asked or waiting, (*unanswered, waiting)
    elif isinstance(fact, TicketOpened) and fact.unanswered_since is not None:
        asked = Waiting(event.position, fact.unanswered_since)  # it came with messages of another ticket
        unanswered = (asked,)
    elif isinstance(fact, TicketAbsorbed):
        responded = responded or _was_answered(asked, fact)
        asked = _older(asked, fact, event) if not responded else asked
        unanswered = tuple(waiting for waiting in unanswered if waiting.of != fact.ticket_id)
        if fact.unanswered_since is not None:
            unanswered = (*unanswered, Waiting(event.position, fact.unanswered_since, fact.ticket_id))
    elif isinstance(fact, TicketSplit | TicketExpelled):
        gone = fact.message_ids if isinstance(fact, TicketSplit) else (fact.ticket_id,)
        unanswered = tuple(waiting for waiting in unanswered if waiting.of not in gone)
        asked = _left(asked, unanswered, gone) if not responded else asked
    elif (covered := _covered(fact, event)) is not None:
        unanswered = tuple(waiting for waiting in unanswered if waiting.position > covered)
        answered = asked is not None and asked.position <= covered
        responded = responded or (answered and not isinstance(fact, TicketResolved))
    return Standing(ticket, _whose(standing.whose, ticket, fact), asked, responded, unanswered, elapsed)


def _older(asked: Waiting | None, fact: TicketAbsorbed, event: Event[Fact]) -> Waiting | None:
    """The first question, when a ticket comes in whose customer asked and was never answered: the older of the two."""
    if fact.unanswered_since is None or fact.first_responded_at is not None:
        return asked
    if asked is None:
        return Waiting(event.position, fact.unanswered_since, fact.ticket_id)
    return msgspec.structs.replace(asked, at=min(asked.at, fact.unanswered_since))


def _left(asked: Waiting | None, unanswered: tuple[Waiting, ...], gone: tuple[str, ...]) -> Waiting | None:
    """The first question, when it may have gone to another ticket: the next one then, which keeps what was promised by then."""
    if asked is None or asked.of not in gone:
        return asked
    return msgspec.structs.replace(unanswered[0], at=asked.at) if unanswered else None


def _was_answered(asked: Waiting | None, fact: TicketAbsorbed) -> bool:
    """Whether the first question came with that ticket, and was answered there by a reply that had crossed the merge."""
    return asked is not None and asked.of == fact.ticket_id and fact.first_responded_at is not None


def _covered(fact: Fact, event: Event[Fact]) -> Position | None:
    """How far this fact answers the customer: an agent's reply or talk, or a resolution. Bots and rules answer nobody."""
    if isinstance(fact, CallAnswered) and fact.agent_id is not None:
        return event.position
    if isinstance(fact, TicketResolved) or (isinstance(fact, ReplyRequested) and fact.by == "agent"):
        return event.seen
    return None


def _whose(whose: Dimensions, ticket: Ticket, fact: Fact) -> Dimensions:
    match fact:
        case TicketOpened():
            return msgspec.structs.replace(
                whose,
                channel=fact.channel,
                priority=fact.priority,
                partner_id=fact.partner_id,
                customer_tier=fact.customer_tier,
            )
        case TicketQueued():
            return msgspec.structs.replace(whose, queue_id=fact.queue_id, agent_id=None, partner_id=fact.partner_id)
        case TicketAssigned():
            return msgspec.structs.replace(
                whose,
                agent_id=fact.agent_id,
                team_id=fact.team_id,
                queue_id=fact.queue_id or whose.queue_id,
                partner_id=fact.partner_id,
            )
        case TicketReleased():
            return msgspec.structs.replace(whose, agent_id=None)
        case _:
            priority = ticket.priority
            return whose if priority == whose.priority else msgspec.structs.replace(whose, priority=priority)
