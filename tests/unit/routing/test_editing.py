"""What people edit of a ticket: said once, by who may, and never what is so already."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain import commands, editing, offers
from services.routing.domain.commands import Actor, NotYours
from services.routing.domain.editing import MOST_FIELDS, CustomerForgotten, Edit, TooManyFields
from services.routing.domain.work import Turn
from shared.events.ticket import TicketLabelled, TicketPersonal
from shared.ticket import CommandRefused
from tests.unit.routing.story import a_queue, an_agent, at, fact, said, turn, waiting

QUEUE = a_queue()
DANA, NOA, SUPERVISOR = Actor("dana"), Actor("noa"), Actor("rina", supervisor=True)


def owned() -> Turn:
    deciding = turn(waiting(), an_agent(), now=at(5))
    offer = offers.make(deciding, an_agent(), QUEUE)
    offers.accept(deciding, offer.id, "dana", QUEUE)
    return Turn(deciding.work, "edit-1", at(30), deciding.changed)


def again(before: Turn) -> Turn:
    return Turn(before.work, "edit-2", at(40), before.changed or before.known)


def test_all_that_is_wanted_otherwise_is_said_and_the_version_rises_by_each() -> None:
    deciding = owned()
    before = deciding.work.ticket.version
    wanted = Edit("Lost parcel", 4, "delivery", "kettle", ("late",), {"order": "A-1"})
    editing.edit(deciding, DANA, wanted)
    assert said(deciding) == ["ticket.prioritised", "ticket.labelled", "ticket.renamed"]
    ticket = deciding.work.ticket
    assert (ticket.priority, ticket.topic, ticket.product, ticket.tags) == (4, "delivery", "kettle", ("late",))
    assert (ticket.fields, ticket.version) == ({"order": "A-1"}, before + 3)
    renamed = deciding.drafts[-1]
    assert (renamed.person, renamed.personal) == ("c-1", TicketPersonal(subject="Lost parcel"))
    assert deciding.work.labels.topic == "delivery", "rules and queues ask for it there"
    assert deciding.to_judge


def test_what_is_so_already_is_not_said_again() -> None:
    first = owned()
    editing.edit(first, DANA, Edit(None, 4, "delivery", None, ("late",), {"order": "A-1"}))
    second = again(first)
    editing.edit(second, DANA, Edit(None, 4, "delivery", None, ("late",), {"order": "A-1", "site": None}))
    assert said(second) == []
    assert second.work.ticket.version == first.work.ticket.version


def test_only_what_is_otherwise_is_said_of_what_is_asked() -> None:
    first = owned()
    editing.edit(first, DANA, Edit(topic="delivery", fields={"order": "A-1"}))
    second = again(first)
    editing.edit(second, DANA, Edit(topic="delivery", product="kettle", fields={"order": None, "site": "haifa"}))
    labelled = fact(second, TicketLabelled)
    assert isinstance(labelled, TicketLabelled)
    assert (labelled.topic, labelled.product, labelled.fields) == (None, "kettle", {"order": "", "site": "haifa"})
    assert second.work.ticket.fields == {"site": "haifa"}


def test_only_the_owner_or_a_supervisor_edits_and_the_owner_learns_what_another_did() -> None:
    with pytest.raises(NotYours) as refused:
        editing.edit(owned(), NOA, Edit(priority=4))
    assert refused.value.holder == "dana"
    own, others = owned(), owned()
    editing.edit(own, DANA, Edit(priority=4))
    editing.edit(others, SUPERVISOR, Edit(priority=4))
    assert not own.notices
    [told] = others.notices
    assert (told.agent_id, told.kind, told.payload["by_agent_id"]) == ("dana", "ticket.edited", "rina")
    assert told.payload["version"] == others.work.ticket.version


def test_a_resolved_ticket_still_takes_labels_but_no_priority() -> None:
    deciding = owned()
    commands.resolve(deciding, DANA, None)
    editing.edit(deciding, DANA, Edit(topic="delivery"))
    with pytest.raises(CommandRefused):
        editing.edit(deciding, DANA, Edit(priority=4))


def test_a_ticket_holds_only_so_many_own_fields_and_one_that_goes_makes_room() -> None:
    deciding = owned()
    full = {f"f{n}": "1" for n in range(MOST_FIELDS)}
    editing.edit(deciding, DANA, Edit(fields=full))
    with pytest.raises(TooManyFields):
        editing.edit(deciding, DANA, Edit(fields={"more": "1"}))
    editing.edit(deciding, DANA, Edit(fields={"f0": None, "more": "1"}))
    assert len(deciding.work.ticket.fields) == MOST_FIELDS


def test_nothing_is_written_of_who_was_erased() -> None:
    deciding = owned()
    deciding.set(erased=True)
    with pytest.raises(CustomerForgotten):
        editing.edit(deciding, DANA, Edit(subject="Ruth's parcel"))
    editing.edit(deciding, DANA, Edit(topic="delivery"))


FIELDS = st.dictionaries(st.sampled_from(("a", "b", "c")), st.none() | st.sampled_from(("1", "2")), max_size=3)


@given(edits=st.lists(FIELDS, max_size=6))
def test_own_fields_come_to_what_was_asked_last_of_each(edits: list[Mapping[str, str | None]]) -> None:
    deciding, expected = owned(), dict[str, str | None]()
    for wanted in edits:
        editing.edit(deciding, DANA, Edit(fields=wanted))
        expected |= wanted
    assert deciding.work.ticket.fields == {name: value for name, value in expected.items() if value}
