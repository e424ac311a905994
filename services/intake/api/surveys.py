"""Which questions customers are asked after a resolution."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api.edge import Intake, Parts
from services.intake.store import survey_configs
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.base import Draft
from shared.events.config import ConfigRemoved, SurveyConfigured, SurveyKind
from shared.http import IfMatch, Problem, check_match, etag

router = APIRouter()
Admin = Annotated[Caller, Depends(requires("admin"))]
SurveyId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
QueueId = Annotated[str, Field(min_length=1, max_length=100)]
HOUR, DAY = 3600, 86_400
SCALES: dict[SurveyKind, tuple[int, int]] = {"csat": (1, 5), "nps": (0, 10), "ces": (1, 7)}


class SurveyBody(BaseModel):
    """A question after a resolution, in these queues (none: in all). Of those that fit, the first by `position` is asked.

    `csat`: how satisfied, `nps`: how likely to recommend, `ces`: how easy it was (a lower score is more effort). The scale is 1
    to 5, 0 to 10 and 1 to 7 where nothing is said; that of NPS is always 0 to 10.

    It goes out on the ticket's channel `delay_seconds` after the resolution; not when the ticket was reopened by then, is spam or
    merged, when only machines wrote, when the customer wants nothing more (STOP, or a consent `survey` or of the channel that is
    withdrawn), nor within `quiet_seconds` of any question to the same customer. It can be answered for `open_seconds`.
    """

    model_config = ConfigDict(extra="forbid")

    position: Annotated[int, Field(ge=0, le=1_000_000)]
    kind: SurveyKind
    scale_min: Annotated[int, Field(ge=0, le=9)] | None = None
    scale_max: Annotated[int, Field(ge=1, le=10)] | None = None
    queue_ids: Annotated[tuple[QueueId, ...], Field(max_length=200)] = ()
    delay_seconds: Annotated[int, Field(ge=0, le=30 * DAY)] = HOUR
    quiet_seconds: Annotated[int, Field(ge=0, le=3650 * DAY)] = 30 * DAY
    open_seconds: Annotated[int, Field(ge=HOUR, le=90 * DAY)] = 7 * DAY
    effective_from: AwareDatetime | None = None

    @property
    def scale(self) -> tuple[int, int]:
        """From the lowest to the highest score."""
        low, high = SCALES[self.kind]
        return low if self.scale_min is None else self.scale_min, high if self.scale_max is None else self.scale_max

    @model_validator(mode="after")
    def _is_a_scale(self) -> SurveyBody:
        low, high = self.scale
        if low >= high:
            raise ValueError(f"the scale from {low} to {high} has no two scores")
        if self.kind == "nps" and self.scale != SCALES["nps"]:
            raise ValueError("NPS is defined on the scale from 0 to 10")
        return self


class SurveyShown(SurveyBody):
    """A question as it is now."""

    id: str
    version: int


class Surveys(BaseModel):
    """All of them, by id."""

    surveys: list[SurveyShown]


@router.put("/v1/surveys/{survey_id}", response_model=SurveyShown)
async def put_survey(
    survey_id: SurveyId, body: SurveyBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> SurveyShown:
    """Make or change a question. To change one, send If-Match with the ETag that GET told. Tickets that are resolved already are
    asked as it was.
    """

    async def put() -> SurveyConfigured:
        async with db.transaction(intake.parts.engine) as conn:
            before = await survey_configs.locked(conn, survey_id)
            check_match(if_match, before.version if isinstance(before, SurveyConfigured) else None)
            low, high = body.scale
            said = body.model_dump(exclude={"effective_from", "scale_min", "scale_max"})
            since = body.effective_from or await clock(conn)
            fact = SurveyConfigured(
                id=survey_id, version=_next(before), effective_from=since, scale_min=low, scale_max=high, **said
            )
            await _say(conn, intake, survey_id, fact)
            return fact

    stored = await db.retrying(put)
    intake.parts.outbox.wake.set()
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored)


@router.delete("/v1/surveys/{survey_id}", status_code=204)
async def delete_survey(survey_id: SurveyId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Ask this no more. Send If-Match with the ETag that GET told."""

    async def remove() -> None:
        async with db.transaction(intake.parts.engine) as conn:
            before = await survey_configs.locked(conn, survey_id)
            if not isinstance(before, SurveyConfigured):
                raise unknown()
            check_match(if_match, before.version)
            await _say(conn, intake, survey_id, ConfigRemoved(version=_next(before), effective_from=await clock(conn)))

    await db.retrying(remove)
    intake.parts.outbox.wake.set()
    return Response(status_code=204)


@router.get("/v1/surveys/{survey_id}", response_model=SurveyShown)
async def get_survey(survey_id: SurveyId, response: Response, intake: Parts, _caller: Admin) -> SurveyShown:
    """A question as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = await survey_configs.one(conn, survey_id)
    if not isinstance(found, SurveyConfigured):
        raise unknown()
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


@router.get("/v1/surveys", response_model=Surveys)
async def list_surveys(intake: Parts, _caller: Admin) -> Surveys:
    """All questions in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await survey_configs.all_of_them(conn)
    return Surveys(surveys=[_shown(one) for one in stored])


def unknown() -> Problem:
    """Said of a question that is not in force."""
    return Problem(404, "unknown-survey", "There is no such survey.")


def _next(before: survey_configs.Defined | None) -> int:
    return before.version + 1 if before is not None else 1


async def _say(conn: AsyncConnection, intake: Intake, survey_id: str, fact: survey_configs.Defined) -> None:
    await survey_configs.put(conn, survey_id, fact)
    key = f"survey:{survey_id}"
    await intake.parts.outbox.publish(conn, [Draft(key=key, data=fact, cause=f"{key}:{fact.version}")], await clock(conn))


def _shown(stored: SurveyConfigured) -> SurveyShown:
    return SurveyShown(
        id=stored.id,
        version=stored.version,
        effective_from=stored.effective_from,
        position=stored.position,
        kind=stored.kind,
        scale_min=stored.scale_min,
        scale_max=stored.scale_max,
        queue_ids=stored.queue_ids,
        delay_seconds=stored.delay_seconds,
        quiet_seconds=stored.quiet_seconds,
        open_seconds=stored.open_seconds,
    )
