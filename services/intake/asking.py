"""Questions after resolutions whose time has come: looked at once more, and marked as asked before the attempt is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain import surveys
from services.intake.domain.delivery import Asking, Refused
from services.intake.store import surveys as rows
from services.intake.store.deliveries import Claimed
from services.intake.store.surveys import Due
from shared.clock import clock
from shared.telemetry import log


async def prepare(conn: AsyncConnection, claimed: Sequence[Claimed]) -> list[Claimed]:
    """What was claimed, each question among it with what it needs, or with why it is not asked. In the claiming transaction."""
    ids = [one.delivery.message_id for one in claimed if one.delivery.kind == "survey"]
    if not ids:
        return list(claimed)
    found = {one.planned.survey_id: one for one in await rows.due(conn, ids)}
    objections = _objections(list(found.values()), await clock(conn))
    asked = await rows.ask(conn, [survey_id for survey_id in found if survey_id not in objections])
    return [_with_question(one, found, asked, objections) if one.delivery.kind == "survey" else one for one in claimed]


def _objections(due: Sequence[Due], now: datetime) -> dict[str, surveys.Reason]:
    """Why some are not asked. The first of several to one person goes out."""
    found: dict[str, surveys.Reason] = {}
    people: set[str] = set()
    for one in due:
        person = one.story.intake.customer_id
        reason = surveys.objection(one.planned, one.story, one.known, now)
        if reason is None and person in people and one.planned.quiet_seconds > 0:
            reason = "asked-lately"
        if one.answers:
            continue  # whoever answered it has been asked, whatever came after
        if reason is None:
            people.add(person)
        else:
            found[one.planned.survey_id] = reason
            log().info("question not asked", survey_id=one.planned.survey_id, reason=reason)
    return found


def _with_question(
    claimed: Claimed, found: dict[str, Due], asked: dict[str, datetime], objections: dict[str, surveys.Reason]
) -> Claimed:
    survey_id = claimed.delivery.message_id
    if survey_id not in asked:
        return replace(claimed, objection=Refused(objections.get(survey_id, "unknown")))
    due = found[survey_id]
    asking = Asking(due.planned, asked[survey_id], answered=due.answers > 0)
    return replace(claimed, delivery=replace(claimed.delivery, asking=asking))
