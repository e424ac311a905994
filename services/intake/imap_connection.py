"""One connection to an IMAP server (RFC 3501, IDLE of RFC 2177), whose calls run in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from imaplib import IMAP4
from io import BufferedReader
from typing import TypeVar, cast

from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

from services.intake.imap_settings import Mailbox
from services.intake.imap_tokens import NotAdmitted, Tokens

ANSWER_SECONDS = 30.0  # between two pieces of an answer
CALL_SECONDS = 120.0  # a whole answer, of which the server may send a byte now and then
SEEN = "\\Seen"
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_CAME = re.compile(rb'\bINTERNALDATE "([^"]{1,60})"')
Result = TypeVar("Result")


class Refused(ImapToolsError):
    """The server said NO to a fetch, or gave what is no answer to it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mail that is not fetched yet: its bytes, and when it came to the mailbox, if the server says so."""

    size: int
    came_at: datetime | None = None


@dataclass(slots=True)
class Connection:
    """Every call raises OSError, IMAP4.error or ImapToolsError; afterwards the connection is to be closed."""

    mailbox: Mailbox
    tokens: Tokens
    thread: ThreadPoolExecutor = field(init=False)
    _box: BaseMailBox | None = None
    _idles: bool = False
    _closed: bool = False

    def __post_init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="imap")

    async def call(self, work: Callable[[], Result], seconds: float = CALL_SECONDS) -> Result:
        """Run a method of this connection in its thread. Raises TimeoutError besides what the method raises."""
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    def close(self) -> None:
        """End it, whatever its thread waits for: the thread ends by that too."""
        self._closed = True
        self.thread.shutdown(wait=False, cancel_futures=True)
        if self._box is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._box.client.sock, socket.SHUT_RDWR)

    @property
    def box(self) -> BaseMailBox:
        """imap-tools' mailbox. Raises ConnectionError before `open`."""
        if self._box is None:
            raise ConnectionError("not connected")
        return self._box

    def open(self) -> int:
        """Connect, log in and select the folder. Returns its UIDVALIDITY; 0 of a server that says none."""
        self._box = _connect(self.mailbox)
        if self._closed:  # while it connected, when there was nothing to close yet
            self._box.client.shutdown()
            raise ConnectionError("closed")
        if self.mailbox.by_token:
            self._show_token(self._box)
        else:
            self._box.login(self.mailbox.user, self.mailbox.secret(), initial_folder=None)
        capabilities = self._box.client.capability()[1]
        self._idles = b"IDLE" in b" ".join(part for part in capabilities if isinstance(part, bytes)).upper().split()
        changes = self.mailbox.seen or bool(self.mailbox.move_to)
        self._box.folder.set(self.mailbox.folder, readonly=not changes)
        said = self._box.client.response("UIDVALIDITY")[1][0]
        return int(said) if isinstance(said, bytes) else 0

    def _show_token(self, box: BaseMailBox) -> None:
        """XOAUTH2 (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol). A server that refuses says why in a
        challenge, which has to be answered with nothing before it says NO.
        """
        shown = f"user={self.mailbox.user}\x01auth=Bearer {self.tokens.current()}\x01\x01".encode()
        try:
            box.client.authenticate("XOAUTH2", lambda challenge: b"" if challenge else shown)
        except IMAP4.abort:
            raise
        except IMAP4.error:
            self.tokens.refused()
            raise NotAdmitted(
                "the server does not take the access token; check that it is of this user, and that its scope is for IMAP"
            ) from None

    def after(self, uid: int) -> list[int]:
        """The UIDs above this one, in order. Asked again when mail came while the server answered."""
        for _ in range(2):
            # `n:*` means the last mail too where n is above it.
            found = sorted(n for n in map(int, self.box.uids(f"UID {uid + 1}:*", charset=None)) if n > uid)
            if found or self.box.client.response("EXISTS")[1] == [None]:
                break
        return found

    def waiting(self, uids: Sequence[int]) -> dict[int, Waiting]:
        """Of each mail that is still there, what the server knows."""
        answer, lines = self.box.client.uid("FETCH", ",".join(map(str, uids)), "(UID RFC822.SIZE INTERNALDATE)")
        if answer != "OK":
            raise Refused
        found = {}
        for line in lines:
            uid, size = (_UID.search(line), _SIZE.search(line)) if isinstance(line, bytes) else (None, None)
            if uid and size:
                found[int(uid[1])] = Waiting(int(size[1]), _came_at(line))
        return found

    def fetch(self, uid: int, part: str = "") -> bytes | None:
        """A mail, or a part of it such as HEADER, unread as it was; None when it is there no more."""
        answer, lines = self.box.client.uid("FETCH", str(uid), f"(UID BODY.PEEK[{part}])")
        if answer != "OK":
            raise Refused
        for line in lines:
            if isinstance(line, tuple) and isinstance(line[1], bytes):
                return line[1]
        return None

    def done(self, uids: Sequence[int]) -> None:
        """Mark or move what was taken, as the mailbox's settings say."""
        names = [str(uid) for uid in uids]
        if self.mailbox.seen:
            self.box.flag(names, SEEN, True)
        if self.mailbox.move_to:
            self.box.move(names, self.mailbox.move_to)

    def wait(self, idle_seconds: float, poll_seconds: float) -> float:
        """Until the server says that something changed, in IDLE for at most so long. Returns how long to sleep before asking
        again, where the server has no IDLE.
        """
        if not self._idles:
            return poll_seconds
        self.box.idle.start()  # type: ignore[no-untyped-call]
        if not self._buffered():
            self.box.idle.poll(idle_seconds)
        # Raises when the connection is cut, which `poll` does not.
        self.box.idle.stop()  # type: ignore[no-untyped-call]
        return 0.0

    def _buffered(self) -> bool:
        """Whether what the server said came together with its leave to idle: `poll` looks at the socket alone."""
        client = self.box.client
        before = client.sock.gettimeout()
        client.sock.settimeout(0)
        try:
            with suppress(OSError):  # TLS that wants more
                return bool(cast(BufferedReader, client.file).peek(1))
            return False
        finally:
            client.sock.settimeout(before)


def _came_at(line: bytes) -> datetime | None:
    """The server's own instant (RFC 3501, 2.3.3), such as `17-Jul-1996 02:44:25 -0700`."""
    found = _CAME.search(line)
    try:
        return datetime.strptime(found[1].decode("ascii").strip(), "%d-%b-%Y %H:%M:%S %z") if found is not None else None
    except ValueError:
        return None


def _connect(mailbox: Mailbox) -> BaseMailBox:
    if mailbox.tls == "none":
        return MailBoxUnencrypted(mailbox.host, mailbox.port, timeout=ANSWER_SECONDS)
    context = ssl.create_default_context()
    if mailbox.tls == "starttls":
        return MailBoxStartTls(mailbox.host, mailbox.port, timeout=ANSWER_SECONDS, ssl_context=context)
    return MailBox(mailbox.host, mailbox.port, timeout=ANSWER_SECONDS, ssl_context=context)
