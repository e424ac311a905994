"""A ticket and the facts of its two writers, for tests of its fold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import get_args

from shared.events.base import NOTHING_SEEN, Event, Fact, Position, Writer
from shared.events.call import CallReceived
from shared.events.message import MessageReceived, Origin, ReplyRequested
from shared.events.ticket import (
    TicketAbsorbed,
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketPended,
    TicketPutOnHold,
    TicketQueued,
    TicketResolved,
)
from shared.ticket import (
    Command,
    Status,
    Ticket,
    apply,
)

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STATUSES: tuple[Status, ...] = get_args(Status)
COMMANDS: tuple[Command, ...] = get_args(Command)


def opened() -> TicketOpened:
    return TicketOpened(number=100234, customer_id="c1", channel="email", inbox="support", priority=2)


def message(origin: Origin = "human") -> MessageReceived:
    return MessageReceived(message_id="m", customer_id="c1", channel="email", inbox="support", provider="smtp", origin=origin)


def call() -> CallReceived:
    return CallReceived(call_id="k", customer_id="c1", inbox="line", provider="twilio", provider_ref="CA1")


def reply() -> ReplyRequested:
    return ReplyRequested(message_id="r", agent_id="dana", customer_id="c1", channel="email")


def queued() -> TicketQueued:
    return TicketQueued(queue_id="support", visit=1, reason="opened", age_from=START)


def assigned(agent_id: str = "dana") -> TicketAssigned:
    return TicketAssigned(agent_id=agent_id, how="accepted", queue_id="support", team_id="first-line")


def absorbed(unanswered_since: datetime | None) -> TicketAbsorbed:
    return TicketAbsorbed(
        ticket_id="other",
        number=100200,
        opened_at=START,
        unanswered_since=unanswered_since,
        first_responded_at=None,
        first_response_us=None,
        interactions=1,
        replies=0,
        reply_us_sum=0,
        reply_us_count=0,
    )


@dataclass
class Log:
    """Both writers' facts as they come, each writer seeing all that stands before."""

    ticket: Ticket = field(default_factory=Ticket)
    positions: dict[Writer, Position] = field(default_factory=dict)
    at: datetime = START

    def say(self, writer: Writer, fact: Fact, seen: Position | None = None) -> Log:
        other: Writer = "routing" if writer == "intake" else "intake"
        self.at += timedelta(seconds=1)
        before = self.positions.get(writer, Position(1, 0))
        self.positions[writer] = Position(before.incarnation, before.seq + 1)
        self.ticket = apply(
            self.ticket,
            Event(
                id=f"{writer}-{self.positions[writer]}",
                type=fact.TYPE,
                writer=writer,
                position=self.positions[writer],
                key="t1",
                time=self.at,
                data=fact,
                seen=self.positions.get(other, NOTHING_SEEN) if seen is None else seen,
            ),
        )
        return self

    def now(self) -> Status:
        return self.ticket.status

    def intake(self, *facts: Fact) -> Log:
        for fact in facts:
            self.say("intake", fact)
        return self

    def routing(self, *facts: Fact, seen: Position | None = None) -> Log:
        for fact in facts:
            self.say("routing", fact, seen)
        return self


def ticket_that_is(status: Status) -> Log:
    """A ticket brought to `status` in the ordinary way."""
    log = Log().intake(opened(), message())
    if status == "new":
        return log
    log.routing(queued(), assigned())
    match status:
        case "pending":
            log.routing(TicketPended(agent_id="dana"))
        case "on_hold":
            log.routing(TicketPutOnHold(agent_id="dana"))
        case "resolved":
            log.routing(TicketResolved(agent_id="dana"))
        case "closed":
            log.routing(TicketResolved(agent_id="dana")).intake(TicketClosed(reason="resolved_long_ago"))
        case _:
            pass
    return log
