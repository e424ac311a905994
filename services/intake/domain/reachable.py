"""Whether a customer can be written to on a channel at all, which is told so that an answer is refused before it is sent. Pure.

It is told of a customer and a channel, never of a handle: which of several a reply goes to is found when it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from services.intake.domain.known import Known
from services.intake.domain.plan import ConsentSaid, HandleLeft, Plan
from shared.events.base import Channel, Draft, Fact
from shared.events.people import CustomerReachabilityChanged, Unreachable

# Why nothing can be sent, where nothing can. What answers a form is mail.
REASONS: Mapping[Channel, Unreachable] = {"email": "address-returned", "sms": "opted-out", "whatsapp": "opted-out"}


class Change(NamedTuple):
    """From now on no address or number of the customer can be written to on the channel, or again one can."""

    customer_id: str
    channel: Channel
    reachable: bool


def concerned(plan: Plan, known: Known) -> set[str]:
    """Of whom that may be otherwise after these contacts: who cannot be reached, and may have written or have another handle now;
    who said STOP or START; who lost a number. Of nearly all groups nobody.
    """
    asked = {customer.customer_id for customer in known.customers.values() if customer.unreachable}
    for step in plan.steps:
        if isinstance(step, HandleLeft) or (isinstance(step, ConsentSaid) and step.changed):
            asked.add(step.customer_id)
    return asked


def said(changes: Iterable[Change], now: datetime) -> list[Draft[Fact]]:
    """The changes as they go on the log."""
    return [
        Draft(
            key=one.customer_id,
            data=CustomerReachabilityChanged(
                channel=one.channel, reachable=one.reachable, reason=None if one.reachable else REASONS[one.channel]
            ),
            cause=f"reach:{one.customer_id}:{one.channel}:{now.isoformat()}",
        )
        for one in changes
    ]
