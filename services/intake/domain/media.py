"""Files that a message only points to: when each is tried again, and what is said of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.intake.domain.delivery import NotNow, Refused
from shared.events.base import Attachment, Fact, derived_id
from shared.events.message import AttachmentFailed, AttachmentFetched

# Seconds to wait after the first, second, … attempt that did not succeed; after the last of them it has failed. A provider may
# need a moment until it has the file, and be away for a night.
BACK_OFF_SECONDS = (5, 30, 120, 600, 1800, 7200, 14400, 28800)
ATTEMPTS = len(BACK_OFF_SECONDS) + 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file as it came."""

    media_type: str
    content: bytes
    name: str = ""


FetchOutcome = Fetched | Refused | NotNow


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file that is to be fetched. `attempts` counts the one at hand."""

    attachment_id: str
    message_id: str
    url: str
    attempts: int


@dataclass(frozen=True, slots=True)
class FetchVerdict:
    """What follows from an attempt: when the next one is (None: it is over), and what is said."""

    due_at: datetime | None
    fact: Fact | None


def attachment_id(message_id: str, number: int) -> str:
    """The id of the file behind the URL of this number of a message."""
    return derived_id("attachment", message_id, f"media {number}")


def due_again(attempts: int, now: datetime) -> datetime | None:
    """When to try again what did not come in so many attempts; None when that was the last one."""
    return now + timedelta(seconds=BACK_OFF_SECONDS[attempts - 1]) if attempts < ATTEMPTS else None


def judge(fetch: Fetch, outcome: Attachment | Refused | NotNow, now: datetime) -> FetchVerdict:
    """What follows when a file came, will never come, or did not come this time."""
    if isinstance(outcome, Attachment):
        return FetchVerdict(None, AttachmentFetched(message_id=fetch.message_id, attachment=outcome))
    if isinstance(outcome, NotNow) and (due_at := due_again(fetch.attempts, now)) is not None:
        return FetchVerdict(due_at, None)
    failed = AttachmentFailed(
        message_id=fetch.message_id, attachment_id=fetch.attachment_id, code=outcome.code, attempts=fetch.attempts
    )
    return FetchVerdict(None, failed)
