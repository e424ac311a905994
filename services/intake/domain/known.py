"""What intake knows when a group of contacts comes: loaded in a few statements, looked at by `decide`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

import msgspec

from services.intake.domain.calls import Call
from services.intake.domain.contacts import Handle
from services.intake.domain.surveys import Question
from services.intake.domain.words import Sent
from shared.events.base import Channel

REDIRECTS_CAP = 10  # merged into merged into …; an agent's request that goes on for longer is refused


class Name(NamedTuple):
    """What a call is named at its provider."""

    provider: str
    ref: str


class Ref(NamedTuple):
    """A Message-ID within one of our inboxes: the same one seen by another inbox is no proof there."""

    inbox: str
    value: str


class Named(NamedTuple):
    """A ticket that a subject names by its number. `writers`: addresses of others who wrote to it, or had a copy of what was
    written; `hosts`: those of the addresses that its customer wrote from.
    """

    ticket_id: str
    customer_id: str
    writers: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()


class Seen(NamedTuple):
    """A handle that is somebody's, under the id of its row. `silent`: how long nothing came from it; None if nothing ever did."""

    handle_id: str
    customer_id: str
    silent: timedelta | None


class Received(msgspec.Struct, frozen=True):
    """A message that is stored. Its hash is empty after its person was erased: then nothing tells it from a repeat."""

    message_id: str
    ticket_id: str
    number: int
    customer_id: str
    content_hash: str
    opened: bool

    def repeats(self, content_hash: str) -> bool:
        """Whether a message of this content is this one again."""
        return self.content_hash in ("", content_hash)


class Coming(NamedTuple):
    """That a message came by one way in the last minutes; what of it was known so (`contacts.Fingerprint`)."""

    message: Received
    words: bytes
    kept: int
    way: str
    sent_at: datetime | None
    message_ref: str | None


class KnownCustomer(msgspec.Struct, frozen=True):
    """A customer as far as a new ticket wants to know. `origin`: whose the handle was, by which they were found, before that one
    was merged into this one. `handle_id`: that handle's, where it was looked for. `unreachable`: on some channel none of their
    handles can be written to.
    """

    customer_id: str
    vip: bool = False
    plan: str | None = None
    tier: str | None = None
    language: str = "und"
    origin: str | None = None
    handle_id: str = ""
    unreachable: bool = False

    @property
    def sealed_under(self) -> str:
        """Under whose key what they write is sealed: so each keeps their own, and only that, when they are two again."""
        return self.origin or self.customer_id


class KnownTicket(msgspec.Struct, frozen=True):
    """A ticket as far as threading wants to know. `agent_id`: who has it now. `silent`: how long nothing became of it.
    `spam`: it is in quarantine; `judged`: an agent put it there.
    """

    ticket_id: str
    number: int
    customer_id: str
    closed: bool = False
    merged_into: str | None = None
    followed_up_by: str | None = None
    agent_id: str | None = None
    subject: str = ""
    silent: timedelta = timedelta(0)
    spam: bool = False
    judged: bool = False


def goes_on_as(ticket: KnownTicket) -> str | None:
    """The ticket that takes what is written to this one, where another does."""
    return ticket.merged_into or (ticket.followed_up_by if ticket.closed else None)


@dataclass(slots=True)
class Known:
    """Everything about the contacts of one group. `decide` adds to its own copy what it decides on the way."""

    received: dict[str, Received] = field(default_factory=dict)
    customers: dict[Handle, KnownCustomer] = field(default_factory=dict)
    tickets: dict[str, KnownTicket] = field(default_factory=dict)
    refs: dict[Ref, str] = field(default_factory=dict)
    conversations: dict[str, str] = field(default_factory=dict)
    calls: dict[Name, Call] = field(default_factory=dict)
    requests: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    refusing: set[tuple[Handle, Channel]] = field(default_factory=set)  # of a number its line
    named: dict[int, Named] = field(default_factory=dict)
    names: dict[Handle, int] = field(default_factory=dict)  # `identity.name_hash` of who wrote from a number
    seen: dict[Handle, Seen] = field(default_factory=dict)  # where somebody of another name writes from it
    questions: dict[tuple[Handle, Channel, str], Question] = field(default_factory=dict)
    comings: dict[bytes, list[Coming]] = field(default_factory=dict)  # by shape, in the order in which they came
    external: dict[str, frozenset[str]] = field(default_factory=dict)  # ids in your records of whom a connector vouches for

    def copy(self) -> Known:
        """A copy that may be written to; what is inside is immutable."""
        return Known(
            dict(self.received),
            dict(self.customers),
            dict(self.tickets),
            dict(self.refs),
            dict(self.conversations),
            dict(self.calls),
            dict(self.requests),
            dict(self.sent),
            set(self.words),
            set(self.refusing),
            dict(self.named),
            dict(self.names),
            dict(self.seen),
            dict(self.questions),
            {shape: list(comings) for shape, comings in self.comings.items()},
            dict(self.external),
        )

    def standing(self, ticket_id: str) -> KnownTicket | None:
        """The ticket where this one goes on: merges followed, and its customer's follow-up in place of a closed one. None where
        they go in a circle: that is a defect, and nobody may be lost in it.
        """
        return self._end(ticket_id, self._place_taken_by)

    def way(self, ticket_id: str) -> Iterator[KnownTicket]:
        """The ticket, and those that took its place, each after the other, as `standing`; in a circle each once."""
        passed: set[str] = set()
        onward: str | None = ticket_id
        while onward is not None and onward not in passed and onward in self.tickets:
            passed.add(onward)
            yield self.tickets[onward]
            onward = self._place_taken_by(self.tickets[onward])

    def merged(self, ticket_id: str) -> KnownTicket | None:
        """The ticket into which this one was merged, as `standing`; itself where it was not."""
        return self._end(ticket_id, attrgetter("merged_into"))

    def _place_taken_by(self, ticket: KnownTicket) -> str | None:
        """A follow-up that became somebody else's, when two were two again, takes the place of none of theirs."""
        onward = goes_on_as(ticket)
        follows = self.tickets.get(onward) if onward is not None and ticket.merged_into is None else None
        return onward if follows is None or follows.customer_id == ticket.customer_id else None

    def _end(self, ticket_id: str, goes_on: Callable[[KnownTicket], str | None]) -> KnownTicket | None:
        passed: set[str] = set()
        ticket = self.tickets.get(ticket_id)
        while ticket is not None:
            onward = goes_on(ticket)
            if onward is None or onward not in self.tickets:
                return ticket
            if onward in passed:
                return None
            passed.add(onward)
            ticket = self.tickets[onward]
        return None

    def follow(self, old_id: str, new_id: str) -> None:
        """Remember that a closed ticket goes on as a new one."""
        self.tickets[old_id] = msgspec.structs.replace(self.tickets[old_id], followed_up_by=new_id)
