"""Word lists through the API, and the tickets that they label."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from services.intake.acceptor import LETTERS
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.word_lists import Phrase, Words
from services.intake.recalling import ConfigRecalled
from services.intake.store import tickets
from services.intake.store.configured import SPAM_RULES, SURVEYS, WORD_LISTS, Table
from shared import db
from shared.events.config import ConfigRemoved, WordListConfigured
from shared.events.ticket import TicketLabelled, TicketOpened, TicketPrioritised
from shared.ticket import Ticket, apply
from tests.services.intake.world import World

REFUNDS = {"position": 1, "words": {"he": ["החזר כספי"], "en": ["refund*"]}, "topic": "refund", "priority": 3, "tags": ["money"]}
CONTACT = {"channel": "chat", "inbox": "web"}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


async def opened(world: World, text: str, **more: object) -> TicketOpened:
    handle = {"kind": "visitor", "value": text[-200:]}
    answer = await world.http.post(
        "/v1/contacts", json={**CONTACT, "handle": handle, "text": text, **more}, headers=await world.key("intake:write")
    )
    assert answer.status_code == 201, answer.text
    return (await world.events(TicketOpened))[-1].data


async def test_a_new_ticket_is_labelled_by_the_lists_in_force(world: World) -> None:
    admin = await world.key("admin")
    before = await opened(world, "I would like to be refunded for it")
    made = await world.http.put("/v1/word-lists/refunds", json=REFUNDS, headers=admin)
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    during = await opened(world, "ברצוני לקבל החזר כספי על המוצר")
    said = await opened(world, "Please refund me for this thing", topic="billing", priority=4)
    assert (await world.http.delete("/v1/word-lists/refunds", headers={**admin, "If-Match": '"1"'})).status_code == 204
    after = await opened(world, "Again: please refund me for this thing")
    told = [(one.topic, one.priority, one.tags) for one in (before, during, said, after)]
    assert told == [(None, 2, ()), ("refund", 3, ("money",)), ("billing", 4, ("money",)), (None, 2, ())]


async def test_lists_are_versioned_also_over_their_removal(world: World) -> None:
    admin = await world.key("admin")
    await world.http.put("/v1/word-lists/refunds", json=REFUNDS, headers=admin)
    assert (await world.http.put("/v1/word-lists/refunds", json=REFUNDS, headers=admin)).status_code == 428
    assert (await world.http.delete("/v1/word-lists/refunds", headers={**admin, "If-Match": '"9"'})).status_code == 412
    assert (await world.http.delete("/v1/word-lists/refunds", headers={**admin, "If-Match": '"1"'})).status_code == 204
    assert (await world.http.get("/v1/word-lists/refunds", headers=admin)).status_code == 404
    assert (await world.http.delete("/v1/word-lists/refunds", headers={**admin, "If-Match": '"2"'})).status_code == 404
    again = await world.http.put("/v1/word-lists/refunds", json=REFUNDS, headers=admin)
    assert (again.json()["version"], again.json()["words"]) == (3, REFUNDS["words"])
    listed = await world.http.get("/v1/word-lists", headers=admin)
    assert [one["id"] for one in listed.json()["word_lists"]] == ["refunds"]
    said = [event.data for event in await world.log() if isinstance(event.data, WordListConfigured | ConfigRemoved)]
    assert [fact.version for fact in said] == [1, 2, 3]


async def test_a_list_that_cannot_be_used_is_refused_with_its_field(world: World) -> None:
    admin = await world.key("admin")
    for words in ({}, {"en": ["!!!"]}, {"English": ["refund"]}, {"en": [""]}, {"en": ["x"] * 501}):
        answer = await world.http.put("/v1/word-lists/refunds", json={**REFUNDS, "words": words}, headers=admin)
        assert (answer.status_code, answer.json()["errors"][0]["field"][:10]) == (422, "body.words"), words
    assert (await world.http.put("/v1/word-lists/x", json=REFUNDS, headers=await world.key("supervisor"))).status_code == 403


async def test_lists_are_read_back_from_the_log(world: World) -> None:
    admin = await world.key("admin")
    for name in ("refunds", "removed"):
        await world.http.put(f"/v1/word-lists/{name}", json=REFUNDS, headers=admin)
    await world.http.delete("/v1/word-lists/removed", headers={**admin, "If-Match": '"1"'})
    told = await world.log()
    await world.execute("DELETE FROM intake.word_list")
    async with db.transaction(world.parts.engine) as conn:
        await ConfigRecalled(world.parts.keys).save(conn, {event.key: (event,) for event in told}, told[-1].time)
    world.intake.acceptor.words._changes = -1
    await world.intake.acceptor.words.refresh()
    assert (await opened(world, "Please refund me for this thing")).topic == "refund"
    again = await world.http.put("/v1/word-lists/removed", json=REFUNDS, headers=admin)
    assert again.json()["version"] == 3


@pytest.mark.parametrize(("table", "name"), [(SURVEYS, "survey x"), (WORD_LISTS, "word list x"), (SPAM_RULES, "spam rule x")])
async def test_what_is_configured_is_held_by_the_name_by_which_the_version_before_holds_it(
    world: World, table: Table[Any], name: str
) -> None:
    async with db.transaction(world.parts.engine) as conn, db.transaction(world.parts.engine) as other:
        await table.locked(conn, "x")
        [(free,)] = await db.fetch(other, "SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 0))", name)
        assert not free


async def written(world: World, text: str) -> None:
    answer = await world.http.post(
        "/v1/contacts",
        json={**CONTACT, "handle": {"kind": "visitor", "value": "v-1"}, "text": text},
        headers=await world.key("intake:write"),
    )
    assert answer.status_code == 201, answer.text


SMOKE = {"position": 2, "words": {"en": ["smoke"]}, "priority": 4, "tags": ["danger"]}


async def test_a_later_message_makes_its_ticket_urgent_unless_an_agent_set_the_priority(world: World) -> None:
    admin = await world.key("admin")
    for name, body in (("refunds", REFUNDS), ("smoke", SMOKE)):
        assert (await world.http.put(f"/v1/word-lists/{name}", json=body, headers=admin)).status_code == 200
    for text in ("Where is my kettle by now?", "There is smoke in my kitchen!", "So much smoke, and I want a refund"):
        await written(world, text)
    [opened] = await world.events(TicketOpened)
    raised, told = await world.events(TicketPrioritised), await world.events(TicketLabelled)
    assert [(event.key, event.data) for event in raised] == [
        (opened.key, TicketPrioritised(priority=4, previous=2, rule_id="smoke")),
    ]
    assert [event.data for event in told] == [
        TicketLabelled(tags=("danger",), rule_id="smoke"),
        TicketLabelled(topic="refund", tags=("danger", "money"), rule_id="refunds"),
    ]
    async with db.transaction(world.parts.engine) as conn:
        story = (await tickets.locked(conn, [opened.key]))[opened.key]
    assert (story.priority, story.topic, story.tags) == (4, "refund", ("danger", "money"))
    again = Ticket()
    for event in await world.log():
        if event.key == opened.key:
            again = apply(again, event)
    assert again == story, "a restore reads the same"


async def test_what_an_agent_set_before_stands(world: World) -> None:
    admin = await world.key("admin")
    await world.http.put("/v1/word-lists/smoke", json=SMOKE, headers=admin)
    await written(world, "Where is my kettle by now?")
    [opened] = await world.events(TicketOpened)
    by_agent = TicketPrioritised(priority=1, previous=2, by_agent_id="dana"), TicketLabelled(tags=("quiet",), by_agent_id="dana")
    assert await world.say(opened.key, *by_agent) == []
    await written(world, "There is smoke in my kitchen!")
    assert (await world.events(TicketPrioritised), await world.events(TicketLabelled)) == ([], [])


async def test_what_is_found_counts_in_the_language_that_its_writer_is_known_by(world: World) -> None:
    await world.http.put("/v1/word-lists/refunds", json=REFUNDS, headers=await world.key("admin"))
    headers = await world.key("intake:write")
    for text in ("שלום, איפה החבילה שלי?", "refund", "זיכוי? החזר כספי"):  # "refund" alone might be of many languages
        said = {**CONTACT, "handle": {"kind": "visitor", "value": "v-1"}, "text": text}
        assert (await world.http.post("/v1/contacts", json=said, headers=headers)).status_code == 201
        if text == "refund":
            assert await world.events(TicketPrioritised) == []
    assert len(await world.events(TicketPrioritised)) == 1


class Watched(Words):
    """Notes for each message whether the event loop waited while it was looked through."""

    def found_in(self, contact: InboundMessage) -> tuple[Phrase, ...]:
        ON_THE_LOOP.append(threading.current_thread() is threading.main_thread())
        return super().found_in(contact)


ON_THE_LOOP: list[bool] = []


async def test_long_texts_are_looked_through_beside_the_event_loop(world: World) -> None:
    words = WordListConfigured(id="urgent", version=1, effective_from=SINCE, position=1, words={"en": ("urgent",)}, priority=3)
    world.intake.acceptor.words.current = Watched.of([words])
    ON_THE_LOOP.clear()
    assert (await opened(world, "This is urgent")).priority == 3
    assert (await opened(world, f"{'well ' * (LETTERS // 5)} urgent")).priority == 3
    assert ON_THE_LOOP == [True, False]
