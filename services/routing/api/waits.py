"""How long somebody is going to wait, what was said of it, and what that was worth."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.configuring import ConfigId
from services.routing.api.reading import ticket_for
from services.routing.api.room import OperationsOrPartner, TheRoom
from services.routing.api.tickets import TicketId
from services.routing.domain.estimates import Estimate, Place
from services.routing.domain.scores import Score
from services.routing.domain.waiting import Line, Standing, all_said
from services.routing.domain.work import Work
from services.routing.estimating import SCORED_DAYS, lines_now
from services.routing.store import config, estimates, waits
from services.routing.store.estimates import Kept
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.config import EstimatorName, QueueConfigured
from shared.http import FieldError, Problem

router = APIRouter(tags=["waits"])
KEPT = 20
LONGEST = timedelta(days=366)
Json = dict[str, object]
Day = Annotated[date | None, Query(description="a day in UTC")]
# It says nothing of the customer, so operations may see it, too.
Viewer = Annotated[Caller, Depends(requires("ops:read", "supervisor", "agent", "partner agent", "partner"))]


@router.get("/v1/tickets/{ticket_id}/wait")
async def get_ticket_wait(ticket_id: TicketId, room: TheRoom, caller: Viewer) -> Json:
    """A ticket's place in its queue and how long it still waits, by each estimator; `used` is what its customer is told. None is
    "cannot say". `told`: what was said when it began to wait, in this queue and before, and what became of it; a partner sees
    that of its own queues.
    """
    async with db.transaction(room.parts.engine) as conn:
        work = await ticket_for(conn, room, caller, ticket_id, also="ops:read")
        kept = await estimates.of_ticket(conn, ticket_id, KEPT)
        now = await _now(conn, work, room.settings.routing_wait_tickets)
        own = {queue.id for queue in await config.queues(conn) if caller.sees(queue.partner_id)}
    return {"ticket_id": ticket_id, **now, "told": [_told(one) for one in kept if one.queue_id in own]}


@router.get("/v1/queues/{config_id}/waits")
async def get_queue_waits(
    config_id: ConfigId, room: TheRoom, caller: OperationsOrPartner, first_day: Day = None, last_day: Day = None
) -> Json:
    """How long whoever comes to the queue now would wait, by each estimator, in the order in which they are asked; and what each
    was worth, of waits that ended on these days (the last fourteen where none are named): mean and mean absolute error, the share
    that was near, how often it could not say.
    """
    async with db.transaction(room.parts.engine) as conn:
        stored = await config.find(conn, "queue", config_id)
        queue = msgspec.json.decode(stored.data, type=QueueConfigured) if stored is not None else None
        if queue is None or not caller.sees(queue.partner_id):
            raise Problem(404, "queue-not-found", f"There is no queue '{config_id}'.")
        now = await clock(conn)
        last = last_day or now.date()
        first = first_day or last - min(timedelta(days=SCORED_DAYS - 1), last - date.min)
        _check_days(first, last)
        _, heads = await waits.places(conn, (), [queue.id], room.settings.routing_wait_tickets)
        line = (await lines_now(conn, {queue.id: queue}, heads, now))[queue.id]
        scores = (await estimates.scores(conn, [queue.id], first, last)).in_queue(queue.id)
    said = all_said(line, Place(line.waiting), now)
    others = [name for name in said if name not in line.order]
    return {
        **_stands(line, now),
        "waiting": line.waiting,
        "used": _used(line, said),
        "first_day": first,
        "last_day": last,
        "estimators": [{**_estimate(said[name]), "score": _score(scores.get(name, Score()))} for name in (*line.order, *others)],
    }


async def _now(conn: AsyncConnection, work: Work, at_most: int) -> Json:
    """How the ticket stands; for one that does not wait nothing of it."""
    nothing: Json = {"queue_id": None, "position": None, "waited_seconds": None, "used": None, "estimates": []}
    visit = work.visit
    stored = await config.find(conn, "queue", visit.queue_id) if visit is not None else None
    now = await clock(conn)
    if visit is None or stored is None:
        return {**nothing, "as_of": now}
    queue = msgspec.json.decode(stored.data, type=QueueConfigured)
    standing, heads = await waits.places(conn, (), [queue.id], at_most, work.id)
    line = (await lines_now(conn, {queue.id: queue}, heads, now))[queue.id]
    waited = max((now - visit.entered_at).total_seconds(), 0.0)
    shown = {**_stands(line, now), "waited_seconds": round(waited, 3)}
    found: Standing | None = standing[0] if standing else None
    if found is None:  # it stands further back than is looked, or is just being decided on
        return {**nothing, **shown}
    said = all_said(line, Place(found.place - 1, waited), now)
    return {**shown, "position": found.place, "used": _used(line, said), "estimates": [_estimate(one) for one in said.values()]}


def _stands(line: Line, as_of: datetime) -> Json:
    oldest = line.oldest_waits_seconds
    return {
        "queue_id": line.queue.id,
        "as_of": as_of,
        "oldest_wait_seconds": round(oldest, 3) if oldest is not None else None,
        "servers": line.servers,
        "free": line.free,
    }


def _used(line: Line, said: dict[EstimatorName, Estimate]) -> Json | None:
    """What is told; None where those who are asked cannot say."""
    return next((_estimate(said[name]) for name in line.order if said[name].seconds is not None), None)


def _estimate(one: Estimate) -> Json:
    return {
        "estimator": one.estimator,
        "wait_seconds": _rounded(one.seconds),
        "least_seconds": _rounded(one.least_seconds),
        "most_seconds": _rounded(one.most_seconds),
        "cannot_say": one.silence,
    }


def _told(one: Kept) -> Json:
    given = msgspec.json.decode(one.given, type=dict[EstimatorName, Estimate])
    waited = one.ended_at - one.since if one.ended_at is not None else None
    return {
        "queue_id": one.queue_id,
        "since": one.since,
        "asked_at": one.asked_at,
        "position": one.place,
        "estimates": [_estimate(estimate) for estimate in given.values()],
        "ended_at": one.ended_at,
        "outcome": one.outcome,
        "waited_seconds": _rounded(waited.total_seconds()) if waited is not None else None,
    }


def _score(one: Score) -> Json:
    return {
        "scored": one.scored,
        "not_answered": one.unknown,
        "cannot_say": one.silent,
        "mean_error_seconds": _rounded(one.bias_seconds),
        "mean_absolute_error_seconds": _rounded(one.mean_absolute_error_seconds),
        "root_mean_square_error_seconds": _rounded(one.root_mean_square_error_seconds),
        "relative_error": _rounded(one.relative_error),
        "share_near": _rounded(one.share_near),
        "share_within_bounds": _rounded(one.coverage),
        "share_cannot_say": _rounded(one.share_silent),
    }


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None


def _check_days(first: date, last: date) -> None:
    """Refuse days that are none. Raises Problem 422."""
    if not timedelta(0) <= last - first < LONGEST:
        detail = "The request does not fit the contract; see errors for each field."
        errors = [FieldError("query.first_day", "not after last_day, and within a year of it")]
        raise Problem(422, "invalid-request", detail, errors)
