"""The checker finds histories broken by hand: what goes on with a ticket besides its offers, and takes room all the same."""

import pytest

from shared.events.base import Fact
from shared.events.ticket import TicketAssigned, TicketPended, TicketReleased, TicketResolved
from shared.events.work import (
    ConsultEnded,
    ConsultRequested,
    TransferEnded,
    TransferOffered,
    WrapUpCompleted,
    WrapUpStarted,
)
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
