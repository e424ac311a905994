"""Whether an answer can go out, as far as the log tells it: who is erased, who cannot be written to, which inboxes there are,
what their channels carry.

What the log does not tell in clear (addresses, which of several numbers refuses messages, accounts of providers) intake finds out
when it sends, and says by `message.failed` with the same codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.routing.domain.work import Work
from shared.events.base import Channel
from shared.events.config import InboxConfigured
from shared.events.people import Unreachable

BY_MAIL: frozenset[Channel] = frozenset({"email", "form"})
BY_TEXT: frozenset[Channel] = frozenset({"sms", "whatsapp"})
TEXT_MESSAGE_LIMIT = 1600  # characters; Twilio takes no more: https://www.twilio.com/docs/api/errors/21617

Code = Literal[
    "erased",
    "channel-cannot-send",
    "no-number",
    "attachments-not-possible",
    "text-too-long",
    "opted-out",
    "address-returned",
]
# What the request says wrong; the others are about the customer and what is set up.
FIELDS: Mapping[Code, str] = {"attachments-not-possible": "body.attachments", "text-too-long": "body.text"}
_UNREACHABLE: Mapping[Unreachable, str] = {
    "opted-out": "the customer wants no more messages on channel '{}'; they may be written to on another one, or write START",
    "address-returned": "mail to every address of the customer that is known came back for good, and nobody wrote from it since",
}


class CannotGoOut(ValueError):
    """It would fail for certain; the message says why, `code` is that of `message.failed`."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code: Code = code


@dataclass(frozen=True, slots=True)
class Senders:
    """The inboxes that are configured, by id, each in its newest version."""

    inboxes: Mapping[str, InboxConfigured] = field(default_factory=dict)

    def check(self, work: Work, channel: Channel, text: str, now: datetime, *, has_files: bool) -> None:
        """Raises CannotGoOut. Nothing is refused for an inbox that routing does not know, or whose change is still to come."""
        if work.erased:
            raise CannotGoOut("erased", "the customer's data was erased")
        own = self.inboxes.get(work.ticket.intake.inbox)
        posts = own is not None and (own.effective_from > now or self._posts(own, channel))
        _check_reach(work, channel, posts=posts)
        if channel in BY_MAIL or posts:
            return
        if own is not None and channel not in BY_TEXT:
            raise CannotGoOut("channel-cannot-send", f"nothing is set up to send on channel '{channel}' from inbox '{own.id}'")
        if own is not None and not self._has_number(own, channel):
            raise CannotGoOut("no-number", f"no inbox of channel '{channel}' is configured to send from")
        if channel in BY_TEXT and has_files:
            raise CannotGoOut("attachments-not-possible", f"files cannot go out on channel '{channel}'")
        if channel in BY_TEXT and len(text) > TEXT_MESSAGE_LIMIT:
            raise CannotGoOut("text-too-long", f"at most {TEXT_MESSAGE_LIMIT} characters on channel '{channel}'")

    @staticmethod
    def _posts(own: InboxConfigured, channel: Channel) -> bool:
        """A connector carries what is answered there, whatever it is."""
        return own.webhook is not None and own.channel == channel

    def _has_number(self, own: InboxConfigured, channel: Channel) -> bool:
        """As intake chooses it: its own, else one of the same partner."""
        return own.channel == channel or any(
            one.channel == channel and one.partner_id == own.partner_id for one in self.inboxes.values()
        )


def _check_reach(work: Work, channel: Channel, *, posts: bool) -> None:
    """Who said STOP is sent nothing, whoever carries it; of mail that a connector carries only that one knows what came back."""
    why = work.unreachable.get("email" if channel in BY_MAIL else channel)
    if why is not None and not (posts and channel in BY_MAIL):
        raise CannotGoOut(why, _UNREACHABLE[why].format(channel))


NO_SENDERS = Senders()
