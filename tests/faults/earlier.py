"""The first checker, by the log alone: kept until the fixtures of these tests take the whole history (`history.py`)."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from shared.events.base import Event, Fact, Position
from shared.events.message import MessageReceived, ReplyRequested
from shared.events.sla import SlaBreached, SlaWarned
from shared.events.ticket import TicketAssigned, TicketOpened, TicketReleased
from shared.events.work import OfferAccepted, OfferDeclined, OfferExpired, OfferFailed, OfferRescinded, TicketOffered
from tests.system import ROOT, System

ENDS_OF_OFFER = (OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded, OfferFailed)


@dataclass
class History:
    """What was answered to senders (key → ticket id, message id), and the log."""

    answered: dict[str, tuple[str, str]] = field(default_factory=dict)
    events: list[Event[Fact]] = field(default_factory=list)

    def first_tellings(self) -> list[Event[Fact]]:
        """The log without repeats on the wire."""
        told: set[tuple[str, str, str, Position]] = set()
        once = []
        for event in self.events:
            place = (_topic(event), event.writer, event.key, event.position)
            if place not in told:
                told.add(place)
                once.append(event)
        return once


def _topic(event: Event[Fact]) -> str:
    from shared.events.topics import TOPIC_OF

    return TOPIC_OF[type(event.data)].name


def broken(history: History) -> list[str]:
    """What of the promises does not hold in this history; empty when all do."""
    once = history.first_tellings()
    return [*_contacts(history, once), *_order(history), *_offers(once), *_timers(once), *_identities(once)]


def _contacts(history: History, once: list[Event[Fact]]) -> list[str]:
    """An acknowledged contact is on exactly one ticket, once."""
    places: dict[str, list[str]] = defaultdict(list)
    for event in once:
        if isinstance(event.data, MessageReceived):
            places[event.data.message_id].append(event.key)
    wrong = []
    for key, (ticket_id, message_id) in history.answered.items():
        if places.get(message_id, []) != [ticket_id]:
            wrong.append(f"contact {key}: answered ticket {ticket_id}, on the log at {places.get(message_id, [])}")
    opened = Counter(event.key for event in once if isinstance(event.data, TicketOpened))
    wrong += [f"ticket {key} was opened {times} times" for key, times in opened.items() if times != 1]
    numbers = Counter(event.data.number for event in once if isinstance(event.data, TicketOpened))
    return wrong + [f"number {number} was given {times} times" for number, times in numbers.items() if times != 1]


def _order(history: History) -> list[str]:
    """What each writer said about a key stands on the log as 1, 2, 3 …; only repeats may stand between."""
    wrong = []
    last: dict[tuple[str, str, str], int] = {}
    for event in history.events:
        place = (_topic(event), event.writer, event.key)
        if event.position.seq > last.get(place, 0) + 1:
            wrong.append(f"{place}: {event.position} after {last.get(place, 0)}")
        last[place] = max(last.get(place, 0), event.position.seq)
    return wrong


def _identities(once: list[Event[Fact]]) -> list[str]:
    """No fact is told under two positions."""
    counted = Counter(event.id for event in once)
    return [f"event {event_id} stands at {times} positions" for event_id, times in counted.items() if times > 1]


def _offers(once: list[Event[Fact]]) -> list[str]:
    """At most one live offer and one owner per ticket."""
    live: dict[str, str] = {}
    owner: dict[str, str] = {}
    wrong = []
    for event in once:
        fact = event.data
        if isinstance(fact, TicketOffered):
            if event.key in live:
                wrong.append(f"ticket {event.key} was offered twice at once")
            live[event.key] = fact.offer_id
        elif isinstance(fact, ENDS_OF_OFFER):
            if live.get(event.key) == fact.offer_id:
                del live[event.key]
        elif isinstance(fact, TicketAssigned):
            if owner.get(event.key, fact.agent_id) != fact.agent_id:
                wrong.append(f"ticket {event.key} has two owners")
            owner[event.key] = fact.agent_id
        elif isinstance(fact, TicketReleased):
            owner.pop(event.key, None)
    return wrong


def _timers(once: list[Event[Fact]]) -> list[str]:
    """A timer fires once."""
    fired = Counter(
        (event.data.clock_id, event.type, getattr(event.data, "at_percent", None))
        for event in once
        if isinstance(event.data, SlaBreached | SlaWarned)
    )
    return [f"{what} fired {times} times" for what, times in fired.items() if times > 1]


def outward(system: System, history: History) -> list[str]:
    """Every reply arrived, and what arrived twice carries the same Message-ID."""
    wanted = [event.data.message_id for event in history.first_tellings() if isinstance(event.data, ReplyRequested)]
    by_id: dict[str, set[str]] = defaultdict(set)
    for recipient, mail in system.mailbox.mails:
        by_id[str(mail["Message-ID"])].add(f"{recipient}\n{mail['Subject']}\n{mail.get_body(('plain',))}")
    wrong = [f"Message-ID {ref} stands on different mails" for ref, contents in by_id.items() if len(contents) > 1]
    replies = sum(1 for _, mail in system.mailbox.mails if not mail["Auto-Submitted"])
    if len({str(m["Message-ID"]) for _, m in system.mailbox.mails if not m["Auto-Submitted"]}) != len(set(wanted)):
        wrong.append(f"{len(set(wanted))} replies were requested, {replies} mails arrived")
    return wrong


async def metrics_differ(system: System) -> str:
    """Empty when the figures rebuilt from the beginning of the log equal the live ones; else what the command says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.metrics", "rebuild", "--check",
        cwd=ROOT, env=system.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return "" if process.returncode == 0 else output.decode(errors="replace")[-2000:]
