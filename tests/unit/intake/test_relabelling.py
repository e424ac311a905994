"""What the words of a later message say of its ticket."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.intake.domain.contacts import Labels, SpamVerdict
from services.intake.domain.decide import decide, numbered
from services.intake.domain.known import Known, KnownTicket
from services.intake.domain.plan import NewTicket, Plan, Relabelled
from services.intake.domain.relabelling import label
from services.intake.domain.tell import tell
from services.intake.domain.word_lists import NO_WORDS, Words
from shared.events.base import Fact
from shared.events.message import MessageReceived, Origin
from shared.events.ticket import TicketLabelled, TicketPrioritised
from shared.ticket import Intake, Routing, Ticket
from tests.unit.intake.test_decide import chat
from tests.unit.intake.test_word_lists import ALL, REFUNDS, a_list

TALK = "chat\x1fweb\x1fvisitor\x1f\x1fv-1"
SMOKE = a_list("smoke", words={"en": ("smoke",), "he": ("עשן",)}, priority=4, tags=("danger",))
LISTS = Words.of([REFUNDS, SMOKE, a_list("low", 9, words={"en": ("whenever",)}, priority=1)])


def told(
    story: Ticket, *messages: str, words: Words = LISTS, spam: SpamVerdict | None = None, origin: Origin = "human"
) -> list[Fact]:
    """What is said of a conversation that is so, when these come in it."""
    facts = Known(tickets={"talk": KnownTicket("talk", 7, "c-1")}, conversations={TALK: "talk"})
    contacts = [chat(str(n), text=text, language="en", spam=spam, origin=origin) for n, text in enumerate(messages)]
    plan = label(decide(contacts, facts), words.hits_in, {"talk": story})
    assert {placement.ticket_id for placement in plan.placements} == {"talk"}
    return [fact for step in plan.steps if isinstance(step, Relabelled) for fact in step.facts]


def story(routing: Routing | None = None, **intake: object) -> Ticket:
    return Ticket(replace(Intake(opened=True), **intake), routing or Routing())


RAISED = TicketPrioritised(priority=4, previous=2, rule_id="smoke")
DANGER = TicketLabelled(tags=("danger",), rule_id="smoke")


@pytest.mark.parametrize(
    ("case", "before", "text", "facts"),
    [
        ("urgent words", story(), "URGENT: smoke!", [RAISED, DANGER]),
        ("far down in a long message", story(), f"{'well ' * 3000} smoke", [RAISED, DANGER]),
        ("urgent already", story(opening_priority=4, tags=("danger",)), "smoke", []),
        ("raised already", story(raised_priority=4, tags=("danger",)), "smoke", []),
        ("words of less urgency", story(opening_priority=3), "whenever you like", []),
        ("an agent set the priority", story(Routing(priority=1)), "smoke", [DANGER]),
        ("an agent set the tags", story(Routing(tags=())), "smoke", [RAISED]),
        ("an agent set both", story(Routing(priority=2, tags=("x",))), "smoke", []),
        ("a topic where there is none", story(), "a refund", [TicketLabelled(topic="refund", rule_id="refunds")]),
        ("a topic where there is one", story(topic="delivery"), "a refund", []),
        ("a topic where an agent set one", story(Routing(topic="delivery")), "a refund", []),
        ("tags beside others", story(opening_priority=4, tags=("vip",)), "smoke", [replace(DANGER, tags=("vip", "danger"))]),
        ("nothing of it", story(), "thank you", []),
    ],
)
def test_a_later_message_raises_and_adds_and_takes_nothing_back(case: str, before: Ticket, text: str, facts: list[Fact]) -> None:
    assert told(before, text) == facts, case


def test_what_several_messages_at_once_say_is_said_once() -> None:
    assert told(story(), "smoke", "smoke again", "and a refund") == [
        RAISED,
        DANGER,
        TicketLabelled(topic="refund", rule_id="refunds"),
    ]


def test_what_machines_write_or_spam_says_nothing() -> None:
    assert told(story(), "smoke", origin="auto_reply") == told(story(), "smoke", spam=SpamVerdict("provider", 9100)) == []


def test_nothing_is_said_where_nothing_is_configured() -> None:
    assert told(story(), "smoke", words=NO_WORDS) == []


def labelled(*texts: str) -> Plan:
    contacts = [chat(str(n), text=text, language="en") for n, text in enumerate(texts)]
    return label(numbered(decide(contacts, Known()), [1]), ALL.hits_in, {})


def test_the_second_message_of_a_ticket_that_opens_in_the_same_group_is_later_too() -> None:
    plan = labelled("a refund please", "urgent!")
    [opening] = [step for step in plan.steps if isinstance(step, NewTicket)]
    assert getattr(opening.contact, "labels", None) == Labels(topic="refund")
    [later] = [step for step in plan.steps if isinstance(step, Relabelled)]
    assert later.facts == (
        TicketPrioritised(priority=3, previous=2, rule_id="urgent"),
        TicketLabelled(tags=("urgent",), rule_id="urgent"),
    )
    types = [draft.data.TYPE for draft in tell(plan) if draft.key == opening.ticket_id]
    assert types[-3:] == [TicketPrioritised.TYPE, TicketLabelled.TYPE, MessageReceived.TYPE], "its reader knows when it comes"
