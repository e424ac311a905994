"""What is found by words: in which texts, in which languages, with which snippet, and when no longer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.desk.domain.documents import BITS
from services.desk.domain.filters import Filter, Sight
from services.desk.domain.words import terms_of
from services.desk.store import searching
from services.desk.store.erasure import HOLD
from services.desk.store.searching import FEW, Search
from shared import db
from shared.events.message import MessageDeleted, MessageEdited, MessagePersonal
from shared.events.people import CustomerHandleAdded, CustomerPersonal, CustomerProfileChanged
from shared.events.ticket import (
    SpamMarked,
    TicketAbsorbed,
    TicketClosed,
    TicketExpelled,
    TicketMergedInto,
    TicketOpened,
    TicketPersonal,
    TicketRenamed,
    TicketUnmerged,
)
from tests.services.desk.conftest import Desk


async def test_a_ticket_is_found_by_subject_messages_answers_notes_name_and_number_together(desk: Desk) -> None:
    ticket_id = await desk.open("t", 100_234, "The lamp flickers", subject="Delivery", called="Ruth Levi")
    await desk.reply(ticket_id, "We send another")
    await desk.note(ticket_id, "angry since Monday")
    await desk.open("other", 100_235, "The lamp is fine", called="Omar")
    for words in ("flickers", "delivery", "another", "angry", "levi", "100234", "#100234", "lamp levi monday another"):
        assert await desk.found(words) == [100_234], words
    assert await desk.found("lamp") == [100_235, 100_234]
    assert await desk.found("lamp sofa") == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("לא קיבלתי את החשבונית שלי", "חשבונית"),
        ("وصلتني فاتورتي متأخرة", "فاتورة"),
        ("Coletul nu a ajuns la Iaşi", "iași"),
        ("My café order", "cafe"),
        ("sunați la 0721 234 567", "+40721234567"),
    ],
)
async def test_a_text_is_found_in_its_language(desk: Desk, text: str, query: str) -> None:
    await desk.open("t", 1, text)
    await desk.open("other", 2, "Something else")
    assert await desk.found(query) == [1]


async def test_a_hit_shows_where_the_words_stand_and_how_the_text_runs(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, "Nothing of it here", subject="About something")
    await desk.write(ticket_id, "שלחתי לכם את החשבונית של המנורה")
    await desk.index()
    [hit] = (await desk.told("dana", "search", q="חשבונית מנורה"))["items"]
    snippet = hit["snippet"]
    assert [snippet["text"][mark["start"] : mark["end"]] for mark in snippet["marks"]] == ["החשבונית", "המנורה"]
    assert (snippet["direction"], snippet["kind"]) == ("rtl", "message")
    assert hit["ticket"]["subject"] == "About something"


async def test_what_is_only_known_of_the_customer_has_no_snippet(desk: Desk) -> None:
    await desk.open("t", 1, "Hello", called="")
    await desk.meet("c-1", "Ruth")
    handle = CustomerHandleAdded(handle_id="h", kind="phone", verified_by="wrote_from_it")
    await desk.hear("c-1", handle, CustomerPersonal(handles=("+40721234567",)))
    await desk.index()
    for words in ("ruth", "0721234567"):
        [hit] = (await desk.told("dana", "search", q=words))["items"]
        assert (hit["ticket"]["number"], hit["snippet"]) == (1, None)


async def test_a_customer_who_is_called_otherwise_is_found_by_the_new_name_too(desk: Desk) -> None:
    await desk.open("t", 1, called="R.")
    assert await desk.found("rivka") == []
    await desk.hear("c-1", CustomerProfileChanged(vip=True), CustomerPersonal(name="Rivka Cohen"))
    assert await desk.found("rivka") == [1]


async def test_what_was_renamed_edited_and_taken_back_is_found_as_it_is_now(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, subject="Lamp")
    await desk.hear(ticket_id, TicketRenamed(agent_id="dana"), TicketPersonal(subject="Chandelier"), writer="routing")
    first, second = await desk.write(ticket_id, "it is broken"), await desk.write(ticket_id, "my password is swordfish")
    assert await desk.found("chandelier broken swordfish") == [1]
    await desk.hear(ticket_id, MessageEdited(message_id=first), MessagePersonal(text="it is shattered"))
    await desk.hear(ticket_id, MessageDeleted(message_id=second))
    assert await desk.found("shattered") == [1]
    assert await desk.found("broken") == []
    assert await desk.found("swordfish") == []


async def test_the_newest_tickets_come_first_page_by_page(desk: Desk) -> None:
    for number in range(1, 8):
        await desk.open(str(number), number, "the same lamp")
    await desk.index()
    read: list[int] = []
    cursor: str | None = None
    while True:
        page = await desk.told("dana", "search", q="lamp", limit=3, **({"cursor": cursor} if cursor else {}))
        read += [item["ticket"]["number"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert read == [7, 6, 5, 4, 3, 2, 1]


async def test_what_is_found_can_be_narrowed_as_a_list(desk: Desk) -> None:
    await desk.open("1", 1, "lamp", channel="sms")
    await desk.hear(await desk.open("2", 2, "lamp"), TicketClosed(reason="requested"))
    await desk.hear(await desk.open("3", 3, "lamp"), SpamMarked(by="rule"), writer="intake")
    assert await desk.found("lamp") == [2, 1]
    assert await desk.found("lamp", status=["new", "open"]) == [1]
    assert await desk.found("lamp", spam="only") == [3]
    assert await desk.found("lamp", channel="sms") == [1]


STEP = 7  # from one number to the next: some six hundred tickets lie in a block


def absorbed(ticket_id: str, at: Any) -> TicketAbsorbed:
    return TicketAbsorbed(
        ticket_id=ticket_id,
        number=1,
        opened_at=at,
        unanswered_since=None,
        first_responded_at=None,
        first_response_us=None,
        interactions=1,
        replies=0,
        reply_us_sum=0,
        reply_us_count=0,
    )


async def test_tickets_that_are_one_are_found_as_one_and_apart_again_when_they_are_two(desk: Desk) -> None:
    one, two = await desk.open("1", 1, "the lamp"), await desk.open("2", 2, "the sofa")
    await desk.hear(one, TicketMergedInto(into_ticket_id=two))
    await desk.hear(two, absorbed(one, await desk.now()))
    assert await desk.found("lamp sofa") == [2]
    assert await desk.found("lamp") == [2]
    await desk.hear(one, TicketUnmerged(from_ticket_id=two))
    await desk.hear(two, TicketExpelled(ticket_id=one))
    assert await desk.found("lamp sofa") == []
    assert await desk.found("lamp") == [1]
    assert await desk.found("sofa") == [2]


async def test_a_ticket_that_went_on_as_one_that_was_not_heard_of_yet_is_found_as_it_then(desk: Desk) -> None:
    one = await desk.open("1", 1, "the lamp")
    await desk.hear(one, TicketMergedInto(into_ticket_id="later"))
    await desk.index()
    await desk.hear("later", TicketOpened(number=9, customer_id="c-1", channel="email", inbox="help"))
    await desk.hear("later", absorbed(one, await desk.now()))
    assert await desk.found("lamp") == [9]


@pytest.mark.parametrize("q", ["!!!", "", "x" * 201])
async def test_nothing_to_look_for_is_said(module_desk: Desk, q: str) -> None:
    answer = await module_desk.ask("dana", "search", q=q)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.q")


@pytest.mark.parametrize("q", ["'", "a' | 'b", "\\", ":*", "a & !b", "<->", "\x00a", "~0/1", "שלום'", "a:*b"])
async def test_no_query_is_taken_for_more_than_words(module_desk: Desk, q: str) -> None:
    answer = await module_desk.ask("dana", "search", q=q)
    assert answer.status_code in (200, 422), answer.text


async def test_while_words_are_indexed_tickets_come_in(desk: Desk) -> None:
    """Somebody who holds the index, as a long transaction of it would, keeps nobody from filing."""
    connection = await asyncpg.connect(desk.settings.database.get_secret_value(), timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(HOLD)
            await desk.open("t", 1, "the lamp")
            assert await desk.listed() == [1]
            assert await desk.indexer.once() == 0
            assert (await desk.told("dana", "search", q="lamp"))["items"] == []
    finally:
        await connection.close(timeout=10)
    assert await desk.found("lamp") == [1]


async def test_what_was_filed_while_words_were_read_is_indexed_after(desk: Desk) -> None:
    ticket_id = await desk.open("t", 1, "the lamp")
    await desk.index()
    assert await desk.indexer.once() == 0
    await desk.write(ticket_id, "and the sofa")
    assert await desk.indexer.once() == 1
    assert await desk.found("lamp sofa") == [1]


@pytest_asyncio.fixture(scope="module")
async def crowd(module_desk: Desk) -> AsyncIterator[Desk]:
    """Tickets in several blocks of numbers, more in each than are read at once, with a word in common; one has its own."""
    many = 3 * FEW
    step = STEP
    await module_desk.rows(
        f"""
        INSERT INTO desk.ticket (ticket_id, number, customer_id, status, live, spam, channel, inbox, language, direction,
            priority, vip, tags, opened_at, updated_at, state)
        SELECT 'many-' || n, n * {step}, 'c', 'closed', false, false, 'email', 'help', 'en', 'ltr',
            2, false, '{{}}', now(), now(), '' FROM generate_series(1, {many}) n
        """
    )
    blocks = ", ".join(f"'~{level}/' || ((n * {step}) >> {bits})" for level, bits in enumerate(BITS))
    await module_desk.rows(
        f"""
        INSERT INTO desk.document SELECT 'many-' || n, '{{}}',
            array_to_tsvector(ARRAY['crowd', CASE WHEN n = 5 THEN 'single' ELSE 'other' END,
                CASE WHEN n <= {FEW + 7} THEN 'old' ELSE 'young' END, {blocks}])
        FROM generate_series(1, {many}) n
        """
    )
    yield module_desk


@pytest.mark.parametrize(
    ("words", "numbers"), [("crowd", range(1, 3 * FEW + 1)), ("crowd old", range(1, FEW + 8)), ("single", [5])]
)
async def test_a_word_of_every_ticket_is_found_block_by_block_the_newest_first(crowd: Desk, words: str, numbers: Any) -> None:
    step = STEP
    expected = sorted((n * step for n in numbers), reverse=True)
    search = Search(terms_of(words), Filter(), Sight(), None)
    read: list[int] = []
    before = None
    async with db.transaction(crowd.parts.engine) as conn:
        while found := await searching.found(conn, search, before, 150):
            read += [number for number, _ in found]
            before = read[-1]
    assert read == expected


async def test_a_word_that_is_everywhere_is_looked_for_in_the_index_alone(crowd: Desk) -> None:
    """The plan that a million tickets need is the plan that is made."""
    await crowd.rows("ANALYZE desk.document, desk.ticket")
    search = Search(terms_of("crowd old"), Filter(), Sight(), None)
    async with db.transaction(crowd.parts.engine) as conn:
        await db.fetch(conn, "SET LOCAL enable_seqscan = off")
        statement, values = searching.statement(search, None, searching.LARGEST)
        plan = "\n".join(row[0] for row in await db.fetch(conn, f"EXPLAIN {statement}", *values))
    assert re.search(r"Bitmap Index Scan on document_words", plan), plan
