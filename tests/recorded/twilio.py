"""Requests with their signatures, from the tests of Twilio's own library: judged as it judges them, and refused when changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.intake.channels import twilio
from tests.recorded.sets import Database, Known, Outcome, RecordedSet

FILE = "request_validator_vectors.json"


def run(folder: Path, _database: Database) -> Iterator[Outcome]:
    """Each request as it is, and with one character more in its URL."""
    recorded = json.loads((folder / FILE).read_text("utf-8"))
    for vector in recorded["vectors"]:
        yield Outcome(vector["name"], _miss(vector, ["another", recorded["auth_token"]]))


def _miss(vector: dict[str, Any], tokens: list[str]) -> str:
    if "body" in vector:
        return "a body of JSON is judged by its hash in the URL"
    pairs = [(name, value) for name, value in vector["params"]]
    if twilio.is_signed(vector["url"], pairs, vector["signature"], tokens) != vector["valid"]:
        return f"{'valid' if vector['valid'] else 'not valid'} there, otherwise here"
    changed = f"{vector['url']}0"
    return "taken with another URL, too" if twilio.is_signed(changed, pairs, vector["signature"], tokens) else ""


SETS = (
    RecordedSet(
        "Twilio: signatures",
        "twilio-python",
        run,
        {"json_body": Known("none of Twilio's webhooks for SMS and calls sends JSON", "7dc911f")},
    ),
)
