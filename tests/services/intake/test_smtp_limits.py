"""The mail port under many and large mails: how much of them is held, how many of one address or network come in, and TLS."""

from __future__ import annotations

import asyncio
import smtplib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosmtplib

from services.intake.held_bytes import SMALL_BYTES, Room
from services.intake.smtp import KEPT, NOT_NOW, TOO_MUCH
from services.intake.smtp_conversation import NETWORK_SENT_AWAY, NO_MEMORY, SENT_AWAY, TOO_LARGE
from shared.events.message import MessageReceived
from tests.services.intake.test_mail import SUPPORT, deliver, mail, until_heard
from tests.services.intake.world import World, mail_port, process
from tests.services.shared.test_tls import certify
from tests.waiting import until

LARGE = 2 * SMALL_BYTES
LINE = b"x" * 76 + b"\r\n"
BODY = LINE * (LARGE // len(LINE))
PART = LINE * 20_000
END = b".\r\n"


def headers(n: int, kind: str = "application/octet-stream") -> bytes:
    """Of a mail that is a file as a whole, or of this kind."""
    return (
        f"From: dan@customers.example\r\nTo: {SUPPORT}\r\nSubject: Large {n}\r\nMessage-ID: <{n}@customers.example>\r\n"
        f"Content-Type: {kind}\r\n\r\n"
    ).encode()


@dataclass
class Client:
    """A mail server that talks to us, command by command."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def hears(self) -> str:
        """The last line of the answer."""
        while (line := (await self.reader.readline()).decode().rstrip("\r\n"))[3:4] == "-":
            continue
        return line

    async def says(self, *what: bytes) -> str:
        """What is answered to it."""
        self.writer.write(b"".join(what))
        await self.writer.drain()
        return await self.hears()

    async def begins(self, size: int = 0) -> str:
        """A mail, up to the answer to DATA."""
        declared = b" SIZE=%d" % size if size else b""
        assert (await self.says(b"MAIL FROM:<dan@customers.example>", declared, b"\r\n")).startswith("250")
        assert (await self.says(f"RCPT TO:<{SUPPORT}>\r\n".encode())).startswith("250")
        return await self.says(b"DATA\r\n")


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    """One who has said EHLO."""
    one = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        assert (await one.hears()).startswith("220")
        assert (await one.says(b"EHLO customers.example\r\n")).startswith("250")
        yield one
    finally:
        one.writer.close()


async def test_large_mails_for_which_there_is_no_room_are_put_off_and_taken_when_there_is(world: World) -> None:
    room = Room(LARGE + SMALL_BYTES)
    async with mail_port(world, room=room) as port, client(port) as first, client(port) as second:
        assert (await first.begins(LARGE)).startswith("354")
        first.writer.write(headers(1) + BODY)
        await until("the first is there but for its end", lambda: room.held >= len(BODY))
        assert await second.begins(LARGE) == NO_MEMORY, "before it comes"
        assert (await second.begins()).startswith("354")
        assert await second.says(headers(2), BODY, END) == NO_MEMORY, "when it has come"
        assert "ticket #" in await deliver(port, mail()), "small ones need no room"
        assert (await first.says(END)).startswith("250 2.0.0 OK, ticket #")
        assert room.held == 0
        assert (await second.begins(LARGE)).startswith("354")
        assert (await second.says(headers(2), BODY, END)).startswith("250 2.0.0 OK, ticket #")
    assert (room.held, await world.count("message"), await world.count("parked_contact")) == (0, 3, 0)


async def test_one_large_mail_alone_is_taken_whatever_room_there_is(world: World) -> None:
    async with mail_port(world, room=Room(1)) as port, client(port) as one:
        assert (await one.begins(LARGE)).startswith("354")
        assert (await one.says(headers(1), BODY, END)).startswith("250")


async def test_who_goes_away_in_the_middle_of_a_large_mail_or_is_refused_takes_no_room(database: str) -> None:
    room = Room(LARGE)
    async with process(database, smtp_max_bytes=LARGE) as world, mail_port(world, room=room) as port:
        async with client(port) as one:
            assert (await one.begins()).startswith("354")
            one.writer.write(headers(1) + PART)
            await until("most of it is there", lambda: room.held >= len(PART))
        await until("it is forgotten", lambda: room.held == 0)
        async with client(port) as one:
            assert (await one.begins()).startswith("354")
            assert await one.says(headers(1), PART, PART, END) == TOO_LARGE
            assert room.held == 0
            assert (await one.begins()).startswith("354"), "the conversation goes on"
            assert await one.says(headers(1), b"y" * 2 * LARGE, b"\r\n", END) == TOO_LARGE, "in one line"
            assert room.held == 0
            assert (await one.begins()).startswith("354")
            assert (await one.says(headers(1), END)).startswith("250")
        assert await world.count("message") == 1


async def test_a_mail_is_what_was_sent_with_its_dots_and_long_lines(world: World) -> None:
    lines = [b"first", b"..", b"...x", b"", b".", b"y" * 990, b"last.", b""]
    sent = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    async with mail_port(world) as port, client(port) as one:
        assert (await one.says(b"DATA\r\n")).startswith("503")
        assert (await one.begins()).startswith("354")
        assert (await one.says(headers(1, "text/plain"), sent, END)).startswith("250")
    [received] = await world.events(MessageReceived)
    kept = await world.http.get(f"/v1/messages/{received.data.message_id}/raw", headers=await world.key("admin"))
    assert kept.content == headers(1, "text/plain") + b"\r\n".join(lines)


async def test_lines_longer_than_allowed_arrive_whole_and_the_next_mail_of_the_conversation_too(world: World) -> None:
    lines = [b"z" * 5_000, b"." * 1_000_000, b"", b".", b"end"]
    mails = [headers(n, "text/plain") + b"\r\n".join(lines[n:]) + b"\r\n" for n in range(3)]
    async with mail_port(world) as port:
        await asyncio.to_thread(send, port, mails)
    kept = []
    for received in await world.events(MessageReceived):
        raw = await world.http.get(f"/v1/messages/{received.data.message_id}/raw", headers=await world.key("admin"))
        kept.append(raw.content)
    assert sorted(kept) == sorted(mails)


def send(port: int, mails: list[bytes]) -> None:
    """One after the other in one conversation, as scripts do."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as server:
        for one in mails:
            assert server.sendmail("dan@customers.example", SUPPORT, one) == {}


async def test_a_command_that_never_ends_takes_no_memory(world: World) -> None:
    async with mail_port(world) as port, client(port) as one:
        tracemalloc.start()
        try:
            for _ in range(20):
                one.writer.write(b"x" * SMALL_BYTES)
                await one.writer.drain()
            assert await one.says(b"\r\n") == "500 Command line too long"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5 * SMALL_BYTES
        assert (await one.begins()).startswith("354")
        assert (await one.says(headers(1), END)).startswith("250")


async def test_one_address_holds_so_many_conversations_and_is_heard_when_one_ends(database: str) -> None:
    async with process(database, smtp_relays="", smtp_per_peer=2) as world, mail_port(world) as port:
        async with client(port), client(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == SENT_AWAY
            writer.close()
        await until_heard(port)
    assert await world.count("message") == 1


async def test_one_network_holds_so_many_conversations_and_others_are_heard(database: str) -> None:
    async with process(database, smtp_relays="", smtp_per_network=2) as world, mail_port(world) as port:
        async with client(port), client(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0))
            assert await reader.readline() == NETWORK_SENT_AWAY
            writer.close()
            assert await greeted(port, "127.0.1.1"), "from another network"
        await until("who was sent away is heard", lambda: greeted(port, "127.0.0.3"))


async def test_a_relay_of_ours_holds_as_many_as_it_likes(database: str) -> None:
    async with process(database, smtp_per_peer=1) as world, mail_port(world) as port, client(port), client(port):
        assert "ticket #" in await deliver(port, mail())


async def test_mail_comes_over_tls_and_such_a_conversation_is_counted_once(database: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certify(certificate, key)
    settings = {"smtp_relays": "", "smtp_per_peer": 1, "smtp_cert_file": certificate, "smtp_key_file": key}
    async with process(database, **settings) as world, mail_port(world) as port:
        secure = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=True, cert_bundle=str(certificate), timeout=10)
        async with secure:
            _, answer = await secure.send_message(mail(), sender="dan@customers.example", recipients=[SUPPORT])
            assert "ticket #" in answer
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == SENT_AWAY
            writer.close()
        await until("who spoke by TLS is gone", lambda: greeted(port))


async def greeted(port: int, source: str = "127.0.0.1") -> bool:
    """Whether who comes from there may talk."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    greeting = await reader.readline()
    writer.close()
    return greeting.startswith(b"220")


async def test_the_limits_of_a_sender_hold_on_the_wire(database: str) -> None:
    async with process(database, intake_mail_per_minute=1) as world, mail_port(world) as port, client(port) as one:
        answers = []
        for n in range(2):
            assert (await one.begins()).startswith("354")
            answers.append(await one.says(headers(n, "text/plain"), b"hello\r\n", END))
        assert (answers[0][:3], answers[1]) == ("250", TOO_MUCH)


async def test_a_mail_from_an_address_that_is_no_text_is_kept_as_any_other_that_cannot_be_taken(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    ours = headers(1).replace(b"dan@customers.example", SUPPORT.encode())
    async with mail_port(world) as port, client(port) as one:
        assert (await one.says(b"MAIL FROM:<d\xffan@customers.example>\r\n")).startswith("250")
        assert (await one.says(f"RCPT TO:<{SUPPORT}>\r\n".encode())).startswith("250")
        assert (await one.says(b"DATA\r\n")).startswith("354")
        assert await one.says(ours, END) == KEPT
    assert await world.count("parked_contact", "sender LIKE 'd%an@customers.example'") == 1


async def test_a_mail_that_can_neither_be_taken_nor_kept_is_put_off_and_not_sent_back(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    await world.execute("ALTER TABLE intake.parked_contact ADD CONSTRAINT poison CHECK (way = '')")
    async with mail_port(world) as port, client(port) as one:
        assert (await one.begins()).startswith("354")
        assert await one.says(headers(1).replace(b"dan@customers.example", SUPPORT.encode()), END) == NOT_NOW
