"""What agents have begun to write, and which of it belongs to an answer or to a note. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.routing.domain.commands import fits
from services.routing.domain.work import Turn
from shared.events.base import Attachment, Channel
from shared.events.message import NoteAdded, ReplyRequested

Kind = Literal["reply", "note"]
# What only the one kind has.
OF_REPLIES = ("subject", "language", "channel", "cc_customer_ids", "attachments", "canned_response_id")
OF_NOTES = ("mentions",)


class DraftFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is to go along."""

    file: Attachment
    name: str = ""


class DraftPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A draft as it is sealed."""

    text: str = ""
    subject: str = ""
    language: str | None = None
    channel: Channel | None = None
    cc_customer_ids: tuple[str, ...] = ()
    attachments: tuple[DraftFile, ...] = ()
    canned_response_id: str | None = None
    mentions: tuple[str, ...] = ()


class NotOfThisKind(ValueError):
    """Something that such a draft cannot have; `field` says what."""

    def __init__(self, field: str, kind: Kind) -> None:
        super().__init__(f"a {kind} has none")
        self.field = field


def check(content: DraftPersonal, kind: Kind) -> None:
    """Refuse what could never be sent. Raises TextTooLong, NotOfThisKind."""
    fits(content.text)
    nothing = DraftPersonal()
    for field in OF_NOTES if kind == "reply" else OF_REPLIES:
        if getattr(content, field) != getattr(nothing, field):
            raise NotOfThisKind(field, kind)


def written(turn: Turn) -> list[tuple[str, str, Kind]]:
    """The answers and notes that a decision brings: ticket, agent and kind of each."""
    found: list[tuple[str, str, Kind]] = []
    for draft in turn.drafts:
        match draft.data:
            case ReplyRequested(agent_id=agent_id):
                found.append((draft.key, agent_id, "reply"))
            case NoteAdded(agent_id=agent_id):
                found.append((draft.key, agent_id, "note"))
    return found
