"""Whatever happens in whatever order: one owner, one offer, nobody above capacity, every visit ends once."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import settings
from hypothesis.stateful import invariant

from shared.events.base import event_id
from shared.events.ticket import TicketAssigned, TicketEscalated, TicketLeftQueue, TicketQueued
from shared.events.work import (
    ConsultEnded,
    ConsultRequested,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferRescinded,
    TicketOffered,
    TransferEnded,
    TransferOffered,
    WrapUpCompleted,
    WrapUpStarted,
)
from tests.counts import examples
from tests.unit.routing.at_random import WRAP_UP_SECONDS, Contact


class Balanced(Contact):
    """What must hold after each step."""

    @invariant()
    def each_agent_carries_what_is_theirs_and_never_too_much(self) -> None:
        holdings = [holding for work in self.works.values() for holding in work.holdings]
        for agent in self.agents.values():
            mine = [holding for holding in holdings if holding.agent_id == agent.id]
            assert agent.used_units == sum(holding.units for holding in mine)
            assert agent.used_units <= agent.capacity_units
            assert agent.tickets == sum(holding.kind == "owner" for holding in mine)
            assert sum(agent.by_channel.values()) == sum(holding.kind != "consult" for holding in mine)

    @invariant()
    def each_visit_ends_once_or_still_waits(self) -> None:
        facts = [(draft.key, draft.data) for draft in self.said]
        begun = Counter((key, fact.visit) for key, fact in facts if isinstance(fact, TicketQueued))
        ended = Counter(
            (key, fact.visit)
            for key, fact in facts
            if isinstance(fact, TicketLeftQueue) or (isinstance(fact, TicketAssigned) and fact.visit is not None)
        )
        waiting = Counter((work.id, work.visit.number) for work in self.works.values() if work.visit)
        assert begun == ended + waiting
        assert set(begun.values()) <= {1}

    @invariant()
    def each_offer_ends_once_or_is_live(self) -> None:
        facts = [draft.data for draft in self.said]
        made = Counter(fact.offer_id for fact in facts if isinstance(fact, TicketOffered))
        over = OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded
        ended = Counter(fact.offer_id for fact in facts if isinstance(fact, over))
        live = Counter(work.offer.id for work in self.works.values() if work.offer)
        assert made == ended + live
        assert set(made.values()) <= {1}

    @invariant()
    def what_goes_on_besides_ends_once_or_still_goes_on(self) -> None:
        facts = [draft.data for draft in self.said]
        offered = Counter(fact.transfer_id for fact in facts if isinstance(fact, TransferOffered))
        answered = Counter(fact.transfer_id for fact in facts if isinstance(fact, TransferEnded))
        asked = Counter(fact.consult_id for fact in facts if isinstance(fact, ConsultRequested))
        told = Counter(fact.consult_id for fact in facts if isinstance(fact, ConsultEnded))
        besides = [work.besides for work in self.works.values()]
        assert offered == answered + Counter(one.hand_over.id for one in besides if one.hand_over)
        assert asked == told + Counter(consult.id for one in besides for consult in one.consults)
        assert set((offered + asked).values()) <= {1}

    @invariant()
    def each_wrap_up_ends_once_in_its_time(self) -> None:
        facts = [(draft.key, draft.data) for draft in self.said]
        begun = Counter((key, fact.agent_id) for key, fact in facts if isinstance(fact, WrapUpStarted))
        completed = [(key, fact) for key, fact in facts if isinstance(fact, WrapUpCompleted)]
        going_on = Counter((work.id, one.agent_id) for work in self.works.values() for one in work.besides.wrap_ups)
        assert begun == Counter((key, fact.agent_id) for key, fact in completed) + going_on
        assert set(going_on.values()) <= {1}
        for _, fact in completed:
            assert fact.wrap_up_us <= WRAP_UP_SECONDS * 1_000_000
            assert not fact.timed_out or fact.wrap_up_us == WRAP_UP_SECONDS * 1_000_000

    @invariant()
    def a_ticket_waits_or_has_an_owner_and_only_an_owner_hands_over(self) -> None:
        for work in self.works.values():
            assert work.visit is None or work.owner is None
            assert work.offer is None or work.visit is not None
            assert work.besides.hand_over is None or work.besides.hand_over.by_agent_id == work.owner
            assert all(asked.expert_id != work.owner for asked in work.besides.consults)

    @invariant()
    def tickets_rise_only_and_each_rule_raises_one_once(self) -> None:
        raised: dict[str, list[TicketEscalated]] = defaultdict(list)
        for draft in self.said:
            if isinstance(draft.data, TicketEscalated):
                raised[draft.key].append(draft.data)
        for facts in raised.values():
            assert all(fact.to_tier > fact.from_tier for fact in facts)
            by_rules = [fact.rule_id for fact in facts if fact.rule_id is not None]
            assert len(by_rules) == len(set(by_rules))

    @invariant()
    def no_two_facts_have_one_id(self) -> None:
        ids = [event_id(draft.cause, draft.data.TYPE, draft.key) for draft in self.said]
        assert len(ids) == len(set(ids))

    @invariant()
    def no_customer_is_forgotten(self) -> None:
        """Unless they hung up while they waited, or are spam."""
        left = {draft.key: draft.data.reason for draft in self.said if isinstance(draft.data, TicketLeftQueue)}
        for work in self.works.values():
            resting = work.ticket.status in ("pending", "on_hold", "resolved", "closed")
            held = work.owner is not None or work.visit is not None or work.awaits_callback
            assert resting or held or work.ticket.spam or left.get(work.id) == "abandoned"


TestBalanced = Balanced.TestCase
TestBalanced.settings = settings(max_examples=examples(100), stateful_step_count=50, deadline=None)
