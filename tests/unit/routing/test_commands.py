"""What agents do to tickets, and what they may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.routing.domain import commands, offers
from services.routing.domain.commands import Actor, Answer, NotYours
from services.routing.domain.work import Opening, Turn
from shared.events.base import TEXT_LIMIT_BYTES, Sealed
from shared.events.message import ReplyPersonal, ReplyRequested
from shared.events.ticket import TicketPrioritised, TicketResolved
from shared.ticket import CommandRefused
from tests.unit.routing.story import a_queue, an_agent, at, fact, said, turn, waiting

QUEUE = a_queue()
DANA, NOA, SUPERVISOR = Actor("dana"), Actor("noa"), Actor("rina", supervisor=True)


def owned(language: str = "he", cause: str = "key-1") -> Turn:
    deciding = turn(waiting(language=language), an_agent(), now=at(5))
    offer = offers.make(deciding, an_agent(), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return Turn(deciding.work, cause, at(30), deciding.changed)


COMMANDS: dict[str, Callable[[Turn, Actor], object]] = {
    "reply": lambda turn, actor: commands.reply(turn, actor, Answer("shalom")),
    "resolve": lambda turn, actor: commands.resolve(turn, actor, None),
    "pend": commands.pend,
    "hold": lambda turn, actor: commands.put_on_hold(turn, actor, None),
    "release": lambda turn, actor: commands.give_back(turn, actor, [QUEUE], at(0)),
    "priority": lambda turn, actor: commands.prioritise(turn, actor, 4),
    "close": commands.ask_to_close,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_only_the_owner_or_a_supervisor_acts_on_a_ticket_and_the_others_learn_who_holds_it(command: str) -> None:
    with pytest.raises(NotYours) as refused:
        COMMANDS[command](owned(), NOA)
    assert refused.value.holder == "dana"
    for actor in (DANA, SUPERVISOR):
        deciding = owned()
        COMMANDS[command](deciding, actor)
        assert said(deciding)


def test_a_ticket_that_waits_is_nobodys() -> None:
    with pytest.raises(NotYours) as refused:
        commands.resolve(turn(waiting()), DANA, None)
    assert (refused.value.holder, refused.value.queue_id) == (None, "support")


def test_a_reply_is_sealed_for_its_customer_and_speaks_the_ticket_s_language() -> None:
    deciding = owned()
    message_id = commands.reply(deciding, DANA, Answer("שלום"))
    requested = fact(deciding, ReplyRequested)
    assert isinstance(requested, ReplyRequested)
    assert (requested.message_id, requested.customer_id, requested.language) == (message_id, "c-1", "he")
    assert requested.personal is None
    draft = deciding.drafts[0]
    assert (draft.person, draft.personal) == ("c-1", ReplyPersonal(text="שלום"))
    assert deciding.work.ticket.waiting_since is None


def test_the_same_key_names_the_same_message_and_another_key_another() -> None:
    ids = [commands.reply(owned(cause=key), DANA, Answer("hi")) for key in ("k1", "k1", "k2")]
    assert ids[0] == ids[1] != ids[2]


def test_a_text_that_cannot_travel_whole_is_refused_and_not_cut() -> None:
    commands.reply(owned(), DANA, Answer("x" * TEXT_LIMIT_BYTES))
    too_long = "ש" * (TEXT_LIMIT_BYTES // 2 + 1)
    with pytest.raises(commands.TextTooLong):
        commands.reply(owned(), DANA, Answer(too_long))
    with pytest.raises(commands.TextTooLong):
        commands.note(owned(), NOA, too_long, ())


def test_anybody_may_note() -> None:
    deciding = owned()
    commands.note(deciding, NOA, "called the bank", ("dana",))
    assert said(deciding) == ["note.added"]


def test_resolving_frees_the_agent_and_the_ticket_can_still_be_answered_by_the_same_one() -> None:
    deciding = owned()
    commands.resolve(deciding, DANA, "refunded")
    assert said(deciding) == ["ticket.resolved", "agent.load_changed", "ticket.released"]
    resolved = fact(deciding, TicketResolved)
    assert isinstance(resolved, TicketResolved)
    assert resolved.code == "refunded"
    assert (deciding.work.owner, deciding.changed["dana"].used_units) == (None, 0)
    commands.reply(deciding, DANA, Answer("one more thing"))
    with pytest.raises(NotYours):
        commands.reply(deciding, NOA, Answer("me too"))


def test_a_supervisor_may_resolve_what_waits_and_the_visit_ends() -> None:
    deciding = turn(waiting(), now=at(3))
    commands.resolve(deciding, SUPERVISOR, None)
    assert said(deciding) == ["ticket.left_queue", "ticket.resolved"]


def test_what_the_status_does_not_allow_is_refused() -> None:
    deciding = owned()
    commands.resolve(deciding, DANA, None)
    with pytest.raises(CommandRefused) as refused:
        commands.pend(deciding, DANA)
    assert refused.value.status == "resolved"


def test_reopening_takes_the_owner_s_room_again_and_without_room_it_waits() -> None:
    deciding = owned()
    commands.pend(deciding, DANA)
    commands.reopen(deciding, DANA, [QUEUE], None)
    assert deciding.work.units == 2
    commands.resolve(deciding, DANA, None)
    commands.reopen(deciding, DANA, [QUEUE], "again")
    assert deciding.work.owner is None
    assert deciding.work.visit is not None
    assert deciding.work.visit.preferred == "dana"


def test_a_ticket_given_back_waits_with_its_age_and_the_same_priority_is_no_change() -> None:
    deciding = owned()
    commands.prioritise(deciding, DANA, 2)
    assert said(deciding) == []
    commands.prioritise(deciding, DANA, 4)
    changed = fact(deciding, TicketPrioritised)
    assert isinstance(changed, TicketPrioritised)
    assert (changed.previous, changed.priority) == (2, 4)
    commands.give_back(deciding, DANA, [QUEUE], at(0))
    assert deciding.work.visit is not None
    assert deciding.work.visit.age_from == at(0)


def test_what_is_written_on_a_ticket_is_sealed_for_whoever_it_was_opened_for() -> None:
    """Who was merged with somebody else, and turns out to be two again, has their own words."""
    deciding = owned()
    deciding.set(opening=Opening(event_id="e-1", sealed=Sealed(customer_id="c-before", box="")))
    commands.reply(deciding, DANA, Answer("shalom"))
    commands.note(deciding, DANA, "a note", ())
    requested = fact(deciding, ReplyRequested)
    assert isinstance(requested, ReplyRequested)
    assert requested.customer_id == "c-1"
    assert [draft.person for draft in deciding.drafts if draft.personal is not None] == ["c-before", "c-before"]
