"""Pictures of text messages: fetched after the message was accepted, told, served, forgotten with their customer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.intake.domain.media import BACK_OFF_SECONDS
from services.intake.fetching import MediaFetcher
from services.intake.guarded_http import guarded_client
from services.intake.recalling import TicketsRecalled
from services.intake.store import fetches
from shared import db
from shared.clock import clock
from shared.events.base import Attachment, Event, Fact, Position
from shared.events.message import AttachmentFailed, AttachmentFetched, MessagePersonal, MessageReceived
from shared.events.people import CustomerErased
from shared.events.ticket import TicketAssigned, TicketMergeRequested
from tests.services.intake.test_customers import call, posted
from tests.services.intake.test_replies_out import uploaded
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, process
from tests.unit.intake.test_media import PICTURE, Provider, picture, provider, response

ACCOUNT = "AC" + "0" * 32


@asynccontextmanager
async def house(database: str, played: Provider, **more: object) -> AsyncIterator[tuple[World, MediaFetcher]]:
    """A process whose Twilio is the one that is played, and its fetcher."""
    place = f"127.0.0.1:{played.port}"
    values = {"intake_twilio_url": played.url, "intake_media_trusted": place, "intake_media_max_bytes": 1000, **more}
    async with process(database, **values) as world, guarded_client(world.settings.media_reach) as client:
        yield world, MediaFetcher(world.settings, world.parts.engine, world.parts.outbox, client, fetch_seconds=0.5)


async def mms(world: World, played: Provider, *paths: str, sid: str = "MM1") -> MessageReceived:
    media = {f"MediaUrl{n}": f"{played.url}/{path}" for n, path in enumerate(paths)}
    kinds = {f"MediaContentType{n}": "image/png" for n in range(len(paths))}
    assert (await sms(world, MessageSid=sid, Body="", NumMedia=str(len(paths)), **media, **kinds)).status_code == 200
    return (await world.events(MessageReceived))[-1].data


async def due(world: World) -> None:
    await world.execute("UPDATE intake.fetch SET due_at = now(), leased_until = NULL")


async def test_pictures_are_fetched_after_the_message_was_accepted_and_served_by_a_link(database: str) -> None:
    async with provider(a=picture(), b=response(200, "Content-Length: 2", body=b"MZ")) as played, house(database, played) as made:
        world, fetcher = made
        message = await mms(world, played, "a", "b")
        await mms(world, played, "a", "b")
        assert played.heads == []
        assert (message.attachments, len(message.attachments_awaited)) == ((), 2)
        assert await fetcher.fetch_due() == 2
        assert await fetcher.fetch_due() == 0
        told = [event.data.attachment for event in await world.events(AttachmentFetched)]
        assert {file.id for file in told} == set(message.attachments_awaited)
        first, second = sorted(told, key=lambda file: message.attachments_awaited.index(file.id))
        assert (first.media_type, first.size_bytes, first.dangerous) == ("image/png", len(PICTURE), False)
        assert (second.media_type, second.dangerous) == ("application/octet-stream", True)
        [received] = await world.events(MessageReceived)
        await world.say(received.key, TicketAssigned(agent_id="dana", how="accepted"))
        path = f"/v1/attachments/{first.id}/link"
        assert (await world.http.post(path, headers=await world.key("agent:eli"))).status_code == 403
        link = (await world.http.post(path, headers=await world.key("agent:dana"))).json()["url"]
        got = await world.http.get(link)
        assert (got.content, got.headers["content-type"]) == (PICTURE, "image/png")


async def test_a_file_that_is_not_there_yet_is_tried_again(database: str) -> None:
    async with provider(a=[response(404), picture()]) as played, house(database, played) as (world, fetcher):
        await mms(world, played, "a")
        assert await fetcher.fetch_due() == 1
        assert await fetcher.fetch_due() == 0, "not before it is due again"
        assert await world.events(AttachmentFetched) == []
        await due(world)
        assert await fetcher.fetch_due() == 1
        assert len(await world.events(AttachmentFetched)) == 1
        assert await world.count("fetch") == 0


async def test_what_never_comes_is_given_up_and_told_once(database: str) -> None:
    async with provider(a=response(500)) as played, house(database, played) as (world, fetcher):
        message = await mms(world, played, "a")
        for _ in range(len(BACK_OFF_SECONDS) + 1):
            await due(world)
            assert await fetcher.fetch_due() == 1
        await due(world)
        assert await fetcher.fetch_due() == 0
        [failed] = await world.events(AttachmentFailed)
        assert failed.data == AttachmentFailed(
            message_id=message.message_id,
            attachment_id=message.attachments_awaited[0],
            code="http-500",
            attempts=len(BACK_OFF_SECONDS) + 1,
        )


@pytest.mark.parametrize(
    ("path", "code"),
    [("endless", "too-large"), ("inside", "scheme-not-allowed"), ("metadata", "host-not-allowed"), ("gone", "http-410")],
)
async def test_what_we_will_not_have_is_told_at_once(database: str, path: str, code: str) -> None:
    inside = response(302, "Location: http://127.0.0.1:1/")
    metadata = response(302, "Location: https://169.254.169.254/latest")
    async with (
        provider(inside=inside, metadata=metadata, gone=response(410)) as played,
        house(database, played) as (world, fetcher),
    ):
        await mms(world, played, path)
        assert await fetcher.fetch_due() == 1
        assert [event.data.code for event in await world.events(AttachmentFailed)] == [code]
        assert await world.count("file") == await world.count("fetch") == 0


async def test_a_url_of_elsewhere_is_not_asked_for(database: str) -> None:
    async with provider(a=picture()) as played, house(database, played, intake_media_trusted="") as (world, fetcher):
        await mms(world, played, "a")
        assert await fetcher.fetch_due() == 1
        assert [event.data.code for event in await world.events(AttachmentFailed)] == ["scheme-not-allowed"]
        assert played.heads == []


async def test_a_slow_file_is_left_and_tried_again_later(database: str) -> None:
    async with provider() as played, house(database, played) as (world, fetcher):
        await mms(world, played, "slow")
        assert await fetcher.fetch_due() == 1
        assert await world.count("fetch", "attempts = 1 AND leased_until IS NULL AND due_at > now()") == 1
        assert await world.events(AttachmentFailed) == []


async def test_two_processes_fetch_a_file_once_and_one_that_died_in_it_is_followed_by_the_other(database: str) -> None:
    async with provider(a=picture()) as played, house(database, played) as (world, fetcher):
        await mms(world, played, "a")
        assert sum(await asyncio.gather(fetcher.fetch_due(), fetcher.fetch_due())) == 1
        assert len(await world.events(AttachmentFetched)) == 1
        await mms(world, played, "a", sid="MM2")
        await world.execute("UPDATE intake.fetch SET attempts = 1, leased_until = now() + interval '1 minute'")
        assert await fetcher.fetch_due() == 0, "somebody is at it"
        await world.execute("UPDATE intake.fetch SET leased_until = now() - interval '1 second'")
        assert await fetcher.fetch_due() == 1
        assert len(await world.events(AttachmentFetched)) == 2


async def erase(world: World, customer_id: str | None = None) -> None:
    if customer_id is None:
        [received] = await world.events(MessageReceived)
        customer_id = received.data.customer_id
    path = f"/v1/customers/{customer_id}/erase"
    assert (await world.http.post(path, headers=await world.key("admin"))).status_code in (200, 202, 204)
    assert [event for event in await world.events(CustomerErased) if event.key == customer_id] != []


async def test_a_file_is_forgotten_with_its_customer_before_and_after_it_came(database: str) -> None:
    async with provider(a=picture()) as played, house(database, played) as (world, fetcher):
        await mms(world, played, "a", "slow")
        fetcher.fetch_seconds = 5.0
        fetching = asyncio.create_task(fetcher.fetch_due())
        async with asyncio.timeout(10):
            while await world.count("file") == 0 or not any("/slow" in head for head in played.heads):
                assert not fetching.done()
                await asyncio.sleep(0.01)
        await erase(world)
        assert await world.count("fetch") == 0
        assert await world.count("file", "content IS NOT NULL") == 0
        async with asyncio.timeout(10):
            await fetching
        assert await world.count("file", "content IS NOT NULL") == 0
        assert len(await world.events(AttachmentFetched)) == 1


async def test_a_file_that_is_just_being_kept_is_forgotten_all_the_same(database: str) -> None:
    async with provider(a=picture()) as played, house(database, played) as (world, _):
        await mms(world, played, "a")
        async with db.transaction(world.parts.engine) as conn:
            [fetch] = await fetches.claim(conn, 1, 60.0)
        async with db.transaction(world.parts.engine) as conn:
            ended = await fetches.end(conn, fetch)
            assert ended is not None
            file = Attachment(id=fetch.attachment_id, media_type="image/png", size_bytes=1, sha256="")
            await fetches.keep(conn, fetch, ended, file, b"x")
            erasing = asyncio.create_task(erase(world))
            await asyncio.wait([erasing], timeout=1)
            assert not erasing.done()
        await erasing
        assert await world.count("file", "content IS NULL") == 1


async def test_a_file_on_anothers_ticket_is_forgotten_with_who_sent_it_once_they_are_two_again(database: str) -> None:
    async with provider(a=picture()) as played, house(database, played) as (world, fetcher):
        message = await mms(world, played, "a", "b")
        await world.execute("UPDATE intake.fetch SET due_at = 'infinity' WHERE url LIKE '%/b'")
        assert await fetcher.fetch_due() == 1
        # As a merge and its undoing leave it: the message is the guest's, the file under the id of then.
        await world.execute("INSERT INTO intake.customer (id, language, created_at) VALUES ('guest', 'en', now())")
        await world.execute("UPDATE intake.message SET customer_id = 'guest', participant = false")
        erased = await world.http.post("/v1/customers/guest/erase", headers=await world.key("admin"))
        assert erased.json() == {"customer_ids": ["guest"]}
        assert (await world.count("fetch"), await world.count("file", "content IS NOT NULL")) == (0, 0)
        assert await world.count("customer", f"id = '{message.customer_id}' AND erased_at IS NULL") == 1


async def test_once_two_are_two_again_the_erasure_of_one_leaves_the_files_of_the_other(database: str) -> None:
    async with provider(a=picture(), b=picture()) as played, house(database, played) as (world, fetcher):
        texted = (await mms(world, played, "a")).customer_id
        mailed = (await posted(world, "email", "email", "ana@customers.example"))["customer_id"]
        await call(world, f"{texted}/merge", into_customer_id=mailed)
        assert (await mms(world, played, "a", "b", sid="MM2")).customer_id == mailed
        await world.execute("UPDATE intake.fetch SET due_at = 'infinity' WHERE url LIKE '%/b'")
        assert await fetcher.fetch_due() == 2
        file = await uploaded(world)
        ticket_id = (await world.events(MessageReceived))[0].key
        await world.reply(ticket_id, mailed, "Here it is.", "sms", files=((file, "r.pdf"),))
        await call(world, f"{texted}/unmerge")
        await erase(world, mailed)
        assert (await world.count("fetch"), await world.count("file", "content IS NOT NULL")) == (1, 3)
        await erase(world, texted)
        assert (await world.count("fetch"), await world.count("file", "content IS NOT NULL")) == (0, 0)


async def test_a_file_of_a_merged_ticket_is_told_where_it_goes_on_too(database: str) -> None:
    async with provider(a=picture(), b=response(410)) as played, house(database, played) as (world, fetcher):
        await mms(world, played, "a", "b")
        [received] = await world.events(MessageReceived)
        other = await posted(world, "sms", "phone", "+40721234567", inbox="elsewhere")
        wish = TicketMergeRequested(agent_id="dana", into_ticket_id=other["ticket_id"])
        assert await world.say(received.key, wish, seen=Position(1, 99)) == []
        assert await fetcher.fetch_due() == 2
        for kind in (AttachmentFetched, AttachmentFailed):
            said = await world.events(kind)
            assert {event.key for event in said} == {received.key, other["ticket_id"]}
            assert len({event.id for event in said}) == len(said) == 2


async def recalled(world: World, events: list[Event[Fact]]) -> None:
    """The database is lost, and the log is read back."""
    for table in ("ticket", "message", "fetch", "file"):
        await world.execute(f"DELETE FROM intake.{table}")
    told = TicketsRecalled(world.parts.keys)
    async with db.transaction(world.parts.engine) as conn:
        loaded = await told.load(conn, events)
        states = dict(loaded.states)
        for event in events:
            states[event.key], _ = told.handlers[type(event.data)](loaded.context, states[event.key], event, event.time)
        await told.save(conn, states, await clock(conn))


async def test_after_a_restore_a_file_is_fetched_again_and_what_was_told_is_not_told_twice(database: str) -> None:
    async with provider(a=picture(), b=picture(), c=response(410)) as played, house(database, played) as (world, fetcher):
        await mms(world, played, "a", "b", "c")
        await world.execute("UPDATE intake.fetch SET due_at = 'infinity' WHERE url LIKE '%/b'")
        assert await fetcher.fetch_due() == 2
        events = [event for event in await world.log() if event.type.partition(".")[0] in ("ticket", "message", "attachment")]
        [received] = await world.events(MessageReceived)
        personal = await world.opened(received, MessagePersonal)
        assert isinstance(personal, MessagePersonal)
        assert personal.attachment_urls == tuple(f"{played.url}/{path}" for path in "abc")
        await recalled(world, events)
        assert await world.count("fetch") == 2
        assert await fetcher.fetch_due() == 2
        assert await world.count("file", "content IS NOT NULL") == 2
        assert len(await world.events(AttachmentFetched)) == 2, "the one that was told, and the one that was not"
        assert len(await world.events(AttachmentFailed)) == 1
