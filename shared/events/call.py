"""Facts about a call, a video or a chat session on a ticket. Topic `tickets`.

Intake says what happened at the provider (`call.received`, `call.held`); routing says what is wanted (`call.hold_requested`).
Durations are microseconds between the provider's own instants where it gives them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.events.base import Fact, Moment

Medium = Literal["voice", "video"]


class CallReceived(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A customer calls: it rings. Waits for an answer as a message does."""

    TYPE: ClassVar[str] = "call.received.v1"
    call_id: str
    customer_id: str
    inbox: str
    provider: str
    provider_ref: str
    medium: Medium = "voice"
    anonymous: bool = False
    provider_time: Moment | None = None


class CallPlaced(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An outbound call was started for an agent."""

    TYPE: ClassVar[str] = "call.placed.v1"
    call_id: str
    customer_id: str
    agent_id: str
    provider: str
    provider_ref: str
    medium: Medium = "voice"
    provider_time: Moment | None = None


class CallRang(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The other side rings."""

    TYPE: ClassVar[str] = "call.rang.v1"
    call_id: str
    agent_id: str | None = None
    provider_time: Moment | None = None


class CallAnswered(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Talk began. `agent_id` is None when the system answered (greeting, menu, queue music)."""

    TYPE: ClassVar[str] = "call.answered.v1"
    call_id: str
    agent_id: str | None = None
    ring_us: int | None = None
    provider_time: Moment | None = None


class CallHeld(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer hears music."""

    TYPE: ClassVar[str] = "call.held.v1"
    call_id: str
    agent_id: str | None = None
    provider_time: Moment | None = None


class CallResumed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Talk goes on."""

    TYPE: ClassVar[str] = "call.resumed.v1"
    call_id: str
    agent_id: str | None = None
    hold_us: int | None = None
    provider_time: Moment | None = None


class CallTransferred(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The call went from one agent to another party."""

    TYPE: ClassVar[str] = "call.transferred.v1"
    call_id: str
    from_agent_id: str | None
    to_agent_id: str | None = None
    to_queue_id: str | None = None
    warm: bool = False
    provider_time: Moment | None = None


class CallMenuChosen(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The caller chose in a menu; card numbers and the like are never here."""

    TYPE: ClassVar[str] = "call.menu_chosen.v1"
    call_id: str
    menu_id: str
    choice: str


class CallRecorded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A recording or voicemail is in intake's store."""

    TYPE: ClassVar[str] = "call.recorded.v1"
    call_id: str
    recording_id: str
    kind: Literal["recording", "voicemail"]
    duration_us: int


class CallEnded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The call is over. `abandoned`: the customer left before an agent answered."""

    TYPE: ClassVar[str] = "call.ended.v1"
    call_id: str
    outcome: Literal["completed", "abandoned", "busy", "no_answer", "failed", "cancelled", "voicemail", "lost"]
    talk_us: int = 0
    hold_us: int = 0
    ring_us: int = 0
    ended_by: Literal["customer", "agent", "system", "unknown"] = "unknown"
    provider_time: Moment | None = None


class CallPlaceRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent wants to call the customer."""

    TYPE: ClassVar[str] = "call.place_requested.v1"
    call_id: str
    agent_id: str
    customer_id: str
    medium: Medium = "voice"


class CallConnectRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Connect the waiting call to this agent's phone."""

    TYPE: ClassVar[str] = "call.connect_requested.v1"
    call_id: str
    agent_id: str


class CallHoldRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Put the customer on hold."""

    TYPE: ClassVar[str] = "call.hold_requested.v1"
    call_id: str
    agent_id: str


class CallResumeRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Take the customer off hold."""

    TYPE: ClassVar[str] = "call.resume_requested.v1"
    call_id: str
    agent_id: str


class CallMuteRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Mute or unmute the agent's leg."""

    TYPE: ClassVar[str] = "call.mute_requested.v1"
    call_id: str
    agent_id: str
    muted: bool


class CallTransferRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Pass the call on."""

    TYPE: ClassVar[str] = "call.transfer_requested.v1"
    call_id: str
    agent_id: str
    to_agent_id: str | None = None
    to_queue_id: str | None = None
    warm: bool = False


class CallConferenceRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Bring another agent into the call."""

    TYPE: ClassVar[str] = "call.conference_requested.v1"
    call_id: str
    agent_id: str
    with_agent_id: str


class CallRecordingRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Pause or resume the recording (around card numbers)."""

    TYPE: ClassVar[str] = "call.recording_requested.v1"
    call_id: str
    agent_id: str
    action: Literal["pause", "resume", "start", "stop"]


class CallHangUpRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """End the call."""

    TYPE: ClassVar[str] = "call.hang_up_requested.v1"
    call_id: str
    agent_id: str


class CallbackRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The customer would rather be called back than wait, keeping the place. `by_agent_id`: an agent said so for them."""

    TYPE: ClassVar[str] = "callback.requested.v1"
    call_id: str | None = None
    customer_id: str = ""
    not_before: Moment | None = None
    by_agent_id: str | None = None


class ChatStarted(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A visitor opened a chat on this ticket."""

    TYPE: ClassVar[str] = "chat.started.v1"
    chat_id: str
    customer_id: str
    identity_verified: bool = False


class ChatLeft(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor's last connection is gone; the grace began."""

    TYPE: ClassVar[str] = "chat.left.v1"
    chat_id: str


class ChatReturned(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The visitor came back within the grace."""

    TYPE: ClassVar[str] = "chat.returned.v1"
    chat_id: str


class ChatEnded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The chat is over. `abandoned`: before an agent joined."""

    TYPE: ClassVar[str] = "chat.ended.v1"
    chat_id: str
    outcome: Literal["completed", "abandoned", "timed_out", "moved"]
    moved_to: str | None = None


CallFacts = (
    CallReceived
    | CallPlaced
    | CallRang
    | CallAnswered
    | CallHeld
    | CallResumed
    | CallTransferred
    | CallMenuChosen
    | CallRecorded
    | CallEnded
    | CallPlaceRequested
    | CallConnectRequested
    | CallHoldRequested
    | CallResumeRequested
    | CallMuteRequested
    | CallTransferRequested
    | CallConferenceRequested
    | CallRecordingRequested
    | CallHangUpRequested
    | CallbackRequested
    | ChatStarted
    | ChatLeft
    | ChatReturned
    | ChatEnded
)
