"""Whatever number is sent, the answer is what was asked or a problem that names the field."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.counts import examples
from tests.limits import WHOLE_NUMBERS
from tests.services.sla.test_api import ALWAYS, OFFICE, Desk, desk

__all__ = ["desk"]

pytestmark = pytest.mark.timeout(120)
INSTANTS = st.sampled_from(
    ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"]
)
FIELDS = ("position", "when.value", "seconds", "warn_at_percent")


def policy_with(field: str, number: int) -> dict[str, Any]:
    """A policy with this number in this place."""
    if field == "when.value":
        return {**ALWAYS, "when": {"is": "test", "field": "priority", "op": "at_least", "value": number}}
    target = ALWAYS["targets"][0]
    inner = {"seconds": {**target, "seconds": {"2": number}}, "warn_at_percent": {**target, "warn_at_percent": [number]}}
    return {**ALWAYS, "targets": [inner[field]]} if field in inner else {**ALWAYS, field: number}


def check(answer: httpx.Response) -> None:
    """Done, or refused with the field."""
    assert answer.status_code in (200, 201, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["field"]


@given(cycle=WHOLE_NUMBERS, at=INSTANTS, ticket_id=st.sampled_from(["t", "", "\x00", "\ud800"]))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(cycle=2**31 - 1, at="2026-03-01T10:00:00Z", ticket_id="t")
@example(cycle=2**31, at="2026-03-01T10:00:00Z", ticket_id="t")
@example(cycle=1, at="9999-12-31T23:59:59.999999-14:00", ticket_id="t")
async def test_a_cursor_made_by_hand(desk: Desk, cycle: int, at: str, ticket_id: str) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([at, ticket_id, "resolution", cycle]).encode()).decode()
    for path in ("/v1/sla/breaches", "/v1/sla/at-risk"):
        check(await desk.operations.get(path, params={"cursor": cursor}))


@given(number=WHOLE_NUMBERS, path=st.sampled_from(["/v1/sla/breaches", "/v1/sla/at-risk", "/v1/calendars", "/v1/policies"]))
@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_number_is_asked_for(desk: Desk, number: int, path: str) -> None:
    check(await desk.operations.get(path, params={"limit": str(number)}))
    check(await desk.operations.get("/v1/sla/at-risk", params={"within_seconds": str(number)}))


@given(number=WHOLE_NUMBERS, field=st.sampled_from(FIELDS))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(2**64, "when.value")
@example(2**63, "seconds")
async def test_a_policy_with_any_number(desk: Desk, number: int, field: str) -> None:
    check(await desk.admin.put(f"/v1/policies/{uuid4()}", json=policy_with(field, number)))


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"])
async def test_a_calendar_from_any_instant(desk: Desk, at: str) -> None:
    check(await desk.admin.put("/v1/calendars/office", json={**OFFICE, "effective_from": at}))
