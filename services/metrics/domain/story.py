"""The story of a ticket as far as figures need it, and what it stands for at this moment. Pure.

What can still be revised (volume, resolution, backlog, who solved what) is a function of the story: when the story changes,
the difference is booked. What is final (a reply took so long) is booked once, by the fact that says it.
"""

from __future__ import annotations

import msgspec

from services.metrics.domain.cells import NOW_HOUR, Dims, Measured, hour_of, microseconds
from shared.events.base import Position
from shared.ticket import Ticket


class Unanswered(msgspec.Struct, frozen=True, array_like=True):
    """A customer's message that no reply has covered. `of` is its id, or that of the ticket it came with in a merge."""

    position: Position
    at_us: int
    channel: str
    of: str = ""


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """When the customer first asked, and how far a reply must have seen to be the response. `of`: as above."""

    position: Position
    at_us: int
    of: str = ""


class Visit(msgspec.Struct, frozen=True, array_like=True):
    """A visit to a queue that goes on."""

    number: int
    queue: str
    at_us: int


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """An agent to whom the ticket was assigned, at the first time."""

    agent: str
    hour: int
    dims: Dims


class Resolution(msgspec.Struct, frozen=True, array_like=True):
    """The last resolution; whether it stands is said by the ticket's fold."""

    at_us: int
    dims: Dims


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A question to an expert that is open."""

    at_us: int
    dims: Dims


class Stay(msgspec.Struct, frozen=True, array_like=True):
    """From this hour on the ticket counts under these dimensions of the backlog; None when it no longer does."""

    hour: int
    dims: Dims | None


class Story(msgspec.Struct, frozen=True, array_like=True):
    """A ticket as told so far. `talking` names the agent on each call that goes on, `talked` those whose calls are over, until
    they are through with them; `wrapping` says where the ticket was when their wrap-up began. `asked` are questions to experts.
    """

    ticket: Ticket = Ticket()
    partner: str = ""
    topic: str = ""
    product: str = ""
    first_queue: str = ""
    first_team: str = ""
    first_agent: str = ""
    began_us: int | None = None
    contact: Contact | None = None
    responded: bool = False
    interactions: int = 0
    unanswered: tuple[Unanswered, ...] = ()
    visit: Visit | None = None
    owners: tuple[Owner, ...] = ()
    resolution: Resolution | None = None
    stays: tuple[Stay, ...] = ()
    talking: dict[str, str] = {}
    escalated: bool = False
    asked: dict[str, Asked] = {}
    wrapping: dict[str, Dims] = {}
    talked: tuple[str, ...] = ()


def dims_now(story: Story, state: str = "") -> Dims:
    """The dimensions of a fact that is told now."""
    intake, routing = story.ticket.intake, story.ticket.routing
    return Dims(
        channel=intake.channel,
        queue=routing.queue_id or "",
        team=(routing.team_id or "") if routing.agent_id else "",
        agent=routing.agent_id or "",
        priority=str(story.ticket.priority),
        language=intake.language,
        partner=story.partner,
        state=state,
    )


def volume_dims(story: Story) -> Dims:
    """The dimensions of the ticket as such: as opened, as labelled now, and the first queue, team and agent that took it."""
    intake = story.ticket.intake
    return Dims(
        channel=intake.channel,
        queue=story.first_queue,
        team=story.first_team,
        agent=story.first_agent,
        priority=str(intake.opening_priority),
        language=intake.language,
        partner=story.partner,
        topic=story.topic,
        product=story.product,
    )


def visit_dims(story: Story, queue: str) -> Dims:
    """The dimensions of a visit to `queue`, which no agent has yet."""
    return dims_now(story)._replace(queue=queue, team="", agent="")


def stands_resolved(story: Story) -> bool:
    """Whether the last resolution covers all that the customer wrote, and nobody took it back."""
    decision = story.ticket.routing.decision
    return (
        story.resolution is not None
        and decision is not None
        and decision.status == "resolved"
        and not story.ticket.reopened_by_customer
    )


def standing(story: Story) -> list[Measured]:
    """What the ticket stands for at this moment: a function of the story alone. Spam stands for nothing but its queue visit."""
    measured: list[Measured] = []
    if story.visit is not None:
        measured.append(Measured("waiting_now", NOW_HOUR, visit_dims(story, story.visit.queue)))
    opened_at = story.ticket.intake.opened_at
    if opened_at is None or story.ticket.spam:
        return measured
    volume, opened_hour = volume_dims(story), hour_of(microseconds(opened_at))
    if story.ticket.intake.merged_into is None:  # it goes on as another one, which is counted
        measured.append(Measured("opened", opened_hour, volume))
        if story.escalated:
            measured.append(Measured("opened_escalated", opened_hour, volume))
    if story.interactions:
        measured.append(Measured("interaction", opened_hour, volume, story.interactions))
    resolver = ""
    if story.resolution is not None and stands_resolved(story):
        resolver = story.resolution.dims.agent
        measured.append(_resolution(story.resolution, microseconds(opened_at), story.began_us))
    for owner in story.owners:
        measured.append(Measured("assigned", owner.hour, owner.dims))
        if owner.agent == resolver:
            measured.append(Measured("solved", owner.hour, owner.dims))
    measured.extend(_backlog(story.stays))
    return measured


def stayed(story: Story, at_us: int) -> Story:
    """The story with its place in the backlog brought up to date. Within one hour only the last place counts."""
    dims = _place(story)
    stays = story.stays
    if (stays[-1].dims if stays else None) == dims:
        return story
    hour = hour_of(at_us)
    if stays:
        hour = max(hour, stays[-1].hour)
        if stays[-1].hour == hour:
            stays = stays[:-1]
    if (stays[-1].dims if stays else None) != dims:
        stays = (*stays, Stay(hour, dims))
    return msgspec.structs.replace(story, stays=stays)


def _place(story: Story) -> Dims | None:
    status = story.ticket.status
    if status in ("resolved", "closed") or not story.ticket.exists or story.ticket.intake.withdrawn:
        return None
    return dims_now(story, status)


def _resolution(resolution: Resolution, opened_us: int, began_us: int | None) -> Measured:
    start = opened_us if began_us is None else min(opened_us, began_us)
    return Measured("resolution", hour_of(resolution.at_us), resolution.dims, us=max(0, resolution.at_us - start))


def _backlog(stays: tuple[Stay, ...]) -> list[Measured]:
    """Into the backlog at the hour of each stay, out of it at the hour of the next; and where the ticket is now."""
    measured: list[Measured] = []
    before: Dims | None = None
    for stay in stays:
        if before is not None:
            measured.append(Measured("backlog", stay.hour, before, -1))
        if stay.dims is not None:
            measured.append(Measured("backlog", stay.hour, stay.dims))
        before = stay.dims
    if before is not None:
        measured.append(Measured("backlog_now", NOW_HOUR, before))
    return measured
