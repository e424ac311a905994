"""A ticket as the fold of its log. Pure.

Two services write the log of a ticket, intake and routing, each from what it has seen; their facts may cross. So the state
keeps what each of them said apart (`Intake`, `Routing`), and status is derived from both: for every interleaving of the two
streams the result is the same. What a resolve, pend or hold covers is said by its `seen`: a customer's message that its
writer had not seen reopens the ticket wherever the message stands in the log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from shared.events.base import NOTHING_SEEN, Channel, Event, Fact, Position, Priority
from shared.events.call import CallAnswered, CallReceived
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.ticket import (
    RequestRefused,
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketCustomerChanged,
    TicketExpelled,
    TicketLabelled,
    TicketMergedInto,
    TicketOpened,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketQueued,
    TicketReleased,
    TicketRenamed,
    TicketReopened,
    TicketResolved,
    TicketSplit,
    TicketUnmerged,
    TicketWithdrawn,
)

Status = Literal["new", "open", "pending", "on_hold", "resolved", "closed"]
Command = Literal[
    "reply",
    "note",
    "resolve",
    "pend",
    "put_on_hold",
    "reopen",
    "assign",
    "queue",
    "prioritise",
    "edit",
    "close",
    "merge",
    "split",
    "judge_spam",
]

RESTING: dict[type[Fact], Status] = {TicketResolved: "resolved", TicketPended: "pending", TicketPutOnHold: "on_hold"}

# Which commands a ticket takes in which status. A fact is never refused for its status: it was true for its writer.
ALLOWED: dict[Status, frozenset[Command]] = {
    "new": frozenset(
        {
            "note",
            "resolve",
            "pend",
            "put_on_hold",
            "assign",
            "queue",
            "prioritise",
            "edit",
            "close",
            "merge",
            "split",
            "judge_spam",
        }
    ),
    "open": frozenset(
        {
            "reply",
            "note",
            "resolve",
            "pend",
            "put_on_hold",
            "assign",
            "queue",
            "prioritise",
            "edit",
            "close",
            "merge",
            "split",
            "judge_spam",
        }
    ),
    "pending": frozenset(
        {
            "reply",
            "note",
            "resolve",
            "put_on_hold",
            "reopen",
            "assign",
            "prioritise",
            "edit",
            "close",
            "merge",
            "split",
            "judge_spam",
        }
    ),
    "on_hold": frozenset(
        {"reply", "note", "resolve", "pend", "reopen", "assign", "prioritise", "edit", "close", "merge", "split", "judge_spam"}
    ),
    "resolved": frozenset({"reply", "note", "reopen", "edit", "close", "merge", "split", "judge_spam"}),
    "closed": frozenset({"note"}),
}


class IllegalFact(ValueError):
    """A fact that its own writer could never say here (a second opening, a message before the opening): a defect upstream."""


class CommandRefused(ValueError):
    """A command that the ticket's status does not allow."""

    def __init__(self, command: Command, status: Status) -> None:
        super().__init__(f"a ticket that is {status} takes no '{command}'")
        self.command = command
        self.status = status


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A customer's message that nothing has answered yet. `of` is its id, or that of the ticket it came with in a merge."""

    position: Position
    at: datetime
    of: str = ""


class Decision(msgspec.Struct, frozen=True):
    """The last decision of routing that lets a ticket rest, and how far it had seen the customer."""

    status: Status
    seen: Position
    at: datetime


class Intake(msgspec.Struct, frozen=True, omit_defaults=True):
    """What intake said. `last_message` is the last customer's message that wants an answer; `waiting` those not yet answered.
    `raised_priority`: by the words of a later message. `origin`: whose it was before that one was merged into its customer.
    `edits`: how often it said something that people edit.
    """

    opened: bool = False
    number: int = 0
    opened_at: datetime | None = None
    customer_id: str = ""
    origin: str = ""
    channel: Channel = "other"
    inbox: str = ""
    language: str = "und"
    vip: bool = False
    plan: str | None = None
    opening_priority: Priority = 2
    raised_priority: Priority | None = None
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] = ()
    partner_id: str | None = None
    last_message: Position = NOTHING_SEEN
    waiting: tuple[Waiting, ...] = ()
    messages: int = 0
    merged_into: str | None = None
    closed: bool = False
    withdrawn: bool = False
    spam: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    edits: int = 0


class Routing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What routing said. `answered` is the furthest any reply or resolution had seen of the customer. `tags` None: nothing.
    `edits`: how often it said something that people edit; `renamed`: it has another subject than it was opened with.
    """

    decision: Decision | None = None
    decided_once: bool = False
    owned_once: bool = False
    agent_id: str | None = None
    queue_id: str | None = None
    team_id: str | None = None
    partner_id: str | None = None
    answered: Position = NOTHING_SEEN
    first_reply_at: datetime | None = None
    last_reply_at: datetime | None = None
    replies: int = 0
    priority: Priority | None = None
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] | None = None
    spam: bool | None = None
    fields: tuple[tuple[str, str], ...] = ()
    edits: int = 0
    renamed: bool = False


class Ticket(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ticket as told so far."""

    intake: Intake = Intake()
    routing: Routing = Routing()

    @property
    def exists(self) -> bool:
        """Whether its opening was told yet."""
        return self.intake.opened

    @property
    def spam(self) -> bool:
        """Agents' word on spam goes over intake's."""
        return self.intake.spam if self.routing.spam is None else self.routing.spam

    @property
    def priority(self) -> Priority:
        """As opened, or as a later message raised it; what agents set goes over both."""
        return self.routing.priority or self.intake.raised_priority or self.intake.opening_priority

    @property
    def topic(self) -> str | None:
        """What it is about; agents' word goes over intake's, here and below."""
        return self.routing.topic or self.intake.topic

    @property
    def product(self) -> str | None:
        """Which product it is about."""
        return self.routing.product or self.intake.product

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self.intake.tags if self.routing.tags is None else self.routing.tags

    @property
    def fields(self) -> dict[str, str]:
        """The house's own fields, by their names."""
        return {name: value for name, value in dict((*self.intake.fields, *self.routing.fields)).items() if value}

    @property
    def version(self) -> int:
        """That of what people edit: subject, priority, topic, product, tags, own fields. The same wherever the log is folded."""
        return 1 + self.intake.edits + self.routing.edits

    @property
    def partner_id(self) -> str | None:
        """The partner whose it is now, None: the house's. Who was given it last has it; before that, whose inbox it came to."""
        given = self.routing.queue_id is not None or self.routing.owned_once
        return self.routing.partner_id if given else self.intake.partner_id

    @property
    def waiting_since(self) -> datetime | None:
        """When the oldest customer's message came that nothing has answered: no reply, no talk, no resolution."""
        return min((message.at for message in self.intake.waiting), default=None)

    @property
    def status(self) -> Status:
        """Derived, never set: closed is final, then the last decision if it had seen all of the customer, then open or new."""
        if self.intake.closed or self.intake.merged_into is not None:
            return "closed"
        decision = self.routing.decision
        if decision is not None and decision.seen >= self.intake.last_message:
            return decision.status
        return "open" if self.routing.owned_once or self.routing.decided_once else "new"

    @property
    def reopened_by_customer(self) -> bool:
        """A decision stands, but the customer wrote something that it had not seen."""
        decision = self.routing.decision
        return decision is not None and decision.seen < self.intake.last_message

    @property
    def active(self) -> bool:
        """Somebody has to work on it: new or open."""
        return self.status in ("new", "open")


def apply(ticket: Ticket, event: Event[Fact]) -> Ticket:
    """The ticket after `event`. Facts that do not change its state return it as it is. Raises IllegalFact."""
    if event.writer == "intake":
        return _settle(msgspec.structs.replace(ticket, intake=_intake(ticket.intake, event)))
    if event.writer == "routing":
        return _settle(msgspec.structs.replace(ticket, routing=_routing(ticket.routing, event)))
    raise IllegalFact(f"{event.writer} does not write tickets")


def check(ticket: Ticket, command: Command) -> None:
    """Refuse a command that the status does not allow. Raises CommandRefused."""
    if command not in ALLOWED[ticket.status]:
        raise CommandRefused(command, ticket.status)


def awaits_answer(fact: Fact) -> bool:
    """Whether this fact is a customer who wants an answer: a person's message or a call, not a machine's mail."""
    return isinstance(fact, CallReceived) or (isinstance(fact, MessageReceived) and fact.origin == "human")


def _settle(ticket: Ticket) -> Ticket:
    """Drop the messages that routing has answered: which of the two was told first must leave no trace."""
    open_ones = tuple(message for message in ticket.intake.waiting if message.position > ticket.routing.answered)
    if len(open_ones) == len(ticket.intake.waiting):
        return ticket
    return msgspec.structs.replace(ticket, intake=msgspec.structs.replace(ticket.intake, waiting=open_ones))


def _intake(state: Intake, event: Event[Fact]) -> Intake:
    fact = event.data
    if isinstance(fact, TicketOpened):
        return _opened(state, fact, event)
    if not state.opened:
        if isinstance(fact, RequestRefused):
            return state  # it was asked to be opened, and is not
        raise IllegalFact(f"{event.type} before ticket.opened")
    if awaits_answer(fact):
        return msgspec.structs.replace(
            state,
            last_message=event.position,
            waiting=(*state.waiting, Waiting(event.position, event.time, _asked_in(fact))),
            messages=state.messages + 1,
        )
    match fact:
        case CallAnswered(agent_id=str()):
            return msgspec.structs.replace(state, waiting=())
        case TicketAbsorbed() | TicketExpelled() | TicketSplit() | TicketMergedInto() | TicketUnmerged():
            return _joined(state, fact, event.position)
        case TicketClosed():
            return msgspec.structs.replace(state, closed=True)
        case TicketCustomerChanged(customer_id=customer_id):
            return msgspec.structs.replace(state, customer_id=customer_id, origin=_origin(state, fact))
        case TicketWithdrawn():
            return msgspec.structs.replace(state, withdrawn=True)
        case TicketPrioritised() | TicketLabelled():
            return msgspec.structs.replace(state, edits=state.edits + 1, **_by_words(state, fact))
        case SpamMarked() | SpamUnmarked():
            return msgspec.structs.replace(state, spam=isinstance(fact, SpamMarked))
        case _:
            return state


def _joined(
    state: Intake,
    fact: TicketAbsorbed | TicketExpelled | TicketSplit | TicketMergedInto | TicketUnmerged,
    position: Position,
) -> Intake:
    """What becomes of two tickets said on one of them."""
    match fact:
        case TicketAbsorbed():
            return _took_in(state, fact, position)
        case TicketExpelled(ticket_id=gone):
            return _without(state, (gone,))
        case TicketSplit(message_ids=moved):
            return _without(state, moved)
        case TicketMergedInto(into_ticket_id=into):
            return msgspec.structs.replace(state, merged_into=into)
        case TicketUnmerged():
            return msgspec.structs.replace(state, merged_into=None)


def _origin(state: Intake, fact: TicketCustomerChanged) -> str:
    """Empty where it is its customer's own, as after an unmerge; and where it was opened for two who were one by then."""
    before = state.origin or (fact.previous if fact.reason == "merged" else "")
    return before if before != fact.customer_id and fact.reason != "corrected" else ""


def _took_in(state: Intake, fact: TicketAbsorbed, position: Position) -> Intake:
    state = _without(state, (fact.ticket_id,))  # it is said again when an answer crossed the merge
    if fact.unanswered_since is None:
        return state
    waiting = (*state.waiting, Waiting(position, fact.unanswered_since, fact.ticket_id))
    return msgspec.structs.replace(state, last_message=position, waiting=waiting)


def _asked_in(fact: Fact) -> str:
    return fact.message_id if isinstance(fact, MessageReceived) else ""


def _without(state: Intake, gone: tuple[str, ...]) -> Intake:
    """What went away with a ticket or to another one waits there now. What it reopened stays open: somebody looks again."""
    return msgspec.structs.replace(state, waiting=tuple(one for one in state.waiting if one.of not in gone))


def _opened(state: Intake, fact: TicketOpened, event: Event[Fact]) -> Intake:
    if state.opened:
        raise IllegalFact("a ticket is opened once")
    since = fact.unanswered_since
    return Intake(
        opened=True,
        last_message=event.position if since is not None else NOTHING_SEEN,
        waiting=(Waiting(event.position, since),) if since is not None else (),
        number=fact.number,
        opened_at=event.time,
        customer_id=fact.customer_id,
        channel=fact.channel,
        inbox=fact.inbox,
        language=fact.language,
        vip=fact.vip,
        plan=fact.plan,
        opening_priority=fact.priority,
        topic=fact.topic,
        product=fact.product,
        tags=fact.tags,
        partner_id=fact.partner_id,
    )


def _by_words(state: Intake, fact: TicketPrioritised | TicketLabelled) -> dict[str, object]:
    """What a later message brings."""
    return {"raised_priority": fact.priority} if isinstance(fact, TicketPrioritised) else _said(state, fact)


def _said(state: Intake | Routing, fact: TicketLabelled) -> dict[str, object]:
    """The labels that a fact changes."""
    fields = tuple(sorted({**dict(state.fields), **fact.fields}.items())) if fact.fields else None
    labels = {"topic": fact.topic, "product": fact.product, "tags": fact.tags, "fields": fields}
    return {name: label for name, label in labels.items() if label is not None}


def _routing(state: Routing, event: Event[Fact]) -> Routing:
    fact = event.data
    resting = RESTING.get(type(fact))
    if resting is not None:
        return msgspec.structs.replace(
            state,
            decision=Decision(resting, event.seen, event.time),
            decided_once=True,
            answered=max(state.answered, event.seen) if resting == "resolved" else state.answered,
        )
    match fact:
        case ReplyRequested():
            return _replied(state, event.seen, event.time)
        case TicketAssigned():
            return msgspec.structs.replace(
                state,
                agent_id=fact.agent_id,
                team_id=fact.team_id,
                queue_id=fact.queue_id or state.queue_id,
                partner_id=fact.partner_id,
                owned_once=True,
            )
        case TicketReleased():
            return msgspec.structs.replace(state, agent_id=None)
        case TicketQueued(queue_id=queue_id, partner_id=partner_id):
            return msgspec.structs.replace(state, queue_id=queue_id, partner_id=partner_id, agent_id=None)
        case TicketReopened():
            return msgspec.structs.replace(state, decision=None)
        case TicketPrioritised(priority=priority):
            return msgspec.structs.replace(state, priority=priority, edits=state.edits + 1)
        case TicketLabelled():
            return msgspec.structs.replace(state, edits=state.edits + 1, **_said(state, fact))
        case TicketRenamed():
            return msgspec.structs.replace(state, edits=state.edits + 1, renamed=True)
        case SpamMarked() | SpamUnmarked():
            return msgspec.structs.replace(state, spam=isinstance(fact, SpamMarked))
        case _:
            return state


def _replied(state: Routing, seen: Position, at: datetime) -> Routing:
    return msgspec.structs.replace(
        state,
        answered=max(state.answered, seen),
        first_reply_at=state.first_reply_at or at,
        last_reply_at=at,
        replies=state.replies + 1,
    )
