"""An expert is asked, answers or not, and never owns what they are asked about."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.domain import commands, consulting, experts, moves, offers, timers
from services.routing.domain.agents import Agent
from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.moves import CannotTake, NoSuchPlace
from services.routing.domain.work import Turn
from shared.events.base import TEXT_LIMIT_BYTES
from shared.events.work import ConsultAnswered, ConsultEnded, ConsultPersonal, ConsultRequested
from tests.unit.routing.story import a_queue, an_agent, at, busy, fact, said, turn, waiting

QUEUE = a_queue(consult_units=1, consult_seconds=600)
DANA, OMAR = Actor("dana"), Actor("omar")


def owned(*others: Agent) -> Turn:
    """Dana's ticket, at second 30."""
    deciding = turn(waiting(queue=QUEUE), an_agent("dana"), now=at(5))
    offer = offers.make(deciding, an_agent("dana"), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return Turn(deciding.work, "k", at(30), {**deciding.changed, **{agent.id: agent for agent in others}})


def asked(*others: Agent) -> tuple[Turn, str]:
    """Dana asks omar at second 30."""
    deciding = owned(an_agent("omar"), *others)
    consult_id, expert_id = experts.ask(deciding, DANA, [QUEUE], ["omar"], "May we refund?")
    assert expert_id == "omar"
    return deciding, consult_id


def later(deciding: Turn, now: float) -> Turn:
    return Turn(deciding.work, f"at {now}", at(now), {**deciding.known, **deciding.changed})


def test_an_expert_is_asked_under_seal_and_the_owner_keeps_the_ticket() -> None:
    deciding, consult_id = asked()
    requested = fact(deciding, ConsultRequested)
    assert requested == ConsultRequested(consult_id=consult_id, agent_id="dana", expert_id="omar", expires_at=at(630), units=1)
    [draft] = [draft for draft in deciding.drafts if isinstance(draft.data, ConsultRequested)]
    assert (draft.person, draft.personal) == ("c-1", ConsultPersonal(text="May we refund?"))
    omar = deciding.changed["omar"]
    assert (omar.used_units, omar.tickets, omar.by_channel) == (1, 0, {})
    assert (deciding.work.owner, "omar" in deciding.work.agents) == ("dana", True)
    assert [(notice.agent_id, notice.kind) for notice in deciding.notices] == [("omar", "consult.requested")]


def test_the_expert_s_answer_ends_it_and_the_owner_is_told() -> None:
    deciding, consult_id = asked()
    answering = later(deciding, 100)
    with pytest.raises(consulting.NoConsult):
        experts.answer(answering, Actor("noa"), consult_id, "No.")
    experts.answer(answering, OMAR, consult_id, "Yes, in full.")
    assert said(answering) == ["consult.answered", "agent.load_changed", "consult.ended"]
    assert fact(answering, ConsultAnswered) == ConsultAnswered(consult_id=consult_id, expert_id="omar")
    assert fact(answering, ConsultEnded) == ConsultEnded(consult_id=consult_id, outcome="answered")
    assert (answering.changed["omar"].used_units, "omar" in answering.work.agents) == (0, False)
    assert ("dana", "consult.ended") in {(notice.agent_id, notice.kind) for notice in answering.notices}
    with pytest.raises(consulting.NoConsult):
        experts.answer(later(answering, 101), OMAR, consult_id, "And more.")


def test_a_question_that_nobody_answers_expires_and_one_of_an_owner_who_lets_go_is_cancelled() -> None:
    deciding, consult_id = asked()
    timers.fire(early := later(deciding, 629), [QUEUE])
    assert said(early) == []
    timers.fire(late := later(deciding, 630), [QUEUE])
    assert fact(late, ConsultEnded) == ConsultEnded(consult_id=consult_id, outcome="expired")
    commands.resolve(resolving := later(deciding, 60), DANA, None)
    assert fact(resolving, ConsultEnded) == ConsultEnded(consult_id=consult_id, outcome="cancelled")
    assert resolving.changed["omar"].used_units == 0


def test_an_expert_to_whom_the_ticket_goes_needs_no_question_any_more() -> None:
    deciding, consult_id = asked()
    moves.hand_to(handing := later(deciding, 60), DANA, [QUEUE], "omar", None)
    assert fact(handing, ConsultEnded) == ConsultEnded(consult_id=consult_id, outcome="transferred")
    assert (handing.work.owner, handing.changed["omar"].used_units, handing.work.besides.consults) == ("omar", 2, ())


def test_only_who_holds_the_ticket_asks_and_only_they_or_the_expert_end_it() -> None:
    with pytest.raises(NotYours):
        experts.ask(owned(an_agent("omar")), OMAR, [QUEUE], ["omar"], "?")
    deciding, consult_id = asked(an_agent("noa"))
    with pytest.raises(NotYours):
        experts.cancel(later(deciding, 60), Actor("noa"), consult_id)
    for actor in (DANA, OMAR):
        experts.cancel(ending := later(deciding, 60), actor, consult_id)
        assert fact(ending, ConsultEnded) == ConsultEnded(consult_id=consult_id, outcome="cancelled")


@pytest.mark.parametrize(
    ("expert", "verdict"),
    [
        (an_agent("omar", state="offline"), "offline"),
        (an_agent("omar", state="break"), "break"),
        (an_agent("omar", partner_id="north"), "other_partner"),
        (busy(an_agent("omar"), 10), "at_capacity"),
    ],
)
def test_nobody_is_asked_who_is_away_busy_or_works_for_others(expert: Agent, verdict: str) -> None:
    with pytest.raises(CannotTake) as refused:
        experts.ask(owned(expert), DANA, [QUEUE], ["omar"], "?")
    assert refused.value.verdict == verdict


def test_a_partner_s_agent_asks_its_own_and_the_house_s_and_is_told_of_no_others() -> None:
    ned, omar = an_agent("ned", partner_id="north"), an_agent("omar")
    sam = an_agent("sam", state="break", partner_id="south")
    deciding = Turn(waiting(queue=a_queue(partner_id="north")), "a", at(5), {one.id: one for one in (ned, omar, sam)})
    moves.assign(deciding, [QUEUE], "ned")
    for agent_id in ("sam", "nobody"):
        with pytest.raises(NoSuchPlace, match=f"^there is no agent '{agent_id}'$"):
            experts.ask(later(deciding, 9), Actor("ned"), [QUEUE], [agent_id], "?")
    assert experts.ask(later(deciding, 9), Actor("ned"), [QUEUE], ["omar"], "?")[1] == "omar"


def test_of_those_who_have_a_skill_the_first_who_can_be_asked_is_and_where_none_can_it_is_refused() -> None:
    away, there = an_agent("omar", state="break"), an_agent("noa")
    _, expert_id = experts.ask(owned(away, there), DANA, [QUEUE], ["omar", "dana", "noa"], "?", "refunds")
    assert expert_id == "noa"
    with pytest.raises(experts.NobodyKnows):
        experts.ask(owned(away), DANA, [QUEUE], ["omar"], "?", "refunds")
    for nobody in ("dana", "eve"):
        with pytest.raises(NoSuchPlace):
            experts.ask(owned(), DANA, [QUEUE], [nobody], "?")


def test_questions_are_not_without_end_and_each_has_an_id_of_its_own() -> None:
    deciding = owned(*(an_agent(f"e-{n}") for n in range(11)))
    ids = set()
    for n in range(consulting.MOST):
        deciding.cause = f"key-{n}"
        ids.add(experts.ask(deciding, DANA, [QUEUE], [f"e-{n}"], "?")[0])
    assert len(ids) == consulting.MOST
    with pytest.raises(consulting.TooManyConsults):
        experts.ask(deciding, DANA, [QUEUE], ["e-10"], "?")
    with pytest.raises(commands.TextTooLong):
        experts.ask(owned(an_agent("omar")), DANA, [QUEUE], ["omar"], "x" * (TEXT_LIMIT_BYTES + 1))
    every = later(deciding, 60)
    commands.resolve(every, DANA, None)
    ended = [draft for draft in every.drafts if isinstance(draft.data, ConsultEnded)]
    assert len({draft.cause for draft in ended}) == consulting.MOST
    assert all(msgspec.structs.asdict(draft.data)["outcome"] == "cancelled" for draft in ended)
