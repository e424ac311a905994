"""Facts about what is written: by the customer, to the customer, among agents; and about surveys. Topic `tickets`.

Intake says: received, attachment fetched and failed, edited, deleted, reacted, confirmation, delivered, failed, uncertain,
bounced, read, complained, survey sent and answered. Routing says: reply requested, note added.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from shared.events.base import Attachment, Channel, Direction, Fact, Moment, PersonalFact

Origin = Literal["human", "auto_reply", "out_of_office", "bulk", "bot"]


class MessagePersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a message is about the person: who wrote, from where, what.

    From `handle_kind` on: what intake knows its own messages by, to read them back after a backup was restored. `message_ref`
    and `reply_refs` are Message-IDs: its own, and those it answers. `content_hash` tells a repeat from another message under
    the same name. `request` is the Idempotency-Key with its caller, `request_digest` what it was used for, in hex.
    `quoted` is what stood around the text of a mail: quotations, signatures, footers; cut to 8 KiB, as `quoted_cut` of the
    message says. `attachment_urls` are where the files of `attachments_awaited` are, in their order. `fields` is what else was
    filled in in a form, by the form's own names: a telephone number beside the address, the number of an order; at most 31 of
    them, and a little more than 8 KiB.
    """

    text: str = ""
    subject: str = ""
    name: str = ""
    handle: str = ""
    attachment_names: tuple[str, ...] = ()
    handle_kind: str = ""
    handle_scope: str = ""
    message_ref: str = ""
    reply_refs: tuple[str, ...] = ()
    content_hash: str = ""
    request: str = ""
    request_digest: str = ""
    quoted: str = ""
    attachment_urls: tuple[str, ...] = ()
    fields: dict[str, str] = {}


class SpamSaid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who takes a message for spam: a rule of ours, or a server before us, with its score in thousandths where there is one.
    `rule_id`: by which rule; of a provider `dmarc` or `virus`.
    """

    by: Literal["rule", "provider"]
    score_millis: int | None = None
    rule_id: str | None = None


class MessageReceived(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer wrote. Only `human` messages reopen a ticket and wait for an answer.

    `attachments_awaited` are ids of files that are still to be fetched from the provider; what becomes of each is said later.
    `cc_customer_ids` are the people to whom it went besides: a reply may go to them too. `cc_handle_ids` are those of their
    addresses to which it went. `text_cut`, `quoted_cut`: there is more of its text or of what was filled in, and of what stood
    around it, than travels here. `spam`: somebody takes it for that, wherever it came. `kept_from_ticket_id`: so it opened a
    ticket in quarantine, and did not come to this one. `parts_left_out`: a mail of more parts than are read; the last of its
    attachments is the whole of it.
    """

    TYPE: ClassVar[str] = "message.received.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = MessagePersonal
    message_id: str
    customer_id: str
    channel: Channel
    inbox: str
    provider: str
    origin: Origin = "human"
    language: str = "und"
    direction: Direction = "ltr"
    provider_time: Moment | None = None
    text_cut: bool = False
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None
    public: bool = False
    participant: bool = True
    attachments_awaited: tuple[str, ...] = ()
    cc_customer_ids: tuple[str, ...] = ()
    quoted_cut: bool = False
    cc_handle_ids: tuple[str, ...] = ()
    spam: SpamSaid | None = None
    kept_from_ticket_id: str | None = None
    parts_left_out: bool = False


class AttachmentFetched(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A file that a message only pointed to is here."""

    TYPE: ClassVar[str] = "attachment.fetched.v1"
    message_id: str
    attachment: Attachment


class AttachmentFailed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A file that a message pointed to could not be fetched and will not be tried again; `code` says why."""

    TYPE: ClassVar[str] = "attachment.failed.v1"
    message_id: str
    attachment_id: str
    code: str
    attempts: int


class MessageEdited(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer changed a message that was received before."""

    TYPE: ClassVar[str] = "message.edited.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = MessagePersonal
    message_id: str
    text_cut: bool = False
    provider_time: Moment | None = None


class MessageDeleted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer took a message back."""

    TYPE: ClassVar[str] = "message.deleted.v1"
    message_id: str
    provider_time: Moment | None = None


class MessageReacted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A reaction to a message; an empty `emoji` takes it away."""

    TYPE: ClassVar[str] = "message.reacted.v1"
    message_id: str
    emoji: str
    provider_time: Moment | None = None


class ReplyPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The text that an agent writes to a customer. `signature` is that of the agent or the queue, as it is at that moment."""

    text: str = ""
    subject: str = ""
    attachment_names: tuple[str, ...] = ()
    signature: str = ""


class ReplyRequested(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent answered: the response the clocks wait for. Intake carries it out and says what became of it."""

    TYPE: ClassVar[str] = "reply.requested.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = ReplyPersonal
    message_id: str
    agent_id: str
    customer_id: str
    channel: Channel
    language: str = "und"
    direction: Direction = "ltr"
    by: Literal["agent", "bot", "rule"] = "agent"
    public: bool = False
    cc_customer_ids: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    text_cut: bool = False
    queue_id: str | None = None
    team_id: str | None = None
    template_id: str | None = None


class NotePersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The text of a note."""

    text: str = ""


class NoteAdded(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """A note among agents; never shown to the customer."""

    TYPE: ClassVar[str] = "note.added.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = NotePersonal
    note_id: str
    agent_id: str
    mentions: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class ConfirmationSent(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The automatic confirmation with the ticket's number went out. It is not a response."""

    TYPE: ClassVar[str] = "confirmation.sent.v1"
    message_id: str
    channel: Channel
    language: str
    promised_by: Moment | None = None
    attempts: int = 1


class ConfirmationSkipped(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """No confirmation, and why."""

    TYPE: ClassVar[str] = "confirmation.skipped.v1"
    reason: Literal["automatic_mail", "spam", "loop_cap", "no_address", "channel_confirms_itself", "failed"]


class MessageDelivered(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The provider (or the mail server) took the message over; `final` when it says that it arrived. It took no copy for
    `refused_cc_customer_ids`, who get none. For `awaited_cc_customer_ids`
    it took none for now: they are tried again, and what becomes of them is said in another one of the same message.
    """

    TYPE: ClassVar[str] = "message.delivered.v1"
    message_id: str
    channel: Channel
    attempts: int
    provider_ref: str | None = None
    provider_time: Moment | None = None
    final: bool = False
    refused_cc_customer_ids: tuple[str, ...] = ()
    awaited_cc_customer_ids: tuple[str, ...] = ()


class MessageFailed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The message could not be delivered and will not be tried again."""

    TYPE: ClassVar[str] = "message.failed.v1"
    message_id: str
    channel: Channel
    attempts: int
    code: str
    detail: str = ""


class DeliveryUncertain(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt ended with an unknown outcome and is made again with the same identity: the customer may get it twice.
    `promised_by` is what a confirmation says.
    """

    TYPE: ClassVar[str] = "delivery.uncertain.v1"
    message_id: str
    channel: Channel
    attempt: int
    promised_by: Moment | None = None


class MessageBounced(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Came back after it had been delivered."""

    TYPE: ClassVar[str] = "message.bounced.v1"
    message_id: str
    hard: bool
    code: str


class MessageRead(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer read it, as far as the channel can tell."""

    TYPE: ClassVar[str] = "message.read.v1"
    message_id: str
    provider_time: Moment | None = None


class MessageComplained(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer told their mail provider that the message is spam. `code` is the kind of complaint, where one is given."""

    TYPE: ClassVar[str] = "message.complained.v1"
    message_id: str
    code: str = ""
    provider_time: Moment | None = None


class SurveySent(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A question after a resolution was asked: the one configured as `config_id`. It can be answered until `open_until`."""

    TYPE: ClassVar[str] = "survey.sent.v1"
    survey_id: str
    kind: Literal["csat", "nps", "ces"]
    scale_min: int
    scale_max: int
    channel: Channel
    language: str
    agent_id: str | None = None
    config_id: str | None = None
    open_until: Moment | None = None
    attempts: int = 1


class SurveyPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer wrote beside the score. `told_by`: the message that was the answer, by its name at its provider, so that
    it is known again after a backup was restored.
    """

    comment: str = ""
    told_by: str = ""


class SurveyAnswered(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer answered. Said again under the same `survey_id` when they correct it: the last one counts."""

    TYPE: ClassVar[str] = "survey.answered.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = SurveyPersonal
    survey_id: str
    kind: Literal["csat", "nps", "ces"]
    score: int
    scale_min: int
    scale_max: int
    channel: Channel
    language: str = "und"


MessageFacts = (
    MessageReceived
    | AttachmentFetched
    | AttachmentFailed
    | MessageEdited
    | MessageDeleted
    | MessageReacted
    | ReplyRequested
    | NoteAdded
    | ConfirmationSent
    | ConfirmationSkipped
    | MessageDelivered
    | MessageFailed
    | DeliveryUncertain
    | MessageBounced
    | MessageRead
    | MessageComplained
    | SurveySent
    | SurveyAnswered
)
