"""Up the tiers by hand and by rule, never down, never in circles; and back to the tier that was reached."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.domain import commands, escalating, lifecycle, offers
from services.routing.domain.changes import Crew
from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.escalating import NoHigherTier, Promised
from services.routing.domain.work import Turn, Work, hear
from services.routing.handlers import TICKET_HANDLERS, Case, Context
from shared.conditions import All, AnyOf, Condition, Test, WrongCondition
from shared.events.config import RoutingStep, RuleConfigured
from shared.events.ticket import TicketEscalated, TicketOpened, TicketReleased
from tests.unit.routing.story import START, a_message, a_queue, an_agent, at, by_intake, fact, said, turn, waiting

FIRST = a_queue("first", position=1)
SECOND = a_queue("second", position=2, tier=2)
BILLING = a_queue("billing", position=3, tier=2, when=Test(field="topic", op="equals", value="billing"))
THIRD = a_queue("third", position=4, tier=3)
QUEUES = (FIRST, SECOND, BILLING, THIRD)
DANA, RINA = Actor("dana"), Actor("rina", supervisor=True)


def a_rule(rule_id: str, when: Condition, *, position: int = 1, to_tier: int | None = None) -> RuleConfigured:
    return RuleConfigured(
        id=rule_id, version=1, effective_from=START, kind="escalate", position=position, when=when, to_tier=to_tier
    )


def owned() -> Turn:
    """Dana's ticket of the first queue, at second 30."""
    deciding = turn(waiting(queue=FIRST), an_agent("dana"), now=at(5))
    offer = offers.make(deciding, an_agent("dana"), FIRST)
    offers.accept(deciding, offer.id, "dana", FIRST)
    return Turn(deciding.work, "k", at(30), deciding.changed)


def later(deciding: Turn, now: float) -> Turn:
    return Turn(deciding.work, f"at {now}", at(now), {**deciding.known, **deciding.changed})


def test_whoever_holds_it_sends_it_up_with_its_age_and_the_path_is_told() -> None:
    deciding = owned()
    escalating.escalate(deciding, DANA, QUEUES, reason="third_contact")
    assert said(deciding) == ["ticket.escalated", "agent.load_changed", "ticket.released", "ticket.queued"]
    risen = fact(deciding, TicketEscalated)
    assert risen == TicketEscalated(
        from_tier=1, to_tier=2, by_agent_id="dana", reason="third_contact", queue_id="second", path=("first", "second")
    )
    released = fact(deciding, TicketReleased)
    assert isinstance(released, TicketReleased)
    assert released.reason == "escalated"
    visit = deciding.work.visit
    assert visit is not None
    assert (visit.queue_id, visit.age_from) == ("second", at(0))
    higher = later(deciding, 40)
    escalating.escalate(higher, RINA, QUEUES)
    risen = fact(higher, TicketEscalated)
    assert isinstance(risen, TicketEscalated)
    assert (risen.from_tier, risen.to_tier, risen.path) == (2, 3, ("first", "second", "third"))
    assert "ticket.left_queue" in said(higher)
    with pytest.raises(NoHigherTier):
        escalating.escalate(later(higher, 50), RINA, QUEUES)


def test_it_can_skip_a_tier_and_goes_only_where_a_queue_takes_it() -> None:
    deciding = owned()
    escalating.escalate(deciding, DANA, QUEUES, to_tier=3)
    assert deciding.work.visit is not None
    assert deciding.work.visit.queue_id == "third"
    for to_tier in (1, 4):
        with pytest.raises(NoHigherTier):
            escalating.escalate(owned(), DANA, QUEUES, to_tier=to_tier)
    with pytest.raises(NoHigherTier):
        escalating.escalate(owned(), DANA, (FIRST, BILLING))
    with pytest.raises(NotYours):
        escalating.escalate(owned(), Actor("noa"), QUEUES)


def test_a_ticket_that_comes_back_waits_on_the_tier_to_which_it_rose() -> None:
    deciding = owned()
    escalating.escalate(deciding, DANA, QUEUES)
    resolving = later(deciding, 40)
    commands.resolve(resolving, RINA, None)
    again = Turn(hear(resolving.work, a_message("t-1", 3, at(50))), "k2", at(50), {})
    lifecycle.customer_wrote(again, QUEUES, at(50))
    assert again.work.visit is not None
    assert again.work.visit.queue_id == "second"


BREACHED = Test(field="sla_breached", op="equals", value=True)
RULES: dict[str, tuple[Condition, Promised]] = {
    "breach": (BREACHED, Promised(breached=True)),
    "warning": (Test(field="sla_warned_percent", op="at_least", value=80), Promised(warned_percent=80)),
    "tier": (Test(field="tier", op="equals", value=1), Promised()),
    "queue": (Test(field="queue", op="equals", value="first"), Promised()),
    "waits": (Test(field="waits", op="equals", value=False), Promised()),
    "everything": (All(), Promised()),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_raises_what_it_asks_for_and_takes_it_from_its_owner(name: str) -> None:
    when, promised = RULES[name]
    deciding = owned()
    escalating.by_rule(deciding, QUEUES, [a_rule(name, when)], promised)
    risen = fact(deciding, TicketEscalated)
    assert isinstance(risen, TicketEscalated)
    assert (risen.rule_id, risen.by_agent_id, risen.to_tier) == (name, None, 2)
    assert (deciding.work.owner, deciding.changed["dana"].used_units) == (None, 0)
    assert ("dana", "ticket.released") in {(notice.agent_id, notice.kind) for notice in deciding.notices}


def test_what_a_rule_does_not_ask_for_or_nobody_has_to_work_on_stays() -> None:
    rules = [a_rule("breach", BREACHED), a_rule("never", AnyOf())]
    escalating.by_rule(calm := owned(), QUEUES, rules)
    assert said(calm) == []
    pended = owned()
    commands.pend(pended, DANA)
    escalating.by_rule(resting := later(pended, 40), QUEUES, rules, Promised(breached=True))
    assert said(resting) == []


def test_each_rule_raises_a_ticket_once_and_the_first_by_position_that_can_goes_first() -> None:
    rules = escalating.in_order([a_rule("b", All(), position=2), a_rule("a", All(), position=1, to_tier=9)])
    assert [rule.id for rule in rules] == ["a", "b"]
    deciding = owned()
    escalating.by_rule(deciding, QUEUES, rules)
    risen = fact(deciding, TicketEscalated)
    assert isinstance(risen, TicketEscalated)
    assert risen.rule_id == "b", "there is no ninth tier"
    for now in (40, 50):
        escalating.by_rule(again := later(deciding, now), QUEUES, rules)
        assert said(again) == []


def arrives(opened: TicketOpened) -> tuple[Work, list[str]]:
    """What becomes of a ticket when it is opened where VIPs and what is urgent go to the second line."""
    rule = a_rule("vip", AnyOf(of=(Test(field="vip", op="equals"), Test(field="priority", op="at_least", value=4))))
    crew = Crew({})
    context = Context(QUEUES, crew, rules=(rule,))
    case, drafts = TICKET_HANDLERS[TicketOpened](context, Case(Work(id="t-1"), crew), by_intake("t-1", 1, opened, at(0)), at(0))
    assert len({(draft.cause, draft.data.TYPE) for draft in drafts}) == len(drafts), "each has an id of its own"
    return case.work, [draft.data.TYPE for draft in drafts]


@pytest.mark.parametrize(("vip", "priority", "queue_id"), [(True, 2, "second"), (False, 4, "second"), (False, 3, "first")])
def test_who_is_a_vip_or_urgent_goes_up_as_it_comes_in(vip: bool, priority: int, queue_id: str) -> None:
    opened = TicketOpened(number=1, customer_id="c", channel="email", inbox="help", vip=vip, priority=priority)  # type: ignore[arg-type]
    work, types = arrives(opened)
    assert work.visit is not None
    assert work.visit.queue_id == queue_id
    risen = ["ticket.escalated.v1", "ticket.left_queue.v1", "ticket.queued.v1"] if queue_id == "second" else []
    assert types == ["ticket.queued.v1", *risen]


def test_a_customer_who_comes_back_is_a_repeat_contact() -> None:
    deciding = owned()
    assert not escalating.rule_fields(deciding.work, QUEUES, Promised())["repeat_contact"]
    commands.pend(deciding, DANA)
    assert not escalating.rule_fields(deciding.work, QUEUES, Promised())["repeat_contact"], "who answers us does not come back"
    commands.resolve(deciding, DANA, None)
    again = Turn(hear(deciding.work, a_message("t-1", 3, at(50))), "k2", at(50), {})
    lifecycle.customer_wrote(again, QUEUES, at(50))
    assert escalating.rule_fields(again.work, QUEUES, Promised())["repeat_contact"]


def test_rules_are_to_look_at_what_an_agent_reopens_and_it_waits_again() -> None:
    resolved = owned()
    commands.resolve(resolved, DANA, "done")
    assert not resolved.to_judge
    back = later(resolved, 40)
    commands.reopen(back, DANA, QUEUES, None)
    assert back.work.visit is not None
    assert back.to_judge
    escalating.by_rule(back, QUEUES, [a_rule("again", Test(field="repeat_contact", op="equals", value=True))])
    assert back.work.visit is not None
    assert back.work.visit.queue_id == "second"


def test_rules_are_to_look_at_what_a_step_sends_on() -> None:
    sending = msgspec.structs.replace(FIRST, steps=(RoutingStep(after_seconds=30, to_queue_id="third"),))
    deciding = turn(waiting(queue=sending), now=at(30))
    lifecycle.settle(deciding, (sending, THIRD))
    assert deciding.work.visit is not None
    assert (deciding.work.visit.queue_id, deciding.to_judge) == ("third", True)


def test_what_comes_in_and_was_looked_at_is_not_looked_at_again() -> None:
    event = by_intake("t-1", 1, TicketOpened(number=1, customer_id="c-1", channel="email", inbox="help"), START)
    crew = Crew({})
    rule = a_rule("never", AnyOf())
    case, _ = TICKET_HANDLERS[TicketOpened](Context(QUEUES, crew, rules=(rule,)), Case(Work(id="t-1"), crew), event, START)
    assert case.work.visit is not None
    assert not case.to_judge


def test_a_rule_that_could_never_be_asked_is_refused_with_its_place() -> None:
    for rule, path in (
        (a_rule("r", All(of=(Test(field="weather", op="is_set"),))), "when.of[0].field"),
        (a_rule("r", Test(field="transfers", op="at_least", value="2")), "when.value"),
        (a_rule("r", All(), to_tier=1), "to_tier"),
    ):
        with pytest.raises(WrongCondition) as wrong:
            escalating.check_rule(rule)
        assert wrong.value.path == path
    escalating.check_rule(a_rule("r", AnyOf(of=(BREACHED, Test(field="topic", op="equals", value="x"))), to_tier=2))
