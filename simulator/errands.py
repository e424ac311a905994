"""The shapes of a plan: what customers and providers are going to send.

An errand is one customer's matter: requests in their order, the later ones after the earlier ones were acknowledged unless
they overtake them. Repeats are as providers make them: the same Idempotency-Key, Message-ID or MessageSid, the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from simulator.truth import Kind

Channel = Literal["generic", "email", "sms", "form", "voice"]
How = Literal["lost_answer", "twin", "again"]
Refers = Literal["nothing", "own", "confirmation", "reply"]
CHANNELS: tuple[Channel, ...] = ("generic", "email", "sms", "form", "voice")


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same request once more: after the answer to the first was lost, at the same time, or `pause_seconds` after success."""

    how: How
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CallWord:
    """What Twilio says of a call: CallStatus, SequenceNumber (None: the incoming call itself), CallDuration."""

    sid: str
    status: str
    sequence: int | None = None
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact, as it will stand in the truth. `name` and `subject` where the channel has them."""

    key: str
    channel: Channel
    kind: Kind
    sender: str
    language: str
    conversation: str
    text: str
    name: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out at once: one contact, or a list of them. `key` is the provider's idempotency key.

    `refers`: to nothing, to the request before it (`own`), or to a mail of ours (a `reply` rather than a `confirmation`).
    `style` (0 to 3) picks among the forms a request may have on its channel.
    """

    key: str
    contacts: tuple[Contact, ...]
    refers: Refers = "nothing"
    pause_seconds: float = 0.0
    overtakes: bool = False
    repeats: tuple[Repeat, ...] = ()
    style: int = 0
    word: CallWord | None = None

    @property
    def channel(self) -> Channel:
        """The channel of all its contacts."""
        return self.contacts[0].channel

    @property
    def size(self) -> int:
        """How many messages and calls it brings; a status callback is none."""
        return sum(contact.kind != "call_status" for contact in self.contacts)


@dataclass(frozen=True, slots=True)
class Errand:
    """One customer's matter (of several customers, when its one request is a list)."""

    number: int
    channel: Channel
    requests: tuple[Request, ...]

    @property
    def size(self) -> int:
        """How many messages and calls it brings."""
        return sum(request.size for request in self.requests)

    @property
    def waits_for_mail(self) -> bool:
        """Whether its customer answers a mail of ours."""
        return any(request.refers in ("confirmation", "reply") for request in self.requests)

    def cut(self, size: int) -> Errand:
        """With so many messages and calls at most; a call keeps its status callbacks."""
        kept: list[Request] = []
        left = size
        for request in self.requests:
            contacts = request.contacts[:left] if request.size else request.contacts
            if not contacts:
                break
            kept.append(replace(request, contacts=contacts))
            left -= kept[-1].size
        return replace(self, requests=tuple(kept))
