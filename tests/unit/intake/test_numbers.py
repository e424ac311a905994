"""One line under two numbers, and one number of two people: rule I5 of our channel notes as tables."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain import handles, numbers
from services.intake.domain.contacts import Contact, Handle, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.identity import RECYCLED, claimed, name_hash
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Seen
from services.intake.domain.plan import HandleLeft, NameSeen, NewCustomer, NewHandle, NewTicket, Suggestion
from services.intake.domain.tell import tell
from services.intake.domain.threads import Rules
from shared.events.people import CustomerHandleAdded, CustomerHandleRemoved
from tests.unit.intake.test_decide import chat, ring

OLD, LATE, SOON = timedelta(days=400), timedelta(days=91), timedelta(days=89)
ROMANIA = Handle("phone", "+40722345678")
BRAZIL_8, BRAZIL_9 = Handle("phone", "+551187654321"), Handle("phone", "+5511987654321")


@pytest.mark.parametrize(
    ("number", "other"),
    [
        ("+5511987654321", "+551187654321"),  # Brazil, a mobile line with its ninth digit and without
        ("+551187654321", "+5511987654321"),
        ("+5521961234567", "+552161234567"),
        ("+551132654321", None),  # a fixed line has none
        ("+5511932654321", None),  # nor had a mobile one that begins with 3
        ("+551087654321", None),  # there is no such area
        ("+55118765432", None),
        ("+5491112345678", "+541112345678"),  # Argentina
        ("+541112345678", "+5491112345678"),
        ("+54911123456789", None),
        ("+525512345678", None),  # Mexico's 1 is taken out when a number is read
        ("+40722345678", None),
        ("+5", None),
        ("", None),
    ],
)
def test_a_line_has_another_form_where_its_country_changed_its_numbers(number: str, other: str | None) -> None:
    assert numbers.other_form(number) == other


@given(st.from_regex(r"\+5[45][0-9]{8,12}", fullmatch=True))
def test_the_other_form_of_the_other_form_is_the_number_itself_and_both_are_one_line(number: str) -> None:
    other = numbers.other_form(number)
    if other is not None:
        assert numbers.other_form(other) == number
        assert numbers.line(Handle("phone", number)) == numbers.line(Handle("phone", other))


@pytest.mark.parametrize(
    ("given_as", "read"),
    [
        ("+5215512345678", "+525512345678"),
        ("+52 1 55 1234 5678", "+525512345678"),
        ("+525512345678", "+525512345678"),
        ("+551187654321", "+551187654321"),
        ("+5491112345678", "+5491112345678"),
        ("+54 11 15 1234-5678", "+5491112345678"),
    ],
)
def test_a_number_is_read_as_its_country_writes_it_today(given_as: str, read: str) -> None:
    assert handles.phone(given_as) == Handle("phone", read)


@pytest.mark.parametrize("handle", [Handle("email", "a@b.example"), Handle("provider_id", "+5511987654321", "phone")])
def test_only_telephone_numbers_have_other_forms(handle: Handle) -> None:
    assert numbers.forms(handle) == (handle,)


@pytest.mark.parametrize(("known_as", "writes_as"), [(BRAZIL_8, BRAZIL_9), (BRAZIL_9, BRAZIL_8)])
def test_who_is_known_under_the_other_form_is_the_same_customer_and_has_both_from_then_on(
    known_as: Handle, writes_as: Handle
) -> None:
    message = chat(handle=writes_as, channel="whatsapp")
    plan = decide([message, chat("m-2", handle=writes_as, channel="whatsapp")], Known(customers={known_as: KnownCustomer("c")}))
    assert {placement.customer_id for placement in plan.placements} == {"c"}
    assert [(step.customer_id, step.handle) for step in plan.steps if isinstance(step, NewHandle)] == [("c", writes_as)]
    added = [(d.key, d.data.kind, d.data.verified_by) for d in tell(plan) if isinstance(d.data, CustomerHandleAdded)]
    assert added == [("c", "phone", "wrote_from_it")]


def test_who_types_the_other_form_in_is_suggested_and_not_taken_for_its_owner() -> None:
    form = chat(handle=claimed(BRAZIL_8), channel="form")
    plan = decide([form], Known(customers={BRAZIL_9: KnownCustomer("owner")}))
    [said] = [step for step in plan.steps if isinstance(step, Suggestion)]
    assert said.other_id == "owner" != said.customer_id == plan.placements[0].customer_id


# --- a number that a network gave to somebody else -------------------------------------------------------------------------


def had(handle: Handle, name: str, silent: timedelta | None, *, closed: bool = False) -> Known:
    """Somebody of this name wrote from the number so long ago, in a conversation."""
    called = name_hash(name)
    return Known(
        customers={handle: KnownCustomer("before")},
        names={handle: called} if called is not None else {},
        seen={handle: Seen("h-1", "before", silent)},
        tickets={"talk": KnownTicket("talk", 7, "before", closed=closed)},
        conversations={f"whatsapp\x1fweb\x1f{handle.key}": "talk"},
    )


def written(name: str, handle: Handle = ROMANIA, key: str = "m-1") -> InboundMessage:
    return chat(key, handle, channel="whatsapp", name=name)


@pytest.mark.parametrize(
    ("case", "facts", "contact", "somebody_else"),
    [
        ("another name after long silence", had(ROMANIA, "Ana Pop", LATE), written("Radu Marin"), True),
        ("another name, the old talk closed", had(ROMANIA, "Ana Pop", LATE, closed=True), written("Radu Marin"), True),
        ("another name soon after", had(ROMANIA, "Ana Pop", SOON), written("Ana P."), False),
        ("exactly at the end of the time", had(ROMANIA, "Ana Pop", timedelta(days=90)), written("Radu"), False),
        ("the same name after long silence", had(ROMANIA, "Ana Pop", OLD), written("Ana Pop"), False),
        ("the same name otherwise written", had(ROMANIA, "Ana Pop", OLD), written(" ANA  pop"), False),
        ("no name now", had(ROMANIA, "Ana Pop", OLD), written(""), False),
        ("no name then", had(ROMANIA, "", OLD), written("Radu Marin"), False),
        ("a number that nothing ever came from", had(ROMANIA, "Ana Pop", None), written("Radu Marin"), False),
        ("a call, whose name the network says", had(ROMANIA, "Ana Pop", OLD), ring("CA1", "init", name="RADU MARIN"), False),
        ("an address", had(Handle("email", "a@b.example"), "Ana", OLD), written("Radu", Handle("email", "a@b.example")), False),
    ],
)
def test_after_long_silence_another_name_is_another_person(
    case: str, facts: Known, contact: Contact, somebody_else: bool
) -> None:
    plan = decide([contact], facts)
    assert (plan.placements[0].customer_id != "before") == somebody_else, case
    assert any(isinstance(step, HandleLeft) for step in plan.steps) == somebody_else
    if somebody_else:
        [opened] = [step for step in plan.steps if isinstance(step, NewTicket)]
        assert opened.follow_up_of is None, "nothing of the old story is shown"


def test_the_number_goes_to_the_new_person_and_people_are_asked_whether_it_is_the_same() -> None:
    plan = decide([written("Radu Marin"), written("Radu Marin", key="m-2")], had(ROMANIA, "Ana Pop", LATE))
    [new] = [step for step in plan.steps if isinstance(step, NewCustomer)]
    assert {placement.customer_id for placement in plan.placements} == {new.customer_id}
    assert len({placement.ticket_id for placement in plan.placements}) == 1
    [left] = [step for step in plan.steps if isinstance(step, HandleLeft)]
    assert (left.customer_id, left.handle, left.handle_id) == ("before", ROMANIA, "h-1")
    [said] = [step for step in plan.steps if isinstance(step, Suggestion)]
    assert (said.customer_id, said.other_id, said.evidence) == (new.customer_id, "before", RECYCLED)


def test_both_forms_of_the_number_go() -> None:
    facts = had(BRAZIL_9, "Ana Pop", LATE)
    facts.customers[BRAZIL_8], facts.seen[BRAZIL_8] = KnownCustomer("before"), Seen("h-2", "before", OLD)
    plan = decide([written("Radu", BRAZIL_9), written("Radu", BRAZIL_8, key="m-2")], facts)
    assert {step.handle_id for step in plan.steps if isinstance(step, HandleLeft)} == {"h-1", "h-2"}
    assert len({placement.customer_id for placement in plan.placements} - {"before"}) == 1
    assert len({placement.ticket_id for placement in plan.placements}) == 1


def test_what_is_left_is_said_of_whom_it_was() -> None:
    plan = decide([written("Radu Marin")], had(ROMANIA, "Ana Pop", LATE))
    left = [(d.key, d.data.handle_id, d.data.reason) for d in tell(plan) if isinstance(d.data, CustomerHandleRemoved)]
    assert left == [("before", "h-1", "recycled")]


def test_a_new_name_of_the_same_person_is_noted_once() -> None:
    plan = decide([written("Ana P."), written("Ana P.", key="m-2")], had(ROMANIA, "Ana Pop", SOON))
    assert [step.name_hash for step in plan.steps if isinstance(step, NameSeen)] == [name_hash("Ana P.")]
    assert not any(isinstance(step, NameSeen) for step in decide([written("Ana Pop")], had(ROMANIA, "Ana Pop", SOON)).steps)


def test_after_how_long_it_is_somebody_else_is_a_setting_and_can_be_never() -> None:
    facts = had(ROMANIA, "Ana Pop", timedelta(days=10))
    assert decide([written("Radu")], facts).placements[0].customer_id == "before"
    assert decide([written("Radu")], facts, Rules(recycled_after=timedelta(days=9))).placements[0].customer_id != "before"
    never = Rules(recycled_after=timedelta(0))
    assert decide([written("Radu")], had(ROMANIA, "Ana Pop", OLD), never).placements[0].customer_id == "before"
