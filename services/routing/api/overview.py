"""How queues stand at this moment, for supervisors, operations and, of its own, a partner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.domain.agents import EVERYBODY
from services.routing.domain.waiting import Answered, newcomer
from services.routing.estimating import USUAL, lines_now
from services.routing.store import estimates, reading
from services.routing.store.reading import QueueFigures
from services.routing.store.waits import InLine
from shared.clock import clock
from shared.events.config import QueueConfigured

NOW_SECONDS = 1800.0  # what is answered in so long is how it goes now
Json = dict[str, object]


async def now_of(conn: AsyncConnection, queues: Sequence[QueueConfigured]) -> dict[str, Json]:
    """How each of the queues stands, by its id: length, oldest wait, who could take something, the wait of whoever comes now by
    the estimator that is asked (None: it cannot say), and the service level where the queue promises one.
    """
    figures = await reading.queue_figures(conn, {queue.id: queue.team_ids or (EVERYBODY,) for queue in queues})
    answered = await estimates.answered(conn, [queue.id for queue in queues], NOW_SECONDS)
    now = await clock(conn)
    heads = {one: head for one, found in figures.items() if (head := _head(found, now)) is not None}
    lines = await lines_now(conn, {queue.id: queue for queue in queues}, heads, now)
    shown: dict[str, Json] = {}
    for queue in queues:
        found, wait = figures[queue.id], newcomer(lines[queue.id], now)
        shown[queue.id] = {
            "waiting": found.waiting,
            "offered": found.offered,
            "oldest_wait_seconds": found.oldest_wait_seconds,
            "available_agents": found.available_agents,
            "estimated_wait_seconds": round(wait.seconds, 3) if wait is not None else None,
            "estimator": wait.estimator if wait is not None else None,
            "service_level": _service_level(queue, answered.get(queue.id, Answered())),
        }
    return shown


def _head(found: QueueFigures, now: datetime) -> InLine | None:
    if not found.waiting:
        return None
    since = now - timedelta(seconds=found.oldest_wait_seconds)
    return InLine(waiting=found.waiting, head_since=since, channel=found.channel or USUAL)


def _service_level(queue: QueueConfigured, answered: Answered) -> Json | None:
    """Answered in time ÷ answered and abandoned late, of the visits that ended in the last half hour; `share` is None where none
    did.
    """
    if queue.service_level_seconds is None:
        return None
    return {
        "share": round(answered.share, 4) if answered.share is not None else None,
        "target_percent": queue.service_level_percent,
        "within_seconds": queue.service_level_seconds,
        "over_seconds": round(NOW_SECONDS),
        "answered": answered.answered,
        "answered_in_time": answered.within,
        "abandoned": answered.abandoned,
        "abandoned_late": answered.late,
    }
