"""By which words a text is found, in four languages, and where they stand in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.desk.domain.words import TERMS_CAP, Term, direction_of, lexemes, snippet, terms_of


def finds(query: str, text: str) -> bool:
    """Whether all that the query looks for stands in the text."""
    known_by = frozenset(lexemes([text]))
    terms = terms_of(query)
    return bool(terms) and all(term.fits(known_by) for term in terms)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("lamp", "My new LAMP does not work."),
        ("lamp broken", "Broken again: the lamp"),
        ("חשבונית", "לא קיבלתי את החשבונית"),
        ("החשבונית", "חשבונית מס 17"),
        ("חשבונית", "שהבטחתם, ובחשבונית כתוב אחרת"),
        ("שלום", "שָׁלוֹם לכם"),
        ('דוא"ל', "שלחתי דוא״ל אתמול"),
        ("فاتورة", "لم تصلني فاتورتي بعد"),
        ("الفاتورة", "والفاتورة خاطئة"),
        ("احمد", "أحمد محمد"),
        ("أحمد", "احمد"),
        ("مدرسه", "المدرسة"),
        ("şcoala", "Școala e închisă"),
        ("scoala", "ŞCOALA"),
        ("reclamație", "o reclamaţie veche"),
        ("lam*", "lampshade"),
        ("חשבו*", "בחשבון שלי"),
        ("ana@example.com", "write to Ana@Example.com please"),
        ("A-1001", "order A-1001 is late"),
        ("#100234", "about 100234"),
    ],
)
def test_a_word_is_found_however_it_is_written(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("lamp broken", "the lamp is fine"),
        ("lamp", "lampshade"),
        ("משה", "איבדתי שה אחד"),  # what is left of a name is no word that was looked for
        ("lam*", "film"),
        ("100234", "1002345"),
    ],
)
def test_what_is_not_there_is_not_found(query: str, text: str) -> None:
    assert not finds(query, text)


@pytest.mark.parametrize(
    "query", ["+40721234567", "0721234567", "0721 234 567", "(0721) 234-567", "721234567", "+40 721 234 567"]
)
@pytest.mark.parametrize("text", ["+40721234567", "sunați la 0721 234 567, vă rog", "call 0721-234-567"])
def test_a_number_is_found_with_its_country_and_without(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize("query", ["021234567", "+972 2 123 4567", "97221234567"])
def test_a_short_number_is_found_with_its_zero_and_with_its_country(query: str) -> None:
    assert finds(query, "+97221234567") or finds(query, "02-123-4567")


def test_digits_of_any_script_are_digits() -> None:
    assert finds("0721234567", "اتصلوا على ٠٧٢١٢٣٤٥٦٧")


def test_a_date_is_no_telephone_number() -> None:
    assert finds("2026-03-02", "on 2026-03-02 10:15 it came")


@pytest.mark.parametrize("query", ["", "   ", "!?", "***", "____"])
def test_nothing_is_looked_for_where_there_is_no_word(query: str) -> None:
    assert terms_of(query) == ()


def test_a_query_of_very_many_words_looks_for_the_first() -> None:
    assert len(terms_of(" ".join(f"word{n}" for n in range(100)))) == TERMS_CAP


@given(st.text(st.characters(exclude_characters="*"), max_size=60))
def test_a_text_is_found_by_each_of_its_own_words(text: str) -> None:
    known_by = frozenset(lexemes([text]))
    assert all(term.fits(known_by) for term in terms_of(text))


@given(st.text(max_size=200))
def test_a_lexeme_holds_nothing_that_would_part_or_quote_it(text: str) -> None:
    assert all(word and not set(word) & set(" '\\~\n\x00") for word in lexemes([text]))


def test_the_words_that_were_found_are_marked_where_they_stand() -> None:
    found = snippet("Hello, my broken lamp is a lamp no more.", terms_of("lamp broken"))
    assert found is not None
    assert [found.text[start:end] for start, end in found.marks] == ["broken", "lamp", "lamp"]
    assert (found.terms, found.direction) == (2, "ltr")


def test_a_snippet_is_cut_around_the_first_hit_and_between_words() -> None:
    text = "word " * 100 + "lamp " + "more " * 100
    found = snippet(text, terms_of("lamp"))
    assert found is not None
    assert len(found.text) < 300
    assert found.text.startswith("word ")
    assert [found.text[start:end] for start, end in found.marks] == ["lamp"]


def test_marks_stand_in_the_text_as_it_was_written_with_vowel_signs_and_prefixes() -> None:
    found = snippet("אָמְרוּ שֶׁבַּחֶשְׁבּוֹנִית יש טעות", terms_of("חשבונית"))
    assert found is not None
    assert [found.text[start:end] for start, end in found.marks] == ["שֶׁבַּחֶשְׁבּוֹנִית"]
    assert found.direction == "rtl"


def test_where_nothing_stands_nothing_is_marked() -> None:
    assert snippet("nothing of that", terms_of("lamp")) is None


@given(st.text(max_size=300), st.text(min_size=1, max_size=5))
def test_marks_lie_in_their_text(text: str, query: str) -> None:
    found = snippet(text, terms_of(query))
    if found is not None:
        assert all(0 <= start < end <= len(found.text) for start, end in found.marks)
        assert found.text in text


@pytest.mark.parametrize(
    ("text", "direction"), [("123 שלום", "rtl"), ("42: مرحبا", "rtl"), ("Bună", "ltr"), ("17", "ltr"), ("", "ltr")]
)
def test_a_text_runs_as_its_first_letter_does(text: str, direction: str) -> None:
    assert direction_of(text) == direction


def test_a_beginning_is_not_a_word() -> None:
    assert Term(frozenset({"lam"})).fits(frozenset({"lamp"})) is False
    assert Term(frozenset(), "lam").fits(frozenset({"lamp"})) is True
