"""What reaches us from outside, already parsed: messages, and what a provider says about calls and about what we sent."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from services.intake.domain.authentication import NOT_TOLD, Authentication
from shared.events.base import Channel, Direction, Priority
from shared.events.message import Origin
from shared.events.people import HandleKind

REFS_CAP = 20  # Message-IDs of a mail that are looked up, newest first
COPIES_CAP = 20  # people in copy of a mail; as many as a reply may have


class Handle(msgspec.Struct, frozen=True):
    """A way to reach a person. `scope` is the page, bot or number within which a provider's own id means something."""

    kind: HandleKind
    value: str
    scope: str = ""

    @property
    def key(self) -> str:
        """One text for all three."""
        return f"{self.kind}\x1f{self.scope}\x1f{self.value}"


class Copy(msgspec.Struct, frozen=True):
    """Somebody else to whom a mail went, and what its writer calls them."""

    handle: Handle
    name: str = ""


class InboundFile(msgspec.Struct, frozen=True):
    """An attachment: where in the raw payload it stands (`part`), and what it is. `inline`: it is shown inside the text."""

    part: int
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    dangerous: bool = False
    inline: bool = False


class Labels(msgspec.Struct, frozen=True):
    """What a connector says about a contact in clear words; None is "nothing said"."""

    priority: Priority = 2
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] = ()


NO_LABELS = Labels()


class RequestName(msgspec.Struct, frozen=True):
    """A request by its caller and the Idempotency-Key they gave it; `digest` tells whether two of one name are the same."""

    name: str
    digest: bytes


VIRUS = "virus"


class Fingerprint(msgspec.Struct, frozen=True):
    """What a mail, or a form without a name, says and who wrote it, as keyed hashes, by one of the ways by which it may come.

    `words` is the same for the same words, whatever accents a converter gave their letters; `shape` also where letters of them
    were lost, of which `kept` counts those beyond ASCII that were not. `sent_at` is the mail's own time, where it tells one.
    """

    shape: bytes
    words: bytes
    kept: int
    way: str
    sent_at: datetime | None = None


class SpamVerdict(msgspec.Struct, frozen=True):
    """That a message is spam: who says so, and the score in thousandths where there is one. `rule_id` is the rule that said so:
    one of ours, or of a provider `dmarc` (its domain disowns the mail) or VIRUS.
    """

    by: Literal["rule", "provider"]
    score_millis: int | None = None
    rule_id: str | None = None


class InboundMessage(msgspec.Struct, frozen=True):
    """One message of a person.

    `dedup_key` names it at its provider, or within `names` where several ways bring the same messages (mail);
    `conflict_key` is its second name, used when another message was there first under the same one. `reply_refs` are
    Message-IDs it answers, newest first; `tokens` the tickets named by our own signed addresses and Message-IDs. `confirm`:
    a confirmation goes to the handle when it opens a ticket that is no spam. `consent`: the person says that no more messages
    shall come to the handle on this channel (False), or that they may again (True). `text_hash` is the same for the same words,
    where machines may write them again and again. `spam`: a ticket that it opens is quarantined. `quoted` is what stood around
    the text without being part of it: quotations, signatures, footers. `media` are URLs of files that are still to be fetched.
    `authentication` is what our mail server found out about the sender. `numbers` are tickets that its subject names.
    `score`: it is nothing but this number, and so the answer to a question that waits for one in this conversation. `copies` are
    the people besides us to whom it went. `way`: how it came, where its provider does not say it. `fingerprint`: by what it is
    known when it comes by another way too. `unnamed`: nobody gave it a name, and what says the same within minutes is it again.
    `also`: further addresses and numbers that its writer only claims. `fields`: what else they filled in, by its name there.
    """

    provider: str
    dedup_key: str
    content_hash: str
    channel: Channel
    inbox: str
    handle: Handle | None
    text: str
    name: str = ""
    subject: str = ""
    text_cut: bool = False
    language: str = "und"
    direction: Direction = "ltr"
    origin: Origin = "human"
    provider_time: datetime | None = None
    files: tuple[InboundFile, ...] = ()
    reply_refs: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    message_ref: str | None = None
    conflict_key: str | None = None
    confirm: bool = False
    request: RequestName | None = None
    labels: Labels = NO_LABELS
    partner_id: str | None = None
    raw: bytes = b""
    media_type: str = "application/json"
    traceparent: str | None = None
    names: str | None = None
    consent: bool | None = None
    text_hash: bytes | None = None
    spam: SpamVerdict | None = None
    quoted: str = ""
    media: tuple[str, ...] = ()
    authentication: Authentication = NOT_TOLD
    numbers: tuple[int, ...] = ()
    score: int | None = None
    copies: tuple[Copy, ...] = ()
    way: str = ""
    fingerprint: Fingerprint | None = None
    unnamed: bool = False
    also: tuple[Handle, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def namespace(self) -> str:
        """Within what its keys are names."""
        return self.names or self.provider


CallPhase = Literal["ringing", "answered", "ended"]
CallOutcome = Literal["completed", "busy", "no_answer", "failed", "cancelled"]


class InboundCall(msgspec.Struct, frozen=True):
    """What a provider says about a call at one moment. `sequence` orders these words; None when it gives no order.

    `outcome` and `duration_us` come with `ended`.
    """

    provider: str
    call_ref: str
    dedup_key: str
    content_hash: str
    inbox: str
    handle: Handle | None
    phase: CallPhase
    sequence: int | None = None
    outcome: CallOutcome | None = None
    duration_us: int = 0
    provider_time: datetime | None = None
    name: str = ""
    language: str = "und"
    partner_id: str | None = None
    raw: bytes = b""
    media_type: str = "application/x-www-form-urlencoded"
    traceparent: str | None = None

    @property
    def anonymous(self) -> bool:
        """The caller shows no number."""
        return self.handle is None


SentWord = Literal["delivered", "bounced", "failed", "read", "complained"]


class DeliveryWord(msgspec.Struct, frozen=True):
    """What a provider, or a mail server in its report, says about a message of ours that went out.

    The message is named by our own id (`message_id`), or by the provider's name for it (`provider_ref`). `hard`: a bounce
    that is for good. `code` is the provider's or the mail server's, without anybody's words.
    """

    provider: str
    dedup_key: str
    kind: SentWord
    message_id: str | None = None
    provider_ref: str | None = None
    channel: Channel = "email"
    hard: bool = True
    code: str = ""
    provider_time: datetime | None = None
    raw: bytes = b""
    media_type: str = "application/json"
    traceparent: str | None = None

    @property
    def handle(self) -> None:
        """Nobody writes: a provider speaks."""
        return None

    @property
    def cause(self) -> str:
        """The name of this word among all."""
        return f"{self.provider}:{self.dedup_key}"


FromPerson = InboundMessage | InboundCall
Contact = FromPerson | DeliveryWord
