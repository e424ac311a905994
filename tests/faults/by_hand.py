"""Histories told by hand: a story tells facts as the services would, and its tables hold what its log says.

So a story is whole whatever is told, but for what a test tells wrong or changes afterwards.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from shared.events.base import NOTHING_SEEN, Channel, Event, Fact, Position, Writer, derived_id, event_id
from shared.events.call import CallReceived
from shared.events.message import ConfirmationSent, MessageDelivered, MessageReceived, ReplyRequested
from shared.events.people import AgentEnrolled, AgentLoadChanged, CustomerCreated
from shared.events.ticket import (
    TicketAssigned,
    TicketLeftQueue,
    TicketOpened,
    TicketQueued,
    TicketReleased,
    TicketResolved,
)
from shared.events.topics import TOPIC_OF, other_writer
from shared.events.work import OfferAccepted, TicketOffered
from shared.records import Place
from simulator.truth import Act, Answer, Sending, Truth
from tests.faults.held import tables_of
from tests.faults.history import History, Mail, Text
from tests.faults.index import index
from tests.faults.log import Log, Record, Unreadable
from tests.faults.tables import Tables

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CALLER = "demo-channels"
OFFER_SECONDS = 30


@dataclass
class Story:
    """What is told, second by second. Every method tells the facts of one instant, a second after the one before."""

    now: datetime = START
    records: list[Record] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    truth: Truth = field(default_factory=Truth)
    mails: list[Mail] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    phones: dict[str, frozenset[str]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    said: dict[tuple[str, str, str], Position] = field(default_factory=dict)
    visits: Counter[str] = field(default_factory=Counter)
    owned: Counter[str] = field(default_factory=Counter)
    channels: dict[str, Channel] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    conversations: dict[str, str] = field(default_factory=dict)

    def tell(
        self,
        writer: Writer,
        key: str,
        *facts: Fact,
        cause: str = "",
        seen: Position | None = None,
        time: datetime | None = None,
        position: Position | None = None,
        after: float = 1.0,
    ) -> Event[Fact]:
        """Facts about one key, of one instant. Returns the last event."""
        self.now += timedelta(seconds=after)
        for n, fact in enumerate(facts):
            topic = TOPIC_OF[type(fact)]
            incarnation, seq = self.said.get((topic.name, writer, key), Position(1, 0))
            place = position or Position(incarnation, seq + 1)
            other = other_writer(topic, writer)
            known = self.said.get((topic.name, other or "", key), NOTHING_SEEN)
            made = event_id(cause or f"{len(self.records)} {n}", fact.TYPE, key)
            event = Event(made, fact.TYPE, writer, place, key, time or self.now, fact, known if seen is None else seen)
            self.said[topic.name, writer, key] = max(place, self.said.get((topic.name, writer, key), place))
            self.put(topic.name, event)
        return event

    def put(self, topic: str, event: Event[Fact]) -> None:
        """A record more at the end of the topic: a repeat, or anything else."""
        self.records.append(Record(topic, 0, self.ends[topic], self.now, event))
        self.ends[topic] += 1

    def records_of(self, kind: type[Fact], key: str) -> list[Record]:
        """What was told of this type about this key."""
        return [r for r in self.records if isinstance(r.event.data, kind) and r.event.key == key]

    def change(self, kind: type[Fact], key: str, **changes: Any) -> None:
        """Have the last fact of this type about this key said otherwise."""
        place = max(n for n, r in enumerate(self.records) if isinstance(r.event.data, kind) and r.event.key == key)
        event = self.records[place].event
        self.records[place] = replace(
            self.records[place], event=replace(event, data=msgspec.structs.replace(event.data, **changes))
        )

    # The customers' side

    def writes(
        self,
        name: str,
        ticket_id: str,
        *,
        channel: Channel = "email",
        follow_up_of: str | None = None,
        acknowledged: bool = True,
        conversation: str = "",
        sender: str = "",
    ) -> Event[Fact]:
        """A customer writes under the key `name`; the first time on a ticket opens it."""
        item = message_id(name)
        conversation = conversation or self.conversations.get(follow_up_of or "", ticket_id)
        sender = sender or conversation
        self.channels[ticket_id] = channel
        facts: list[Fact] = []
        if ticket_id not in self.numbers:
            self.numbers[ticket_id] = number = 100_001 + len(self.numbers)
            self.conversations[ticket_id] = conversation
            self._new_customer(sender, channel)
            facts.append(
                TicketOpened(number=number, customer_id=sender, channel=channel, inbox="support", follow_up_of=follow_up_of)
            )
        facts.append(MessageReceived(message_id=item, customer_id=sender, channel=channel, inbox="support", provider="generic"))
        self.truth.begun(Sending(name, "generic", sender, "en", self.conversations[ticket_id], "Where is it?"))
        if acknowledged:
            self.truth.answered(name, Answer(1.0, 201, ticket_id, item, self.numbers[ticket_id]))
        return self.tell("intake", ticket_id, *facts)

    def calls(self, sid: str, ticket_id: str) -> None:
        """A customer calls, and a ticket is opened."""
        self.channels[ticket_id], self.numbers[ticket_id] = "phone", 100_001 + len(self.numbers)
        self.conversations[ticket_id] = ticket_id
        self._new_customer(ticket_id, "phone")
        opened = TicketOpened(number=self.numbers[ticket_id], customer_id=ticket_id, channel="phone", inbox="phone")
        call = CallReceived(
            call_id=derived_id("call", sid), customer_id=ticket_id, inbox="phone", provider="twilio", provider_ref=sid
        )
        self.truth.begun(Sending(sid, "voice", ticket_id, "en", ticket_id, "", kind="call"))
        self.truth.answered(sid, Answer(1.0, 200))
        self.tell("intake", ticket_id, opened, call)

    def _new_customer(self, customer_id: str, channel: Channel) -> None:
        if ("customers", "intake", customer_id) not in self.said:
            self.tell("intake", customer_id, CustomerCreated(channel=channel), after=0)
        if channel == "sms":
            self.phones[customer_id] = frozenset({f"+40700{len(self.phones)}"})

    # The agents' side

    def enrols(self, agent_id: str, **profile: Any) -> None:
        """An agent is configured."""
        self.tell("routing", agent_id, AgentEnrolled(**profile))

    def queues(self, ticket_id: str, queue_id: str = "support", reason: Any = "opened") -> None:
        """A visit to a queue begins."""
        self.visits[ticket_id] += 1
        fact = TicketQueued(queue_id=queue_id, visit=self.visits[ticket_id], reason=reason, age_from=self.now)
        self.tell("routing", ticket_id, fact)

    def leaves(self, ticket_id: str, queue_id: str = "support", reason: Any = "abandoned") -> None:
        """The visit ends without an agent."""
        visit = self.visits[ticket_id]
        self.tell("routing", ticket_id, TicketLeftQueue(queue_id=queue_id, visit=visit, reason=reason, waited_us=1))

    def offers(self, ticket_id: str, agent_id: str, queue_id: str = "support") -> str:
        """The ticket is offered; returns the offer's id."""
        offer_id = f"{ticket_id}-{len(self.records)}"
        until = self.now + timedelta(seconds=1 + OFFER_SECONDS)
        visit = self.visits[ticket_id]
        fact = TicketOffered(offer_id=offer_id, agent_id=agent_id, queue_id=queue_id, visit=visit, expires_at=until)
        self.tell("routing", ticket_id, fact)
        return offer_id

    def accepts(self, ticket_id: str, agent_id: str, offer_id: str, queue_id: str = "support") -> None:
        """The agent takes it."""
        self.acts("accept", agent_id, ticket_id, offer_id=offer_id)
        accepted = OfferAccepted(offer_id=offer_id, agent_id=agent_id, queue_id=queue_id, answered_us=1_000_000)
        visit = self.visits[ticket_id]
        assigned = TicketAssigned(agent_id=agent_id, how="accepted", queue_id=queue_id, visit=visit, offer_id=offer_id)
        self.tell("routing", ticket_id, accepted, assigned)
        self.loads(agent_id, 1)

    def takes(self, ticket_id: str, agent_id: str) -> None:
        """Queued, offered, accepted."""
        self.queues(ticket_id)
        self.accepts(ticket_id, agent_id, self.offers(ticket_id, agent_id))

    def loads(self, agent_id: str, change: int, cause: str = "") -> None:
        """What the agent carries now, at the instant of what was told last."""
        self.owned[agent_id] += change
        fact = AgentLoadChanged(used_units=2, capacity_units=10, tickets=self.owned[agent_id])
        self.tell("routing", agent_id, fact, after=0, cause=cause)

    def replies_to(self, ticket_id: str, agent_id: str, text: str, seen: Position | None = None) -> str:
        """The agent answers; returns the message's id."""
        item = derived_id("reply", ticket_id, str(len(self.records)))
        fact = ReplyRequested(
            message_id=item,
            agent_id=agent_id,
            customer_id=self.conversations[ticket_id],
            channel=self.channels[ticket_id],
        )
        self.acts("reply", agent_id, ticket_id, message_id=item)
        self.replies[item] = text
        self.tell("routing", ticket_id, fact, seen=seen)
        return item

    def resolves(self, ticket_id: str, agent_id: str) -> None:
        """The agent is done with it."""
        self.acts("resolve", agent_id, ticket_id)
        self.tell("routing", ticket_id, TicketResolved(agent_id=agent_id), TicketReleased(agent_id=agent_id, reason="resolved"))
        self.loads(agent_id, -1)

    def acts(self, kind: Any, agent_id: str, ticket_id: str, status: int | None = 200, **more: Any) -> None:
        """An agent did something, and was answered."""
        key = f"act-{len(self.truth.acts)}"
        self.truth.acted(Act(kind, agent_id, key, 1.0, ticket_id, status=status, statuses=(status,), **more))

    # What goes out

    def delivers(self, ticket_id: str, item: str) -> None:
        """A reply is delivered, and arrives."""
        self.tell("intake", ticket_id, MessageDelivered(message_id=item, channel=self.channels[ticket_id], attempts=1))
        self.arrives(ticket_id, item)

    def arrives(self, ticket_id: str, item: str) -> None:
        """A reply comes to its customer."""
        text, customer = self.replies[item], self.conversations[ticket_id]
        if self.channels[ticket_id] == "sms":
            self.texts.append(Text(next(iter(self.phones[customer])), text))
        else:
            self.mails.append(Mail(ref_of(item), f"{customer}@customers.example", "Re: order", f"{text}\n", False))

    def confirms(self, ticket_id: str) -> None:
        """The confirmation is sent, and arrives."""
        item = derived_id("confirmation", ticket_id)
        if self.channels[ticket_id] == "sms":
            self.tell("intake", ticket_id, ConfirmationSent(message_id=item, channel="sms", language="en"))
            to = next(iter(self.phones[self.conversations[ticket_id]]))
            self.texts.append(Text(to, f"Your ticket number is \u2068#{self.numbers[ticket_id]}\u2069."))
            return
        self.tell("intake", ticket_id, ConfirmationSent(message_id=item, channel="email", language="en"))
        self.mails.append(Mail(ref_of(item), f"{self.conversations[ticket_id]}@customers.example", "Got it", "Thanks", True))

    def history(self, **changes: Any) -> History:
        """As it stands now, all read to the end. `changes` are other fields of the history."""
        ends = {Place(topic, 0): end for topic, end in self.ends.items()}
        log = Log(tuple(self.records), tuple(self.unreadable), ends)
        bare = History(
            self.truth, log, Tables(self.now, callers=(CALLER,)), tuple(self.mails), tuple(self.texts), dict(self.replies)
        )
        return replace(bare, tables=tables_of(index(bare), self.phones), **changes)


def message_id(name: str) -> str:
    """The id of the message that a customer sent under this key."""
    return derived_id("message", "generic", f"{CALLER}/{name}")


def ref_of(item: str) -> str:
    """Its Message-ID."""
    short = base64.b32encode(UUID(item).bytes).decode().rstrip("=").lower()
    return f"<{short}.{short}.aaaaaaaaaaaaa@patchbay.example>"
