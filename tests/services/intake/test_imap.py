"""Mailboxes that are read by IMAP, on a real socket and a real database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from services.intake.imap import HEADER_BYTES, UNKNOWN, ImapReader, Pace, _sender, groups
from services.intake.imap_settings import Mailbox, mailboxes_of
from services.intake.mail import MailTaker
from services.intake.replaying import Replayer
from services.intake.settings import IntakeSettings
from services.intake.store import mailboxes, parked
from shared import db
from shared.events.message import ConfirmationSkipped, MessageReceived
from shared.events.ticket import TicketOpened
from tests.services.intake.imap_server import PASSWORD, ImapServer, imap_server
from tests.services.intake.world import MASTER, World, process

QUICK = Pace(lease=3.0, first_pause=0.1, longest_pause=0.2)
SOON = 15.0


def mail(n: int, text: str = "Where is my parcel?") -> bytes:
    return (
        f"Return-Path: <c{n}@customers.example>\r\nFrom: c{n}@customers.example\r\nTo: support@patchbay.example\r\n"
        f"Subject: Parcel {n}\r\nMessage-ID: <{n}@customers.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n{text}\r\n"
    ).encode()


def mailbox(server: ImapServer, **more: object) -> Mailbox:
    values = {
        "host": "127.0.0.1",
        "port": server.port,
        "tls": "none",
        "user": "support",
        "password": PASSWORD,
        "inbox": "support",
    }
    return msgspec.convert({**values, **more}, Mailbox)


@asynccontextmanager
async def reading(
    world: World, server: ImapServer, pace: Pace = QUICK, most_bytes: int = 25_000_000, **more: object
) -> AsyncIterator[asyncio.Task[None]]:
    """The process reads the mailbox; at the end it is told to stop, and does, with its threads."""
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter)
    reader = ImapReader([mailbox(server, **more)], taker, world.intake.inboxes, most_bytes, pace)
    task = asyncio.create_task(reader.run())
    try:
        yield task
    finally:
        task.cancel()
        async with asyncio.timeout(3):
            await asyncio.gather(task, return_exceptions=True)


async def until(there: Callable[[], Awaitable[bool]], seconds: float = SOON) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await there():
                return
            await asyncio.sleep(0.02)


async def taken(world: World, count: int, seconds: float = SOON) -> None:
    """So many messages are there, and the last is stored as read."""

    async def there() -> bool:
        return await world.count("message") >= count and await world.count("mailbox", "last_uid > 0") == 1

    await until(there, seconds)
    assert await world.count("message") == count


async def idling(server: ImapServer) -> None:
    async def there() -> bool:
        return server.idling > 0

    await until(there)


async def test_mail_that_waits_and_mail_that_comes_are_tickets_within_a_second_and_stay_as_they_were(world: World) -> None:
    await world.inbox("support", channel="email", address="support@patchbay.example")
    async with imap_server() as server, reading(world, server):
        await server.bring(mail(1))
        await taken(world, 1)
        await idling(server)
        await server.bring(mail(2))
        await taken(world, 2, seconds=1.0)
        assert (sorted(server.mails), server.flags) == ([1, 2], {})
    assert {event.data.inbox for event in await world.events(TicketOpened)} == {"support"}
    assert any(said.startswith("EXAMINE") for said in server.said)
    assert REGISTRY.get_sample_value("patchbay_imap_last_success_seconds", {"mailbox": "support/INBOX"}) > 0  # type: ignore[operator]


async def test_of_a_mailbox_that_is_read_first_old_mail_is_taken_and_not_confirmed(world: World) -> None:
    await world.inbox("support", channel="email", address="support@patchbay.example")
    async with imap_server() as server:
        await server.bring(mail(1), mail(2), mail(3))
        server.came = {1: " 2-Jan-2020 10:00:00 +0200", 2: f"{datetime.now(UTC):%d-%b-%Y %H:%M:%S} +0000"}
        async with reading(world, server):
            await taken(world, 3)
    [skipped] = await world.events(ConfirmationSkipped)
    assert skipped.data.reason == "channel_confirms_itself"
    assert await world.count("message", f"ticket_id = '{skipped.key}' AND message_ref = '<1@customers.example>'") == 1
    assert await world.count("delivery", "kind = 'confirmation'") == 2


async def test_a_server_without_idle_is_asked_again_and_again(world: World) -> None:
    async with imap_server() as server:
        server.idles = False
        async with reading(world, server, Pace(poll=0.1, lease=3.0)):
            await server.bring(mail(1))
            await taken(world, 1)
            await server.bring(mail(2))
            await taken(world, 2)


async def test_what_was_taken_is_marked_or_moved_where_that_is_wanted(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2))
        async with reading(world, server, seen=True, move_to="Taken"):
            await taken(world, 2)

            async def moved() -> bool:
                return server.moved == [1, 2]

            await until(moved)
    assert all("Seen" in said for said in server.flags.values())
    assert sorted(server.flags) == [1, 2]


async def test_a_server_that_goes_away_and_one_that_refuses_the_login_are_tried_again(world: World) -> None:
    async with imap_server() as server, reading(world, server):
        await idling(server)
        server.stop()
        server.password = "another"
        await server.bring(mail(1))
        await server.start()

        async def refused() -> bool:
            return sum(said.startswith("LOGIN") for said in server.said) >= 3

        await until(refused)
        assert await world.count("message") == 0
        server.password = PASSWORD
        await taken(world, 1)


async def test_a_connection_cut_in_the_middle_of_a_mail_loses_and_doubles_nothing(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2), mail(3))
        server.cut_at = 2
        async with reading(world, server):
            await taken(world, 3)
    assert server.logins == 2


async def test_a_mail_that_the_server_never_hands_out_is_told_of_and_the_others_are_taken(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2), mail(3))
        server.withheld = {2}
        async with reading(world, server):
            await taken(world, 2)
    assert await world.count("parked_contact", "way = 'imap' AND reason LIKE '%UID 2: %'") == 1


async def test_a_mail_that_is_too_large_is_kept_by_its_header_and_the_others_are_taken(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2, "x" * 5000), mail(3))
        async with reading(world, server, most_bytes=3000):
            await taken(world, 2)
    assert (
        await world.count("parked_contact", "octet_length(body) < 3000 AND reason LIKE '%UID 2: its % bytes are too many'") == 1
    )


async def test_a_mail_of_which_the_server_tells_nothing_is_told_of_and_the_others_are_taken(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2), mail(3))
        server.refused = {2}
        async with reading(world, server):
            await taken(world, 2)
            await until(lambda: _stored(world, 7, 3))
    assert await world.count("parked_contact", "reason LIKE '%UID 2: the server refuses to hand it out'") == 1


async def test_of_a_mail_that_is_too_large_the_header_alone_makes_no_ticket_when_it_is_tried_again(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2, "x" * 5000))
        async with reading(world, server, most_bytes=3000):
            await taken(world, 1)
            await until(lambda: _stored(world, 7, 2))
    async with db.transaction(world.parts.engine) as conn:
        assert await parked.ask_all(conn, "imap", None)
    await Replayer(world.intake.acceptor, world.intake.inboxes, world.signer).once()
    assert (await world.count("message"), await world.count("parked_contact", "reason LIKE 'only its header was kept%'")) == (
        1,
        1,
    )


async def test_a_mail_for_which_no_room_is_left_stays_in_its_mailbox_and_holds_up_no_other(database: str) -> None:
    ours = b"support@patchbay.example"
    async with process(database, intake_parked_bytes=100) as world, imap_server() as server:
        await world.inbox("support", channel="email", address="support@patchbay.example")
        first, second = (mail(n).replace(b"From: c%d@customers.example" % n, b"From: " + ours) for n in (1, 2))
        before = REGISTRY.get_sample_value("patchbay_imap_left_total", {"mailbox": "support/INBOX"}) or 0
        async with reading(world, server, move_to="Taken"):
            await server.bring(first)
            await until(lambda: _moved(server, 1))
            await server.bring(second, mail(3))
            await until(lambda: _moved(server, 1, 3))
    assert sorted(server.mails) == [2]
    assert (await world.count("parked_contact"), await world.count("message")) == (1, 1)
    assert REGISTRY.get_sample_value("patchbay_imap_left_total", {"mailbox": "support/INBOX"}) == before + 1


async def _moved(server: ImapServer, *uids: int) -> bool:
    return server.moved == list(uids)


def test_of_a_mail_of_nothing_but_a_header_no_more_is_looked_at_for_its_sender_than_a_header_has() -> None:
    early, late = b"Return-Path: <a@x.example>\n", b"X-Filler: %s\n" % (b"x" * 1000) * (HEADER_BYTES // 1000 + 1)
    assert _sender(early + late) == "a@x.example"
    assert _sender(late + early) == UNKNOWN


async def test_the_null_sender_is_known_by_its_return_path_and_a_person_without_one_is_a_person(world: World) -> None:
    async with imap_server() as server:
        bounce = mail(1).replace(b"<c1@customers.example>\r\nFrom", b"<>\r\nFrom")
        await server.bring(bounce)
        async with reading(world, server):
            await taken(world, 1)
            await server.bring(mail(2).partition(b"\r\n")[2])
            await taken(world, 2)
    assert [event.data.origin for event in await world.events(MessageReceived)] == ["auto_reply", "human"]


async def test_a_server_that_numbers_its_mails_anew_doubles_nothing(world: World) -> None:
    async with imap_server() as server, reading(world, server):
        await server.bring(mail(1), mail(2), mail(3).replace(b"Message-ID", b"X-Other-ID"))
        await taken(world, 3)
        await server.number_anew()
        await server.bring(mail(4))
        await until(lambda: _stored(world, 8, 103))
        assert await world.count("message") == 4


async def _stored(world: World, uidvalidity: int, uid: int) -> bool:
    return await world.count("mailbox", f"uidvalidity = {uidvalidity} AND last_uid = {uid}") == 1


async def test_a_stop_between_taking_a_mail_and_storing_that_doubles_nothing(world: World) -> None:
    async with imap_server() as server:
        await server.bring(mail(1), mail(2))
        async with reading(world, server):
            await taken(world, 2)
        await world.execute("UPDATE intake.mailbox SET last_uid = 0")  # as if the process had been killed before it
        async with reading(world, server):
            await until(lambda: _stored(world, 7, 2))
        assert (await world.count("message"), server.logins) == (2, 2)


async def test_of_two_processes_one_reads_and_the_other_goes_on_when_it_stops(world: World, database: str) -> None:
    pace = Pace(lease=1.0, first_pause=0.1)
    async with process(database) as other, imap_server() as server, reading(other, server, pace):
        async with reading(world, server, pace):
            await server.bring(mail(1))
            await taken(world, 1)
            await asyncio.sleep(2 * pace.lease)  # longer than a lease that is not renewed would last
            assert server.logins == 1
        await server.bring(mail(2))
        await taken(world, 2)


async def test_who_lost_the_mailbox_stores_nothing_more(world: World) -> None:
    async with db.transaction(world.parts.engine) as conn:
        assert await mailboxes.hold(conn, "a", "INBOX", "one", 0)
        assert await mailboxes.advance(conn, "a", "INBOX", "one", 7, 3)
        assert await mailboxes.hold(conn, "a", "INBOX", "two", 60)
        assert not await mailboxes.hold(conn, "a", "INBOX", "one", 60)
        assert not await mailboxes.advance(conn, "a", "INBOX", "one", 7, 9)
        assert await mailboxes.last_uid(conn, "a", "INBOX", 7) == 3
        assert await mailboxes.last_uid(conn, "a", "INBOX", 8) == 0


async def test_a_mail_that_cannot_be_stored_is_parked_once_and_can_be_replayed(world: World) -> None:
    await world.execute("ALTER TABLE intake.message ADD CONSTRAINT poison CHECK (message_ref <> '<2@customers.example>')")
    async with imap_server() as server:
        await server.bring(mail(1), mail(2), mail(3))
        for _ in range(2):
            async with reading(world, server):
                await taken(world, 2)
                await until(lambda: _stored(world, 7, 3))
            await world.execute("UPDATE intake.mailbox SET last_uid = 0")
    assert await world.count("parked_contact", "way = 'imap'") == 1
    await world.execute("ALTER TABLE intake.message DROP CONSTRAINT poison")
    async with db.transaction(world.parts.engine) as conn:
        assert await parked.ask(conn, (await parked.listed(conn, 1))[0].id)
    await Replayer(world.intake.acceptor, world.intake.inboxes, world.signer).once()
    assert (await world.count("message"), await world.count("parked_contact")) == (3, 0)


async def test_five_hundred_waiting_mails_are_taken_in_batches(world: World) -> None:
    async with imap_server() as server:
        await server.bring(*(mail(n) for n in range(500)))
        async with reading(world, server, Pace()):
            await taken(world, 500, seconds=60)
            await until(lambda: _stored(world, 7, 500))
    assert sum("RFC822.SIZE" in said for said in server.said) == 10


async def test_it_stops_at_once_while_it_idles_and_while_the_server_hangs(world: World) -> None:
    async with imap_server() as server:
        async with reading(world, server):
            await idling(server)
        server.hanging = True
        heard = len(server.said)
        async with reading(world, server):
            await until(lambda: _more(server, heard))

    async def ended() -> bool:
        return not any(thread.name.startswith("imap") for thread in threading.enumerate())

    await until(ended, seconds=3)


async def _more(server: ImapServer, heard: int) -> bool:
    return len(server.said) > heard


def test_groups_hold_so_many_bytes_and_one_large_mail_alone() -> None:
    large = 10 * 2**20
    assert list(groups([1, 2, 3, 4], {1: 5, 2: large, 4: large})) == [[1, 2, 3], [4]]


@pytest.mark.parametrize(
    "text", ["nonsense", '[{"host": "h"}]', '[{"host": "h", "user": "u", "inbox": "i", "password": 5}]', '[{"secret": "hush"}]']
)
def test_mailboxes_that_cannot_be_are_refused_without_their_values(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        IntakeSettings.model_validate({"database": "postgresql:///x", "master_key": MASTER, "intake_imap_mailboxes": text})
    assert "hush" not in str(refused.value)


def test_the_file_of_mailboxes_is_read_or_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "mailboxes.json"
    values = {"database": "postgresql:///x", "master_key": MASTER, "intake_imap_mailboxes_file": file}
    with pytest.raises(ValidationError, match="cannot be read"):
        IntakeSettings.model_validate(values)
    file.write_text('[{"host": "h", "user": "u", "inbox": "i"}]')
    assert [box.name for box in IntakeSettings.model_validate(values).mailboxes] == ["i/INBOX"]


def test_a_folder_is_named_once() -> None:
    box = '{"host": "h", "user": "u", "inbox": "i"}'
    with pytest.raises(ValueError, match="named twice"):
        mailboxes_of(f"[{box}, {box}]")
