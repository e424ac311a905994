"""Whatever is asked, the answer is what was asked for or a problem that says which part."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.desk.api.asking import SearchQuery, TicketQuery
from tests.counts import examples
from tests.limits import WHOLE_NUMBERS
from tests.services.desk.conftest import Desk

pytestmark = pytest.mark.timeout(120)
FIELDS = sorted({*TicketQuery.model_fields, *SearchQuery.model_fields})
WORDS = st.sampled_from(["open", "me", "none", "email", "he", "true", "asc", "due", "priority", "3", "2026-03-02T00:00:00Z"])
VALUES = WORDS | st.text(max_size=12) | WHOLE_NUMBERS.map(str) | st.datetimes().map(lambda at: at.isoformat() + "Z")
QUERIES = st.lists(st.tuples(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES), max_size=5)
PLACES = st.fixed_dictionaries(
    {},
    optional={
        "sort": st.sampled_from(["updated", "opened", "priority", "due"]),
        "order": st.sampled_from(["asc", "desc"]),
        "at": WHOLE_NUMBERS | st.datetimes().map(lambda at: at.isoformat() + "+14:00") | st.text(max_size=5) | st.none(),
        "number": WHOLE_NUMBERS,
        "id": WHOLE_NUMBERS,
    },
)


@pytest_asyncio.fixture(scope="module")
async def asked(module_desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    await module_desk.open("t", 1, "Where is my parcel?")
    await module_desk.index()
    async with module_desk.client("dana") as client:
        yield client


@given(path=st.sampled_from(["tickets", "search"]), query=QUERIES)
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_question_has_an_answer_or_a_problem_and_never_a_500(
    asked: httpx.AsyncClient, path: str, query: list[tuple[str, str | int | float | bool | None]]
) -> None:
    answer = await asked.get(f"/v1/desk/{path}", params=query)
    assert answer.status_code in (200, 404, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["code"] == "invalid-request"


@given(query=st.text(max_size=60))
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_words_can_be_looked_for(asked: httpx.AsyncClient, query: str) -> None:
    answer = await asked.get("/v1/desk/search", params={"q": query})
    assert answer.status_code in (200, 422), answer.text


@given(place=PLACES, path=st.sampled_from(["tickets", "tickets/none/timeline", "views", "search"]))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_cursor_is_ours_or_is_refused(asked: httpx.AsyncClient, place: dict[str, object], path: str) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    more: dict[str, str] = {name: str(place[name]) for name in ("sort", "order") if name in place and path == "tickets"}
    if path == "search":
        more["q"] = "parcel"
    answer = await asked.get(f"/v1/desk/{path}", params={**more, "cursor": cursor})
    assert answer.status_code in (200, 404, 422), answer.text
