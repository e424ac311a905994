"""What a subject is about, and which tickets it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain import subjects


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("My parcel", "my parcel"),
        ("Re: My parcel", "my parcel"),
        ("RE: FW: Fwd: My  parcel", "my parcel"),
        ("AW: WG: Bestellung", "bestellung"),
        ("Antw: Bestelling", "bestelling"),
        ("SV: VS: Beställning", "beställning"),
        ("Odp: Zamówienie", "zamówienie"),
        ("TR: RV: Pedido", "pedido"),
        ("Rif: R: Ordine", "ordine"),
        ("RES: ENC: Pedido", "pedido"),
        ("YNT: Sipariş", "sipariş"),
        ("Ответ: Заказ", "заказ"),
        ("תגובה: השב: הזמנה", "הזמנה"),
        ("رد: طلب", "طلب"),
        ("Răsp: Răspuns: Comandă", "comandă"),
        ("Re[2]: Order", "order"),
        ("Re (3): Order", "order"),
        ("Re\uff1a Order", "order"),
        ("Re : Order", "order"),
        ("\u200fRe: \u200e\u202bOrder\u202c", "order"),
        ("[customers] Re: Order", "order"),
        ("Re: [customers] [announce] Order", "order"),
        ("Re: Order [#100234]", "order"),
        ("[Ticket#100234] Re: Order", "order"),
        ("Order (fwd)", "order"),
        ("Reorder: two lamps", "reorder: two lamps"),
        ("Return: two lamps", "return: two lamps"),
        ("", ""),
        ("Re:", ""),
        ("[#100234]", ""),
    ],
)
def test_a_subject_is_compared_without_what_programs_put_around_it(subject: str, base: str) -> None:
    assert subjects.base(subject) == base


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("Re: My parcel", "my  parcel", False),
        ("Re: [list] My parcel [#1]", "My parcel", False),
        ("Invoice", "My parcel", True),
        ("", "My parcel", False),
        ("Re:", "My parcel", False),
        ("Invoice", "", False),
    ],
)
def test_a_subject_that_says_nothing_speaks_of_no_other_matter(one: str, other: str, differs: bool) -> None:
    assert subjects.differs(one, other) == differs


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        ("Re: Order [#100234]", (100234,)),
        ("[Ticket#100234] Order", (100234,)),
        ("[Ticket: #100234] Order", (100234,)),
        ("[ticket # 100234 ] Order", (100234,)),
        ("[פנייה #100234] הזמנה", (100234,)),
        ("\u2068[#100234]\u2069", (100234,)),
        ("[#\u200e100234]", (100234,)),
        ("[#1] [#2] [#1]", (1, 2)),
        ("[#1] [#2] [#3] [#4]", ()),
        ("Order #100234", ()),
        ("[100234]", ()),
        ("[#]", ()),
        ("[#100234", ()),
        ("[#" + "9" * 40 + "]", ()),
        ("[#١٠٠٢٣٤]", ()),
        ("[see our long list of open matters #100234]", ()),
    ],
)
def test_a_ticket_is_named_by_its_number_in_brackets(subject: str, numbers: tuple[int, ...]) -> None:
    assert subjects.numbers(subject) == numbers


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        ("Order", "Re: Order [#7]"),
        ("RE: Re[2]: AW: Order", "Re: Order [#7]"),
        ("Re: Order [#7]", "Re: Order [#7]"),
        ("Re: [customers] Order", "Re: [customers] Order [#7]"),
        ("תגובה: הזמנה", "Re: הזמנה [#7]"),
        ("Răsp: Comandă", "Re: Comandă [#7]"),
        ("", "Re: [#7]"),
        ("x" * 1000, f"Re: {'x' * subjects.ANSWERING_LIMIT} [#7]"),
    ],
)
def test_an_answer_has_one_re_and_names_its_ticket_once(subject: str, answer: str) -> None:
    assert subjects.answering(subject, 7) == answer


@given(st.text(max_size=80), st.integers(1, 10**15 - 1))
def test_what_answers_an_answer_names_the_same_ticket_and_speaks_of_the_same_matter(subject: str, number: int) -> None:
    answer = subjects.answering(subject, number)
    assert number in subjects.numbers(f"AW: {answer}")
    assert not subjects.differs(f"AW: {answer}", subject)
