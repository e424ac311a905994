"""Questions after a resolution: which one is asked, whether it still may be when it is due, and what counts as its answer. Pure.

Between the resolution and the question much can happen: so what speaks against asking is looked at when it is due, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from shared.events.base import Channel, Event, derived_id
from shared.events.config import SurveyConfigured, SurveyKind
from shared.events.ticket import TicketResolved
from shared.ticket import Ticket

# On these nothing in writing goes out.
UNWRITTEN: frozenset[Channel] = frozenset({"phone", "video", "in_person", "review"})
LATE = timedelta(days=1)  # a question that could not be asked for so long is not asked any more
CORRECTABLE = timedelta(minutes=15)  # so long after the first answer another one takes its place
COMMENT_CAP = 2000  # characters

Reason = Literal["spam", "merged", "reopened", "only-machines", "refused", "asked-lately", "too-late"]


class Planned(msgspec.Struct, frozen=True):
    """A question that will be due at `ask_at`, about the resolution made at `resolved_at`."""

    survey_id: str
    ticket_id: str
    customer_id: str
    channel: Channel
    language: str
    config_id: str
    kind: SurveyKind
    scale_min: int
    scale_max: int
    quiet_seconds: int
    open_seconds: int
    resolved_at: datetime
    ask_at: datetime
    agent_id: str | None = None


class Circumstances(msgspec.Struct, frozen=True):
    """What is known besides the ticket's story. `refused`: the person wants no questions, or nothing on this channel.
    `written_by_people`: at least one message on the ticket is. `asked_lately`: within the quiet time.
    """

    refused: bool = False
    written_by_people: bool = True
    asked_lately: bool = False


class Question(msgspec.Struct, frozen=True):
    """A question that was asked, and how it was answered so far. `answers` counts them. `person`: who began its
    ticket, before they were taken for one with another.
    """

    survey_id: str
    ticket_id: str
    number: int
    customer_id: str
    kind: SurveyKind
    scale_min: int
    scale_max: int
    language: str
    channel: Channel
    inbox: str
    open_until: datetime | None = None
    answers: int = 0
    score: int | None = None
    first_answer_at: datetime | None = None
    person: str = ""

    @property
    def sealed_under(self) -> str:
        """Under whose key its answers are sealed."""
        return self.person or self.customer_id

    def takes(self, score: int) -> bool:
        """Whether the score is on its scale."""
        return self.scale_min <= score <= self.scale_max

    def open_at(self, now: datetime) -> bool:
        """Whether an answer counts at this instant: until `open_until`, and a correction only soon after the first."""
        if self.open_until is None or now >= self.open_until:
            return False
        return self.first_answer_at is None or now < self.first_answer_at + CORRECTABLE

    def answered(self, score: int) -> Question:
        """The question with one more answer."""
        return msgspec.structs.replace(self, answers=self.answers + 1, score=score)


def plan(configured: Sequence[SurveyConfigured], event: Event[TicketResolved], story: Ticket) -> Planned | None:
    """The question about a resolution, if there is one: one each, however many would fit."""
    said, queue_id = story.intake, event.data.queue_id or story.routing.queue_id
    if said.channel in UNWRITTEN:
        return None
    for config in sorted(configured, key=lambda one: (one.position, one.id)):
        if config.effective_from <= event.time and (not config.queue_ids or queue_id in config.queue_ids):
            return Planned(
                survey_id=derived_id("survey", event.id),
                ticket_id=event.key,
                customer_id=said.customer_id,
                channel="email" if said.channel == "form" else said.channel,
                language=said.language,
                config_id=config.id,
                kind=config.kind,
                scale_min=config.scale_min,
                scale_max=config.scale_max,
                quiet_seconds=config.quiet_seconds,
                open_seconds=config.open_seconds,
                resolved_at=event.time,
                ask_at=event.time + timedelta(seconds=config.delay_seconds),
                agent_id=event.data.agent_id or story.routing.agent_id,
            )
    return None


def objection(planned: Planned, story: Ticket, known: Circumstances, now: datetime) -> Reason | None:
    """Why the question is not asked after all; None when it is."""
    if story.spam:
        return "spam"
    if story.intake.merged_into is not None:
        return "merged"
    decision = story.routing.decision
    if decision is None or decision.at != planned.resolved_at or story.reopened_by_customer:
        return "reopened"
    if not known.written_by_people:
        return "only-machines"
    if known.refused:
        return "refused"
    if known.asked_lately:
        return "asked-lately"
    return "too-late" if now > planned.ask_at + LATE else None
