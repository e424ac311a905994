"""Intake after a restore: its inboxes, customers, tickets, messages and deliveries of after the backup, read back from the log.

What is not on the log is gone: payloads as they came and the files in them, contacts that could not be read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import get_args

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import reaching
from services.intake.answering import Answerer
from services.intake.configuring import sealed_under
from services.intake.domain import numbers
from services.intake.domain.identity import CLAIMED
from services.intake.recalled import HANDLERS, is_answered
from services.intake.recalled_ticket import Context, Ended, Heard, Recalled, Written
from services.intake.store import config, deliveries, erasure, fetches, recalled_people, recalled_surveys, requests, tickets
from services.intake.store import recalled_customers as records
from services.intake.store import recalled_deliveries as sent
from services.intake.store import recalling as rows
from services.intake.store.configured import SPAM_RULES, SURVEYS, WORD_LISTS, Stored
from services.intake.store.projections import plan_questions
from services.intake.store.recalled_people import Consent, Person, Reached
from shared.clock import clock
from shared.events.base import Draft, Event, Fact, PersonalFact
from shared.events.config import ConfigRemoved, InboxConfigured, SpamRuleConfigured, SurveyConfigured, WordListConfigured
from shared.events.message import ReplyRequested
from shared.events.people import (
    CustomerCreated,
    CustomerErased,
    CustomerFacts,
    CustomerHandleAdded,
    CustomerHandleRemoved,
    CustomerPersonal,
    CustomerProfileChanged,
)
from shared.events.topics import CONFIG, CUSTOMERS, TICKETS
from shared.folding import Handler, Loaded
from shared.personal import Erased, KeyRing
from shared.recalling import Recall
from shared.telemetry import log

Told = tuple[Event[Fact], ...]
ANSWERS_AT_ONCE = 200
OF_CUSTOMERS: tuple[type[Fact], ...] = get_args(CustomerFacts)


async def recall(back: Recall) -> None:
    """Read back all that intake said since the backup, then leave it as a process that was killed leaves it."""
    keys = back.parts.outbox.keys
    await back.fold(ConfigRecalled(keys))
    people = CustomersRecalled(keys)
    await back.fold(people)
    async with back.transaction() as conn:
        await people.settle(conn)
    told = TicketsRecalled(keys)
    await back.fold(told)
    waiting, answerer = list(told.asked.values()), Answerer(back.parts.outbox)
    for start in range(0, len(waiting), ANSWERS_AT_ONCE):
        async with back.transaction() as conn:
            await answerer.answer(conn, waiting[start : start + ANSWERS_AT_ONCE], await clock(conn))
    async with back.transaction() as conn:
        await sent.leave_open(conn)
        await rows.leave_open(conn)
    await reaching.look_at_all(back)


def _note(_context: None, told: Told, event: Event[Fact], _now: datetime) -> tuple[Told, Sequence[Draft[Fact]]]:
    return (*told, event), ()


@dataclass(slots=True)
class ConfigRecalled:
    """The inboxes, word lists, rules about spam and questions that were made, changed or removed."""

    keys: KeyRing
    topic = CONFIG
    handlers: Mapping[type[Fact], Handler[None, Told]] = field(
        default_factory=lambda: dict.fromkeys(
            (InboxConfigured, WordListConfigured, SpamRuleConfigured, SurveyConfigured, ConfigRemoved), _note
        )
    )

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Told]:
        """Nothing needs to be known."""
        return Loaded({event.key: () for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Told], _now: datetime) -> None:
        """The newest version of each."""
        for key, told in states.items():
            newest = told[-1].data
            kind, _, name = key.partition(":")
            if isinstance(newest, InboxConfigured):
                await config.put_inbox(conn, newest)
            elif kind == "spam_rule" and isinstance(newest, SpamRuleConfigured | ConfigRemoved):
                before = await SPAM_RULES.one(conn, name)
                await SPAM_RULES.put(conn, name, newest, told[-1].id)
                superseded = [one.data for one in told[:-1]] + ([before.fact] if isinstance(before, Stored) else [])
                await self.keys.destroy(conn, sealed_under(superseded))
            elif kind == "word_list" and isinstance(newest, WordListConfigured | ConfigRemoved):
                await WORD_LISTS.put(conn, name, newest, told[-1].id)
            elif kind == "survey" and isinstance(newest, SurveyConfigured | ConfigRemoved):
                await SURVEYS.put(conn, name, newest, told[-1].id)


@dataclass(slots=True)
class CustomersRecalled:
    """The customers who came, and those who were erased. `taken` are handles that were somebody's already when they were read, by
    id: a number may have left its owner for another before that is read. `left` are the ids of those that left somebody, `said`
    the consents in the order in which they were read.
    """

    keys: KeyRing
    taken: dict[str, Reached] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    said: list[Consent] = field(default_factory=list)
    topic = CUSTOMERS
    handlers: Mapping[type[Fact], Handler[None, Told]] = field(default_factory=lambda: dict.fromkeys(OF_CUSTOMERS, _note))

    async def load(self, _conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[None, Told]:
        """Nothing needs to be known."""
        return Loaded({event.key: () for event in events}, None)

    async def save(self, conn: AsyncConnection, states: Mapping[str, Told], _now: datetime) -> None:
        """Customers with their handles; then those erased are erased again, where the backup still had their key."""
        events = [event for key in sorted(states) for event in states[key]]
        sealed = await opened(conn, self.keys, events)
        persons = [Person(e.key, e.data.language, e.time) for e in events if isinstance(e.data, CustomerCreated)]
        handles = [
            Reached(said.kind, personal.handle_scope, value, said.handle_id, event.key, None, _said_apart(said, personal))
            for event in events
            if isinstance(said := event.data, CustomerHandleAdded)
            and isinstance(personal := sealed.get(event.id), CustomerPersonal)
            for value in personal.handles
        ]
        await recalled_people.insert(conn, persons)
        self.taken.update((handle.handle_id, handle) for handle in await recalled_people.reach(conn, handles))
        self.left.update(event.data.handle_id for event in events if isinstance(event.data, CustomerHandleRemoved))
        consents = _consents(events, sealed)
        self.said += consents
        await recalled_people.consents(conn, consents)
        await records.write_back(conn, events, sealed)
        for event in events:
            if isinstance(event.data, CustomerErased):
                erased = list(event.data.customer_ids)
                await self.keys.destroy(conn, erased)
                unheard_of = [Person(one, "und", event.time) for one in erased]  # who is read of only later
                await recalled_people.insert(conn, unheard_of)
                await erasure.scrub(conn, erased)
                self.taken = {key: handle for key, handle in self.taken.items() if handle.customer_id not in erased}

    async def settle(self, conn: AsyncConnection) -> None:
        """When all was read: who got a handle that somebody else had before has it; what was said of one form of a number is said
        of the other, which may have been read later.
        """
        again = [handle for handle in self.taken.values() if handle.handle_id not in self.left]
        await recalled_people.reach_again(conn, again)
        whose = {handle.customer_id for handle in again}
        again_said = [one for one in self.said if one.customer_id in whose or numbers.other_form(one.value) is not None]
        await recalled_people.consents(conn, again_said)


def _said_apart(said: CustomerHandleAdded, personal: CustomerPersonal) -> str | None:
    """What stands beside a handle itself: that nobody wrote from it, as far as is known (of one that was only claimed its scope
    says so), or that a connector vouched for it.
    """
    if said.verified_by == "not" and personal.handle_scope == CLAIMED:
        return None
    return said.verified_by if said.verified_by in ("not", "signed_identity") else None


def _consents(events: Sequence[Event[Fact]], sealed: Mapping[str, msgspec.Struct]) -> list[Consent]:
    return [
        Consent(event.key, personal.handle_scope, value, channel, given)
        for event in events
        if isinstance(event.data, CustomerProfileChanged) and isinstance(personal := sealed.get(event.id), CustomerPersonal)
        for value in personal.handles
        for channel, given in event.data.consents.items()
    ]


@dataclass(slots=True)
class TicketsRecalled:
    """The tickets, as both writers told them. `asked` are agents' requests that were not answered so far, by event."""

    keys: KeyRing
    asked: dict[str, Event[Fact]] = field(default_factory=dict)
    topic = TICKETS
    handlers: Mapping[type[Fact], Handler[Context, Recalled]] = field(default_factory=lambda: HANDLERS)

    async def load(self, conn: AsyncConnection, events: Sequence[Event[Fact]]) -> Loaded[Context, Recalled]:
        """The stories, locked; what was sealed in intake's facts; which inboxes confirm."""
        ids = sorted({event.key for event in events})
        stories = await tickets.locked(conn, ids)
        written = await rows.with_messages(conn, ids)
        calls = await rows.calls_of(conn, ids) if any("call." in event.type for event in events) else []
        states = {
            key: Recalled(stories.get(key), key in written, calls={c.call_id: c for c in calls if c.ticket_id == key})
            for key in ids
        }
        inboxes = (await config.inboxes(conn)).by_id
        sealed = await opened(conn, self.keys, [event for event in events if event.writer == "intake"])
        return Loaded(states, Context(sealed, {inbox.id: inbox.confirm for inbox in inboxes.values()}))

    async def save(self, conn: AsyncConnection, states: Mapping[str, Recalled], now: datetime) -> None:
        """One statement per table."""
        ordered = [(key, states[key]) for key in sorted(states)]
        new = [rows.NewTicket(key, s.opening, s.story) for key, s in ordered if s.opening is not None and s.story is not None]
        known = {key: s.story for key, s in ordered if s.opening is None and s.story is not None}
        written: list[tuple[str, Written]] = [(key, one) for key, s in ordered for one in s.messages]
        replies: list[Event[ReplyRequested]] = [reply for _, s in ordered for reply in s.replies]
        parted = await records.since_parted(conn, [*(one.fact for _, one in written), *(reply.data for reply in replies)])
        messages = [(key, replace(one, fact=records.theirs(one.fact, parted))) for key, one in written]
        persons = [Person(one.fact.customer_id, one.fact.language, one.at) for _, one in messages]
        confirmed = [(key, *s.confirmation) for key, s in ordered if s.confirmation is not None]
        confirmations = [(name, key, replace(one, fact=records.theirs(one.fact, parted))) for key, name, one in confirmed]
        ended: list[tuple[str, Ended]] = [(key, one) for key, s in ordered for one in s.ended]
        # Of those that came back from a merge another may have the conversation by now, as when it was undone.
        going_on = [key for key, story in known.items() if not story.intake.closed and story.intake.merged_into is None]
        await tickets.yield_conversations(conn, going_on)
        await tickets.update(conn, known, now)
        await rows.insert(conn, new, [tickets.rested_at(ticket.story) for ticket in new], now)
        await rows.follow(conn, [(key, s.followed_up_by) for key, s in ordered if s.followed_up_by is not None])
        # Who is new even now was told of by messages only. All others have the handles that were told of them, and no more.
        made = await recalled_people.insert(conn, persons)
        reached = [handle for _, one in messages if (handle := recalled_people.handle_of(one)) is not None]
        await recalled_people.reach(conn, [handle for handle in reached if handle.customer_id in made])
        await recalled_people.called(conn, reached)
        await rows.messages(conn, messages)
        await fetches.insert(conn, [row for _, one in messages for row in rows.fetches_of(one)], now)
        await fetches.note_told(conn, [x for _, s in ordered for x in s.fetched], [x for _, s in ordered for x in s.unfetched])
        splits = [(key, split) for key, state in ordered for split in state.splits]
        for key, split in splits:
            await requests.move(conn, key, split.into_ticket_id, split.message_ids)
        stories = {key: s.story for key, s in ordered if s.story is not None}
        await rows.owners(conn, stories, [split.into_ticket_id for _, split in splits])
        await rows.calls(conn, [call for _, s in ordered for call in s.calls.values()])
        await sent.confirmations(conn, confirmations)
        cleared = [key for key, s in ordered if s.cleared and s.story is not None and not s.story.spam]
        if cleared:
            await tickets.let_out(conn, cleared)
            await deliveries.confirm_after_all(conn, cleared, (await config.inboxes(conn)).by_id, now)
        await deliveries.insert(conn, [replace(reply, data=records.theirs(reply.data, parted)) for reply in replies])
        resolved = [one for _, s in ordered for one in s.resolved]
        if resolved:
            await plan_questions(conn, resolved)
        await recalled_surveys.write_back(
            conn, [e for _, s in ordered for e in s.asked_about], [o for _, s in ordered for o in s.scored]
        )
        await sent.outcomes(conn, ended)
        heard: list[Heard] = [one for _, s in ordered for one in s.heard]
        await sent.told(conn, heard)
        self._keep_asked(states.values())

    def _keep_asked(self, states: Collection[Recalled]) -> None:
        self.asked.update((event.id, event) for state in states for event in state.asked)
        answers = {answer for state in states for answer in state.answered}
        for event in list(self.asked.values()):
            if is_answered(event, answers):
                del self.asked[event.id]


async def opened(conn: AsyncConnection, keys: KeyRing, events: Sequence[Event[Fact]]) -> dict[str, msgspec.Struct]:
    """What was sealed in these events, by their ids; nothing for people who were erased or whose key was lost.

    A customer whose key is neither in the database nor known to be destroyed is given up: sealing under a new key of the same
    name would make the old data look tampered with.
    """
    sealed = [(event, event.data) for event in events if isinstance(event.data, PersonalFact) and event.data.personal]
    people = sorted({fact.personal.customer_id for _, fact in sealed if fact.personal is not None})
    lost = await keys.give_up(conn, people)
    if lost:
        log().error("customers' keys were lost with the database; what they wrote cannot be read any more", customers=len(lost))
    await keys.load(conn, people)
    found: dict[str, msgspec.Struct] = {}
    for event, fact in sealed:
        content = _open(keys, event, fact)
        if content is not None:
            found[event.id] = content
    return found


def _open(keys: KeyRing, event: Event[Fact], fact: PersonalFact) -> msgspec.Struct | None:
    assert fact.personal is not None
    try:
        content = keys.open(fact.personal, fact.PERSONAL, event.id)
    except ValueError:
        log().error("sealed data cannot be opened", event_id=event.id)
        return None
    return None if isinstance(content, Erased) else content
