"""Figures over HTTP: the catalogue, one metric, and what stands now as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.metrics import store
from services.metrics.definitions import BY_ID, METRICS
from services.metrics.domain.cells import EPOCH, Dims
from services.metrics.domain.figures import (
    MAX_PERIODS,
    Bounds,
    Figure,
    NotWholeHours,
    Period,
    TooManyPeriods,
    bounds,
    figures,
)
from services.metrics.live import Live
from services.metrics.shapes import Level, Mean, Metric
from shared import db
from shared.auth import Caller, requires, still_known
from shared.clock import clock
from shared.http import FieldError, Problem

Viewer = Annotated[Caller, Depends(requires("ops:read", "supervisor", "partner"))]
MAX_VALUES = 200
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
DEFAULT_SPAN = timedelta(days=7)
KNOWN_PARAMETERS = frozenset({"from", "to", "period", "group_by", "percentiles", *Dims._fields})


class MetricOut(BaseModel):
    """What a metric means. `version` counts up with its formula."""

    id: str
    version: int
    names: dict[str, str]
    unit: str
    formula: str
    source: str
    dimensions: list[str]


class PointOut(BaseModel):
    """One figure; `value` is in the metric's unit, null where there is nothing to divide by."""

    start: datetime
    end: datetime
    group: dict[str, str | None]
    value: float | None
    count: int
    out_of: int | None = None
    percentiles: dict[str, float] = {}
    beside: dict[str, int] = {}


class FiguresOut(BaseModel):
    """The figures of one metric. `as_of` is the time of the newest record they contain."""

    model_config = ConfigDict(populate_by_name=True)

    metric: MetricOut
    from_: datetime = Field(serialization_alias="from")
    to: datetime
    zone: str
    period: Period
    group_by: list[str]
    as_of: datetime | None
    names: dict[str, dict[str, str]]
    points: list[PointOut]


class CatalogueOut(BaseModel):
    """All metrics."""

    metrics: list[MetricOut]


def make_router(engine: AsyncEngine, live: Live, zone: ZoneInfo) -> APIRouter:
    """The routes. Days are those of `zone`."""
    router = APIRouter(prefix="/v1")

    @router.get("/metrics")
    async def list_metrics(caller: Viewer) -> CatalogueOut:
        """Every metric with its formula; to a partner those that can be told of one."""
        return CatalogueOut(metrics=[_described(metric) for metric in METRICS if _is_shown(caller, metric)])

    @router.get("/metrics/{metric_id}")
    async def get_metric(
        metric_id: str,
        request: Request,
        caller: Viewer,
        from_: Annotated[AwareDatetime | None, Query(alias="from", description="default: 7 days before `to`")] = None,
        to: Annotated[AwareDatetime | None, Query(description="default: now; rounded up to the hour")] = None,
        period: Period = "total",
        group_by: Annotated[list[str], Query(description="dimensions of the metric")] = [],  # noqa: B006 - FastAPI copies it
        percentiles: Annotated[list[int], Query(description="of durations, within 1 %")] = [50, 90, 95],  # noqa: B006
    ) -> FiguresOut:
        """The figures of one metric; any of its dimensions can be a filter (repeat it for several). A partner's: its own."""
        metric = _known(metric_id)
        filters = _confined(caller, metric, _filters(request, metric))
        _check(metric, group_by, percentiles, {"query.from": from_, "query.to": to})
        async with db.transaction(engine) as conn:
            end = (to or await clock(conn)).astimezone(UTC)
            start = from_.astimezone(UTC) if from_ else max(end - DEFAULT_SPAN, EPOCH)
            at = _bounds(start, end, period, zone, metric)
            with_state = [*group_by, "state"] if isinstance(metric.made_of, Level) else group_by
            with_bins = isinstance(metric.made_of, Mean)
            rows = await store.sums(conn, metric.measures, at, with_state, filters, with_bins=with_bins)
            as_of, names = await store.as_of(conn), await store.names(conn) if group_by else {}
        found = figures(metric, rows, at, percentiles, grouped=bool(group_by))
        return _answer(metric, at, zone, period, group_by, as_of, names, found)

    @router.get("/live", response_class=EventSourceResponse)
    async def watch_live(request: Request, caller: Viewer) -> AsyncIterator[ServerSentEvent]:
        """What stands now: at once, and within a second of each change. Each event is the whole picture, a partner's its own."""
        async for snapshot in live.watch(caller.partner_id):
            if not await still_known(request):
                return
            if snapshot is None:
                yield ServerSentEvent(comment="still the same")
            else:
                identity = snapshot.as_of.isoformat() if snapshot.as_of else "0"
                yield ServerSentEvent(event="snapshot", id=identity, raw_data=msgspec.json.encode(snapshot).decode())

    return router


def _is_shown(caller: Caller, metric: Metric) -> bool:
    return caller.partner_id is None or "partner" in metric.dimensions


def _confined(caller: Caller, metric: Metric, filters: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is asked for, of a partner's own only. Raises Problem 403."""
    if caller.partner_id is None:
        return filters
    own = [caller.partner_id]
    if not _is_shown(caller, metric) or filters.get("partner", own) != own:
        raise Problem(403, "forbidden", "A partner is told its own figures. Ask for a metric with the dimension 'partner'.")
    return {**filters, "partner": own}


def _known(metric_id: str) -> Metric:
    metric = BY_ID.get(metric_id)
    if metric is None:
        raise Problem(404, "unknown-metric", f"There is no such metric. Known are: {', '.join(sorted(BY_ID))}.")
    return metric


def _filters(request: Request, metric: Metric) -> dict[str, list[str]]:
    """The query parameters that name a dimension. Raises Problem for those that name nothing."""
    unknown = [
        FieldError(f"query.{name}", "no such parameter" if name not in Dims._fields else _not_of(metric))
        for name in request.query_params
        if name not in KNOWN_PARAMETERS or (name in Dims._fields and name not in metric.dimensions)
    ]
    filters = {name: request.query_params.getlist(name) for name in metric.dimensions if name in request.query_params}
    for name, values in filters.items():
        if any("\x00" in value for value in values) or len(values) > MAX_VALUES:
            unknown.append(FieldError(f"query.{name}", f"at most {MAX_VALUES} values, without NUL characters"))
    if unknown:
        raise Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", unknown)
    return filters


def _check(metric: Metric, group_by: Sequence[str], percentiles: Sequence[int], instants: Mapping[str, datetime | None]) -> None:
    errors = [FieldError("query.group_by", f"'{name}': {_not_of(metric)}") for name in group_by if name not in metric.dimensions]
    if len(set(group_by)) != len(group_by):
        errors.append(FieldError("query.group_by", "names a dimension twice"))
    errors += [
        FieldError(name, f"must lie between {EPOCH:%Y} and {LATEST:%Y}")
        for name, instant in instants.items()
        if instant is not None and not EPOCH <= instant <= LATEST
    ]
    if len(percentiles) > 10 or not all(1 <= share <= 99 for share in percentiles):
        errors.append(FieldError("query.percentiles", "at most ten whole numbers from 1 to 99"))
    if errors:
        raise Problem(422, "invalid-request", "The request does not fit the contract; see errors for each field.", errors)


def _not_of(metric: Metric) -> str:
    return f"'{metric.id}' has no such dimension; it has {', '.join(metric.dimensions)}"


def _bounds(start: datetime, end: datetime, period: Period, zone: ZoneInfo, metric: Metric) -> Bounds:
    code: Literal["invalid-request"] = "invalid-request"
    if start >= end:
        raise Problem(422, code, "Nothing lies between from and to.", [FieldError("query.from", "must be before 'to'")])
    try:
        return bounds(start, end, period, zone, metric)
    except TooManyPeriods:
        reason = f"gives more than {MAX_PERIODS} periods; ask for fewer, or longer ones"
        raise Problem(422, code, "The answer would be too large.", [FieldError("query.period", reason)]) from None
    except NotWholeHours:
        reason = f"days of the zone {zone.key} do not begin at a whole hour UTC; ask for hours or the total"
        raise Problem(422, code, "Figures are kept by hours of UTC.", [FieldError("query.period", reason)]) from None


def _described(metric: Metric) -> MetricOut:
    return MetricOut(
        id=metric.id,
        version=metric.version,
        names=metric.names,
        unit=metric.unit,
        formula=metric.formula,
        source=metric.source,
        dimensions=list(metric.dimensions),
    )


def _answer(
    metric: Metric,
    at: Bounds,
    zone: ZoneInfo,
    period: Period,
    group_by: list[str],
    as_of: datetime | None,
    names: Mapping[str, dict[str, str]],
    found: Sequence[Figure],
) -> FiguresOut:
    shown = {f"{name}:{value}" for figure in found for name, value in zip(group_by, figure.group, strict=True)}
    hour = timedelta(hours=1)
    return FiguresOut(
        metric=_described(metric),
        from_=EPOCH + at.starts[0] * hour,
        to=EPOCH + at.end * hour,
        zone=zone.key,
        period=period,
        group_by=group_by,
        as_of=as_of,
        names={key: names[key] for key in sorted(shown & names.keys())},
        points=[
            PointOut(
                start=figure.start,
                end=figure.end,
                group={name: value or None for name, value in zip(group_by, figure.group, strict=True)},
                value=figure.value,
                count=figure.count,
                out_of=figure.out_of,
                percentiles=figure.quantiles,
                beside=figure.beside,
            )
            for figure in found
        ],
    )
