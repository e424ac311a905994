"""Which service says which fact. A topic may have several writers, but most facts have one."""

from __future__ import annotations

from typing import get_args

from shared.events.base import Fact, Writer
from shared.events.call import CallbackRequested, CallFacts
from shared.events.message import MessageFacts, NoteAdded, ReplyRequested
from shared.events.signals import TypingChanged
from shared.events.ticket import (
    RequestRefused,
    SpamMarked,
    SpamUnmarked,
    TicketAbsorbed,
    TicketClosed,
    TicketCustomerChanged,
    TicketExpelled,
    TicketLabelled,
    TicketLinked,
    TicketMergedInto,
    TicketOpened,
    TicketPrioritised,
    TicketSplit,
    TicketUnlinked,
    TicketUnmerged,
    TicketWithdrawn,
)
from shared.events.topics import CONFIG, CONFIG_OWNERS, SIGNALS, TICKETS, TOPIC_OF

_BY_EITHER: frozenset[type[Fact]] = frozenset(
    {TicketLabelled, TicketPrioritised, SpamMarked, SpamUnmarked, CallbackRequested, TypingChanged}
)
_OF_THE_TICKET_BY_INTAKE: frozenset[type[Fact]] = frozenset(
    {
        TicketOpened,
        TicketClosed,
        TicketCustomerChanged,
        TicketWithdrawn,
        TicketMergedInto,
        TicketAbsorbed,
        TicketUnmerged,
        TicketExpelled,
        TicketSplit,
        TicketLinked,
        TicketUnlinked,
        RequestRefused,
    }
)
_WRITTEN_BY_INTAKE: frozenset[type[Fact]] = frozenset(get_args(MessageFacts)) - {ReplyRequested, NoteAdded}
# What happened at the provider is intake's word; what an agent wants done there (`…_requested`) is routing's.
_CALLED_BY_INTAKE: frozenset[type[Fact]] = frozenset(
    fact for fact in get_args(CallFacts) if not fact.TYPE.rpartition(".")[0].endswith("_requested")
)
_BY_INTAKE = _OF_THE_TICKET_BY_INTAKE | _WRITTEN_BY_INTAKE | _CALLED_BY_INTAKE


def writers_of(fact: type[Fact]) -> tuple[Writer, ...]:
    """The services that may say `fact`, in the order of its topic's writers."""
    topic = TOPIC_OF[fact]
    if fact in _BY_EITHER or len(topic.writers) == 1:
        return topic.writers
    if topic is TICKETS:
        return ("intake",) if fact in _BY_INTAKE else ("routing",)
    if topic is CONFIG:
        owner = CONFIG_OWNERS.get(fact.TYPE.partition(".")[0])
        return topic.writers if owner is None else (owner,)
    return ("routing",) if topic is SIGNALS else topic.writers
