"""Metrics: the figures, and what stands now.

Methods are named as the operations of docs/generated/openapi-metrics.json. All raise ProblemError and NoAnswer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from .exchange import Instant
from .service import Service, at
from .streaming import StreamEvent, follow

Period = Literal["hour", "day", "total"]


class MetricOut(TypedDict):
    """What a metric means. `version` counts up with its formula."""

    id: str
    version: int
    names: dict[str, str]
    unit: str
    formula: str
    source: str
    dimensions: list[str]


class PointOut(TypedDict):
    """One figure; `value` is in the metric's unit, None where there is nothing to divide by."""

    start: Instant
    end: Instant
    group: dict[str, str | None]
    value: float | None
    count: int
    out_of: NotRequired[int | None]
    percentiles: NotRequired[dict[str, float]]
    beside: NotRequired[dict[str, int]]


FiguresOut = TypedDict(
    "FiguresOut",
    {
        "metric": MetricOut,
        "from": Instant,
        "to": Instant,
        "zone": str,
        "period": Period,
        "group_by": list[str],
        "as_of": Instant | None,
        "names": dict[str, dict[str, str]],
        "points": list[PointOut],
    },
)


class CatalogueOut(TypedDict):
    """All metrics."""

    metrics: list[MetricOut]


class Metrics(Service):
    """The figures. `as_of` is the time of the newest record they contain."""

    async def list_metrics(self) -> CatalogueOut:
        """Every metric with its formula."""
        return await self._get(CatalogueOut, "/v1/metrics")

    async def get_metric(
        self,
        metric_id: str,
        from_: Instant | None = None,
        to: Instant | None = None,
        period: Period | None = None,
        group_by: Sequence[str] | None = None,
        percentiles: Sequence[int] | None = None,
        *,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> FiguresOut:
        """The figures of one metric, of the last 7 days by default; `filters` are values of its dimensions."""
        asked: dict[str, object] = {"from": from_, "to": to, "period": period, "group_by": group_by, "percentiles": percentiles}
        return await self._get(FiguresOut, at("/v1/metrics/{}", metric_id, **asked, **(filters or {})))

    def watch_live(self, *, resume: bool = True) -> AsyncGenerator[StreamEvent, None]:
        """What stands now: at once, and within a second of each change. Each event is the whole picture."""
        return follow(self, "/v1/live", resume=resume)
