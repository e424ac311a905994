"""The committed examples, read once."""

from __future__ import annotations

import json
import re
from typing import cast

from shared.events.docs import EXAMPLES

# `<type>.json`; fields that are added later get an example of their own, `<type>.2.json` …, and the old one stays
NAME = re.compile(r"^(?P<type>[a-z_.]+\.v[0-9]+)(\.[2-9][0-9]*)?\.json$")
RAW: dict[str, bytes] = {path.name: path.read_bytes() for path in sorted(EXAMPLES.iterdir())}


def type_of(file_name: str) -> str:
    """The event type that an example is of, by its file's name."""
    match = NAME.match(file_name)
    assert match is not None, f"{file_name} is not named <type>.json"
    return match["type"]


def envelope(file_name: str) -> dict[str, object]:
    return cast(dict[str, object], json.loads(RAW[file_name]))


def data(file_name: str) -> dict[str, object]:
    return cast(dict[str, object], envelope(file_name)["data"])
