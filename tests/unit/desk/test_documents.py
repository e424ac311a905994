"""By what a ticket is known to the index, and in which block of numbers it is looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.desk.domain.documents import BITS, ROOM_BYTES, Block, asked, blocks_up_to, document, texts_of
from services.desk.domain.words import Term, terms_of
from shared.events.message import MessagePersonal, NotePersonal, ReplyPersonal, SurveyPersonal
from shared.events.people import CustomerPersonal
from shared.events.ticket import TicketPersonal
from shared.events.work import ConsultPersonal

NUMBERS = st.integers(0, 2**40)


@given(NUMBERS)
def test_a_ticket_is_known_by_the_one_block_of_each_level_in_which_its_number_lies(number: int) -> None:
    words = document(number, [])
    assert str(number) in words
    for level, bits in enumerate(BITS):
        block = Block(level, number >> bits)
        assert block.lexeme in words
        assert number in block.numbers
    assert len(words) == 1 + len(BITS)


@given(st.integers(0, 10**8), st.data())
def test_walking_down_the_blocks_comes_by_every_number_once(newest: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, newest))
    blocks = [block for block in blocks_up_to(newest) if number in block.numbers]
    for _ in BITS[1:]:
        [block] = blocks
        blocks = [part for part in block.parts() if number in part.numbers]
    assert [(block.level, block.index) for block in blocks] == [(0, number >> BITS[0])]


def test_the_parts_of_a_block_are_all_of_it_the_newest_last() -> None:
    block = Block(2, 3)
    parts = block.parts()
    assert [part.numbers.start for part in parts] == sorted(part.numbers.start for part in parts)
    assert (parts[0].numbers.start, parts[-1].numbers.stop) == (block.numbers.start, block.numbers.stop)
    assert Block(0, 5).parts() == []


def test_of_a_ticket_that_goes_on_for_ever_as_many_words_are_kept_as_there_is_room_for() -> None:
    texts = [" ".join(f"word{n:06}x{m:04}" for m in range(2000)) for n in range(60)]
    words = document(1, texts)
    assert sum(len(word) + 2 for word in words) < ROOM_BYTES + 200
    assert "word000000x0000" in words
    assert "word000059x1999" not in words


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lamp", "( 'lamp' )"),
        ("lamp broken", "( 'lamp' ) & ( 'broken' )"),
        ("lam*", "'lam':*"),
        ("הספר", "( 'הספר' | 'ספר' )"),
    ],
)
def test_terms_as_postgresql_reads_them(query: str, expected: str) -> None:
    assert asked(terms_of(query)) == expected


def test_a_block_is_one_term_more() -> None:
    assert asked(terms_of("lamp"), Block(0, 24)) == "( 'lamp' ) & '~0/24'"


def test_what_a_word_holds_is_quoted() -> None:
    assert asked([Term(frozenset({"o'neil\\"}))]) == "( 'o''neil\\\\' )"


def test_what_stands_in_boxes_and_what_of_it_is_looked_for() -> None:
    message = MessagePersonal(
        text="t",
        subject="s",
        name="n",
        handle="h",
        attachment_names=("a.pdf",),
        fields={"Order": "17"},
        quoted="old",
        request="k",
    )
    assert texts_of(message) == ["s", "t", "n", "h", "a.pdf", "17"]
    assert texts_of(TicketPersonal(subject="s", customer_name="n")) == ["s", "n"]
    assert texts_of(ReplyPersonal(text="t", subject="s", signature="Dana")) == ["s", "t"]
    assert texts_of(NotePersonal(text="t")) == texts_of(ConsultPersonal(text="t")) == ["t"]
    assert texts_of(SurveyPersonal(comment="c", told_by="x")) == ["c"]
    assert texts_of(CustomerPersonal(name="n", handles=("h",), fields={"city": "Iași"})) == ["n", "h", "Iași"]
