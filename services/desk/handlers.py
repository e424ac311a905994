"""What a fact changes of what people read: event → handler. Pure; the tables at the foot say which handler takes which fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.desk.domain import customers, promises, tickets
from services.desk.domain.customers import CustomerCase
from services.desk.domain.promises import Promises
from services.desk.domain.tickets import Case
from services.desk.domain.timeline import SEEN
from shared.events import people, sla
from shared.events.base import Draft, Event, Fact
from shared.events.config import (
    AgentConfigured,
    InboxConfigured,
    PartnerConfigured,
    PolicyConfigured,
    QueueConfigured,
    TeamConfigured,
)
from shared.folding import Handler

Nothing = Sequence[Draft[Fact]]
Names = Mapping[str, str]
ANY_LANGUAGE = "*"


def _ticket(_context: None, case: Case, event: Event[Any], _now: datetime) -> tuple[Case, Nothing]:
    """Whatever is told of a ticket is part of its history, and may change where it is listed."""
    return tickets.heard(case, event), ()


def _customer(_context: None, case: CustomerCase, event: Event[Any], _now: datetime) -> tuple[CustomerCase, Nothing]:
    return customers.heard(case, event), ()


def _promise(_context: None, known: Promises, event: Event[Any], _now: datetime) -> tuple[Promises, Nothing]:
    return promises.heard(known, event.data), ()


def _enrolled(
    _context: None, _before: people.AgentEnrolled | None, event: Event[people.AgentEnrolled], _now: datetime
) -> tuple[people.AgentEnrolled, Nothing]:
    """The newest counts."""
    return event.data, ()


def _named(
    _context: None, _before: Names | None, event: Event[QueueConfigured | TeamConfigured], _now: datetime
) -> tuple[Names, Nothing]:
    return event.data.name, ()


def _called(
    _context: None, _before: Names | None, event: Event[PartnerConfigured | PolicyConfigured], _now: datetime
) -> tuple[Names, Nothing]:
    return {ANY_LANGUAGE: event.data.name}, ()


def _agent(_context: None, _before: Names | None, event: Event[AgentConfigured], _now: datetime) -> tuple[Names, Nothing]:
    return {ANY_LANGUAGE: event.data.display_name}, ()


def _inbox(_context: None, _before: Names | None, event: Event[InboxConfigured], _now: datetime) -> tuple[Names, Nothing]:
    return {ANY_LANGUAGE: event.data.address}, ()


TICKET_HANDLERS: dict[type[Fact], Handler[None, Case]] = dict.fromkeys(SEEN, _ticket)
CUSTOMER_HANDLERS: dict[type[Fact], Handler[None, CustomerCase]] = {
    people.CustomerCreated: _customer,
    people.CustomerHandleAdded: _customer,
    people.CustomerHandleRemoved: _customer,
    people.CustomerProfileChanged: _customer,
    people.CustomerJoined: _customer,
    people.CustomerRenewed: _customer,
    people.CustomerLeft: _customer,
    people.OrderRecorded: _customer,
    people.CustomerMergedInto: _customer,
    people.CustomerUnmerged: _customer,
    people.MergeSuggested: _customer,
    people.CustomerErased: _customer,
}
CLOCK_HANDLERS: dict[type[Fact], Handler[None, Promises]] = {
    sla.ClockStarted: _promise,
    sla.ClockPaused: _promise,
    sla.ClockResumed: _promise,
    sla.ClockMet: _promise,
    sla.ClockCancelled: _promise,
}
BREACH_HANDLERS: dict[type[Fact], Handler[None, Promises]] = {
    sla.SlaBreached: _promise,
    sla.SlaBreachRetracted: _promise,
    sla.SlaBreachCleared: _promise,
}
AGENT_HANDLERS: dict[type[Fact], Handler[None, people.AgentEnrolled | None]] = {people.AgentEnrolled: _enrolled}
# What was removed keeps its name: tickets and histories still say it.
NAME_HANDLERS: dict[type[Fact], Handler[None, Names | None]] = {
    QueueConfigured: _named,
    TeamConfigured: _named,
    PartnerConfigured: _called,
    PolicyConfigured: _called,
    AgentConfigured: _agent,
    InboxConfigured: _inbox,
}
HANDLERS: dict[type[Fact], object] = {
    **TICKET_HANDLERS,
    **CUSTOMER_HANDLERS,
    **CLOCK_HANDLERS,
    **BREACH_HANDLERS,
    **AGENT_HANDLERS,
    **NAME_HANDLERS,
}
