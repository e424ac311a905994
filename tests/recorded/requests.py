"""Requests of mail providers as another project recorded them, in ../shared/fixtures."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.intake.channels import form_data

FOLDER = Path(__file__).parents[3] / "shared" / "fixtures" / "anymail" / "recorded"
PROVIDERS = {"amazon_ses": "ses", "mailgun": "mailgun", "postmark": "postmark", "sendgrid": "sendgrid"}
WHOLE = ("body-mime", "email")  # the fields in which Mailgun and SendGrid bring a mail that is not taken apart


@dataclass(frozen=True)
class Recorded:
    """One request, and what the other project made of it."""

    provider: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None
    events: list[dict[str, Any]]
    settings: Mapping[str, Any]

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def mime(self) -> bytes | None:
        """The mail that it brings whole, in a field of a form."""
        if form_data.media_type_of(self.content_type) != form_data.MULTIPART:
            return None
        fields = form_data.last_of(form_data.fields(self.body, self.content_type))
        return next((fields[name].content for name in WHOLE if name in fields and fields[name].content.strip()), None)


def recorded(file: Path) -> Recorded:
    """The request in a file."""
    said = json.loads(file.read_bytes())
    folder, _, where = file.parent.name.rpartition("_")
    headers = {name: _text(value) for name, value in said["headers"].items()}
    body = base64.b64decode(said["body_b64"]) if said["body"] is None else said["body"].encode()
    path = f"/v1/providers/{PROVIDERS[folder]}/{'inbound' if where == 'inbound' else 'events'}"
    return Recorded(PROVIDERS[folder], path, headers, body, said["response_status"], said["events"] or [], said["settings"])


def all_recorded(pattern: str) -> list[Recorded]:
    """Those in the folders of this name, none where the fixtures are not there: `mailgun_inbound`, `*_webhooks`."""
    return [recorded(file) for file in sorted(FOLDER.glob(f"{pattern}/*.json"))]


def _text(value: object) -> str:
    return base64.b64decode(cast(dict[str, str], value)["b64"]).decode("latin-1") if isinstance(value, dict) else str(value)
