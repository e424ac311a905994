"""Questions after a resolution: configured, asked by mail, answered on their page, and back after a restore."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
import sqlalchemy as sa

from deploy.erasure import find_traces
from services.intake.api.survey_page import BODY_BYTES
from services.intake.domain.contacts import DeliveryWord, SentWord
from services.intake.domain.surveys import COMMENT_CAP
from services.intake.recalling import ConfigRecalled, TicketsRecalled
from shared import db
from shared.clock import clock
from shared.events.base import Event, Fact, Position, event_id
from shared.events.config import ConfigRemoved, SurveyConfigured
from shared.events.message import (
    ConfirmationSent,
    DeliveryUncertain,
    MessageComplained,
    MessageFailed,
    MessageReceived,
    SurveyAnswered,
    SurveyPersonal,
    SurveySent,
)
from shared.events.people import CustomerReachabilityChanged
from shared.events.ticket import SpamMarked, TicketMergeRequested, TicketOpened, TicketResolved
from shared.personal import Erased
from tests.services.intake.test_customers import call, put
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_returned_mail import report
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process

CSAT = {"position": 1, "kind": "csat", "queue_ids": ["support"], "delay_seconds": 0}
RESOLVED = TicketResolved(agent_id="dana", queue_id="support")


@asynccontextmanager
async def written(
    database: str, survey: dict[str, object] | None = None, **headers: str
) -> AsyncIterator[tuple[World, MailServer]]:
    """A customer wrote a mail, and a question is configured."""
    async with mail_server() as (sink, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        await configure(world, {**CSAT, **(survey or {})})
        async with mail_port(world) as listening:
            await deliver(listening, mail(**headers))
        yield world, sink


async def configure(world: World, body: dict[str, object], survey_id: str = "care") -> None:
    answer = await world.http.put(f"/v1/surveys/{survey_id}", json=body, headers=await world.key("admin"))
    assert answer.status_code == 200, answer.text


async def write(world: World, **headers: str) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(**headers))


async def opened(world: World) -> str:
    """The newest ticket."""
    return (await world.events(TicketOpened))[-1].key


async def resolve(world: World, ticket_id: str | None = None, seq: int = 1, fact: TicketResolved = RESOLVED) -> str:
    """An agent resolves a ticket, having seen all of it."""
    ticket_id = ticket_id or await opened(world)
    seen = max(event.position.seq for event in await world.log() if event.key == ticket_id)
    assert await world.say(ticket_id, fact, seen=Position(1, seen), start=seq) == []
    return ticket_id


def path_in(sink: MailServer, number: int = -1) -> str:
    """Where a question is answered, as the mail says it."""
    plain = sink.mails[number].get_body(("plain",))
    assert plain is not None
    found = re.search(r"https://intake\.test(/survey/[a-z2-7]+)", plain.get_content())
    assert found is not None, plain.get_content()
    return found[1]


async def scores(world: World) -> list[int]:
    return [event.data.score for event in await world.events(SurveyAnswered)]


async def answer(world: World, path: str, score: str = "4", answers: str = "0", **more: str) -> httpx.Response:
    return await world.http.post(path, data={"score": score, "answers": answers, **more})


# -- configured -----------------------------------------------------------------------------------------------------------------


async def test_a_question_is_configured_versioned_and_told(world: World) -> None:
    admin = await world.key("admin")
    made = await world.http.put("/v1/surveys/care", json={"position": 1, "kind": "ces"}, headers=admin)
    assert (made.json()["scale_min"], made.json()["scale_max"], made.headers["etag"]) == (1, 7, '"1"')
    assert (await world.http.put("/v1/surveys/care", json=CSAT, headers=admin)).status_code == 428
    changed = await world.http.put("/v1/surveys/care", json=CSAT, headers={**admin, "If-Match": '"1"'})
    assert (changed.json()["kind"], changed.json()["version"]) == ("csat", 2)
    assert (await world.http.delete("/v1/surveys/care", headers={**admin, "If-Match": '"2"'})).status_code == 204
    assert (await world.http.get("/v1/surveys/care", headers=admin)).status_code == 404
    assert (await world.http.get("/v1/surveys", headers=admin)).json() == {"surveys": []}
    said = [type(event.data) for event in await world.log() if event.key == "survey:care"]
    assert said == [SurveyConfigured, SurveyConfigured, ConfigRemoved]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "nps", "scale_max": 5},
        {"kind": "csat", "scale_min": 5, "scale_max": 5},
        {"kind": "csat", "scale_max": 11},
        {"kind": "stars"},
        {"kind": "csat", "open_seconds": 60},
        {"kind": "csat", "colour": "red"},
    ],
)
async def test_what_makes_no_sense_is_refused(world: World, body: dict[str, object]) -> None:
    refused = await world.http.put("/v1/surveys/care", json={"position": 1, **body}, headers=await world.key("admin"))
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert (await world.http.put("/v1/surveys/care", json=CSAT, headers=await world.key("supervisor"))).status_code == 403


# -- asked ----------------------------------------------------------------------------------------------------------------------


async def test_after_a_resolution_the_customer_is_asked_once_by_mail_in_their_language(database: str) -> None:
    async with written(database, text="שלום, החבילה שלי עדיין לא הגיעה. איפה היא?") as (world, sink):
        ticket_id = await resolve(world)
        assert await world.sender.send_due() == 1
        assert await world.sender.send_due() == 0
        [asked] = await world.events(SurveySent)
        said = asked.data
        assert (asked.key, said.kind, said.scale_min, said.scale_max, said.agent_id) == (ticket_id, "csat", 1, 5, "dana")
        assert (said.config_id, said.channel, said.language) == ("care", "email", "he")
        [sent] = sink.mails
        assert (sent["Content-Language"], sent["Auto-Submitted"]) == ("he", "auto-generated")
        html = sent.get_body(("html",))
        assert html is not None
        assert '<html lang="he" dir="rtl">' in html.get_content()
        assert (await world.http.get(path_in(sink))).status_code == 200


async def test_where_nothing_fits_nobody_is_asked(database: str) -> None:
    async with written(database, {"queue_ids": ["sales"]}) as (world, _):
        await resolve(world)
        assert await world.count("survey") == await world.count("delivery") == 0


async def test_it_is_asked_only_after_its_delay_and_holds_nothing_back_meanwhile(database: str) -> None:
    async with written(database, {"delay_seconds": 3600}) as (world, sink):
        ticket_id = await resolve(world)
        customer_id = (await world.events(MessageReceived))[0].data.customer_id
        await world.reply(ticket_id, customer_id, "One thing more.", "email", 2)
        assert await world.sender.send_due() == 1
        assert len(sink.mails) == 1
        assert await world.count("delivery", "kind = 'survey' AND due_at > now() + interval '59 minutes'") == 1


async def test_questions_that_wait_take_nobodys_confirmation_away(database: str) -> None:
    async with written(database, {"delay_seconds": 3600}) as (world, _):
        await resolve(world)
        await world.execute(
            "INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, due_at, created_at)"
            " SELECT message_id || more, ticket_id, customer_id, kind, channel, language, due_at, created_at"
            " FROM intake.delivery CROSS JOIN generate_series(1, 40) AS g(more) WHERE kind = 'survey'"
        )
        await world.inbox("other", channel="email", address="other@patchbay.example")
        async with mail_port(world) as port:
            await deliver(port, mail(Message_ID="<2@c>"), "other@patchbay.example")
        await world.execute("UPDATE intake.delivery SET due_at = now() WHERE kind = 'confirmation'")
        assert await world.sender.send_due() == 1
        assert len(await world.events(ConfirmationSent)) == 1


async def due(world: World) -> None:
    await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")


async def reopen(world: World) -> None:
    await write(world, Message_ID="<2@c>", In_Reply_To="<first@customers.example>")


async def mark_spam(world: World) -> None:
    assert await world.say(await opened(world), SpamMarked(by="agent", agent_id="rina"), start=2) == []


async def withdraw_consent(world: World) -> None:
    customer_id = (await world.events(MessageReceived))[0].data.customer_id
    await world.execute('UPDATE intake.customer SET profile = \'{"consents": {"survey": false}}\' WHERE id = :id', id=customer_id)


async def join_who_refused(world: World) -> None:
    """Who had said under another id that they want no questions is merged into the ticket's customer."""
    customer_id = (await world.events(MessageReceived))[0].data.customer_id
    refused = await put(world, "external:9", consents={"survey": False})
    await call(world, f"{refused['id']}/merge", into_customer_id=customer_id)


async def merge_away(world: World) -> None:
    await write(world, Message_ID="<3@c>")
    survivor = await opened(world)
    first = (await world.events(TicketOpened))[0].key
    asked = TicketMergeRequested(agent_id="rina", into_ticket_id=survivor)
    assert await world.say(first, asked, seen=Position(1, 99), start=2) == []


async def erase(world: World) -> None:
    customer_id = (await world.events(MessageReceived))[0].data.customer_id
    done = await world.http.post(f"/v1/customers/{customer_id}/erase", headers=await world.key("admin"))
    assert done.status_code == 200


async def let_it_grow_old(world: World) -> None:
    await world.execute("UPDATE intake.survey SET ask_at = ask_at - interval '2 days'")


@pytest.mark.parametrize("happen", [reopen, mark_spam, withdraw_consent, join_who_refused, merge_away, erase, let_it_grow_old])
async def test_what_happens_before_it_is_due_may_leave_it_unasked(
    database: str, happen: Callable[[World], Awaitable[None]]
) -> None:
    async with written(database, {"delay_seconds": 3600}) as (world, sink):
        await resolve(world)
        await happen(world)
        await due(world)
        await world.sender.send_due()
        assert sink.mails == []
        assert (await world.events(SurveySent), await world.events(MessageFailed)) == ([], [])
        assert await world.count("delivery", "kind = 'survey' AND state = 'failed'") == 1
        assert await world.count("survey", "asked_at IS NULL") == 1


async def test_of_a_ticket_on_which_only_machines_wrote_nobody_is_asked(database: str) -> None:
    async with written(database, Auto_Submitted="auto-generated") as (world, sink):
        await resolve(world)
        assert await world.sender.send_due() == 1
        assert sink.mails == []


async def test_a_second_resolution_of_the_same_ticket_has_its_own_question_and_the_first_is_dropped(database: str) -> None:
    async with written(database, {"quiet_seconds": 0}) as (world, sink):
        ticket_id = await resolve(world)
        await reopen(world)
        await resolve(world, ticket_id, seq=2)
        assert await world.sender.send_due() == 2
        assert len(sink.mails) == len(await world.events(SurveySent)) == 1


async def test_nobody_is_asked_again_within_the_quiet_time_not_even_by_another_process(database: str) -> None:
    async with written(database) as (world, sink), process(database, intake_mail_port=world.settings.intake_mail_port) as other:
        await resolve(world)
        await write(world, Message_ID="<2@c>")
        await resolve(world)
        assert await world.count("survey") == 2
        await world.sender.send_due()
        await other.sender.send_due()
        assert len(sink.mails) == 1
        await write(world, Message_ID="<3@c>")
        await resolve(world)
        await world.execute("UPDATE intake.survey SET asked_at = asked_at - interval '31 days' WHERE asked_at IS NOT NULL")
        await world.sender.send_due()
        assert len(sink.mails) == 2


async def test_a_mail_server_that_is_away_delays_it_and_one_that_refuses_leaves_it_unasked(database: str) -> None:
    async with written(database) as (world, sink):
        sink.answers = ["451 not now", "550 never"]
        await resolve(world)
        assert await world.sender.send_due() == 1
        assert await world.count("survey", "asked_at IS NOT NULL") == 1
        await due(world)
        assert await world.sender.send_due() == 1
        assert await world.events(SurveySent) == []
        assert await world.count("survey", "asked_at IS NULL AND open_until IS NULL") == 1


async def test_who_died_between_asking_and_writing_it_down_is_counted_and_asks_under_the_same_name(database: str) -> None:
    async with written(database) as (world, sink):
        await resolve(world)
        assert await world.sender.send_due() == 1
        await world.execute("UPDATE intake.delivery SET state = 'sending', due_at = now(), ended_at = NULL, leased_until = NULL")
        assert (await answer(world, path_in(sink))).status_code == 303, "the customer was quicker"
        await world.execute("UPDATE intake.survey SET answers = 0")
        assert await world.sender.send_due() == 1
        assert [sent["Message-ID"] for sent in sink.mails] == [sink.mails[0]["Message-ID"]] * 2
        assert len(await world.events(DeliveryUncertain)) == 1
        await world.execute("UPDATE intake.delivery SET state = 'sending', due_at = now(), ended_at = NULL, leased_until = NULL")
        await world.execute("UPDATE intake.survey SET answers = 1")
        assert await world.sender.send_due() == 1
        assert len(sink.mails) == 2, "whoever answered has it"


async def test_a_question_that_comes_back_does_so_to_its_inbox_and_was_not_asked_and_no_agent_is_told(database: str) -> None:
    async with written(database) as (world, sink):
        await resolve(world)
        assert await world.sender.send_due() == 1
        assert sink.senders == [SUPPORT]
        assert await world.count("survey", "asked_at IS NOT NULL") == 1
        before = len(await world.log())
        async with mail_port(world) as port:
            for _ in range(2):
                assert "ticket #" in await report(port, str(sink.mails[0]["Message-ID"]))
        said = [event.data for event in (await world.log())[before:]]
        cannot = CustomerReachabilityChanged(channel="email", reachable=False, reason="address-returned")
        assert said == [cannot], "nobody has to do anything about it"
        assert await world.count("survey", "asked_at IS NULL AND open_until IS NULL") == 1
        assert await world.count("handle", "returned_at IS NOT NULL") == 1
        assert (await answer(world, path_in(sink))).status_code == 303
        assert await scores(world) == []


@pytest.mark.parametrize("kind", ["delivered", "read", "failed", "complained"])
async def test_of_what_providers_say_about_a_question_only_a_complaint_is_told(database: str, kind: SentWord) -> None:
    async with written(database) as (world, _):
        ticket_id = await resolve(world)
        assert await world.sender.send_due() == 1
        [sent] = await world.events(SurveySent)
        before = len(await world.log())
        word = DeliveryWord("mailgun", "1", kind, message_id=sent.data.survey_id)
        for _ in range(2):
            await world.intake.acceptor.accept_one(word)
        said = (await world.log())[before:]
        told = [(ticket_id, MessageComplained(message_id=sent.data.survey_id))] if kind == "complained" else []
        assert [(event.key, event.data) for event in said] == told
        assert await world.count("survey", "asked_at IS NULL") == (1 if kind == "failed" else 0)


# -- answered -------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def asked(database: str, **survey: object) -> AsyncIterator[tuple[World, str, str]]:
    """A customer was asked. Yields the process, the ticket, and where to answer."""
    async with written(database, survey) as (world, sink):
        ticket_id = await resolve(world)
        assert await world.sender.send_due() == 1
        yield world, ticket_id, path_in(sink)


async def test_looking_records_nothing_and_the_button_records_the_answer_with_its_comment(database: str) -> None:
    async with asked(database) as (world, ticket_id, path):
        for _ in range(3):
            page = await world.http.get(f"{path}?score=5", headers={"Accept": "text/html"})
            assert page.status_code == (await world.http.get(path)).status_code == 200
        assert await scores(world) == []
        assert page.text.count('type="radio"') == 5
        assert "<script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe-inline" not in page.headers["content-security-policy"]
        sent = await answer(world, path, comment="Bună treabă, <b>Dana</b>\x00")
        assert (sent.status_code, sent.headers["location"]) == (303, path)
        [told] = await world.events(SurveyAnswered)
        assert (told.key, told.data.score, told.data.kind, told.data.channel) == (ticket_id, 4, "csat", "email")
        assert await world.opened(told, SurveyPersonal) == SurveyPersonal(comment="Bună treabă, <b>Dana</b>")
        assert "Your answer is" in (await world.http.get(path)).text


async def test_the_same_page_sent_again_changes_nothing(database: str) -> None:
    async with asked(database) as (world, _, path):
        assert {(await answer(world, path, comment="Good")).status_code for _ in range(5)} == {303}
        assert (await answer(world, path, score="1")).status_code == 303, "a page that was shown before the answer"
        assert await scores(world) == [4]


async def test_an_answer_has_a_size_which_the_longest_comment_keeps_within(database: str) -> None:
    async with asked(database) as (world, _, path):
        large = await answer(world, path, comment="x" * BODY_BYTES)
        assert (large.status_code, large.json()["code"]) == (413, "too-large")
        assert await scores(world) == []
        assert (await answer(world, path, comment="\U0001f600" * COMMENT_CAP)).status_code == 303
        [told] = await world.events(SurveyAnswered)
        assert await world.opened(told, SurveyPersonal) == SurveyPersonal(comment="\U0001f600" * COMMENT_CAP)


async def test_an_answer_may_be_corrected_soon_after_and_not_later(database: str) -> None:
    async with asked(database) as (world, _, path):
        await answer(world, path)
        assert 'name="answers" value="1"' in (await world.http.get(path)).text
        await answer(world, path, score="2", answers="1")
        assert await scores(world) == [4, 2]
        assert len({event.data.survey_id for event in await world.events(SurveyAnswered)}) == 1
        await world.execute("UPDATE intake.survey SET first_answer_at = now() - interval '16 minutes'")
        page = (await world.http.get(path)).text
        assert ("<form" in page, "Your answer is \u20682\u2069" in page) == (False, True)
        assert (await answer(world, path, score="5", answers="2")).status_code == 303
        assert await scores(world) == [4, 2]


async def test_a_question_that_is_closed_takes_no_answer(database: str) -> None:
    async with asked(database) as (world, _, path):
        await world.execute("UPDATE intake.survey SET open_until = now()")
        page = await world.http.get(path)
        assert ("<form" in page.text, "can no longer be answered" in page.text) == (False, True)
        assert (await answer(world, path)).status_code == 303
        assert await scores(world) == []


@pytest.mark.parametrize(
    "data", [{"score": "9", "answers": "0"}, {"answers": "0"}, {"score": "x", "answers": "0"}, {"score": "4"}]
)
async def test_what_is_no_score_is_shown_the_question_again(database: str, data: dict[str, str]) -> None:
    async with asked(database) as (world, _, path):
        again = await world.http.post(path, data=data)
        assert (again.status_code, 'role="alert"' in again.text) == (422, True)
        assert await scores(world) == []


async def test_a_link_that_is_not_ours_or_for_something_else_shows_nothing(database: str) -> None:
    async with asked(database) as (world, ticket_id, path):
        for wrong in (f"{path[:-1]}a", f"/survey/{world.signer.status_token(ticket_id)}", "/survey/x"):
            assert (await world.http.get(wrong)).status_code == (await answer(world, wrong)).status_code == 404
        assert (await world.http.post(path, content=b"{}", headers={"Content-Type": "application/json"})).status_code == 422


async def test_after_an_erasure_nothing_that_was_written_is_found_and_nothing_is_taken_any_more(database: str) -> None:
    async with asked(database) as (world, ticket_id, path):
        received = (await world.events(MessageReceived))[0]
        await world.reply(ticket_id, received.data.customer_id, "The parcel is at Sorina's", "email", 2)
        assert await world.sender.send_due() == 1
        await answer(world, path, comment="My name is Ilinca")
        [told] = await world.events(SurveyAnswered)
        needles = ["parcel has not arrived", "Sorina", "Ilinca"]
        assert {trace.needle for trace in await find_traces(world.parts.engine, needles)} == {1}, "what we keep of ours is sealed"
        await erase(world)
        assert await find_traces(world.parts.engine, needles) == []
        assert isinstance(await world.opened(told, SurveyPersonal), Erased)
        await answer(world, path, score="1", answers="1")
        assert await scores(world) == [4]


# -- back after a restore -------------------------------------------------------------------------------------------------------


def as_told(ticket_id: str, fact: Fact, at: datetime, seen: int) -> Event[Fact]:
    return Event(
        id=event_id(f"routing {ticket_id} 1", fact.TYPE, ticket_id),
        type=fact.TYPE,
        writer="routing",
        position=Position(1, 1),
        key=ticket_id,
        time=at,
        data=fact,
        seen=Position(1, seen),
    )


async def recall(world: World, batches: Sequence[Sequence[Event[Fact]]]) -> None:
    """The database is lost, and the log is read back in these batches."""
    for table in ("ticket", "message", "delivery", "survey", "word"):
        await world.execute(f"DELETE FROM intake.{table}")
    told = TicketsRecalled(world.parts.keys)
    for batch in batches:
        async with db.transaction(world.parts.engine) as conn:
            loaded = await told.load(conn, batch)
            states = dict(loaded.states)
            for event in batch:
                states[event.key], _ = told.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
            await told.save(conn, states, await clock(conn))


STATE = """
    SELECT s.id, s.kind, s.scale_min, s.scale_max, s.asked_at IS NOT NULL, s.open_until, s.answers, s.score, d.state
    FROM intake.survey s JOIN intake.delivery d ON d.message_id = s.id
    """


async def state(world: World) -> list[tuple[object, ...]]:
    async with db.transaction(world.parts.engine) as conn:
        return [tuple(row) for row in await conn.execute(sa.text(STATE))]


@pytest.mark.parametrize("told", ["resolved", "asked", "answered"])
async def test_questions_and_answers_come_back_from_the_log(database: str, told: str) -> None:
    async with written(database) as (world, sink):
        ticket_id = await resolve(world)
        if told != "resolved":
            await world.sender.send_due()
        if told == "answered":
            await answer(world, path_in(sink))
            await answer(world, path_in(sink), score="5", answers="1")
        before = await state(world)
        log = [event for event in await world.log() if event.key == ticket_id]
        last = max(event.position.seq for event in log if isinstance(event.data, MessageReceived))
        resolved = as_told(ticket_id, RESOLVED, datetime.now(UTC), last)
        place = next(n for n, event in enumerate(log) if isinstance(event.data, MessageReceived)) + 1
        log.insert(place, resolved)
        for batches in ([log], [[event] for event in log]):
            await recall(world, batches)
            assert await state(world) == before
        await world.execute("DELETE FROM intake.survey_config")
        if told != "resolved":
            await recall(world, [log])
            assert await state(world) == before, "also when nothing of it is configured any more"


async def test_a_question_to_who_was_erased_stays_closed_after_a_restore(database: str) -> None:
    async with asked(database) as (world, ticket_id, path):
        await erase(world)
        await recall(world, [[event for event in await world.log() if event.key == ticket_id]])
        assert await world.count("survey", "asked_at IS NOT NULL AND open_until IS NULL") == 1
        await answer(world, path)
        assert await scores(world) == []


async def test_what_is_configured_comes_back_from_the_log(world: World) -> None:
    admin = await world.key("admin")
    for name in ("kept", "removed"):
        await configure(world, CSAT, name)
    await world.http.delete("/v1/surveys/removed", headers={**admin, "If-Match": '"1"'})
    told = [event for event in await world.log() if event.key.startswith("survey:")]
    await world.execute("DELETE FROM intake.survey_config")
    async with db.transaction(world.parts.engine) as conn:
        await ConfigRecalled(world.parts.keys).save(conn, {event.key: (event,) for event in told}, await clock(conn))
    listed = await world.http.get("/v1/surveys", headers=admin)
    assert [one["id"] for one in listed.json()["surveys"]] == ["kept"]
    assert await world.count("word_list") == 0, "a question that was removed is no word list"
