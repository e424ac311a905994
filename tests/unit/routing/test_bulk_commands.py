"""What a command on many tickets takes: all that it needs, and nothing that it does not know what to do with."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from services.routing.api.bulk import APPLIED, FIELDS, MOST, Bulk, Command, Do


def test_every_command_says_what_it_takes_and_does_something() -> None:
    assert FIELDS.keys() == APPLIED.keys() == set(get_args(Do))
    assert set().union(*(needed | besides for needed, besides in FIELDS.values())) == Command.model_fields.keys() - {"do"}


@pytest.mark.parametrize(
    "told",
    [
        {"do": "resolve"},
        {"do": "resolve", "code": "solved"},
        {"do": "label", "add_tags": ["a"], "topic": None},
        {"do": "transfer", "to": "tier", "id": "2", "reason": "hard"},
        {"do": "escalate", "to_tier": 3},
    ],
)
def test_what_fits_is_taken(told: dict[str, Any]) -> None:
    assert Command.model_validate(told).do == told["do"]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"do": "prioritise"}, "'prioritise' needs priority"),
        ({"do": "transfer", "to": "queue"}, "'transfer' needs id"),
        ({"do": "pend", "reason": "lunch"}, "'pend' takes no reason"),
        ({"do": "assign", "agent_id": "dana", "priority": 3}, "'assign' takes no priority"),
        ({"do": "label"}, "say what is to be labelled otherwise"),
        ({"do": "label", "add_tags": []}, "say what is to be labelled otherwise"),
        ({"do": "delete"}, "Input should be 'resolve'"),
        ({"do": "resolve", "colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(told: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Command.model_validate(told)


@pytest.mark.parametrize("ticket_ids", [[], ["t"] * (MOST + 1), ["a\x00b"], ["a b"]])
def test_no_tickets_too_many_or_what_is_no_id_is_refused(ticket_ids: list[str]) -> None:
    with pytest.raises(ValidationError):
        Bulk.model_validate({"ticket_ids": ticket_ids, "command": {"do": "pend"}})
