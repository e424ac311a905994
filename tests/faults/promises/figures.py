"""Promises about what is left when all is quiet: nothing parked, nothing unpublished, figures that are what the log comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from shared.events.base import Fact
from shared.events.call import CallReceived
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.sla import SlaWarned
from shared.events.ticket import TicketAssigned, TicketLeftQueue, TicketQueued
from shared.events.work import OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded, TicketOffered
from shared.ticket import awaits_answer
from tests.faults.index import Index
from tests.faults.promises.timers import clocks_of, fate

COUNTED: Mapping[str, type[Fact]] = {
    "offered": TicketOffered,
    "offer_accepted": OfferAccepted,
    "offer_declined": OfferDeclined,
    "offer_expired": OfferExpired,
    "offer_rescinded": OfferRescinded,
    "visit": TicketQueued,
    "warned": SlaWarned,
}


def nothing_parked(index: Index) -> Iterator[str]:
    """No service could not take a record, but for those that a test poisoned."""
    for row in index.tables.parked:
        yield f"{row.service} parked a record of {row.topic} {row.key}: {row.reason}: {row.error}"


def nothing_unpublished(index: Index) -> Iterator[str]:
    """No outbox holds anything back."""
    for service, rows in index.tables.outbox.items():
        if rows:
            yield f"{rows} events wait in the outbox of {service}"


def pure_fold(index: Index) -> Iterator[str]:
    """The figures rebuilt from the beginning of the log are the live ones."""
    if index.history.figures_differ:
        yield index.history.figures_differ


def counts(index: Index) -> Iterator[str]:
    """What the figures count is what stands on the log. Not judged where a test wrote on the log by itself."""
    if index.history.poisoned:
        return
    log, figures = counted(index), index.tables.measures
    for measure, number in log.items():
        if figures.get(measure, 0) != number:
            yield f"{measure}: the figures say {figures.get(measure, 0)}, the log {number}"


def counted(index: Index) -> Counter[str]:
    found = Counter({measure: len(index.said(kind)) for measure, kind in COUNTED.items()})
    genuine = {key for key, ticket in index.tickets.items() if ticket.exists and not ticket.spam}
    found["opened"] = len(genuine)
    asked = [said.key for said in index.said(MessageReceived) if awaits_answer(said.fact)]
    asked += [said.key for said in index.said(CallReceived)] + [said.key for said in index.said(ReplyRequested)]
    found["interaction"] = sum(key in genuine for key in asked)
    assigned = {(said.key, said.fact.agent_id) for said in index.said(TicketAssigned)}
    found["assigned"] = sum(key in genuine for key, _ in assigned)
    found["visit_handled"] = sum(said.fact.visit is not None for said in index.said(TicketAssigned))
    left = Counter(said.fact.reason == "abandoned" for said in index.said(TicketLeftQueue))
    found["visit_abandoned"], found["visit_withdrawn"] = left[True], left[False]
    found["waiting_now"] = found["visit"] - found["visit_handled"] - found["visit_abandoned"] - found["visit_withdrawn"]
    fates = Counter(fate(told) for told in clocks_of(index).values())
    found["commitment_kept"], found["commitment_broken"] = fates["kept"], fates["broken"] + fates["broken and open"]
    found["commitment_running_now"] = fates["open"] + fates["broken and open"]
    return found
