"""Prepared answers: what is refused when they are made, what comes of them when they are filled in, and who finds them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.canned import (
    FSI,
    PDI,
    VARIABLES,
    WrongText,
    check_text,
    chosen,
    clashes,
    folded,
    is_for,
    is_found,
    isolated,
    one_line,
    render,
    unfilled,
)
from shared.events.base import TEXT_LIMIT_BYTES, Direction
from shared.events.config import CannedResponseConfigured
from tests.unit.routing.story import START


def a_response(**changes: object) -> CannedResponseConfigured:
    values: dict[str, object] = {
        "id": "refund",
        "version": 1,
        "effective_from": START,
        "name": {"en": "Refund", "he": "החזר כספי"},
        "texts": {"en": "Your money is on its way.", "he": "הכסף בדרך, עם החשבונית."},
        "shortcut": "/refund",
    }
    return CannedResponseConfigured(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("variable", [*sorted(VARIABLES), "field.order", "field.order_2.x-y"])
def test_what_is_known_may_stand_in_a_text(variable: str) -> None:
    check_text(f"Hello {{{{{variable}}}}}, and {{{{ {variable} }}}} again")


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ("Hello {{customer.nme}}", 7, "unknown variable 'customer.nme'"),
        ("{{customer.name}} {{}}", 19, "unknown variable ''"),
        ("שלום {{field.Order}}", 6, "unknown variable 'field.Order'"),
        ("Hello {{customer.name", 7, "{{ is never closed by }}"),
        ("Hello {{customer.name} and more", 7, "{{ is never closed by }}"),
        ("Hello customer.name}}", 20, "}} closes nothing"),
        ("{{ {{customer.name}} }}", 1, "{{ is never closed by }}"),
        ("{{customer.name.__class__}}", 1, "unknown variable"),
        ("x" * (TEXT_LIMIT_BYTES + 1), 1, "more than"),
    ],
)
def test_what_could_not_be_filled_in_is_refused_with_its_place(text: str, at: int, reason: str) -> None:
    with pytest.raises(WrongText) as wrong:
        check_text(text)
    assert wrong.value.at == at
    assert reason in str(wrong.value)


def test_single_braces_are_just_text() -> None:
    check_text("{a} } { {{{customer.name}}}")
    assert render("{a} {{{customer.name}}}", {"customer.name": "Ann"}, "ltr").text == "{a} {Ann}"


def test_values_are_put_in_and_what_is_missing_is_said_with_its_place() -> None:
    filled = render("Hello {{customer.name}}, {{agent.name}} about {{ field.order }}.", {"agent.name": "Dana"}, "ltr")
    assert filled.text == "Hello {{customer.name}}, Dana about {{ field.order }}."
    assert [(place.variable, place.at) for place in filled.missing] == [("customer.name", 7), ("field.order", 37)]
    for place in filled.missing:
        assert filled.text[place.at - 1 :].startswith(place.written)


@pytest.mark.parametrize("value", ["", " ", "\u200b", None])
def test_a_value_of_nothing_is_missing_and_not_silently_empty(value: str | None) -> None:
    filled = render("Hello {{customer.name}}!", {"customer.name": value}, "ltr")
    assert (filled.text, len(filled.missing)) == ("Hello {{customer.name}}!", 1)


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [
        ("דנה", "rtl", "דנה"),
        ("Dan Ionescu", "rtl", f"{FSI}Dan Ionescu{PDI}"),
        ("דנה Cohen", "rtl", f"{FSI}דנה Cohen{PDI}"),
        ("أحمد", "rtl", "أحمد"),
        ("100234", "rtl", "100234"),
        ("+40 721 234 567", "rtl", f"{FSI}+40 721 234 567{PDI}"),
        ("A-20417", "rtl", f"{FSI}A-20417{PDI}"),
        ("Dan", "ltr", "Dan"),
        ("+40 721 234 567", "ltr", "+40 721 234 567"),
        ("דנה", "ltr", f"{FSI}דנה{PDI}"),
        ("أحمد", "ltr", f"{FSI}أحمد{PDI}"),
    ],
)
def test_what_runs_against_the_text_is_kept_together(value: str, direction: Direction, expected: str) -> None:
    assert isolated(value, direction) == expected
    assert render("{{customer.name}}", {"customer.name": value}, direction).text == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ann\u202etxt.exe", "Anntxt.exe"),
        (f"{FSI}Ann", "Ann"),
        ("Ann\r\nBcc: all@example.com", "Ann Bcc: all@example.com"),
        ("Ann\u2028 \x00Smith\t", "Ann Smith"),
        ("\ud83d", ""),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("<b>Ann</b> & Co", "<b>Ann</b> & Co"),
    ],
)
def test_a_value_is_one_line_and_turns_nothing_around(value: str, expected: str) -> None:
    assert one_line(value) == expected


VALUES = st.text(max_size=30) | st.sampled_from(
    ["{{agent.name}}", "{{customer.name}}", "}}", "{{", "\\1", "\\g<0>", "%s", "{0}", "<script>", "דנה", "Ann"]
)


@given(name=VALUES, agent=VALUES, direction=st.sampled_from(("ltr", "rtl")))
def test_values_are_never_templates_and_stand_where_they_belong(name: str, agent: str, direction: Direction) -> None:
    filled = render("A{{customer.name}}B{{agent.name}}C", {"customer.name": name, "agent.name": agent}, direction)
    shown = [isolated(one, direction) if one else None for one in (one_line(name), one_line(agent))]
    first, second = shown[0] or "{{customer.name}}", shown[1] or "{{agent.name}}"
    assert filled.text == f"A{first}B{second}C"
    assert [place.variable for place in filled.missing] == [
        variable for variable, one in (("customer.name", shown[0]), ("agent.name", shown[1])) if one is None
    ]
    assert filled.text.count(FSI) == filled.text.count(PDI)
    controls = [
        c for c in filled.text if unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c) in ("RLO", "LRO")
    ]
    assert controls == []


def test_an_answer_that_still_has_a_place_in_it_is_known() -> None:
    assert [place.variable for place in unfilled("Hello {{ customer.name }}, {{of a robot}}")] == ["customer.name"]
    assert unfilled("Hello {{nobody}} { }") == ()


@pytest.mark.parametrize(
    ("asked", "has", "expected"),
    [
        ("he", ("en", "he"), "he"),
        ("ro-MD", ("en", "ro", "ro-RO"), "ro"),
        ("ro-MD", ("en", "ro-RO", "ro-MD"), "ro-MD"),
        ("ro", ("en", "ro-RO", "ro-MD"), "ro-MD"),
        ("ar", ("en", "he"), "en"),
        ("und", ("he", "ar"), "ar"),
        (None, ("he", "en"), "en"),
        (None, ("he", "ar"), "ar"),
        ("HE", ("en", "he"), "he"),
    ],
)
def test_the_nearest_language_is_given(asked: str | None, has: tuple[str, ...], expected: str) -> None:
    assert chosen(has, asked) == expected


@pytest.mark.parametrize(
    ("query", "shortcut", "language", "found"),
    [
        ("", "", "en", True),
        ("money way", "", "en", True),
        ("mon", "", "en", True),
        ("refund", "", "en", True),
        ("money invoice", "", "en", False),
        ("חשבונית", "", "he", True),
        ("חשבונית", "", "en", False),
        ("", "/ref", "en", True),
        ("", "/REFUND", "en", True),
        ("", "ref", "en", True),
        ("", "/fund", "en", False),
        ("money", "/x", "en", False),
    ],
)
def test_a_response_is_found_by_what_stands_in_it(query: str, shortcut: str, language: str, found: bool) -> None:
    assert is_found(a_response(), language, query, shortcut) is found


def test_a_response_without_a_shortcut_is_found_by_none() -> None:
    assert not is_found(a_response(shortcut=None), "en", "", "/r")


@pytest.mark.parametrize(
    ("team_ids", "of_partner", "usable"),
    [((), False, True), ((), True, False), (("a",), False, True), (("b",), False, False), (("a", "b"), True, True)],
)
def test_responses_are_for_the_agents_of_their_teams(team_ids: tuple[str, ...], of_partner: bool, usable: bool) -> None:
    assert is_for(a_response(team_ids=team_ids), ("a", "c"), of_partner=of_partner) is usable


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [((), (), True), (("a",), (), True), (("a",), ("b",), False), (("a", "b"), ("b", "c"), True)],
)
def test_two_of_one_shortcut_clash_where_one_agent_may_have_both(
    one: tuple[str, ...], other: tuple[str, ...], clash: bool
) -> None:
    assert clashes(one, other) is clash


def test_shortcuts_are_one_however_they_are_written() -> None:
    assert folded("/Ra\u0306mburs") == folded("r\u0103mburs") == "/r\u0103mburs"
