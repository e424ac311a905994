"""Whatever number is sent, the answer is what was asked or a problem that names the field."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.counts import examples
from tests.limits import WHOLE_NUMBERS
from tests.services.routing.conftest import House

pytestmark = pytest.mark.timeout(120)
QUEUE: dict[str, Any] = {"name": {"en": "q"}, "position": 1}
CONDITION = {"is": "test", "field": "priority", "op": "at_least"}


def queue_with(field: str, number: int) -> dict[str, Any]:
    """A queue with this number in this place."""
    if field == "when.value":
        return {**QUEUE, "when": {**CONDITION, "value": number}}
    if field == "required_skills":
        return {**QUEUE, "required_skills": {"billing": number}}
    if field == "steps":
        return {**QUEUE, "required_skills": {"billing": 5}, "steps": [{"after_seconds": number, "any_agent": True}]}
    return {**QUEUE, field: number}


def agent_with(field: str, number: int) -> dict[str, Any]:
    """An agent with this number in this place."""
    inner = {"skills": {"billing": number}, "channel_limits": {"email": number}}
    return {"display_name": "Noa", field: inner.get(field, number)}


QUEUE_FIELDS = (
    "position",
    "when.value",
    "required_skills",
    "offer_timeout_seconds",
    "tier",
    "service_level_seconds",
    "service_level_percent",
    "ageing_seconds",
    "vip_bonus_seconds",
    "due_lead_seconds",
    "prefer_last_agent_seconds",
    "wrap_up_seconds",
    "consult_seconds",
    "consult_units",
    "steps",
)
AGENT_FIELDS = ("skills", "capacity_units", "channel_limits", "tier")
LISTS = ("/v1/queues", "/v1/teams", "/v1/skills", "/v1/rules", "/v1/agents", "/v1/agents/dana/tickets")


@pytest_asyncio.fixture
async def ticket_id(house: House) -> str:
    """A ticket of Dana's."""
    await house.queue()
    await house.agent()
    return await house.owned()


def check(answer: httpx.Response) -> None:
    """Done, or refused with the field. An edit without If-Match is refused before or after."""
    assert answer.status_code in (200, 201, 422, 428), answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["field"]


@given(number=WHOLE_NUMBERS, path=st.sampled_from(LISTS))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(2**63 - 1, LISTS[0])
@example(2**63, LISTS[0])
async def test_any_number_is_asked_for(house: House, ticket_id: str, number: int, path: str) -> None:
    for query in ({"after": str(number)}, {"limit": str(number)}):
        check(await house.ask("dana", "GET", f"/v1/tickets/{ticket_id}?{urlencode(query)}"))
    check(await house.ask("rina", "GET", f"{path}?limit={number}"))


@given(number=WHOLE_NUMBERS)
@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_stream_goes_on_after_any_number_or_says_that_there_is_none(house: House, ticket_id: str, number: int) -> None:
    for query, last_event_id in ((f"?cursor={number}", None), ("", str(number))):
        headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else None
        refused = number < 0 or number > 2**63
        if refused:
            answer = await house.ask("dana", "GET", f"/v1/agents/dana/stream{query}", headers=headers)
            assert answer.status_code == 422, answer.text


@given(number=WHOLE_NUMBERS, field=st.sampled_from(QUEUE_FIELDS))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(2**64, "when.value")
async def test_a_queue_with_any_number(house: House, number: int, field: str) -> None:
    body = queue_with(field, number)
    check(await house.ask("admin", "PUT", f"/v1/queues/{uuid4()}", body))


@given(number=WHOLE_NUMBERS, field=st.sampled_from(AGENT_FIELDS))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_agent_with_any_number(house: House, number: int, field: str) -> None:
    check(await house.ask("admin", "PUT", f"/v1/agents/{uuid4()}", agent_with(field, number)))


@given(number=WHOLE_NUMBERS)
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_priority_of_any_number(house: House, ticket_id: str, number: int) -> None:
    version = (await house.done("dana", "GET", f"/v1/tickets/{ticket_id}"))["version"]
    headers = {"If-Match": f'"{version}"'}
    check(await house.ask("dana", "PATCH", f"/v1/tickets/{ticket_id}", {"priority": number}, headers))
