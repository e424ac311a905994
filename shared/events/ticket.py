"""Facts about a ticket as such: opened, queued, owned, decided, closed, joined with another. Topic `tickets`.

Intake says: opened, closed, merged, absorbed, unmerged, split, linked, withdrawn; labelled and prioritised by the words of
messages. Routing says the rest.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from shared.events.base import Channel, Direction, Fact, Moment, PersonalFact, Priority


class TicketPersonal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a ticket is about the person."""

    subject: str = ""
    customer_name: str = ""


class TicketOpened(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket exists and has its number. The dimensions are those decided at this time.

    `split_from`: its first messages were written to another ticket; `unanswered_since` is when the oldest of them came that
    nothing has answered.
    """

    TYPE: ClassVar[str] = "ticket.opened.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = TicketPersonal
    number: int
    customer_id: str
    channel: Channel
    inbox: str
    language: str = "und"
    direction: Direction = "ltr"
    priority: Priority = 2
    vip: bool = False
    plan: str | None = None
    customer_tier: str | None = None
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] = ()
    follow_up_of: str | None = None
    opened_by: str | None = None
    partner_id: str | None = None
    split_from: str | None = None
    unanswered_since: Moment | None = None


class SentOn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which step of a queue sent a ticket on (counted from 1), and why: its `lot` of 0 to 99 fell into the step's share, and it
    would have waited `wait_seconds` by this estimator.
    """

    from_queue_id: str
    step: int
    queue_version: int
    lot: int | None = None
    share_percent: int | None = None
    over_wait_seconds: int | None = None
    wait_seconds: int | None = None
    estimator: str | None = None


class TicketQueued(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A visit to a queue began. `age_from` is what its place in the queue counts from, kept over transfers. `sent_on`: why it
    `overflowed` into it.
    """

    TYPE: ClassVar[str] = "ticket.queued.v1"
    queue_id: str
    visit: int
    reason: Literal["opened", "reopened", "transferred", "escalated", "released", "overflowed", "returned"]
    age_from: Moment
    required_skills: tuple[str, ...] = ()
    partner_id: str | None = None
    sent_on: SentOn | None = None


class TicketLeftQueue(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A visit to a queue ended without an agent: exactly one of assigned or this ends each visit. A `callback` comes back at
    `returns_at`.
    """

    TYPE: ClassVar[str] = "ticket.left_queue.v1"
    queue_id: str
    visit: int
    reason: Literal["abandoned", "spam", "merged", "cancelled", "callback", "partner", "transferred", "resolved"]
    waited_us: int
    returns_at: Moment | None = None


class TicketAssigned(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent owns the ticket now. Ends the visit to the queue it came from, when it came from one, at the `step` it was
    offered in.
    """

    TYPE: ClassVar[str] = "ticket.assigned.v1"
    agent_id: str
    how: Literal["accepted", "auto_accepted", "taken", "supervisor", "transferred"]
    queue_id: str | None = None
    team_id: str | None = None
    partner_id: str | None = None
    visit: int | None = None
    offer_id: str | None = None
    waited_us: int | None = None
    step: int = 0


class TicketReleased(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The agent no longer owns the ticket."""

    TYPE: ClassVar[str] = "ticket.released.v1"
    agent_id: str
    reason: Literal["transferred", "supervisor", "shift_ended", "presence_lost", "resolved", "closed", "escalated"]


class TicketResolved(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The problem is solved, as far as the customer's messages up to `seen` go."""

    TYPE: ClassVar[str] = "ticket.resolved.v1"
    agent_id: str | None = None
    code: str | None = None
    by: Literal["agent", "customer", "rule", "bot"] = "agent"
    queue_id: str | None = None
    team_id: str | None = None


class TicketPended(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The ticket waits for the customer, as far as messages up to `seen` go."""

    TYPE: ClassVar[str] = "ticket.pended.v1"
    agent_id: str | None = None
    until: Moment | None = None


class TicketPutOnHold(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The ticket waits for a third party, as far as messages up to `seen` go."""

    TYPE: ClassVar[str] = "ticket.put_on_hold.v1"
    agent_id: str | None = None
    until: Moment | None = None
    third_party: str | None = None


class TicketReopened(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent or a rule took the ticket back to open (a customer's message does so by itself)."""

    TYPE: ClassVar[str] = "ticket.reopened.v1"
    agent_id: str | None = None
    reason: str | None = None


class TicketTransferred(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Sent on to a queue, an agent, a tier or a partner; cold, or warm: the agent had said yes to the offer `transfer_id`."""

    TYPE: ClassVar[str] = "ticket.transferred.v1"
    by_agent_id: str | None
    to_kind: Literal["queue", "agent", "tier", "partner"]
    to_id: str
    warm: bool = False
    reason: str | None = None
    transfer_id: str | None = None


class TicketEscalated(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Moved up: by hand or by the rule named. `queue_id` is where to, `path` the queues it rose through, that one included."""

    TYPE: ClassVar[str] = "ticket.escalated.v1"
    from_tier: int
    to_tier: int
    by_agent_id: str | None = None
    rule_id: str | None = None
    reason: str | None = None
    queue_id: str | None = None
    path: tuple[str, ...] = ()


class TicketPrioritised(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The priority changed: by hand, by a rule, or (said by intake) raised by the words of a later message; then `rule_id` is the
    word list. What was set by hand or by rule goes over what words raise, whichever stands first.
    """

    TYPE: ClassVar[str] = "ticket.prioritised.v1"
    priority: Priority
    previous: Priority
    by_agent_id: str | None = None
    rule_id: str | None = None


class TicketLabelled(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Topic, product, tags or own fields as they are now; what is None or missing did not change."""

    TYPE: ClassVar[str] = "ticket.labelled.v1"
    topic: str | None = None
    product: str | None = None
    tags: tuple[str, ...] | None = None
    fields: dict[str, str] = {}
    by_agent_id: str | None = None
    rule_id: str | None = None


class TicketRenamed(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """The subject was edited."""

    TYPE: ClassVar[str] = "ticket.renamed.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = TicketPersonal
    agent_id: str


class TicketCustomerChanged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """The ticket belongs to another customer than thought (identities merged or split, or corrected by hand)."""

    TYPE: ClassVar[str] = "ticket.customer_changed.v1"
    customer_id: str
    previous: str
    reason: Literal["merged", "unmerged", "corrected"]


class SpamMarked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Quarantined: neither confirmed, offered nor timed."""

    TYPE: ClassVar[str] = "spam.marked.v1"
    by: Literal["agent", "rule", "provider"]
    agent_id: str | None = None
    score_millis: int | None = None
    rule_id: str | None = None


class SpamUnmarked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Not spam after all."""

    TYPE: ClassVar[str] = "spam.unmarked.v1"
    by: Literal["agent", "rule"]
    agent_id: str | None = None


class TicketWithdrawn(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """No longer to be worked: cancelled by the customer, gone before an agent, or turned into something else."""

    TYPE: ClassVar[str] = "ticket.withdrawn.v1"
    reason: Literal["cancelled", "abandoned", "callback", "partner", "duplicate"]


class TicketClosed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Final. A later message of the customer opens a follow-up."""

    TYPE: ClassVar[str] = "ticket.closed.v1"
    reason: Literal["resolved_long_ago", "requested", "merged", "spam", "withdrawn"]
    requested_by: str | None = None


class TicketMergedInto(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """This ticket goes on as another one; facts that still arrive here are re-addressed."""

    TYPE: ClassVar[str] = "ticket.merged_into.v1"
    into_ticket_id: str
    requested_by: str | None = None


class TicketAbsorbed(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """This ticket took another one in; what a reader needs of it is said here, so that nobody joins two partitions.

    It is said again, and then stands in place of what was said before, when an answer that had crossed the merge came for the
    other one.
    """

    TYPE: ClassVar[str] = "ticket.absorbed.v1"
    ticket_id: str
    number: int
    opened_at: Moment
    unanswered_since: Moment | None
    first_responded_at: Moment | None
    first_response_us: int | None
    interactions: int
    replies: int
    reply_us_sum: int
    reply_us_count: int
    requested_by: str | None = None


class TicketUnmerged(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A merge undone, said on the ticket that comes back."""

    TYPE: ClassVar[str] = "ticket.unmerged.v1"
    from_ticket_id: str
    requested_by: str | None = None


class TicketExpelled(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A merge undone, said on the ticket that gives the other one back."""

    TYPE: ClassVar[str] = "ticket.expelled.v1"
    ticket_id: str
    requested_by: str | None = None


class TicketSplit(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Messages of this ticket went to a new one (whose `ticket.opened` follows on its own key)."""

    TYPE: ClassVar[str] = "ticket.split.v1"
    into_ticket_id: str
    message_ids: tuple[str, ...]
    requested_by: str | None = None


class TicketLinked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Related to another ticket; said on both."""

    TYPE: ClassVar[str] = "ticket.linked.v1"
    ticket_id: str
    relation: Literal["follow_up_of", "followed_up_by", "related", "split_from", "duplicate_of"]
    requested_by: str | None = None


class TicketUnlinked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """No longer related to another ticket; said on both."""

    TYPE: ClassVar[str] = "ticket.unlinked.v1"
    ticket_id: str
    requested_by: str | None = None


class TicketOpenRequested(PersonalFact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent starts a ticket for a customer (by hand, in person, outward); intake answers with `ticket.opened`. `partner_id`:
    it is of the partner whose agent that is.
    """

    TYPE: ClassVar[str] = "ticket.open_requested.v1"
    PERSONAL: ClassVar[type[msgspec.Struct]] = TicketPersonal
    agent_id: str
    customer_id: str
    channel: Channel
    priority: Priority = 2
    outward: bool = False
    partner_id: str | None = None


class TicketCloseRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent asks intake to close."""

    TYPE: ClassVar[str] = "ticket.close_requested.v1"
    agent_id: str


class TicketMergeRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent asks intake to merge this ticket into another."""

    TYPE: ClassVar[str] = "ticket.merge_requested.v1"
    agent_id: str
    into_ticket_id: str


class TicketUnmergeRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent asks intake to undo the merge of this ticket."""

    TYPE: ClassVar[str] = "ticket.unmerge_requested.v1"
    agent_id: str


class TicketSplitRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent asks intake to put some messages on a ticket of their own."""

    TYPE: ClassVar[str] = "ticket.split_requested.v1"
    agent_id: str
    message_ids: tuple[str, ...]


class TicketLinkRequested(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """An agent asks intake to link (or, with `undo`, to unlink) two tickets."""

    TYPE: ClassVar[str] = "ticket.link_requested.v1"
    agent_id: str
    ticket_id: str
    undo: bool = False


class RequestRefused(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Intake could not do what was asked; says why, so that the agent is not left waiting."""

    TYPE: ClassVar[str] = "request.refused.v1"
    request_event_id: str
    code: str
    detail: str
    requested_by: str | None = None


TicketFacts = (
    TicketOpened
    | TicketQueued
    | TicketLeftQueue
    | TicketAssigned
    | TicketReleased
    | TicketResolved
    | TicketPended
    | TicketPutOnHold
    | TicketReopened
    | TicketTransferred
    | TicketEscalated
    | TicketPrioritised
    | TicketLabelled
    | TicketRenamed
    | TicketCustomerChanged
    | SpamMarked
    | SpamUnmarked
    | TicketWithdrawn
    | TicketClosed
    | TicketMergedInto
    | TicketAbsorbed
    | TicketUnmerged
    | TicketExpelled
    | TicketSplit
    | TicketLinked
    | TicketUnlinked
    | TicketOpenRequested
    | TicketCloseRequested
    | TicketMergeRequested
    | TicketUnmergeRequested
    | TicketSplitRequested
    | TicketLinkRequested
    | RequestRefused
)
