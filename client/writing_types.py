"""What routing takes of who edits and writes, under the names of its OpenAPI document."""

from __future__ import annotations

from typing import Literal, TypedDict

from .routing_types import ReplyFile, WrittenChannel

DraftKind = Literal["reply", "note"]


class Edit(TypedDict, total=False):
    """What is to be otherwise. `tags` are all tags from then on; of `fields`, your own, None takes one away."""

    fields: dict[str, str | None]
    priority: Literal[1, 2, 3, 4] | None
    product: str | None
    subject: str | None
    tags: list[str] | None
    topic: str | None


class Attend(TypedDict):
    """What the agent does at the ticket."""

    doing: Literal["viewing", "replying", "noting"]


class DraftBody(TypedDict, total=False):
    """A draft, whole. An answer has no `mentions`, a note nothing but them and its text."""

    attachments: list[ReplyFile]
    canned_response_id: str | None
    cc_customer_ids: list[str]
    channel: WrittenChannel | None
    language: str | None
    mentions: list[str]
    subject: str
    text: str
