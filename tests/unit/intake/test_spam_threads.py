"""Spam that answers a ticket: what is no guess comes to no ticket on which people work, and nothing is lost in quarantine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.intake.domain.contacts import VIRUS, InboundMessage, SpamVerdict
from services.intake.domain.decide import decide, numbered
from services.intake.domain.known import Known, KnownTicket, Ref
from services.intake.domain.tell import tell
from services.intake.domain.threads import QUARANTINE
from shared.events.message import MessageReceived
from shared.events.ticket import SpamMarked, TicketLinked
from tests.unit.intake.test_decide import chat, letter
from tests.unit.intake.test_threads import ANA, PARCEL, known, placed

SCORE = SpamVerdict("provider", 9100)
INFECTED, BLOCKED = SpamVerdict("provider", rule_id=VIRUS, apart=True), SpamVerdict("rule", rule_id="senders", apart=True)
TALK = "chat\x1fweb\x1fvisitor\x1f\x1fv-1"
NEW = "new, related to parcel"


def talking(*, closed: bool = False, spam: bool = False, quarantined: KnownTicket | None = None) -> Known:
    """The visitor's conversation, and one of theirs in quarantine."""
    facts = Known(tickets={"talk": KnownTicket("talk", 7, "c-1", closed=closed, spam=spam)}, conversations={TALK: "talk"})
    if quarantined is not None:
        facts.tickets[quarantined.ticket_id] = quarantined
        facts.conversations[QUARANTINE + TALK] = quarantined.ticket_id
    return facts


def jailed(**more: object) -> KnownTicket:
    return replace(KnownTicket("jail", 8, "c-1", spam=True), **more)


@pytest.mark.parametrize(
    ("case", "facts", "verdict", "to"),
    [
        ("blocked, in an open conversation", talking(), BLOCKED, "new, related to talk"),
        ("blocked, in a closed one", talking(closed=True), BLOCKED, "new, related to talk"),
        ("blocked, in one that an agent marked", talking(spam=True), BLOCKED, "talk"),
        ("blocked again", talking(quarantined=jailed()), BLOCKED, "jail"),
        ("blocked again, long after", talking(quarantined=jailed(closed=True)), BLOCKED, "new, related to talk"),
        ("blocked, and one was cleared after a merge", talking(quarantined=jailed(spam=False)), BLOCKED, "new, related to talk"),
        ("blocked, and nothing was before", Known(), BLOCKED, "new"),
        ("a score, in an open conversation", talking(), SCORE, "talk"),
        ("a score, in a closed one", talking(closed=True), SCORE, "new, related to talk"),
        ("a score, in a closed one, again", talking(closed=True, quarantined=jailed()), SCORE, "jail"),
        ("no spam, beside what is in quarantine", talking(quarantined=jailed()), None, "talk"),
        ("no spam, after closing", talking(closed=True, quarantined=jailed()), None, "new, follows talk"),
    ],
)
def test_spam_in_a_conversation(case: str, facts: Known, verdict: SpamVerdict | None, to: str) -> None:
    assert placed(chat(spam=verdict), facts) == to, case


@pytest.mark.parametrize(
    ("case", "mail", "closed", "to"),
    [
        ("infected", letter("<1@c>", "<old@c>", spam=INFECTED), False, NEW),
        ("infected, by our signed address", letter("<1@c>", tokens=("parcel",), spam=INFECTED), False, NEW),
        ("infected, of a machine", letter("<1@c>", "<old@c>", spam=INFECTED, origin="bot"), False, NEW),
        ("infected, an absence note", letter("<1@c>", "<old@c>", spam=INFECTED, origin="out_of_office"), True, NEW),
        ("a score", letter("<1@c>", "<old@c>", spam=SCORE), False, "parcel"),
        ("a score, to a closed one", letter("<1@c>", "<old@c>", spam=SCORE), True, NEW),
        ("a score, of a machine that answers", letter("<1@c>", "<old@c>", spam=SCORE, origin="auto_reply"), True, "parcel"),
        ("no spam, to a closed one", letter("<1@c>", "<old@c>", handle=ANA), True, "new, follows parcel"),
    ],
)
def test_spam_that_answers_a_mail(case: str, mail: InboundMessage, closed: bool, to: str) -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, closed=closed)
    assert placed(mail, facts) == to, case


@pytest.mark.parametrize(
    ("case", "mail", "parcel", "to"),
    [
        ("by a verdict", letter("<1@c>", "<old@c>"), {}, NEW),
        ("by a verdict, closed since", letter("<1@c>", tokens=("parcel",)), {"closed": True}, NEW),
        ("by a verdict, and it names another one too", letter("<1@c>", "<old@c>", "<lamp@c>"), {}, "lamp"),
        ("by a verdict, of a machine that answers", letter("<1@c>", "<old@c>", origin="auto_reply"), {}, "parcel"),
        ("by a verdict, a score", letter("<1@c>", "<old@c>", spam=SCORE), {}, "parcel"),
        ("by an agent", letter("<1@c>", "<old@c>"), {"judged": True}, "parcel"),
    ],
)
def test_what_answers_a_ticket_that_was_quarantined(case: str, mail: InboundMessage, parcel: dict[str, bool], to: str) -> None:
    facts = known(KnownTicket("lamp", 100300, "c-ana"), replace(PARCEL, spam=True, **parcel))
    facts.refs[Ref("support", "<lamp@c>")] = "lamp"
    assert placed(mail, facts) == to, case


def test_all_that_a_blocked_sender_says_at_once_is_one_ticket_in_quarantine_and_the_next_is_not() -> None:
    plan = decide([chat("a", spam=BLOCKED), chat("b", spam=BLOCKED), chat("c")], talking())
    first, second, third = (placement.ticket_id for placement in plan.placements)
    assert first == second != third == "talk"


def test_the_verdict_is_told_of_each_message_and_from_what_it_was_kept() -> None:
    blocked = numbered(decide([letter("<1@c>", "<old@c>", spam=INFECTED)], known()), [9])
    joined = decide([letter("<2@c>", "<old@c>", spam=SCORE), letter("<3@c>", "<old@c>")], known())
    told = [d.data for plan in (blocked, joined) for d in tell(plan) if isinstance(d.data, MessageReceived)]
    assert [(one.spam and (one.spam.rule_id, one.spam.score_millis), one.kept_from_ticket_id) for one in told] == [
        (("virus", None), "parcel"),
        ((None, 9100), None),
        (None, None),
    ]
    said = [(d.key, type(d.data)) for d in tell(blocked)]
    [new] = {placement.ticket_id for placement in blocked.placements}
    assert {kind for key, kind in said if key == "parcel"} == {TicketLinked}, "nothing that reopens it or waits on it"
    assert (new, SpamMarked) in said


def test_an_answer_to_what_was_kept_apart_comes_to_where_that_would_have_come() -> None:
    plan = decide([letter("<1@c>", "<old@c>", spam=INFECTED), letter("<2@c>", "<1@c>")], known())
    assert [placement.ticket_id == "parcel" for placement in plan.placements] == [False, True]
