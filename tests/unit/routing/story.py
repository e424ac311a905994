"""A small world to tell stories in: tickets that wait, agents who serve, one clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from services.routing.domain import lifecycle
from services.routing.domain.agents import Agent, Profile
from services.routing.domain.work import Turn, Work, hear
from shared.conditions import All, Condition
from shared.events.base import NOTHING_SEEN, Channel, Event, Fact, Position, Priority
from shared.events.config import QueueConfigured, RoutingStep
from shared.events.message import MessageReceived
from shared.events.people import AgentState
from shared.events.ticket import TicketOpened

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BACK_OFF = timedelta(seconds=60)


def at(seconds: float) -> datetime:
    """So many seconds after the start of the story."""
    return START + timedelta(seconds=seconds)


def a_queue(
    queue_id: str = "support",
    *,
    position: int = 1,
    when: Condition | None = None,
    team_ids: tuple[str, ...] = (),
    required_skills: Mapping[str, int] | None = None,
    skill_by_language: bool = False,
    auto_accept: bool = False,
    partner_id: str | None = None,
    tier: int = 1,
    wrap_up_seconds: int = 0,
    consult_units: int = 0,
    consult_seconds: int = 3600,
    steps: tuple[RoutingStep, ...] = (),
) -> QueueConfigured:
    """A queue with an offer timeout of 30 seconds."""
    return QueueConfigured(
        id=queue_id,
        version=1,
        effective_from=START,
        name={"en": queue_id},
        position=position,
        when=when or All(),
        team_ids=team_ids,
        required_skills=dict(required_skills or {}),
        skill_by_language=skill_by_language,
        auto_accept=auto_accept,
        partner_id=partner_id,
        tier=tier,
        wrap_up_seconds=wrap_up_seconds,
        consult_units=consult_units,
        consult_seconds=consult_seconds,
        steps=steps,
    )


def an_agent(
    agent_id: str = "dana",
    *,
    state: AgentState = "available",
    idle_since: datetime = START,
    capacity_units: int = 10,
    team_ids: tuple[str, ...] = (),
    skills: Mapping[str, int] | None = None,
    languages: tuple[str, ...] = (),
    channel_limits: Mapping[str, int] | None = None,
    partner_id: str | None = None,
) -> Agent:
    """An agent who is there and has nothing to do."""
    profile = Profile(
        display_name=agent_id.title(),
        team_ids=team_ids,
        skills=dict(skills or {}),
        languages=languages,
        capacity_units=capacity_units,
        channel_limits=dict(channel_limits or {}),
        partner_id=partner_id,
    )
    return Agent(id=agent_id, profile=profile, state=state, state_since=START, idle_since=idle_since)


def by_intake(ticket_id: str, seq: int, fact: Fact, time: datetime) -> Event[Fact]:
    """A fact of intake as it stands on the log."""
    return Event(
        id=f"{ticket_id}-{seq}",
        type=fact.TYPE,
        writer="intake",
        position=Position(1, seq),
        key=ticket_id,
        time=time,
        data=fact,
        seen=NOTHING_SEEN,
    )


def a_message(ticket_id: str, seq: int, time: datetime) -> Event[Fact]:
    """The customer writes."""
    fact = MessageReceived(message_id=f"m-{ticket_id}-{seq}", customer_id="c-1", channel="email", inbox="help", provider="smtp")
    return by_intake(ticket_id, seq, fact, time)


def opened(
    ticket_id: str = "t-1",
    *,
    channel: Channel = "email",
    language: str = "en",
    priority: Priority = 2,
    vip: bool = False,
    time: datetime = START,
) -> Work:
    """A ticket that intake opened, with its first message."""
    fact = TicketOpened(
        number=100_001,
        customer_id="c-1",
        channel=channel,
        inbox="help",
        language=language,
        priority=priority,
        vip=vip,
    )
    work = hear(Work(id=ticket_id), by_intake(ticket_id, 1, fact, time))
    return hear(work, a_message(ticket_id, 2, time))


def turn(work: Work, *agents: Agent, now: datetime = START, cause: str = "") -> Turn:
    """A decision about the ticket, with these agents known."""
    return Turn(work, cause or f"{work.id}@{now}", now, {agent.id: agent for agent in agents})


def waiting(
    ticket_id: str = "t-1",
    *,
    queue: QueueConfigured | None = None,
    channel: Channel = "email",
    language: str = "en",
    priority: Priority = 2,
    vip: bool = False,
    time: datetime = START,
    preferred: str | None = None,
) -> Work:
    """A ticket that waits in a queue since `time`."""
    came = opened(ticket_id, channel=channel, language=language, priority=priority, vip=vip, time=time)
    deciding = turn(came, now=time)
    lifecycle.enter(deciding, queue or a_queue(), "opened", time, preferred)
    return deciding.work


def said(deciding: Turn) -> list[str]:
    """The types of the facts, in the order in which they were said."""
    return [draft.data.TYPE.rsplit(".", 1)[0] for draft in deciding.drafts]


def fact(deciding: Turn, shape: type[Fact]) -> Fact:
    """The one fact of this type that was said."""
    found = [draft.data for draft in deciding.drafts if isinstance(draft.data, shape)]
    assert len(found) == 1, f"{len(found)} facts of {shape.__name__}"
    return found[0]


def busy(agent: Agent, units: int) -> Agent:
    """The agent with so many units used elsewhere."""
    return msgspec.structs.replace(agent, used_units=units)
