"""What intake takes and answers of what is set up, and of what is shown without a key: its OpenAPI document as types."""

from __future__ import annotations

from typing import Literal, Required, TypedDict

from .exchange import Instant
from .intake_types import Channel


class _Inbox(TypedDict, total=False):
    channel: Required[Channel]
    address: Required[str]
    confirm: bool
    effective_from: Instant | None
    language: str
    origins: list[str]
    partner_id: str | None
    region: str | None
    webhook: str | None


class InboxBody(_Inbox, total=False):
    """An inbox: an address of ours on a channel."""

    guard: Literal["open", "token", "signature"] | None


class InboxShown(_Inbox):
    """As it is in force."""

    guard: Literal["open", "token", "signature"]
    id: str
    version: int


class SpamRuleBody(TypedDict, total=False):
    """Who or what is blocked, or let through."""

    verdict: Required[Literal["block", "allow"]]
    part: Required[Literal["address", "domain", "number", "subject", "text"]]
    values: Required[list[str]]
    effective_from: Instant | None
    inboxes: list[str]


class SpamRuleShown(SpamRuleBody):
    """As it is in force."""

    id: str
    version: int


class SpamRulesShown(TypedDict):
    """All of them."""

    spam_rules: list[SpamRuleShown]


class SurveyBody(TypedDict, total=False):
    """After which resolutions customers are asked how it was."""

    position: Required[int]
    kind: Required[Literal["csat", "nps", "ces"]]
    delay_seconds: int
    effective_from: Instant | None
    open_seconds: int
    queue_ids: list[str]
    quiet_seconds: int
    scale_max: int | None
    scale_min: int | None


class SurveyShown(SurveyBody):
    """As it is in force."""

    id: str
    version: int


class Surveys(TypedDict):
    """All of them."""

    surveys: list[SurveyShown]


class WordListBody(TypedDict, total=False):
    """Words, by language, that tell the topic, product and urgency of new tickets."""

    position: Required[int]
    words: Required[dict[str, list[str]]]
    effective_from: Instant | None
    priority: Literal[1, 2, 3, 4] | None
    product: str | None
    tags: list[str]
    topic: str | None


class WordListShown(WordListBody):
    """As it is in force."""

    id: str
    version: int


class WordLists(TypedDict):
    """All of them."""

    word_lists: list[WordListShown]


class FormBody(TypedDict, total=False):
    """What a form sends. `website` is a trap: people do not see the field."""

    text: Required[str]
    email: str
    name: str
    phone: str
    product: str
    subject: str
    submission_id: str
    token: str
    topic: str
    website: str


class FormAccepted(TypedDict):
    """What the customer is shown."""

    ticket_number: int
    status_url: str


class Token(TypedDict):
    """What a page brings back with the form."""

    token: str
    seconds_until_usable: int
    seconds_until_expired: int


class SurveyAnswer(TypedDict, total=False):
    """What the page of a survey posts. `answers`: how many there were when it was shown."""

    score: Required[int]
    answers: Required[int]
    comment: str


class ShownFile(TypedDict):
    """A file of a message."""

    name: str
    media_type: str
    size_bytes: int
    url: str


class ShownMessage(TypedDict):
    """A message of a ticket, as its customer is shown it; `text` is None once it was erased."""

    at: Instant
    ours: bool
    text: str | None
    language: str
    direction: Literal["ltr", "rtl"]
    files: list[ShownFile]


class TicketStatus(TypedDict, total=False):
    """How a ticket stands, as its customer is shown it."""

    number: Required[int]
    status: Required[str]
    opened_at: Required[Instant]
    changed_at: Required[Instant]
    answer_promised_by: Required[Instant | None]
    earlier: int
    goes_on_as: int | None
    messages: list[ShownMessage] | None


class FileLink(TypedDict):
    """Where a file can be fetched without a key, until `expires_at`."""

    url: str
    expires_at: Instant


class Uploaded(TypedDict):
    """A file that is kept, to be sent along with a reply."""

    id: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
