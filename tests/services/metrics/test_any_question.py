"""Whatever is asked, the answer is a figure or a problem, as the API's own description says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.metrics.definitions import BY_ID
from services.metrics.domain.cells import Dims
from tests.counts import examples
from tests.services.metrics.conftest import Metrics
from tests.services.metrics.test_api import a_day, an_app

INSTANTS = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.text(max_size=30)
WORDS = st.sampled_from(["channel", "agent", "state", "hour", "day", "total", "email", "50", "-1"]) | st.text(max_size=8)
QUERIES = st.lists(
    st.tuples(st.sampled_from(["from", "to"]), INSTANTS)
    | st.tuples(st.sampled_from(["period", "group_by", "percentiles", *Dims._fields]), WORDS)
    | st.tuples(st.text(max_size=5), WORDS),
    max_size=5,
)


@pytest_asyncio.fixture(scope="module")
async def asked(module_metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    await module_metrics.fold(a_day())
    async with an_app(module_metrics) as (app, _, key):
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://metrics", headers=headers) as one:
            yield one


@given(metric=st.sampled_from(sorted(BY_ID)), query=QUERIES)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_question_gets_figures_or_a_problem_and_never_a_500(
    asked: httpx.AsyncClient, metric: str, query: list[tuple[str, str | int | float | bool | None]]
) -> None:
    answer = await asked.get(f"/v1/metrics/{metric}", params=query)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"]


@pytest.mark.parametrize("metric", sorted(BY_ID))
@pytest.mark.parametrize("period", ["hour", "day", "total"])
async def test_every_metric_answers_by_each_of_its_dimensions(asked: httpx.AsyncClient, metric: str, period: str) -> None:
    span = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-04T00:00:00Z", "period": period}
    for group_by in ([], *([name] for name in BY_ID[metric].dimensions), list(BY_ID[metric].dimensions)):
        answer = await asked.get(f"/v1/metrics/{metric}", params={**span, "group_by": group_by})
        assert answer.status_code == 200, answer.text
        assert all(list(point["group"]) == group_by for point in answer.json()["points"])


async def test_the_description_has_stable_names_for_all_operations(asked: httpx.AsyncClient) -> None:
    paths = (await asked.get("/openapi.json")).json()["paths"]
    assert {path: spec["get"]["operationId"] for path, spec in paths.items()} == {
        "/v1/metrics": "list_metrics",
        "/v1/metrics/{metric_id}": "get_metric",
        "/v1/live": "watch_live",
    }
