"""An offer's life."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.routing.domain import lifecycle, offers
from services.routing.domain.work import EndedOffer, Offer, Turn, Work
from shared.events.people import AgentStateChanged
from shared.events.ticket import TicketAssigned
from shared.events.work import OfferAccepted
from tests.unit.routing.story import BACK_OFF, a_queue, an_agent, at, fact, said, turn, waiting

QUEUE = a_queue(team_ids=("first",))
DANA = an_agent(team_ids=("second", "first"), idle_since=at(-60))


def offered(now: float = 10) -> tuple[Turn, Offer]:
    deciding = turn(waiting(queue=QUEUE), DANA, now=at(now))
    return deciding, offers.make(deciding, DANA, QUEUE)


def later(deciding: Turn, now: float) -> Turn:
    return Turn(deciding.work, f"later {now}", at(now), {**deciding.known, **deciding.changed})


def test_an_offer_takes_room_and_lasts_as_long_as_the_queue_says() -> None:
    deciding, offer = offered()
    assert said(deciding) == ["ticket.offered"]
    assert offer.expires_at - offer.offered_at == timedelta(seconds=30)
    assert deciding.changed["dana"].used_units == 2
    assert [notice.kind for notice in deciding.notices] == ["offer.made"]


def test_who_accepts_owns_the_ticket_and_its_visit_ends() -> None:
    made, offer = offered()
    deciding = later(made, 15)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    assert said(deciding) == ["offer.accepted", "ticket.assigned", "agent.load_changed"]
    assigned = fact(deciding, TicketAssigned)
    assert isinstance(assigned, TicketAssigned)
    assert (assigned.how, assigned.team_id, assigned.visit, assigned.waited_us) == ("accepted", "first", 1, 15_000_000)
    accepted = fact(deciding, OfferAccepted)
    assert isinstance(accepted, OfferAccepted)
    assert accepted.answered_us == 5_000_000
    assert (deciding.work.owner, deciding.work.visit, deciding.work.offer) == ("dana", None, None)
    assert (deciding.changed["dana"].tickets, deciding.changed["dana"].used_units) == (1, 2)
    assert deciding.ended == [EndedOffer(offer.id, "accepted")]


@pytest.mark.parametrize(("agent_id", "offer_id", "now"), [("dana", "other", 11), ("noa", None, 11), ("dana", None, 40)])
def test_an_offer_that_is_over_or_of_somebody_else_cannot_be_accepted(agent_id: str, offer_id: str | None, now: float) -> None:
    made, offer = offered()
    deciding = later(made, now)
    with pytest.raises(offers.OfferGone):
        offers.accept(deciding, offer_id or offer.id, agent_id, QUEUE)
    assert not deciding.drafts


def test_a_declined_ticket_keeps_its_place_and_age_and_the_agent_gets_the_room_back() -> None:
    made, offer = offered()
    deciding = later(made, 12)
    offers.decline(deciding, offer.id, "dana", "lunch", BACK_OFF)
    assert said(deciding) == ["offer.declined"]
    assert deciding.work.visit is not None
    assert deciding.work.visit.age_from == at(0)
    assert deciding.work.visit.passed[0].until == at(72)
    assert deciding.changed["dana"].used_units == 0
    assert deciding.changed["dana"].state == "available"


def test_an_offer_nobody_answered_expires_once_and_its_agent_is_missed() -> None:
    made, _ = offered()
    early = later(made, 39.9)
    offers.expire(early, BACK_OFF)
    assert said(early) == []
    deciding = later(made, 40)
    offers.expire(deciding, BACK_OFF)
    offers.expire(deciding, BACK_OFF)
    assert said(deciding) == ["offer.expired", "agent.state_changed"]
    changed = fact(deciding, AgentStateChanged)
    assert isinstance(changed, AgentStateChanged)
    assert (changed.state, changed.previous, changed.in_state_us) == ("missed", "available", 40_000_000)
    assert deciding.work.visit is not None


def test_an_offer_taken_back_does_not_cost_the_agent_the_turn() -> None:
    made, _ = offered()
    deciding = later(made, 20)
    lifecycle.leave(deciding, "abandoned")
    assert said(deciding) == ["offer.rescinded", "ticket.left_queue"]
    assert deciding.changed["dana"].idle_since == at(-60)
    assert deciding.work.visit is None


def test_a_queue_that_accepts_by_itself_gives_the_ticket_at_once() -> None:
    queue = a_queue(auto_accept=True)
    deciding = turn(waiting(queue=queue), DANA, now=at(1))
    offers.make(deciding, DANA, queue)
    assert said(deciding) == ["ticket.offered", "offer.accepted", "ticket.assigned"]
    assert [notice.kind for notice in deciding.notices] == ["ticket.assigned"]


def test_a_ticket_is_not_offered_twice_nor_to_somebody_without_room() -> None:
    made, _ = offered()
    with pytest.raises(offers.CannotOffer):
        offers.make(later(made, 11), an_agent("noa"), QUEUE)
    with pytest.raises(offers.CannotOffer):
        offers.make(turn(waiting(), DANA), an_agent(capacity_units=0), QUEUE)
    with pytest.raises(offers.CannotOffer):
        offers.make(turn(Work(id="t-9"), DANA), DANA, QUEUE)
