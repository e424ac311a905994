"""Which questions customers are asked after a resolution."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api import configuring
from services.intake.api.configuring import Admin, ConfigId, Kind
from services.intake.api.edge import Parts
from services.intake.configuring import enact
from services.intake.store.configured import SURVEYS, Newest
from shared import db
from shared.configuring import version_after
from shared.events.config import SurveyConfigured, SurveyKind
from shared.http import IfMatch, etag

router = APIRouter()
KIND = Kind(SURVEYS, "unknown-survey", "There is no such survey.")
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
    survey_id: ConfigId, body: SurveyBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> SurveyShown:
    """Make or change a question. To change one, send If-Match with the ETag that GET told. Tickets that are resolved already are
    asked as it was.
    """

    async def write(conn: AsyncConnection, before: Newest[SurveyConfigured], now: datetime) -> SurveyConfigured:
        low, high = body.scale
        values = body.model_dump(exclude={"effective_from", "scale_min", "scale_max"})
        version, since = version_after(before), body.effective_from or now
        fact = SurveyConfigured(id=survey_id, version=version, effective_from=since, scale_min=low, scale_max=high, **values)
        return await enact(conn, intake.parts.outbox, SURVEYS, fact, before, now)

    said = await configuring.put(intake, KIND, survey_id, if_match, write)
    response.headers["ETag"] = etag(said.version)
    return _shown(said)


@router.delete("/v1/surveys/{survey_id}", status_code=204)
async def delete_survey(survey_id: ConfigId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Ask this no more. Send If-Match with the ETag that GET told."""
    await configuring.remove(intake, KIND, survey_id, if_match)
    return Response(status_code=204)


@router.get("/v1/surveys/{survey_id}", response_model=SurveyShown)
async def get_survey(survey_id: ConfigId, response: Response, intake: Parts, _caller: Admin) -> SurveyShown:
    """A question as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = KIND.in_force(await SURVEYS.one(conn, survey_id))
    response.headers["ETag"] = etag(found.version)
    return _shown(found.fact)


@router.get("/v1/surveys", response_model=Surveys)
async def list_surveys(intake: Parts, _caller: Admin) -> Surveys:
    """All questions in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await SURVEYS.in_force(conn)
    return Surveys(surveys=[_shown(one.fact) for one in stored])


def _shown(said: SurveyConfigured) -> SurveyShown:
    return SurveyShown(
        id=said.id,
        version=said.version,
        effective_from=said.effective_from,
        position=said.position,
        kind=said.kind,
        scale_min=said.scale_min,
        scale_max=said.scale_max,
        queue_ids=said.queue_ids,
        delay_seconds=said.delay_seconds,
        quiet_seconds=said.quiet_seconds,
        open_seconds=said.open_seconds,
    )
