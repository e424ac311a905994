"""How a ticket goes from one to another: sent on, handed over, taken, assigned; with its age, one owner, nobody too full."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from services.routing.domain import commands, handing, moves, offers
from services.routing.domain.agents import Agent
from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.moves import CannotTake, NoSuchPlace
from services.routing.domain.work import Turn
from shared.conditions import Test
from shared.events.ticket import SpamMarked, TicketAssigned, TicketQueued, TicketReleased, TicketTransferred
from shared.events.work import TransferEnded, TransferOffered
from tests.unit.routing.story import BACK_OFF, a_queue, an_agent, at, busy, fact, said, turn, waiting

SUPPORT = a_queue("support", position=1)
HEBREW = a_queue("hebrew", position=2, tier=2, when=Test(field="language", op="equals", value="he"))
ENGLISH = a_queue("english", position=3, tier=2)
NORTH = a_queue("north", position=4, partner_id="north")
QUEUES = (SUPPORT, HEBREW, ENGLISH, NORTH)
DANA, RINA = Actor("dana"), Actor("rina", supervisor=True)


def owned(*others: Agent, now: float = 30) -> Turn:
    """A ticket that came at second 0 and that dana owns since second 5."""
    deciding = turn(waiting(queue=SUPPORT), an_agent("dana"), now=at(5))
    offer = offers.make(deciding, an_agent("dana"), SUPPORT)
    offers.accept(deciding, offer.id, "dana", SUPPORT)
    return Turn(deciding.work, "k", at(now), {**deciding.changed, **{agent.id: agent for agent in others}})


def later(deciding: Turn, now: float) -> Turn:
    return Turn(deciding.work, f"at {now}", at(now), {**deciding.known, **deciding.changed})


def test_a_ticket_that_is_sent_on_waits_in_the_other_queue_where_it_stood_and_not_for_whoever_sent_it() -> None:
    deciding = owned()
    moves.transfer(deciding, DANA, QUEUES, "queue", "english", "wants_refund", BACK_OFF)
    assert said(deciding) == ["ticket.transferred", "agent.load_changed", "ticket.released", "ticket.queued"]
    sent = fact(deciding, TicketTransferred)
    assert sent == TicketTransferred(by_agent_id="dana", to_kind="queue", to_id="english", reason="wants_refund")
    visit = deciding.work.visit
    assert visit is not None
    assert (visit.queue_id, visit.number, visit.age_from) == ("english", 2, at(0))
    assert [(passed.agent_id, passed.until) for passed in visit.passed] == [("dana", at(90))]
    assert deciding.changed["dana"].used_units == 0


@pytest.mark.parametrize(("kind", "to_id", "queue_id"), [("tier", "2", "english"), ("partner", "north", "north")])
def test_of_a_tier_or_a_partner_the_first_queue_whose_rule_takes_it_is_meant(
    kind: moves.Place, to_id: str, queue_id: str
) -> None:
    deciding = owned()
    moves.transfer(deciding, DANA, QUEUES, kind, to_id, None, BACK_OFF)
    queued = fact(deciding, TicketQueued)
    assert isinstance(queued, TicketQueued)
    assert (queued.queue_id, queued.reason) == (queue_id, "transferred")


@pytest.mark.parametrize(("kind", "to_id"), [("queue", "nowhere"), ("tier", "7"), ("partner", "south")])
def test_there_is_no_sending_to_where_nothing_is(kind: moves.Place, to_id: str) -> None:
    deciding = owned()
    with pytest.raises(NoSuchPlace):
        moves.transfer(deciding, DANA, QUEUES, kind, to_id, None, BACK_OFF)


def test_what_waits_and_is_passed_to_a_partner_leaves_its_queue_for_that_reason_and_its_offer_is_taken_back() -> None:
    deciding = turn(waiting(queue=SUPPORT), an_agent("dana"), now=at(5))
    offers.make(deciding, an_agent("dana"), SUPPORT)
    passing = later(deciding, 8)
    moves.transfer(passing, RINA, QUEUES, "partner", "north", None, BACK_OFF)
    assert said(passing) == ["ticket.transferred", "offer.rescinded", "ticket.left_queue", "ticket.queued"]
    assert passing.drafts[2].data.reason == "partner"  # type: ignore[attr-defined]


def test_a_ticket_that_rested_since_it_waited_has_the_age_of_what_its_customer_wrote_then() -> None:
    deciding = owned()
    commands.pend(deciding, DANA)
    commands.reopen(deciding, DANA, QUEUES, None)
    moves.transfer(deciding, DANA, QUEUES, "queue", "english", None, BACK_OFF)
    assert deciding.work.age_from == at(0), "nobody wrote: it keeps the place that it had"


def test_handed_to_an_agent_it_is_theirs_at_once_and_no_longer_the_other_s() -> None:
    deciding = owned(an_agent("noa"))
    moves.hand_to(deciding, DANA, QUEUES, "noa", None)
    assert deciding.work.owner == "noa"
    assert (deciding.changed["dana"].used_units, deciding.changed["noa"].used_units) == (0, 2)
    assigned = fact(deciding, TicketAssigned)
    assert isinstance(assigned, TicketAssigned)
    assert (assigned.how, assigned.visit, assigned.agent_id) == ("transferred", None, "noa")
    assert [(notice.agent_id, notice.kind) for notice in deciding.notices] == [
        ("dana", "ticket.released"),
        ("noa", "ticket.assigned"),
    ]


def test_a_colleague_is_who_works_for_whose_the_ticket_is_wherever_it_came_from() -> None:
    there = {agent.id: agent for agent in (an_agent("dana"), an_agent("noa"), an_agent("ned", partner_id="north"))}
    deciding = Turn(waiting(queue=NORTH), "a", at(5), there)
    moves.assign(deciding, QUEUES, "dana")
    assert deciding.work.ticket.partner_id is None, "a supervisor gave it to one of the house"
    with pytest.raises(CannotTake) as refused:
        moves.offer_to(later(deciding, 9), DANA, QUEUES, "ned", None)
    assert refused.value.verdict == "other_partner", "whom it would not be shown"
    moves.hand_to(given := later(deciding, 9), DANA, QUEUES, "noa", None)
    assert given.work.owner == "noa"
    theirs = Turn(waiting(queue=SUPPORT), "b", at(5), there)
    moves.assign(theirs, QUEUES, "ned")
    assert theirs.work.ticket.partner_id == "north"
    with pytest.raises(CannotTake):
        moves.hand_to(later(theirs, 9), RINA, QUEUES, "noa", None)


@pytest.mark.parametrize("give", [moves.hand_to, moves.offer_to])
def test_a_partner_s_agent_is_not_told_who_works_elsewhere_nor_whether_they_are_there(give: Callable[..., object]) -> None:
    others = (an_agent("noa", state="break"), an_agent("sam", state="offline", partner_id="south"), an_agent("eve"))
    there = {agent.id: agent for agent in (an_agent("ned", partner_id="north"), *others)}
    deciding = Turn(waiting(queue=NORTH), "a", at(5), there)
    moves.assign(deciding, QUEUES, "ned")
    for agent_id in ("noa", "sam", "eve", "nobody"):
        with pytest.raises(NoSuchPlace, match=f"^there is no agent '{agent_id}'$"):
            give(later(deciding, 9), Actor("ned"), QUEUES, agent_id, None)


@pytest.mark.parametrize(
    ("agent", "verdict"),
    [
        (an_agent("noa", state="break"), "break"),
        (an_agent("noa", state="missed"), "missed"),
        (an_agent("noa", partner_id="north"), "other_partner"),
        (busy(an_agent("noa"), 9), "at_capacity"),
        (an_agent("noa", channel_limits={"email": 0}), "channel_full"),
    ],
)
@pytest.mark.parametrize("give", [moves.hand_to, moves.offer_to])
def test_nobody_is_given_what_they_cannot_take(give: Callable[..., object], agent: Agent, verdict: str) -> None:
    with pytest.raises(CannotTake) as refused:
        give(owned(agent), DANA, QUEUES, "noa", None)
    assert refused.value.verdict == verdict


def offered_over() -> Turn:
    """Dana's ticket is offered to noa at second 30."""
    deciding = owned(an_agent("noa"))
    moves.offer_to(deciding, DANA, QUEUES, "noa", "knows_it")
    return deciding


def test_a_warm_transfer_changes_nothing_until_the_other_says_yes() -> None:
    deciding = offered_over()
    assert said(deciding) == ["transfer.offered"]
    offered = fact(deciding, TransferOffered)
    assert isinstance(offered, TransferOffered)
    assert (offered.to_agent_id, offered.expires_at) == ("noa", at(60))
    assert (deciding.work.owner, deciding.changed["noa"].used_units) == ("dana", 2)
    yes = later(deciding, 40)
    moves.accept_transfer(yes, "noa", QUEUES)
    ended, sent = fact(yes, TransferEnded), fact(yes, TicketTransferred)
    assert isinstance(ended, TransferEnded)
    assert isinstance(sent, TicketTransferred)
    assert (ended.outcome, sent.warm, sent.transfer_id) == ("accepted", True, offered.transfer_id)
    assert (yes.work.owner, yes.work.besides.hand_over) == ("noa", None)
    assert (yes.changed["dana"].used_units, yes.changed["noa"].used_units, yes.changed["noa"].tickets) == (0, 2, 1)


def test_declined_or_let_pass_it_stays_with_its_owner_who_is_told_and_who_let_it_pass_is_missed() -> None:
    for how, outcome, state in (("decline", "declined", "available"), ("expire", "expired", "missed")):
        deciding = later(offered_over(), 60)
        if how == "decline":
            handing.decline(deciding, "noa", "lunch")
        else:
            handing.expire(deciding)
        ended = fact(deciding, TransferEnded)
        assert isinstance(ended, TransferEnded)
        assert ended.outcome == outcome
        assert (deciding.work.owner, deciding.changed["noa"].used_units, deciding.changed["noa"].state) == ("dana", 0, state)
        assert ("dana", "transfer.ended") in {(notice.agent_id, notice.kind) for notice in deciding.notices}


def test_a_hand_over_is_answered_in_time_by_whom_it_is_offered_to_and_only_once() -> None:
    for agent_id, now in (("dana", 40), ("noa", 60)):
        with pytest.raises(handing.TransferGone):
            moves.accept_transfer(later(offered_over(), now), agent_id, QUEUES)
    yes = later(offered_over(), 40)
    moves.accept_transfer(yes, "noa", QUEUES)
    with pytest.raises(handing.TransferGone):
        moves.accept_transfer(later(yes, 41), "noa", QUEUES)
    with pytest.raises(handing.TransferPending):
        moves.offer_to(later(offered_over(), 40), DANA, QUEUES, "noa", None)


@pytest.mark.parametrize("what", ["resolve", "pend", "hold", "release"])
def test_an_owner_who_does_something_else_with_it_takes_the_hand_over_back(what: str) -> None:
    deciding = later(offered_over(), 40)
    {
        "resolve": lambda: commands.resolve(deciding, DANA, None),
        "pend": lambda: commands.pend(deciding, DANA),
        "hold": lambda: commands.put_on_hold(deciding, DANA, None),
        "release": lambda: commands.give_back(deciding, DANA, QUEUES, at(0)),
    }[what]()
    ended = fact(deciding, TransferEnded)
    assert isinstance(ended, TransferEnded)
    assert (ended.outcome, deciding.changed["noa"].used_units) == ("withdrawn", 0)


def test_an_agent_takes_what_waits_and_its_visit_ends() -> None:
    deciding = turn(waiting(queue=SUPPORT), an_agent("dana"), now=at(7))
    moves.take(deciding, "dana", QUEUES)
    assigned = fact(deciding, TicketAssigned)
    assert isinstance(assigned, TicketAssigned)
    assert (assigned.how, assigned.queue_id, assigned.visit, assigned.waited_us) == ("taken", "support", 1, 7_000_000)
    assert (deciding.work.visit, deciding.work.owner, deciding.changed["dana"].tickets) == (None, "dana", 1)
    again = later(deciding, 8)
    moves.take(again, "dana", QUEUES)
    assert said(again) == []


def test_what_is_offered_to_somebody_else_or_owned_is_not_taken_and_one_s_own_offer_is_accepted_by_it() -> None:
    deciding = turn(waiting(queue=SUPPORT), an_agent("dana"), an_agent("noa"), now=at(5))
    offers.make(deciding, an_agent("dana"), SUPPORT)
    with pytest.raises(moves.OfferedToAnother):
        moves.take(later(deciding, 6), "noa", QUEUES)
    mine = later(deciding, 6)
    moves.take(mine, "dana", QUEUES)
    assert said(mine) == ["offer.accepted", "ticket.assigned", "agent.load_changed"]
    with pytest.raises(NotYours) as refused:
        moves.take(later(mine, 7), "noa", QUEUES)
    assert refused.value.holder == "dana"


@pytest.mark.parametrize(
    ("agent", "verdict"),
    [
        (an_agent("dana", state="missed"), "missed"),
        (an_agent("dana", state="offline"), "offline"),
        (busy(an_agent("dana"), 9), "at_capacity"),
    ],
)
def test_nobody_takes_what_they_could_not_be_offered(agent: Agent, verdict: str) -> None:
    with pytest.raises(CannotTake) as refused:
        moves.take(turn(waiting(queue=SUPPORT), agent), "dana", QUEUES)
    assert refused.value.verdict == verdict
    skilled = a_queue("support", required_skills={"billing": 3})
    with pytest.raises(CannotTake) as lacking:
        moves.take(turn(waiting(queue=skilled), an_agent("dana")), "dana", (skilled,))
    assert lacking.value.verdict == "missing_skill"


def test_a_supervisor_assigns_over_skills_and_offers_but_never_above_capacity_nor_to_one_who_is_away() -> None:
    skilled = a_queue("support", required_skills={"billing": 3})
    expert = an_agent("noa", skills={"billing": 5})
    deciding = turn(waiting(queue=skilled), an_agent("dana", state="break"), expert, now=at(5))
    offers.make(deciding, expert, skilled)
    assigning = later(deciding, 6)
    moves.assign(assigning, (skilled,), "dana")
    assert said(assigning) == ["offer.rescinded", "ticket.assigned", "agent.load_changed"]
    assert (assigning.work.owner, assigning.changed["noa"].used_units) == ("dana", 0)
    for agent in (busy(an_agent("dana"), 9), an_agent("dana", state="offline")):
        with pytest.raises(CannotTake):
            moves.assign(turn(waiting(queue=skilled), agent), (skilled,), "dana")


def test_a_ticket_that_somebody_has_is_taken_from_them_when_a_supervisor_assigns_it() -> None:
    deciding = owned(an_agent("noa"))
    moves.assign(deciding, QUEUES, "noa")
    released = fact(deciding, TicketReleased)
    assert isinstance(released, TicketReleased)
    assert (released.agent_id, released.reason, deciding.work.owner) == ("dana", "supervisor", "noa")
    same = later(deciding, 31)
    moves.assign(same, QUEUES, "noa")
    assert said(same) == []


def test_what_rests_takes_none_of_whoever_it_is_assigned_to() -> None:
    deciding = owned(busy(an_agent("noa"), 10))
    commands.pend(deciding, DANA)
    moves.assign(deciding, QUEUES, "noa")
    assert (deciding.work.owner, deciding.work.units, deciding.work.ticket.status) == ("noa", 0, "pending")


@pytest.mark.parametrize("how", ["transfer", "take", "assign"])
def test_nobody_is_given_what_is_quarantined(how: str) -> None:
    deciding = turn(waiting(queue=SUPPORT), an_agent("dana"), now=at(5))
    commands.mark_spam(deciding, RINA)
    assert isinstance(fact(deciding, SpamMarked), SpamMarked)
    spam = later(deciding, 6)
    with pytest.raises(commands.NotAtWork):
        {
            "transfer": lambda: moves.transfer(spam, RINA, QUEUES, "queue", "english", None, BACK_OFF),
            "take": lambda: moves.take(spam, "dana", QUEUES),
            "assign": lambda: moves.assign(spam, QUEUES, "dana"),
        }[how]()


def test_who_does_not_hold_it_moves_nothing() -> None:
    for act in (
        lambda turn: moves.transfer(turn, Actor("noa"), QUEUES, "queue", "english", None, BACK_OFF),
        lambda turn: moves.hand_to(turn, Actor("noa"), QUEUES, "noa", None),
        lambda turn: moves.offer_to(turn, Actor("noa"), QUEUES, "noa", None),
    ):
        with pytest.raises(NotYours):
            act(owned(an_agent("noa")))
    inactive = an_agent("noa")
    inactive = msgspec.structs.replace(inactive, profile=msgspec.structs.replace(inactive.profile, active=False))
    with pytest.raises(CannotTake):
        moves.assign(owned(inactive), QUEUES, "noa")
