"""Topic, product and tags set by hand: on what is there, said only where it is otherwise."""

from __future__ import annotations

import pytest

from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.editing import MOST_TAGS, Labelling, TooManyTags, label
from services.routing.domain.work import Turn
from shared.events.ticket import TicketLabelled
from tests.unit.routing.story import an_agent, at, fact, said, turn, waiting

RINA = Actor("rina", supervisor=True)


def labelled(*wanted: Labelling) -> Turn:
    deciding = turn(waiting(), an_agent("dana"), now=at(5))
    for one in wanted:
        label(deciding, RINA, one)
    return Turn(deciding.work, "k", at(9), {})


def test_tags_are_added_to_those_that_are_there_and_taken_away_from_them() -> None:
    deciding = labelled(Labelling(topic="billing", add_tags=("a", "b")))
    label(deciding, RINA, Labelling(add_tags=("c", "a"), remove_tags=("b", "unheard")))
    assert fact(deciding, TicketLabelled) == TicketLabelled(tags=("a", "c"), by_agent_id="rina")
    assert (deciding.work.ticket.tags, deciding.work.ticket.topic) == (("a", "c"), "billing")
    assert deciding.work.labels.tags == ("a", "c")
    assert deciding.to_judge


def test_what_is_so_already_is_not_said() -> None:
    deciding = labelled(Labelling("billing", "kettle", ("a",)))
    label(deciding, RINA, Labelling("billing", "kettle", ("a",), ("b",)))
    assert said(deciding) == []


def test_a_tag_that_is_added_and_removed_is_removed() -> None:
    deciding = labelled(Labelling(add_tags=("a",)))
    label(deciding, RINA, Labelling(add_tags=("a",), remove_tags=("a",)))
    assert deciding.work.ticket.tags == ()


def test_a_ticket_holds_so_many_tags_and_those_that_came_with_more_may_lose_some() -> None:
    full = labelled(Labelling(add_tags=tuple(f"t{n}" for n in range(MOST_TAGS))))
    with pytest.raises(TooManyTags):
        label(full, RINA, Labelling(add_tags=("more",)))
    label(full, RINA, Labelling(add_tags=("more",), remove_tags=("t0",)))
    assert len(full.work.ticket.tags) == MOST_TAGS


def test_who_does_not_hold_it_labels_nothing() -> None:
    with pytest.raises(NotYours):
        label(labelled(), Actor("dana"), Labelling(topic="billing"))
