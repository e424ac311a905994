"""The checker finds histories broken by hand: what goes on with a ticket besides its offers, and takes room all the same."""

from dataclasses import replace

import pytest

from shared.events.base import Fact
from shared.events.call import CallbackRequested
from shared.events.ticket import (
    TicketAssigned,
    TicketEscalated,
    TicketPended,
    TicketReleased,
    TicketResolved,
    TicketTransferred,
)
from shared.events.work import (
    ConsultAnswered,
    ConsultEnded,
    ConsultRequested,
    TransferEnded,
    TransferOffered,
    WrapUpCompleted,
    WrapUpStarted,
)
from simulator.truth import ActKind
from tests.faults.by_hand import START
from tests.faults.stories import found, taken

BESIDES: dict[str, tuple[list[Fact], Fact]] = {
    "wrap-up": (
        [
            TicketResolved(agent_id="eva"),
            WrapUpStarted(agent_id="eva", ends_by=START),
            TicketReleased(agent_id="eva", reason="resolved"),
        ],
        WrapUpCompleted(agent_id="eva", wrap_up_us=1),
    ),
    "hand-over": (
        [TransferOffered(transfer_id="t", by_agent_id="dana", to_agent_id="eva", expires_at=START)],
        TransferEnded(transfer_id="t", to_agent_id="eva", outcome="declined"),
    ),
    "question": (
        [ConsultRequested(consult_id="c", agent_id="dana", expert_id="eva", units=1)],
        ConsultEnded(consult_id="c", outcome="answered"),
    ),
    "assignment": (
        [TicketReleased(agent_id="dana", reason="supervisor"), TicketAssigned(agent_id="eva", how="supervisor")],
        TicketPended(agent_id="eva"),
    ),
}


@pytest.mark.parametrize("name", BESIDES)
def test_what_goes_on_besides_an_offer_takes_room_until_it_ends(name: str) -> None:
    begun, ended = BESIDES[name]
    for over in (False, True):
        story = taken("eva" if name == "wrap-up" else "dana")
        story.enrols("eva", capacity_units=2)
        story.tell("routing", "more", *begun)
        if over:
            story.tell("routing", "more", ended)
        story.writes("k10", "and more", channel="sms")
        story.queues("and more")
        story.offers("and more", "eva")
        assert ("capacity" in found(story.history())) is not over


DONE: dict[ActKind, tuple[str, Fact]] = {
    "transfer": ("dana", TicketTransferred(by_agent_id="dana", to_kind="queue", to_id="support")),
    "escalate": ("dana", TicketEscalated(from_tier=1, to_tier=2, by_agent_id="dana")),
    "take": ("eva", TicketAssigned(agent_id="eva", how="taken")),
    "assign": ("eva", TicketAssigned(agent_id="eva", how="supervisor")),
    "call_back": ("dana", CallbackRequested(by_agent_id="dana")),
    "hand_over": ("dana", TransferOffered(transfer_id="t", by_agent_id="dana", to_agent_id="eva", expires_at=START)),
    "accept_transfer": ("eva", TransferEnded(transfer_id="t", to_agent_id="eva", outcome="accepted")),
    "decline_transfer": ("eva", TransferEnded(transfer_id="t", to_agent_id="eva", outcome="declined")),
    "consult": ("dana", ConsultRequested(consult_id="c", agent_id="dana", expert_id="eva")),
    "answer": ("eva", ConsultAnswered(consult_id="c", expert_id="eva")),
    "wrap_up": ("eva", WrapUpCompleted(agent_id="eva", wrap_up_us=1, code="done")),
}


@pytest.mark.parametrize("kind", DONE)
def test_a_move_that_nobody_made_is_found(kind: ActKind) -> None:
    agent_id, fact = DONE[kind]
    story = taken("dana")
    story.tell("routing", "more", fact)
    assert "act-once" in found(story.history())
    story.acts(kind, agent_id, "more")
    assert "act-once" not in found(story.history())


def test_a_warm_transfer_is_the_act_of_who_accepted_it() -> None:
    story = taken("dana")
    story.tell("routing", "more", TicketTransferred(by_agent_id="dana", to_kind="agent", to_id="eva", warm=True))
    assert "act-once" not in found(story.history())


def test_who_takes_a_ticket_that_they_are_offered_accepts_it() -> None:
    story = taken("dana")
    [accepted] = [act for act in story.truth.acts if act.kind == "accept" and act.ticket_id == "more"]
    story.truth.acted(replace(accepted, kind="take", offer_id=None))
    assert "act-once" not in found(story.history())
    story.truth.acted(replace(accepted, kind="state", offer_id=None))
    assert "act-once" in found(story.history())


def test_who_gives_a_ticket_back_does_not_have_it_any_more() -> None:
    story = taken("dana")
    story.acts("release", "dana", "more")
    assert "act-once" in found(story.history())
    story.tell("routing", "more", TicketReleased(agent_id="dana", reason="transferred"))
    assert "act-once" not in found(story.history())


def test_who_has_a_ticket_already_and_takes_it_is_answered_alike() -> None:
    story = taken("dana")
    story.acts("take", "dana", "more")
    assert "act-once" not in found(story.history())
