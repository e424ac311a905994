"""The demonstration's company: its agents, queues, promises and addresses, put in place through the services' own APIs.

Runs after the services are up; what is there already is left as it is, so that a person's edits stay.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import HOST, address

OFFICE = [{"opens": "09:00", "closes": "18:00"}]
HOURS = 3600
Body = Mapping[str, Any]

CONFIG: tuple[tuple[str, str, Body], ...] = (
    ("routing", "/v1/teams/support", {"name": {"en": "Support", "he": "תמיכה", "ar": "الدعم", "ro": "Suport"}}),
    ("routing", "/v1/teams/nobody", {"name": {"en": "Nobody (to show a breach)"}}),
    (
        "routing",
        "/v1/queues/unattended",
        {
            "name": {"en": "Unattended (to show a breach)"},
            "position": 1,
            "when": {"is": "test", "field": "inbox", "op": "equals", "value": "unattended"},
            "team_ids": ["nobody"],
        },
    ),
    (
        "routing",
        "/v1/queues/support",
        {
            "name": {"en": "Support", "he": "תמיכה", "ar": "الدعم", "ro": "Suport"},
            "position": 100,
            "team_ids": ["support"],
            "offer_timeout_seconds": 30,
        },
    ),
    (
        "routing",
        "/v1/agents/dana",
        {"display_name": "Dana", "team_ids": ["support"], "languages": ["he", "en", "ar", "ro"], "capacity_units": 10},
    ),
    (
        "routing",
        "/v1/agents/omar",
        {"display_name": "Omar", "team_ids": ["support"], "languages": ["ar", "en", "he", "ro"], "capacity_units": 10},
    ),
    (
        "routing",
        "/v1/agents/ioana",
        {"display_name": "Ioana", "team_ids": ["support"], "languages": ["ro", "en"], "capacity_units": 10},
    ),
    (
        "routing",
        "/v1/agents/emma",
        {"display_name": "Emma", "team_ids": ["support"], "languages": ["en"], "capacity_units": 10},
    ),
    (
        "sla",
        "/v1/calendars/office",
        {"zone": "Asia/Jerusalem", "weekly": [OFFICE, OFFICE, OFFICE, OFFICE, [], [], OFFICE], "holidays_of": ["IL"]},
    ),
    (
        "sla",
        "/v1/policies/unattended",
        {
            "name": "Twenty seconds, to show a breach",
            "position": 1,
            "when": {"is": "test", "field": "inbox", "op": "equals", "value": "unattended"},
            "targets": [
                {
                    "kind": "first_response",
                    "seconds": {"1": 20, "2": 20, "3": 20, "4": 20},
                    "hours": "calendar",
                    "warn_at_percent": [50],
                }
            ],
        },
    ),
    (
        "sla",
        "/v1/policies/standard",
        {
            "name": "Standard",
            "position": 100,
            "calendar_id": "office",
            "targets": [
                {"kind": "first_response", "seconds": {"1": 8 * HOURS, "2": 4 * HOURS, "3": HOURS, "4": HOURS // 4}},
                {"kind": "resolution", "seconds": {"1": 72 * HOURS, "2": 24 * HOURS, "3": 8 * HOURS, "4": 4 * HOURS}},
            ],
        },
    ),
    ("intake", "/v1/inboxes/support", {"channel": "email", "address": "support@patchbay.example"}),
    ("intake", "/v1/inboxes/unattended", {"channel": "email", "address": "unattended@patchbay.example"}),
    ("intake", "/v1/inboxes/sms", {"channel": "sms", "address": "+40312295500", "language": "ro", "region": "RO"}),
    ("intake", "/v1/inboxes/phone", {"channel": "phone", "address": "+40312295501", "language": "ro", "region": "RO"}),
    # Open: what `make demo` and `make simulate` fill in was not shown to anybody before, who would have got a token.
    ("intake", "/v1/inboxes/contact", {"channel": "form", "address": "contact", "language": "en", "guard": "open"}),
)


def put_in_place(ports: Mapping[str, int], admin_key: str, host: str = HOST) -> list[str]:
    """Put what is missing, in services that listen on `host`. Returns its paths. Raises httpx.HTTPError."""
    made = []
    with httpx.Client(headers={"Authorization": f"Bearer {admin_key}"}, timeout=15, trust_env=False) as http:
        for service, path, body in CONFIG:
            url = f"http://{address(host, ports[service])}{path}"
            if http.get(url).status_code == 404:
                http.put(url, json=body).raise_for_status()
                made.append(path)
    return made


def main() -> None:
    """For the supervisor: ports and keys from the environment and the secrets' folder."""
    ports = {name: int(os.environ[f"PATCHBAY_{name.upper()}_PORT"]) for name in ("intake", "routing", "sla", "metrics")}
    keys = json.loads((Path(os.environ["PATCHBAY_SECRETS_DIR"]) / "demo-keys.json").read_text())
    try:
        print(json.dumps(put_in_place(ports, keys["admin"], os.environ.get("PATCHBAY_HOST", HOST))))
    except httpx.HTTPStatusError as error:
        sys.exit(f"{error.request.method} {error.request.url.path} answered {error.response.status_code}: {error.response.text}")
    except httpx.HTTPError as error:
        sys.exit(f"A service did not answer: {type(error).__name__}")


if __name__ == "__main__":
    main()
