"""What routing takes: its OpenAPI document as types, under the document's names. Its answers the document leaves open."""

from __future__ import annotations

from typing import Literal, Required, TypedDict

from .exchange import Instant

WrittenChannel = Literal["email", "sms", "chat", "whatsapp", "telegram", "line", "messenger", "instagram", "other"]


class State(TypedDict, total=False):
    """The state from now on."""

    state: Required[Literal["available", "break", "wrap_up", "offline"]]
    reason: str | None


class Decline(TypedDict, total=False):
    """Why."""

    reason: str | None


class ReplyFile(TypedDict, total=False):
    """A file to send along, as `Intake.upload_file` answered it."""

    id: Required[str]
    media_type: Required[str]
    size_bytes: Required[int]
    sha256: Required[str]
    name: str


class Reply(TypedDict, total=False):
    """What goes to the customer. Without a language the ticket's own is taken, without a channel the one they wrote on."""

    text: Required[str]
    attachments: list[ReplyFile]
    canned_response_id: str | None
    cc_customer_ids: list[str]
    channel: WrittenChannel | None
    language: str | None
    subject: str


class Note(TypedDict, total=False):
    """What stays among agents."""

    text: Required[str]
    mentions: list[str]


class Resolve(TypedDict, total=False):
    """How it ended."""

    code: str | None


class Pend(TypedDict, total=False):
    """Until when at most the customer is waited for."""

    until: Instant | None


class Hold(TypedDict, total=False):
    """Who is waited for, and until when at most."""

    third_party: str | None
    until: Instant | None


class Reopen(TypedDict, total=False):
    """Why."""

    reason: str | None


class Transfer(TypedDict, total=False):
    """Where to. `warm`: an agent is asked first, and the owner keeps the ticket until they accept."""

    to: Required[Literal["queue", "agent", "tier", "partner"]]
    id: Required[str]
    reason: str | None
    warm: bool


class BulkCommand(TypedDict, total=False):
    """What is to be done to each ticket, with what the command on one ticket takes."""

    do: Required[
        Literal[
            "resolve",
            "pend",
            "hold",
            "reopen",
            "prioritise",
            "label",
            "assign",
            "take",
            "release",
            "transfer",
            "escalate",
            "mark_spam",
            "unmark_spam",
            "close",
        ]
    ]
    add_tags: list[str]
    agent_id: str | None
    code: str | None
    id: str | None
    priority: Literal[1, 2, 3, 4] | None
    product: str | None
    reason: str | None
    remove_tags: list[str]
    third_party: str | None
    to: Literal["queue", "agent", "tier", "partner"] | None
    to_tier: int | None
    topic: str | None
    until: Instant | None


class Bulk(TypedDict):
    """Which tickets, up to 100, and what is to be done to each."""

    command: BulkCommand
    ticket_ids: list[str]


class DeclineTransfer(TypedDict, total=False):
    """Why not."""

    reason: str | None


class Assign(TypedDict):
    """To whom."""

    agent_id: str


class Escalate(TypedDict, total=False):
    """How far up, the next tier where none is named; and why."""

    reason: str | None
    to_tier: int | None


class CallBack(TypedDict, total=False):
    """When the customer wants to be called; as soon as it is their turn where nothing is said."""

    not_before: Instant | None


class WrapUp(TypedDict, total=False):
    """How it went, and what it was about. A supervisor names the agent whose wrap-up is to end."""

    agent_id: str | None
    code: str | None
    product: str | None
    topic: str | None


class Consult(TypedDict, total=False):
    """The question, and who is asked: an agent, or the best of those who have a skill."""

    text: Required[str]
    agent_id: str | None
    skill: str | None


class ConsultAnswer(TypedDict):
    """What the expert says."""

    text: str


class Merge(TypedDict):
    """The ticket that goes on."""

    into_ticket_id: str


class Split(TypedDict):
    """Which of the customer's messages go to a ticket of their own."""

    message_ids: list[str]


class Link(TypedDict, total=False):
    """The other ticket; with `undo` the link is taken away."""

    ticket_id: Required[str]
    undo: bool


class Open(TypedDict, total=False):
    """A ticket for a customer who came in person, rang, or is to be written to."""

    customer_id: Required[str]
    channel: Literal["in_person", "phone", "other"]
    outward: bool
    priority: Literal[1, 2, 3, 4]
    subject: str
