"""Questions after a resolution by text message: a bare number is the answer, everything else is a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.events.message import MessageReceived, SurveyAnswered, SurveyPersonal, SurveySent
from shared.events.ticket import TicketOpened
from tests.services.intake.test_surveys import CSAT, configure, due, recall, resolve, scores
from tests.services.intake.test_twilio import Rest, rest_api, sms
from tests.services.intake.world import World, process

NUMBER = "+40312295500"


@asynccontextmanager
async def to_be_asked(database: str, **survey: object) -> AsyncIterator[tuple[World, Rest, str]]:
    """Somebody wrote an SMS, and it was resolved. Yields the process, what plays Twilio, and the ticket."""
    async with rest_api() as (rest, url), process(database, intake_twilio_url=url) as world:
        await world.inbox("support", channel="sms", address=NUMBER, language="ro", region="RO", confirm=False)
        await configure(world, {**CSAT, **survey})
        await sms(world)
        yield world, rest, await resolve(world)


@asynccontextmanager
async def asked(database: str, **survey: object) -> AsyncIterator[tuple[World, Rest, str]]:
    """Like `to_be_asked`, and they were."""
    async with to_be_asked(database, **survey) as (world, rest, ticket_id):
        assert await world.sender.send_due() == 1
        yield world, rest, ticket_id


async def says(world: World, text: str, sid: str = "SM2", **more: str) -> None:
    assert (await sms(world, MessageSid=sid, Body=text, **more)).status_code == 200


async def messages(world: World) -> int:
    return len(await world.events(MessageReceived))


async def test_it_is_asked_from_the_number_that_was_written_to(database: str) -> None:
    async with asked(database, kind="nps") as (world, rest, _):
        [sent] = rest.posted
        assert (sent["From"], sent["To"]) == (NUMBER, "+40721234567")
        assert "de la 0 (deloc) la 10 (foarte)" in sent["Body"]
        [told] = await world.events(SurveySent)
        assert (told.data.kind, told.data.channel, told.data.scale_min, told.data.scale_max) == ("nps", "sms", 0, 10)


@pytest.mark.parametrize("text", ["4", " 4. ", "٤", "۴", "(4)"])
async def test_a_bare_number_is_the_answer_and_no_message(database: str, text: str) -> None:
    async with asked(database) as (world, _, ticket_id):
        await says(world, text)
        [told] = await world.events(SurveyAnswered)
        assert (told.key, told.data.score, told.data.channel) == (ticket_id, 4, "sms")
        assert await messages(world) == await world.count("ticket", "status = 'resolved'") == 1


@pytest.mark.parametrize("text", ["Mulțumesc!", "4 din 5", "7", "-1", "patru"])
async def test_everything_else_is_a_message_that_opens_the_ticket_again(database: str, text: str) -> None:
    async with asked(database) as (world, _, ticket_id):
        await says(world, text)
        assert await scores(world) == []
        assert await messages(world) == 2
        assert await world.count("ticket", f"id = '{ticket_id}' AND status = 'open'") == 1


async def test_twilio_may_say_it_five_times_and_in_any_order(database: str) -> None:
    async with asked(database) as (world, _, _ticket):
        for sid, text in (("SM2", "4"), ("SM2", "4"), ("SM3", "2"), ("SM2", "4"), ("SM3", "2"), ("SM2", "4"), ("SM2", "4")):
            await says(world, text, sid)
        assert await scores(world) == [4, 2], "the second message corrects the first"
        await world.execute("UPDATE intake.survey SET first_answer_at = now() - interval '16 minutes'")
        await says(world, "4", "SM2")
        assert (await scores(world), await messages(world)) == ([4, 2], 1)


async def test_after_its_end_a_number_is_a_message(database: str) -> None:
    async with asked(database) as (world, _, _ticket):
        await world.execute("UPDATE intake.survey SET open_until = now()")
        await says(world, "4")
        assert (await scores(world), await messages(world)) == ([], 2)


async def test_a_number_after_our_next_words_is_the_answer_to_those(database: str) -> None:
    async with asked(database) as (world, _, ticket_id):
        await says(world, "Nu merge nici acum")
        customer_id = (await world.events(MessageReceived))[0].data.customer_id
        await world.reply(ticket_id, customer_id, "Ce culoare are becul, 1 roșu sau 2 verde?", "sms", 2)
        await says(world, "2", "SM3")
        assert (await scores(world), await messages(world)) == ([], 3)


async def test_a_number_from_another_telephone_or_to_another_of_our_numbers_is_no_answer(database: str) -> None:
    async with asked(database) as (world, _, _ticket):
        await world.inbox("sales", channel="sms", address="+40312295599", confirm=False)
        await says(world, "4", "SM2", From="+40721234568")
        await says(world, "4", "SM3", To="+40312295599")
        assert await scores(world) == []
        assert len(await world.events(TicketOpened)) == 3


async def test_who_wrote_stop_is_not_asked(database: str) -> None:
    async with to_be_asked(database, delay_seconds=3600) as (world, rest, _):
        await says(world, "STOP")
        await due(world)
        assert await world.sender.send_due() == 1
        assert (rest.posted, await world.events(SurveySent)) == ([], [])
        await says(world, "START", "SM4")
        await says(world, "4", "SM5")
        assert await scores(world) == [], "nothing was asked"


async def test_an_answer_that_is_known_from_the_log_is_known_again_after_a_restore(database: str) -> None:
    async with asked(database) as (world, _, ticket_id):
        await says(world, "4")
        [told] = await world.events(SurveyAnswered)
        personal = await world.opened(told, SurveyPersonal)
        assert isinstance(personal, SurveyPersonal)
        assert personal.told_by == "twilio:SM2"
        await recall(world, [[event for event in await world.log() if event.key == ticket_id]])
        await world.execute("UPDATE intake.survey SET first_answer_at = now() - interval '16 minutes'")
        await says(world, "4")
        assert (len(await scores(world)), await messages(world)) == (1, 1)
