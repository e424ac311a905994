"""A small IMAP server (RFC 3501, IDLE of RFC 2177): one account, one folder. It can go away, cut, hang, refuse, renumber."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PASSWORD = "secret"


@dataclass
class ImapServer:
    """`mails` by UID. `said` are the commands that came; `flags` what was marked."""

    mails: dict[int, bytes] = field(default_factory=dict)
    uidvalidity: int = 7
    next_uid: int = 1
    idles: bool = True
    cut_at: int | None = None  # in the middle of this mail, once
    withheld: set[int] = field(default_factory=set)  # cut at these always
    refused: set[int] = field(default_factory=set)  # of which it tells and hands out nothing, as Exchange of damaged mails
    hanging: bool = False
    password: str = PASSWORD
    token: str = ""  # where one is set, XOAUTH2 takes it
    said: list[str] = field(default_factory=list)
    flags: dict[int, str] = field(default_factory=dict)
    came: dict[int, str] = field(default_factory=dict)  # when, of those of which it is told
    moved: list[int] = field(default_factory=list)
    logins: int = 0
    idling: int = 0
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _server: asyncio.Server | None = None

    async def bring(self, *mails: bytes) -> None:
        """New mail."""
        for mail in mails:
            self.mails[self.next_uid] = mail
            self.next_uid += 1
        async with self._changed:
            self._changed.notify_all()

    async def number_anew(self) -> None:
        """Another UIDVALIDITY, and all connections end."""
        self.uidvalidity += 1
        self.mails = {100 + n: mail for n, mail in enumerate(self.mails.values())}
        self.next_uid = 100 + len(self.mails)
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def start(self) -> None:
        """Listen; again on the same port."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Go away."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            writer.write(b"* OK ready\r\n")
            while line := await reader.readline():
                tag, _, rest = line.decode().strip().partition(" ")
                self.said.append(rest)
                if self.hanging:
                    await reader.read()
                    break
                await self._answer(tag, rest, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, tag: str, said: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = said.upper().split()
        match words[:2] if words[0] == "UID" else words[:1]:
            case ["CAPABILITY"]:
                writer.write(f"* CAPABILITY IMAP4REV1 MOVE{' IDLE' * self.idles}\r\n".encode())
            case ["LOGIN"] | ["AUTHENTICATE"]:
                if not await self._admitted(said, reader, writer):
                    writer.write(f"{tag} NO [AUTHENTICATIONFAILED] no\r\n".encode())
                    return
                self.logins += 1
            case ["SELECT"] | ["EXAMINE"]:
                writer.write(f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY {self.uidvalidity}] ok\r\n".encode())
            case ["UID", "SEARCH"]:
                first = int(re.findall(r"(\d+):\*", said)[0])
                found = [uid for uid in self.mails if uid >= first] or sorted(self.mails)[-1:]
                writer.write(f"* SEARCH {' '.join(map(str, found))}\r\n".encode())
            case ["UID", "FETCH"]:
                if not self.refused.isdisjoint(int(uid) for uid in words[2].split(",")):
                    writer.write(f"{tag} NO it is damaged\r\n".encode())
                    return
                self._fetch(said, writer)
            case ["UID", "STORE"]:
                self.flags.update({int(uid): said for uid in words[2].split(",")})
            case ["UID", "MOVE"]:
                self.moved += [int(uid) for uid in words[2].split(",") if self.mails.pop(int(uid), None)]
            case ["APPEND"]:
                writer.write(b"+ go on\r\n")
                appended = await reader.readexactly(int(re.findall(r"\{(\d+)\}$", said)[0]))
                await reader.readline()
                await self.bring(appended)
            case ["IDLE"]:
                await self._idle(reader, writer)
        writer.write(f"{tag} OK done\r\n".encode())
        await writer.drain()

    async def _admitted(self, said: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """XOAUTH2 as Gmail does it: who is refused gets a challenge that says so, and has to answer it with an empty line."""
        if said.upper().startswith("LOGIN"):
            return said.endswith(f'"{self.password}"')
        writer.write(b"+ \r\n")
        shown = base64.b64decode(await reader.readline()).decode()
        if self.token and shown == f"user=support\x01auth=Bearer {self.token}\x01\x01":
            return True
        writer.write(
            b"+ " + base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}') + b"\r\n"
        )
        assert await reader.readline() == b"\r\n"
        return False

    def _fetch(self, said: str, writer: asyncio.StreamWriter) -> None:
        for uid in (int(word) for word in said.split()[2].split(",") if int(word) in self.mails):
            mail = self.mails[uid]
            if "RFC822.SIZE" in said:
                came = f' INTERNALDATE "{self.came[uid]}"' if uid in self.came else ""
                writer.write(f"* 1 FETCH (UID {uid} RFC822.SIZE {len(mail)}{came})\r\n".encode())
                continue
            content = mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if "HEADER" in said else mail
            writer.write(f"* 1 FETCH (UID {uid} BODY[] {{{len(content)}}}\r\n".encode())
            if uid == self.cut_at or (uid in self.withheld and "HEADER" not in said):
                self.cut_at = None
                writer.write(content[: len(content) // 2])
                writer.close()
                raise ConnectionResetError
            writer.write(content + b")\r\n")

    async def _idle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known = len(self.mails)
        writer.write(b"+ idling\r\n")
        ended = asyncio.create_task(reader.readline())
        self.idling += 1
        try:
            while not ended.done():
                told = asyncio.create_task(self._wait_for_more(known))
                await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
                if known != len(self.mails):
                    known = len(self.mails)
                    writer.write(f"* {known} EXISTS\r\n".encode())
        finally:
            self.idling -= 1
        if not await ended:
            raise ConnectionResetError

    async def _wait_for_more(self, known: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.mails) != known)


@asynccontextmanager
async def imap_server() -> AsyncIterator[ImapServer]:
    """A server on a free port."""
    server = ImapServer()
    await server.start()
    try:
        yield server
    finally:
        server.stop()
