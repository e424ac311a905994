"""What an agent does to a ticket. Each is one call: allowed by the ticket's status, by who holds it, then said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.routing.domain import handing, resting, wrapping
from services.routing.domain.lifecycle import ReleaseReason, came_back, leave, pick_up, place, put_down, release, take_out
from services.routing.domain.queues import last_of
from services.routing.domain.sendable import NO_SENDERS, Senders
from services.routing.domain.work import Turn, Work
from shared.events.base import TEXT_LIMIT_BYTES, Attachment, Channel, Direction, Priority, derived_id
from shared.events.config import QueueConfigured
from shared.events.message import NoteAdded, NotePersonal, ReplyPersonal, ReplyRequested
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketCloseRequested,
    TicketLinkRequested,
    TicketMergeRequested,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketReopened,
    TicketResolved,
    TicketSplitRequested,
    TicketUnmergeRequested,
)
from shared.ticket import Command, check

RIGHT_TO_LEFT = frozenset({"he", "ar", "fa", "ur", "yi"})


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives the command."""

    agent_id: str
    supervisor: bool = False


class NotYours(ValueError):
    """Somebody else holds the ticket, or nobody does; `holder` says who."""

    def __init__(self, holder: str | None, queue_id: str | None) -> None:
        where = f"it waits in queue '{queue_id}'" if queue_id else "nobody holds it"
        super().__init__(f"agent '{holder}' holds it" if holder else where)
        self.holder = holder
        self.queue_id = queue_id


class NotMerged(ValueError):
    """There is no merge to undo."""


class TextTooLong(ValueError):
    """More text than may travel in an event."""


class NotAtWork(ValueError):
    """Nobody is to work on the ticket: it is quarantined as spam, or was withdrawn."""


def allow(work: Work, command: Command) -> None:
    """Refuse what the status does not allow, and to give work where there is none. Raises CommandRefused, NotAtWork."""
    check(work.ticket, command)
    if command in ("queue", "assign") and (work.ticket.spam or work.ticket.intake.withdrawn):
        raise NotAtWork("it is quarantined as spam" if work.ticket.spam else "it was withdrawn")


def holder(work: Work) -> str | None:
    """Who may act on it: its owner; of a resolved ticket, the one who had it last."""
    if work.owner is None and work.ticket.status in ("resolved", "closed"):
        return work.last_agent_id
    return work.owner


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent writes to a customer. Without `language` and `channel`: the ticket's. `files` with their names; `template_id`
    is the canned response that it was made of.
    """

    text: str
    subject: str = ""
    language: str | None = None
    channel: Channel | None = None
    cc_customer_ids: tuple[str, ...] = ()
    files: tuple[tuple[Attachment, str], ...] = ()
    template_id: str | None = None


@dataclass(frozen=True, slots=True)
class Signatures:
    """What stands below answers, by language: the agent's own, and those of the queues."""

    agent: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def below(self, queue_id: str | None, language: str) -> str:
        """The agent's in this language, else the queue's, else nothing."""
        for texts in (self.agent, self.queues.get(queue_id or "", {})):
            for spoken in (language, language.partition("-")[0]):
                if texts.get(spoken):
                    return texts[spoken]
        return ""


NO_SIGNATURES = Signatures()


def reply(turn: Turn, actor: Actor, answer: Answer, signatures: Signatures = NO_SIGNATURES, senders: Senders = NO_SENDERS) -> str:
    """Answer the customer; returns the message's id. Raises CommandRefused, NotYours, TextTooLong, CannotGoOut."""
    permit(turn, actor, "reply")
    fits(answer.text)
    intake, routing = turn.work.ticket.intake, turn.work.ticket.routing
    channel = answer.channel or intake.channel
    senders.check(turn.work, channel, answer.text, turn.now, has_files=bool(answer.files))
    spoken = answer.language or intake.language
    message_id = derived_id("reply", turn.work.id, turn.cause)
    turn.say(
        ReplyRequested(
            message_id=message_id,
            agent_id=actor.agent_id,
            customer_id=intake.customer_id,
            channel=channel,
            language=spoken,
            direction=_direction(spoken) if answer.language else turn.work.direction,
            cc_customer_ids=answer.cc_customer_ids,
            attachments=tuple(file for file, _ in answer.files),
            queue_id=routing.queue_id,
            team_id=routing.team_id,
            template_id=answer.template_id,
        ),
        person=turn.work.sealed_under,
        personal=ReplyPersonal(
            text=answer.text,
            subject=answer.subject,
            attachment_names=tuple(name for _, name in answer.files),
            signature=signatures.below(routing.queue_id, spoken),
        ),
    )
    return message_id


def note(turn: Turn, actor: Actor, text: str, mentions: tuple[str, ...]) -> str:
    """Write for other agents; any agent may. Those who are named in it are told. Returns the note's id. Raises CommandRefused,
    TextTooLong.
    """
    check(turn.work.ticket, "note")
    fits(text)
    note_id = derived_id("note", turn.work.id, turn.cause)
    turn.say(
        NoteAdded(note_id=note_id, agent_id=actor.agent_id, mentions=mentions),
        person=turn.work.sealed_under,
        personal=NotePersonal(text=text),
    )
    for agent in filter(None, map(turn.agent, mentions)):
        if agent.id != actor.agent_id and agent.profile.partner_id in (None, turn.work.ticket.partner_id):
            turn.tell(agent.id, "note.mentioned", note_id=note_id, by_agent_id=actor.agent_id)
    return note_id


def resolve(turn: Turn, actor: Actor, code: str | None, queues: Sequence[QueueConfigured] = ()) -> None:
    """The problem is solved; the agent is free of it, after the wrap-up that its queue gives. Raises CommandRefused, NotYours."""
    permit(turn, actor, "resolve")
    routing = turn.work.ticket.routing
    leave(turn, "resolved")
    turn.say(TicketResolved(agent_id=actor.agent_id, code=code, queue_id=routing.queue_id, team_id=routing.team_id))
    turn.set(resolved=True)
    let_go(turn, actor, queues, "resolved")


def let_go(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], why: ReleaseReason, new_owner: str | None = None) -> None:
    """The owner owns it no longer; one who gives it away by their own will is in wrap-up for it, where its queue gives time."""
    if actor.agent_id == turn.work.owner:
        wrapping.begin(turn, last_of(queues, turn.work))
    release(turn, why, new_owner)


def pend(turn: Turn, actor: Actor, until: datetime | None = None) -> None:
    """Wait for the customer, at most until then; the owner keeps it, without its weight. Raises CommandRefused, NotYours,
    WrongTime.
    """
    permit(turn, actor, "pend", owned=True)
    resting.check(turn, until)
    _rest(turn, TicketPended(agent_id=actor.agent_id, until=until))


def put_on_hold(turn: Turn, actor: Actor, third_party: str | None, until: datetime | None = None) -> None:
    """Wait for a third party, at most until then; the owner keeps it, without its weight. Raises CommandRefused, NotYours,
    WrongTime.
    """
    permit(turn, actor, "put_on_hold", owned=True)
    resting.check(turn, until)
    _rest(turn, TicketPutOnHold(agent_id=actor.agent_id, third_party=third_party, until=until))


def _rest(turn: Turn, fact: TicketPended | TicketPutOnHold) -> None:
    handing.end(turn, "withdrawn")
    turn.say(fact)
    put_down(turn)
    turn.beside(rests_until=fact.until)


def reopen(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], reason: str | None) -> None:
    """Back to work: with its owner when there is room, else in a queue. Raises CommandRefused, NotYours."""
    permit(turn, actor, "reopen")
    turn.say(TicketReopened(agent_id=actor.agent_id, reason=reason))
    owner = turn.agent(turn.work.owner) if turn.work.owner else None
    if owner is not None and pick_up(turn, owner):
        return
    release(turn, "transferred")
    place(turn, queues, "reopened", turn.now, turn.work.last_agent_id)


def give_back(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], age_from: datetime) -> None:
    """Into a queue again, with the age it had. Raises CommandRefused, NotYours."""
    permit(turn, actor, "queue", owned=True)
    by_supervisor = actor.agent_id != turn.work.owner
    release(turn, "supervisor" if by_supervisor else "transferred")
    place(turn, queues, "released", age_from)


def prioritise(turn: Turn, actor: Actor, priority: Priority) -> None:
    """Change the priority; nothing when it is that already. Raises CommandRefused, NotYours."""
    permit(turn, actor, "prioritise")
    previous = turn.work.ticket.priority
    if priority != previous:
        turn.say(TicketPrioritised(priority=priority, previous=previous, by_agent_id=actor.agent_id))
        turn.to_judge = True


def mark_spam(turn: Turn, actor: Actor) -> None:
    """Quarantine it: nobody works on it. Nothing when it is spam already. Raises CommandRefused, NotYours."""
    permit(turn, actor, "judge_spam")
    if not turn.work.ticket.spam:
        turn.say(SpamMarked(by="agent", agent_id=actor.agent_id))
        take_out(turn, "spam")


def unmark_spam(turn: Turn, actor: Actor, queues: Sequence[QueueConfigured], age_from: datetime) -> None:
    """Not spam after all: it waits with the age it had. Nothing when it is none. Raises CommandRefused, NotYours."""
    permit(turn, actor, "judge_spam")
    if turn.work.ticket.spam:
        turn.say(SpamUnmarked(by="agent", agent_id=actor.agent_id))
        came_back(turn, queues, age_from)


def ask_to_close(turn: Turn, actor: Actor) -> None:
    """Ask intake to close it. Raises CommandRefused, NotYours."""
    permit(turn, actor, "close")
    turn.say(TicketCloseRequested(agent_id=actor.agent_id))


def ask_to_merge(turn: Turn, actor: Actor, into_ticket_id: str) -> None:
    """Ask intake to merge it into another. Raises CommandRefused, NotYours."""
    permit(turn, actor, "merge")
    turn.say(TicketMergeRequested(agent_id=actor.agent_id, into_ticket_id=into_ticket_id))


def ask_to_unmerge(turn: Turn, actor: Actor) -> None:
    """Ask intake to undo its merge. Raises NotMerged, NotYours."""
    if turn.work.ticket.intake.merged_into is None:
        raise NotMerged
    _theirs(turn, actor)
    turn.say(TicketUnmergeRequested(agent_id=actor.agent_id))


def ask_to_split(turn: Turn, actor: Actor, message_ids: tuple[str, ...]) -> None:
    """Ask intake to put messages of it on a ticket of their own. Raises CommandRefused, NotYours."""
    permit(turn, actor, "split")
    turn.say(TicketSplitRequested(agent_id=actor.agent_id, message_ids=message_ids))


def ask_to_link(turn: Turn, actor: Actor, ticket_id: str, *, undo: bool) -> None:
    """Ask intake to link it with another, or to undo that; whatever its status. Raises NotYours."""
    _theirs(turn, actor)
    turn.say(TicketLinkRequested(agent_id=actor.agent_id, ticket_id=ticket_id, undo=undo))


def _theirs(turn: Turn, actor: Actor) -> None:
    held_by = holder(turn.work)
    if held_by != actor.agent_id and not actor.supervisor:
        raise NotYours(held_by, turn.work.visit.queue_id if turn.work.visit else None)


def permit(turn: Turn, actor: Actor, command: Command, *, owned: bool = False) -> None:
    """Refuse what the status does not allow, and what is not for the one who asks; `owned`: nor what nobody owns. Raises
    CommandRefused, NotAtWork, NotYours.
    """
    work = turn.work
    check(work.ticket, command)
    held_by = holder(work)
    if (owned and work.owner is None) or (held_by != actor.agent_id and not actor.supervisor):
        raise NotYours(held_by, work.visit.queue_id if work.visit else None)
    allow(work, command)


def fits(text: str) -> None:
    """Refuse what may not travel in an event. Raises TextTooLong."""
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT_BYTES:
        raise TextTooLong(f"at most {TEXT_LIMIT_BYTES} bytes of UTF-8")


def _direction(language: str) -> Direction:
    return "rtl" if language.split("-")[0].lower() in RIGHT_TO_LEFT else "ltr"
