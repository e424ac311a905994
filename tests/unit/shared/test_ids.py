"""Ids that are made from their cause."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from shared.events.base import EVENT_NAMESPACE, derived_id, event_id


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_a_derived_id_is_the_uuid5_of_its_parts(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid5(EVENT_NAMESPACE, "\n".join(parts)))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_events_id_is_the_uuid5_of_its_cause_type_and_key(cause: str) -> None:
    assert event_id(cause, "ticket.opened.v1", "key") == str(uuid5(EVENT_NAMESPACE, f"{cause}\nticket.opened.v1\nkey"))
