"""What a customer sees by the links: how the ticket stands, and to whom it reached by mail, what was written to and fro."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from services.intake.api.status import LOOKS_PER_MINUTE
from services.intake.handlers import HANDLERS
from shared import db
from shared.events.base import Attachment, Position
from shared.events.message import MessageReceived, NotePersonal
from shared.events.ticket import SpamMarked, TicketMergeRequested, TicketOpened, TicketUnmergeRequested
from tests.services.intake.test_edge import submit
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_surveys import erase, opened, recall
from tests.services.intake.world import MailServer, World, mail_port, mail_server, process

HEBREW = "שלום, הזמנתי מנורה ABC-12 ביום שני, והיא הגיעה שבורה. אפשר להחליף?"


@asynccontextmanager
async def written(database: str, text: str = HEBREW, **headers: str) -> AsyncIterator[tuple[World, MailServer]]:
    """A customer wrote a mail."""
    async with mail_server() as (sink, port), process(database, intake_mail_port=port, intake_zone="Asia/Jerusalem") as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=True)
        await write(world, text=text, **headers)
        yield world, sink


async def write(world: World, text: str = "One more thing", **headers: str) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(text=text, **headers))


async def answer(world: World, text: str, seq: int = 1, ticket_id: str | None = None, **more: object) -> str:
    ticket_id = ticket_id or await opened(world)
    [first, *_] = [event for event in await world.events(MessageReceived) if event.key == ticket_id]
    message_id = await world.reply(ticket_id, first.data.customer_id, text, "email", seq, **more)  # type: ignore[arg-type]
    await world.execute("UPDATE intake.delivery SET due_at = now() WHERE due_at IS NOT NULL")
    await world.sender.send_due()
    await world.sender.send_due()
    return message_id


async def page(world: World, ticket_id: str | None = None) -> str:
    """As a browser shows it."""
    path = f"/status/{world.signer.history_token(ticket_id or await opened(world))}"
    shown = await world.http.get(path, headers={"Accept": "text/html"})
    assert shown.status_code == 200
    return shown.text


async def history(world: World, ticket_id: str | None = None) -> list[tuple[bool, str | None]]:
    path = f"/status/{world.signer.history_token(ticket_id or await opened(world))}"
    shown: httpx.Response = await world.http.get(path, headers={"Accept": "application/json"})
    return [(one["ours"], one["text"]) for one in shown.json()["messages"]]


async def test_the_mail_confirms_with_a_link_to_all_that_is_written_in_its_order_and_direction(database: str) -> None:
    async with written(database) as (world, sink):
        await answer(world, "Yes, tomorrow.\n\nDana & <Omar>")
        await write(world, "תודה רבה!", Message_ID="<2@c>", In_Reply_To="<first@customers.example>")
        text, html = (sink.mails[0].get_body((kind,)) for kind in ("plain", "html"))
        assert text is not None
        assert html is not None
        link = re.search(r"https://intake\.test(/status/\S+)", text.get_content())
        assert link is not None
        assert f'<a href="{link[0]}" dir="ltr">{link[0]}</a>' in html.get_content()
        shown = await world.http.get(link[1], headers={"Accept": "text/html"})
        assert '<html lang="he" dir="rtl">' in shown.text
        assert re.findall(r'<article class="(\w+)">.*?<div dir="(\w+)"', shown.text) == [
            ("theirs", "rtl"),
            ("ours", "ltr"),
            ("theirs", "rtl"),
        ]
        assert "<p>Yes, tomorrow.</p><p>Dana &amp; &lt;Omar&gt;</p>" in shown.text
        assert shown.text.index("ABC-12") < shown.text.index("tomorrow") < shown.text.index("תודה רבה")
        assert "<script" not in shown.text
        policy = shown.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert ("unsafe-inline" in policy, "script-src" in policy) == (False, False)


async def test_only_the_reply_of_a_mail_is_shown_and_not_what_it_quotes(database: str) -> None:
    async with written(database, "Thank you!\n\nOn Mon, 2 Mar 2026 Support wrote:\n> Secret of somebody else\n") as (world, _):
        assert await history(world) == [(False, "Thank you!")]


async def test_who_filled_in_a_form_sees_how_it_stands_and_no_answers(database: str) -> None:
    async with mail_server() as (_, port), process(database, intake_mail_port=port) as world:
        link = (await submit(world)).json()["status_url"]
        [received] = await world.events(MessageReceived)
        await world.reply(received.key, received.data.customer_id, "Your password is swordfish", "form")
        shown = await world.http.get(link, headers={"Accept": "application/json"})
        assert (shown.json()["status"], shown.json()["messages"]) == ("new", None)
        assert "swordfish" not in (await world.http.get(link, headers={"Accept": "text/html"})).text
        assert [ours for ours, _ in await history(world)] == [False, True], "who gets the mail sees them"
        assert world.signer.ticket_of_history(link.rpartition("/")[2]) is None


async def test_what_others_and_machines_wrote_and_what_failed_is_not_shown(database: str) -> None:
    async with written(database, "Where is it?") as (world, sink):
        await write(world, "I am another", Message_ID="<2@c>", References="<first@customers.example>", From="else@other.example")
        away = {"Auto_Submitted": "auto-replied", "In_Reply_To": "<first@customers.example>"}
        await write(world, "I am out of office", Message_ID="<3@c>", **away)
        await answer(world, "Here")
        sink.answers = ["550 no such person"]
        await answer(world, "This never went out", 2)
        assert await history(world) == [(False, "Where is it?"), (True, "Here")]


async def test_of_spam_and_of_erased_people_nothing_is_shown(database: str) -> None:
    async with written(database, "Where is it?") as (world, _):
        ticket_id = await opened(world)
        link = f"/status/{world.signer.history_token(ticket_id)}"
        await answer(world, "Here")
        assert await world.say(ticket_id, SpamMarked(by="agent", agent_id="rina"), start=2) == []
        assert (await world.http.get(link, headers={"Accept": "application/json"})).json()["messages"] is None
        await erase(world)
        after = await world.http.get(link, headers={"Accept": "application/json"})
        assert (after.status_code, after.json()["messages"]) == (200, None)
        assert await world.count("delivery", "sealed IS NOT NULL") == await world.count("message", "body IS NOT NULL") == 0


async def test_what_went_out_stays_sealed_and_is_gone_with_the_key(database: str) -> None:
    async with written(database, "Where is it?") as (world, _):
        await answer(world, "It is at Ilincas")
        assert await world.count("delivery", "kind = 'reply' AND state = 'delivered' AND sealed IS NOT NULL") == 1
        assert await world.count("delivery", "position('Ilincas' IN encode(coalesce(sealed, ''), 'escape')) > 0") == 0
        [received] = await world.events(MessageReceived)
        async with db.transaction(world.parts.engine) as conn:
            await world.parts.keys.destroy(conn, [received.data.customer_id])
        assert await history(world) == [(False, "Where is it?"), (True, None)]
        assert "is not shown here" in await page(world)


async def test_files_are_downloads_by_signed_links(database: str) -> None:
    async with written(database, "Where is it?") as (world, _):
        letter = mail(text="See the picture", Message_ID="<2@c>", In_Reply_To="<first@customers.example>")
        letter.add_attachment(b"GIF89a", maintype="image", subtype="gif", filename="תמונה.gif")
        async with mail_port(world) as port:
            await deliver(port, letter)
        headers = {**await world.key("agent:dana"), "Content-Type": "application/pdf"}
        up = (await world.http.post("/v1/uploads?name=bill.pdf", content=b"%PDF", headers=headers)).json()
        file = Attachment(id=up["id"], media_type=up["media_type"], size_bytes=up["size_bytes"], sha256=up["sha256"])
        await answer(world, "And the bill", files=((file, "bill.pdf"),))
        shown = await page(world)
        links = re.findall(r'<a href="https://intake\.test(/files/[^"]+)"><bdi>([^<]+)</bdi>', shown)
        assert [name for _, name in links] == ["תמונה.gif", "bill.pdf"]
        for (path, _), content in zip(links, (b"GIF89a", b"%PDF"), strict=True):
            file_sent = await world.http.get(path)
            assert (file_sent.content, file_sent.headers["content-disposition"][:10]) == (content, "attachment")


async def test_a_merged_ticket_shows_where_it_goes_on_with_what_was_written_on_both(database: str) -> None:
    async with written(database, "First") as (world, _):
        await write(world, "Second", Message_ID="<2@c>")
        first, second = [event.key for event in await world.events(TicketOpened)]
        await answer(world, "To the first", ticket_id=first)
        assert (
            await world.say(first, TicketMergeRequested(agent_id="r", into_ticket_id=second), seen=Position(1, 99), start=2) == []
        )
        await answer(world, "To both", ticket_id=second)
        whole = [(False, "First"), (False, "Second"), (True, "To the first"), (True, "To both")]
        assert await history(world, first) == await history(world, second) == whole
        assert "goes on as \u2068#100002\u2069" in await page(world, first)
        assert await world.say(first, TicketUnmergeRequested(agent_id="r"), seen=Position(1, 99), start=3) == []
        assert await history(world, first) == [(False, "First"), (True, "To the first")]


async def test_only_the_newest_of_many_messages_are_shown_and_the_rest_is_counted(database: str) -> None:
    async with written(database, "First") as (world, _):
        ticket_id = await opened(world)
        await world.execute(
            "INSERT INTO intake.message (id, ticket_id, customer_id, content_hash, human, opened, participant, media_type, body,"
            " received_at) SELECT 'm' || n, ticket_id, customer_id, '', true, false, true, 'text/plain', 'Again'::bytea,"
            " received_at + make_interval(secs => n) FROM intake.message, generate_series(1, 60) n"
        )
        assert len(await history(world, ticket_id)) == 50
        assert "\u206811\u2069 earlier messages are not shown." in await page(world)


async def test_after_a_restore_texts_are_shown_as_the_log_has_them(database: str) -> None:
    async with written(database, "Where is it?") as (world, _):
        ticket_id = await opened(world)
        await recall(world, [[event for event in await world.log() if event.key == ticket_id]])
        assert await history(world, ticket_id) == [(False, "Where is it?")]


def test_notes_have_no_way_to_the_page() -> None:
    """Intake does not keep them at all: no handler takes them."""
    assert not [kind for kind in HANDLERS if getattr(kind, "PERSONAL", None) is NotePersonal]


async def test_a_history_is_not_read_without_end_and_who_waits_for_it_holds_nothing(database: str) -> None:
    async with written(database) as (world, _):
        path = f"/status/{world.signer.history_token(await opened(world))}"
        async with world.intake.readers, world.intake.readers:
            waiting = asyncio.create_task(world.http.get(path))
            await asyncio.sleep(0.2)
            raw = "convert_to('Subject: x' || chr(10) || chr(10) || 'changed since', 'UTF8')"
            await world.execute(f"UPDATE intake.message SET body = {raw}")
        shown = await waiting
        assert [one["text"] for one in shown.json()["messages"]] == ["changed since"]
        told = [(await world.http.get(path)).status_code for _ in range(LOOKS_PER_MINUTE)]
        assert told == [200] * (LOOKS_PER_MINUTE - 1) + [429]
        plain = f"/status/{world.signer.status_token(await opened(world))}"
        assert (await world.http.get(plain)).status_code == 200
