"""What was decided for a group of contacts, before it is put into words (`tell.py`) and rows (`store.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from services.intake.domain.calls import Call
from services.intake.domain.contacts import Copy, DeliveryWord, FromPerson, Handle, InboundCall, InboundMessage
from services.intake.domain.known import KnownCustomer, KnownTicket
from services.intake.domain.surveys import Question
from services.intake.domain.words import Sent
from shared.events.base import Fact


class NewCustomer(msgspec.Struct, frozen=True):
    """A person seen for the first time: who wrote, or `copy`, to whom they wrote too, who has shown nothing."""

    customer: KnownCustomer
    contact: FromPerson
    cause: str
    handle_id: str
    copy: Copy | None = None

    @property
    def customer_id(self) -> str:
        """Who it is."""
        return self.customer.customer_id

    @property
    def handle(self) -> Handle | None:
        """How they are reached."""
        return self.copy.handle if self.copy is not None else self.contact.handle

    @property
    def name(self) -> str:
        """What they are called."""
        return self.copy.name if self.copy is not None else self.contact.name

    @property
    def language(self) -> str:
        """In what they write."""
        return "und" if self.copy is not None else self.contact.language


class NewHandle(msgspec.Struct, frozen=True):
    """Another way to reach a customer: another form of a number of theirs, a number that they only claim, or one for which a
    connector vouches (`vouched`) or beside which it does. `person`: under whose key it is sealed.
    """

    customer_id: str
    handle: Handle
    contact: FromPerson
    cause: str
    handle_id: str
    person: str
    vouched: bool = False


class HandleLeft(msgspec.Struct, frozen=True):
    """A number that its network gave to somebody else: the customer who had it has it no more, nor its conversations."""

    customer_id: str
    handle: Handle
    handle_id: str
    contact: FromPerson
    cause: str


class NameSeen(msgspec.Struct, frozen=True):
    """Whoever writes from a number calls themselves otherwise than before (`identity.name_hash`)."""

    handle: Handle
    name_hash: int


class FirstHeard(msgspec.Struct, frozen=True):
    """The first that a customer says in a language that is told, from this handle. `person`: under whose key it is sealed."""

    customer_id: str
    contact: InboundMessage
    handle: Handle
    cause: str
    person: str


class NewTicket(msgspec.Struct, frozen=True):
    """A ticket to open; its number is given when it is told. `follow_up_of` is a closed ticket it goes on from, `related_to` one
    whose mail was answered with another matter, or that its message, being spam, was kept from.
    """

    ticket_id: str
    customer: KnownCustomer
    contact: FromPerson
    cause: str
    conversation: str | None = None
    follow_up_of: KnownTicket | None = None
    related_to: KnownTicket | None = None
    confirmation_id: str | None = None

    @property
    def kept_from(self) -> str | None:
        """The ticket to which its message would have come, were it no spam."""
        is_spam = isinstance(self.contact, InboundMessage) and self.contact.spam is not None
        return self.related_to.ticket_id if is_spam and self.related_to is not None else None


class NewMessage(msgspec.Struct, frozen=True):
    """A message to store on a ticket. `participant`: the ticket is this customer's. `cc` are the customers who have a copy,
    `cc_handles` the ids of their addresses. `person`: under whose key it is sealed (`KnownCustomer.sealed_under`). `kept_from`:
    the ticket to which it would have come, were it no spam.
    """

    message_id: str
    ticket_id: str
    customer_id: str
    contact: InboundMessage
    cause: str
    opened: bool
    participant: bool
    person: str
    cc: tuple[str, ...] = ()
    cc_handles: tuple[str, ...] = ()
    kept_from: str | None = None

    @property
    def answered_on(self) -> str:
        """The ticket to which belongs what answers it: an answer that is no spam is not to be lost in quarantine."""
        return self.kept_from or self.ticket_id


class Relabelled(msgspec.Struct, frozen=True):
    """What the words of a later message say of its ticket (`word_lists.py`)."""

    ticket_id: str
    contact: InboundMessage
    cause: str
    facts: tuple[Fact, ...]


class CameAgain(msgspec.Struct, frozen=True):
    """A copy of a message that is here, by another way and under another name (`name_id`), which is remembered; or a form without
    a name, sent again.
    """

    name_id: str
    message_id: str
    ticket_id: str
    contact: InboundMessage


class CallWord(msgspec.Struct, frozen=True):
    """A word about a call that was taken, and the facts it brings, said of `ticket_id`. `begun`: it is the first of its call."""

    call: Call
    contact: InboundCall
    cause: str
    facts: tuple[Fact, ...]
    begun: bool
    ticket_id: str


class SentTold(msgspec.Struct, frozen=True):
    """A word about a message of ours that was taken: the message as it stands after it, and what it says, if that is news.
    `told_on`: the tickets it is said of; of a question none.
    """

    sent: Sent
    contact: DeliveryWord
    fact: Fact | None
    told_on: tuple[str, ...]


class ConsentSaid(msgspec.Struct, frozen=True):
    """A person said whether messages may come to a handle of theirs. `changed`: it had been otherwise before. `person`: under
    whose key it is sealed.
    """

    customer_id: str
    handle: Handle
    contact: InboundMessage
    cause: str
    given: bool
    changed: bool
    person: str


class Scored(msgspec.Struct, frozen=True):
    """A message that is the answer to a question: the question as it stands after it."""

    question: Question
    contact: InboundMessage
    cause: str
    score: int


class Suggestion(msgspec.Struct, frozen=True):
    """Perhaps one person; `evidence` says why (`identity.py`)."""

    customer_id: str
    other_id: str
    evidence: str
    contact: FromPerson
    cause: str


Step = (
    Suggestion
    | NewCustomer
    | NewHandle
    | HandleLeft
    | NameSeen
    | FirstHeard
    | NewTicket
    | NewMessage
    | Relabelled
    | CameAgain
    | CallWord
    | SentTold
    | ConsentSaid
    | Scored
)


class Placement(msgspec.Struct, frozen=True):
    """Where a contact came to be. `number` is 0 while the ticket waits for its number.

    `conflict`: the provider had given the same name to something else before, and that one was kept. `reused`: the caller
    gave its Idempotency-Key to another request before, and this one was not taken. `unknown`: it speaks of a message that
    never went out from here, and was not taken.
    """

    ticket_id: str
    customer_id: str
    item_id: str
    number: int = 0
    opened: bool = False
    repeated: bool = False
    conflict: bool = False
    reused: bool = False
    unknown: bool = False


@dataclass(slots=True)
class Plan:
    """Steps in their order, and one placement for each contact, in the order of the contacts."""

    steps: list[Step] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)

    def opened(self) -> list[NewTicket]:
        """The tickets that want a number."""
        return [step for step in self.steps if isinstance(step, NewTicket)]
