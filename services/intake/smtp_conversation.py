"""A conversation on the mail port, from the connection to its end: what is held of it, and who is sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiosmtpd.smtp import SMTP, syntax

from services.intake.held_bytes import Room, Share
from services.intake.smtp_peers import Peers, Refusal
from shared.telemetry import log

SENT_AWAY = b"421 4.3.2 Too many connections, try again later\r\n"
NETWORK_SENT_AWAY = b"421 4.3.2 Too many connections from your network, try again later\r\n"
NO_MEMORY = "452 4.3.1 Other large mails are coming in, try again later"
TOO_LARGE = "552 5.3.4 The mail is larger than we take"
END = b".\r\n"


class Conversation(SMTP):
    """aiosmtpd's, which is among `peers` as long as its connection lasts. A mail is held as one piece, from its first line until
    it was dealt with, as far as there is `room`: what does not fit is put off, before it comes where its client says how large it
    is.
    """

    def __init__(self, peers: Peers, room: Room, handler: object, **options: Any) -> None:
        super().__init__(handler, **options)
        self._peers = peers
        self._room = room

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio.Protocol; comes again where TLS was begun and failed."""
        self._peers.gone(self)
        super().connection_lost(error)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        """Takes the place of aiosmtpd's, which holds each line by itself and knows no other limit than the largest mail's."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 Error: need RCPT command")
        elif arg:
            await self.push("501 Syntax: DATA")
        elif not self._room.has(_declared(self.envelope.mail_options)):
            await self._end(NO_MEMORY)
        else:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._take(Share(self._room))

    async def _take(self, share: Share) -> None:
        try:
            content, refusal = await self._read(share)
            if refusal == NO_MEMORY:
                log().warning("large mail put off", held_bytes=self._room.held)
            answer = refusal or await self._hand_over(content)
        finally:
            share.give_back()
        await self._end(answer)

    async def _hand_over(self, content: bytes) -> str:
        assert self.envelope is not None
        self.envelope.content = self.envelope.original_content = content
        answer: str = await self._call_handler_hook("DATA")
        return answer

    async def _end(self, answer: str) -> None:
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(answer)

    async def _read(self, share: Share) -> tuple[bytes, str]:
        """The mail as it was before dots were put before dots, or why it is refused; said when all of it came, so that the client
        hears it. Lines may be longer than the 998 bytes of RFC 5321, 4.5.3.1.6: scripts and newsletters send such, and Postfix
        takes them. Who is gone ends this as cancelled.
        """
        content, size, refusal, within = bytearray(), 0, "", False
        while True:
            part = await self._part()
            if part == END and not within:
                return bytes(content), refusal
            size += len(part)
            refusal = refusal or self._refusal(share, size)
            if refusal:
                content.clear()
                share.give_back()
            else:
                content += part[1:] if part.startswith(b".") and not within else part
            within = not part.endswith(b"\r\n")

    async def _part(self) -> bytes:
        """The next line, or as much as is there of a long one: the reader's limit stays that of commands."""
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            return await self._reader.read(error.consumed)

    def _refusal(self, share: Share, size: int) -> str:
        """Why no mail is taken that has come to this size; empty where it is."""
        if self.data_size_limit and size > self.data_size_limit:
            return TOO_LARGE
        return "" if share.grow(size) else NO_MEMORY


def _declared(options: list[str]) -> int:
    """How large the client says that the mail is (RFC 1870); aiosmtpd has looked whether it is a number."""
    sizes = [option[5:] for option in options if option.startswith("SIZE=")]
    return int(sizes[-1]) if sizes else 0


class Full(asyncio.Protocol):
    """Sends a client away who comes while too many are there (RFC 5321, 3.8: 421 at any time, and close)."""

    def __init__(self, words: bytes = SENT_AWAY) -> None:
        self._words = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        writing = cast(asyncio.WriteTransport, transport)  # uvloop's own is no subclass
        writing.write(self._words)
        writing.close()


class Door(asyncio.Protocol):
    """Looks where a client comes from, which is known when the connection stands, and begins the conversation."""

    def __init__(self, peers: Peers, begin: Callable[[], Conversation]) -> None:
        self._peers = peers
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        name = transport.get_extra_info("peername")
        address = str(name[0]) if name else ""
        refusal = self._peers.refusal(address)
        if refusal:
            log().warning("mail connection refused", reason=refusal)
            Full(NETWORK_SENT_AWAY if refusal is Refusal.OF_NETWORK else SENT_AWAY).connection_made(transport)
            return
        conversation = self._begin()
        self._peers.came(conversation, address)
        transport.set_protocol(conversation)
        conversation.connection_made(transport)
